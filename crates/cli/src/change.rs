//! What has changed between two statuses, for programs that follow a run: documented in
//! docs/reference/json.md.

use serde_json::{Map, Value, json};
use spanferry_core::schema::source::QualifiedName;

use crate::short_name::{short_names, table_of};

/// Lists of a status that are objects in a change: tables by their names, groups by their numbers.
/// With the members that tell an item from the others.
const NAMED: [(&str, &[&str]); 2] = [("tables", TABLE), ("groups", GROUP)];
const TABLE: &[&str] = &["schema", "name"];
const GROUP: &[&str] = &["group"];
/// Recorded by events of their own.
const LEFT_OUT: &str = "findings";
/// Changes at every look, and says nothing alone.
const CLOCK: &str = "at_us";

/// The members of a status that are new: of an object its new members, of tables and groups those
/// of each that has any. Nothing if only time has passed.
pub(crate) fn changed(before: &Value, now: &Value) -> Option<Value> {
    let mut changed = Map::new();
    for (name, value) in members(now).filter(|(name, _)| *name != LEFT_OUT) {
        let known = &before[name];
        let key = NAMED.iter().find(|(list, _)| list == name);
        let new = match key {
            Some((_, identity)) => new_items(known, value, identity),
            None => new_value(known, value),
        };
        changed.extend(new.map(|new| (name.clone(), new)));
    }
    let is_news = changed.keys().any(|name| name != CLOCK);
    is_news.then_some(Value::Object(changed))
}

/// The time alone: a sign of life.
pub(crate) fn time(now: &Value) -> Value {
    json!({CLOCK: now[CLOCK]})
}

fn new_value(known: &Value, value: &Value) -> Option<Value> {
    if known == value {
        return None;
    }
    if !(known.is_object() && value.is_object()) {
        return Some(value.clone());
    }
    let new =
        members(value).filter_map(|(name, value)| Some((name.clone(), new_value(&known[name], value)?)));
    Some(Value::Object(new.collect()))
}

/// The items that are new or have new members, by their names. Items keep their places while a run
/// lasts.
fn new_items(known: &Value, items: &Value, identity: &[&str]) -> Option<Value> {
    let items = items.as_array().map_or(&[][..], Vec::as_slice);
    let named = names(items).into_iter().zip(items).enumerate();
    let new: Map<String, Value> = named
        .filter_map(|(place, (name, item))| {
            let is_same = |known: &&Value| identity.iter().all(|member| known[member] == item[member]);
            let known = known.get(place).filter(is_same);
            Some((name, new_value(known.unwrap_or(&Value::Null), item)?))
        })
        .collect();
    (!new.is_empty()).then_some(Value::Object(new))
}

/// What items are called in a change.
fn names(items: &[Value]) -> Vec<String> {
    let tables: Option<Vec<QualifiedName>> = items.iter().map(|item| table_of(item, "name")).collect();
    match tables {
        Some(tables) => short_names(&tables),
        None => items.iter().map(|item| item["group"].to_string()).collect(),
    }
}

fn members(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Value {
        json!({"at_us": 1, "phase": "running", "throttled": null, "rows_loaded": 5, "capture": {"transactions": 1, "sequence": 7},
            "groups": [{"group": 0, "phase": "loading", "tables": ["a", "b"]}],
            "tables": [{"name": "a", "rows_loaded": 5, "stopped": null}, {"name": "b", "rows_loaded": 0, "stopped": null}],
            "findings": []})
    }

    #[test]
    fn only_what_is_new_is_told() {
        let before = status();
        let mut now = status();
        now["at_us"] = json!(2);
        assert_eq!(changed(&before, &now), None);
        assert_eq!(time(&now), json!({"at_us": 2}));
        now["findings"] = json!([{"code": "SF-5001"}]);
        assert_eq!(changed(&before, &now), None);
        now["throttled"] = json!("capture waits");
        now["capture"]["sequence"] = json!(8);
        now["groups"][0]["phase"] = json!("stopped");
        now["tables"][1]["rows_loaded"] = json!(3);
        now["tables"][1]["stopped"] = json!("SF-5001");
        let expected = json!({"at_us": 2, "throttled": "capture waits", "capture": {"sequence": 8},
            "groups": {"0": {"phase": "stopped"}}, "tables": {"b": {"rows_loaded": 3, "stopped": "SF-5001"}}});
        assert_eq!(changed(&before, &now), Some(expected));
        // Back again, a null included.
        let back = changed(&now, &before).unwrap();
        assert_eq!(
            (&back["throttled"], &back["tables"]["b"]["stopped"]),
            (&Value::Null, &Value::Null)
        );
        assert!(back.as_object().unwrap().contains_key("throttled"));
    }

    #[test]
    fn tables_of_one_name_are_told_by_their_schemas() {
        let mut before = status();
        for (place, schema) in ["a", "b"].into_iter().enumerate() {
            before["tables"][place]["schema"] = json!(schema);
            before["tables"][place]["name"] = json!("t");
        }
        let mut now = before.clone();
        now["tables"][1]["rows_loaded"] = json!(3);
        assert_eq!(
            changed(&before, &now),
            Some(json!({"tables": {"b.t": {"rows_loaded": 3}}}))
        );
        // Another schema in its place is another table.
        now["tables"][1]["schema"] = json!("c");
        let found = changed(&before, &now).unwrap();
        assert_eq!(found["tables"]["c.t"]["stopped"], Value::Null);
        assert_eq!(found["tables"]["c.t"]["name"], "t");
    }

    #[test]
    fn a_table_that_is_new_is_told_whole() {
        let mut now = status();
        now["tables"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "c", "rows_loaded": 0}));
        let found = changed(&status(), &now).unwrap();
        assert_eq!(found, json!({"tables": {"c": {"name": "c", "rows_loaded": 0}}}));
    }
}
