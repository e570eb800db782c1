//! What has changed between two statuses, for programs that follow a run: documented in
//! docs/reference/json.md.

use serde_json::{Map, Value, json};

/// Lists of a status whose items have a name; in a change they are objects by that name.
const NAMED: [(&str, &str); 2] = [("tables", "name"), ("groups", "group")];
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
            Some((_, key)) => new_items(known, value, key),
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

/// The items that are new or have new members, by their key. Items keep their places while a run
/// lasts.
fn new_items(known: &Value, items: &Value, key: &str) -> Option<Value> {
    let items = items.as_array().into_iter().flatten().enumerate();
    let new: Map<String, Value> = items
        .filter_map(|(place, item)| {
            let name = match &item[key] {
                Value::String(name) => name.clone(),
                other => other.to_string(),
            };
            let known = known.get(place).filter(|known| known[key] == item[key]);
            Some((name, new_value(known.unwrap_or(&Value::Null), item)?))
        })
        .collect();
    (!new.is_empty()).then_some(Value::Object(new))
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
