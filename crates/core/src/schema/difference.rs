//! How a source table differs today from its recorded definition.

use crate::plan::TablePlan;
use crate::schema::definition::TableDefinition;
use crate::schema::mysql::MysqlTable;
use crate::schema::source::{IndexPart, SourceForeignKey, SourceIndex, SourceTable, TableFacts};

/// The first difference by which rows of one table have another form: storage, columns, primary
/// key. Secondary indexes, foreign keys, defaults, checks, triggers and estimates do not count.
pub(crate) fn row_difference(recorded: &SourceTable, today: &SourceTable) -> Option<String> {
    if let Some(difference) = facts_difference(&recorded.facts, &today.facts) {
        return Some(difference);
    }
    if let Some(difference) = column_difference(recorded, today) {
        return Some(difference);
    }
    (recorded.primary_key != today.primary_key).then(|| {
        let (before, now) = (
            names(recorded, &recorded.primary_key),
            names(today, &today.primary_key),
        );
        format!("its primary key was ({before}) and is ({now})")
    })
}

fn facts_difference(recorded: &TableFacts, today: &TableFacts) -> Option<String> {
    match (recorded, today) {
        (TableFacts::Mysql(recorded), TableFacts::Mysql(today)) => mysql_difference(recorded, today),
        (TableFacts::Postgres(recorded), TableFacts::Postgres(today)) => {
            (recorded != today).then(|| "its replica identity has changed".to_owned())
        }
        (TableFacts::Mysql(_), TableFacts::Postgres(_)) | (TableFacts::Postgres(_), TableFacts::Mysql(_)) => {
            Some("it is a table of another kind of server".to_owned())
        }
    }
}

fn mysql_difference(recorded: &MysqlTable, today: &MysqlTable) -> Option<String> {
    if !recorded.engine.eq_ignore_ascii_case(&today.engine) {
        let (before, now) = (&recorded.engine, &today.engine);
        return Some(format!("its storage engine was {before} and is {now}"));
    }
    if recorded.system_versioned != today.system_versioned {
        let word = if today.system_versioned { "has" } else { "has no" };
        return Some(format!("it {word} system versioning now"));
    }
    None
}

fn column_difference(recorded: &SourceTable, today: &SourceTable) -> Option<String> {
    let has = |table: &SourceTable, name: &str| table.columns.iter().any(|column| column.name == name);
    let gone = recorded.columns.iter().find(|column| !has(today, &column.name));
    if let Some(column) = gone {
        return Some(format!("its column `{}` is not there any more", column.name));
    }
    let new = today.columns.iter().find(|column| !has(recorded, &column.name));
    if let Some(column) = new {
        return Some(format!("its column `{}` is new", column.name));
    }
    for (before, now) in recorded.columns.iter().zip(&today.columns) {
        let column = &before.name;
        if before.name != now.name {
            return Some(format!("the order of its columns has changed at `{column}`"));
        }
        if before.ty != now.ty {
            return Some(format!("its column `{column}` has another type"));
        }
        if before.nullable != now.nullable {
            let word = if now.nullable { "allows" } else { "forbids" };
            return Some(format!("its column `{column}` {word} NULL now"));
        }
    }
    None
}

fn names(table: &SourceTable, columns: &[usize]) -> String {
    let names: Vec<&str> = columns
        .iter()
        .map(|column| table.columns[*column].name.as_str())
        .collect();
    names.join(", ")
}

/// The first difference for which a table must stop: its rows have another form, or its key is none
/// any more.
pub fn difference(recorded: &TableDefinition, today: &SourceTable) -> Option<String> {
    if let Some(difference) = row_difference(&recorded.source, today) {
        return Some(difference);
    }
    let key = &recorded.source_key;
    if *key == today.primary_key || today.indexes.iter().any(|index| is_key(index, key)) {
        return None;
    }
    let columns = names(today, key);
    Some(format!("no unique index is over its key ({columns}) any more"))
}

/// The first difference for which the rows of a plan cannot be read as it says: they have another
/// form, or the unique index that serves as key is not exactly the planned one. Without it rows may
/// share a key, and one of them would be lost (docs/design/hand-off.md, step 15).
pub fn plan_difference(plan: &TablePlan, today: &SourceTable) -> Option<String> {
    if let Some(difference) = row_difference(&plan.source, today) {
        return Some(difference);
    }
    let planned = plan.key_index()?;
    let name = &planned.name;
    match today.indexes.iter().find(|index| index.name == *name) {
        None => Some(format!(
            "the unique index `{name}`, which serves as its key, is not there any more"
        )),
        Some(found) if found != planned => Some(format!(
            "the unique index `{name}`, which serves as its key, has changed"
        )),
        Some(_) => None,
    }
}

/// Whether a unique index is over these whole columns, in any order.
fn is_key(index: &SourceIndex, key: &[usize]) -> bool {
    let is_part = |part: &IndexPart| match part {
        IndexPart::Column { column, prefix, .. } => prefix.is_none() && key.contains(column),
        IndexPart::Expression { .. } => false,
    };
    index.unique && index.parts.len() == key.len() && index.parts.iter().all(is_part)
}

/// What has become of an index or a foreign key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not there when the definition was recorded.
    Added,
    /// It is not there any more.
    Dropped,
}

/// One index or foreign key that was added or dropped at the source. One that was changed or
/// renamed makes two of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConstraintChange {
    /// `index` or `foreign key`.
    pub kind: &'static str,
    /// Its name at the source.
    pub name: String,
    /// What has become of it.
    pub change: Change,
}

/// Indexes and foreign keys in which the source differs from the record. They change no row.
pub fn constraint_changes(recorded: &SourceTable, today: &SourceTable) -> Vec<ConstraintChange> {
    let mut changes = changed(
        "index",
        &recorded.indexes,
        &today.indexes,
        |index: &SourceIndex| index.name.clone(),
    );
    let key_name = |key: &SourceForeignKey| key.name.clone();
    let (before, now) = (&recorded.foreign_keys, &today.foreign_keys);
    changes.extend(changed("foreign key", before, now, key_name));
    changes
}

fn changed<T: PartialEq, N: Into<String>>(
    kind: &'static str,
    before: &[T],
    now: &[T],
    name: impl Fn(&T) -> N,
) -> Vec<ConstraintChange> {
    let one = |object: &T, change| ConstraintChange {
        kind,
        name: name(object).into(),
        change,
    };
    let dropped = before.iter().filter(|object| !now.contains(object));
    let added = now.iter().filter(|object| !before.contains(object));
    dropped
        .map(|object| one(object, Change::Dropped))
        .chain(added.map(|object| one(object, Change::Added)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, BIGINT};
    use crate::mapping::convert;
    use crate::mapping::options::MappingOptions;
    use crate::schema::mysql::MysqlType;
    use crate::schema::source_default::SourceDefault;
    use crate::schema::target::Dialect;

    fn keyless() -> SourceTable {
        let columns = ["a", "b", "c"].map(|name| fixture::column(name, BIGINT));
        let mut table = fixture::table("t", columns.into());
        table.columns[1].nullable = false;
        table.primary_key.clear();
        table.indexes = vec![
            fixture::index("u", true, &[1]),
            fixture::index("plain", false, &[2]),
        ];
        table
    }

    fn mysql(table: &mut SourceTable) -> &mut MysqlTable {
        match &mut table.facts {
            TableFacts::Mysql(facts) => facts,
            TableFacts::Postgres(_) => panic!("a MySQL table"),
        }
    }

    fn recorded(table: SourceTable) -> TableDefinition {
        let options = MappingOptions {
            dialect: Dialect::GoogleSql,
            uuid_supported: true,
        };
        TableDefinition::of(&convert::map(vec![table], &options).plans[0])
    }

    #[test]
    fn what_changes_rows_or_their_key_is_a_difference() {
        let definition = recorded(keyless());
        let check = |change: fn(&mut SourceTable), expected: Option<&str>| {
            let mut today = keyless();
            change(&mut today);
            assert_eq!(difference(&definition, &today).as_deref(), expected);
        };
        check(|_| {}, None);
        check(
            |table| table.columns[2].default = Some(SourceDefault::expression("7")),
            None,
        );
        check(|table| table.rows_estimate = 9, None);
        check(|table| table.indexes.truncate(1), None);
        check(
            |table| mysql(table).engine = "MyISAM".into(),
            Some("its storage engine was InnoDB and is MyISAM"),
        );
        check(
            |table| mysql(table).system_versioned = true,
            Some("it has system versioning now"),
        );
        check(
            |table| table.columns[2].ty = MysqlType::Date.into(),
            Some("its column `c` has another type"),
        );
        check(
            |table| table.columns[2].nullable = false,
            Some("its column `c` forbids NULL now"),
        );
        check(
            |table| table.columns.swap(0, 2),
            Some("the order of its columns has changed at `a`"),
        );
        check(
            |table| table.columns[2].name = "d".into(),
            Some("its column `c` is not there any more"),
        );
        check(
            |table| table.columns.push(fixture::column("d", BIGINT)),
            Some("its column `d` is new"),
        );
        check(
            |table| table.primary_key = vec![0],
            Some("its primary key was () and is (a)"),
        );
        check(
            |table| table.indexes[0].unique = false,
            Some("no unique index is over its key (b) any more"),
        );
        check(|table| table.indexes[0].name = "renamed".into(), None);
    }

    #[test]
    fn the_index_that_serves_as_key_stays_as_it_is() {
        let check = |change: fn(&mut SourceTable), expected: Option<&str>| {
            let mut table = keyless();
            table.columns[2].nullable = false;
            table.indexes[0].parts.push(IndexPart::Column {
                column: 2,
                descending: false,
                prefix: None,
            });
            let mut today = table.clone();
            change(&mut today);
            let options = MappingOptions {
                dialect: Dialect::GoogleSql,
                uuid_supported: true,
            };
            let plan = convert::map(vec![table], &options).plans.remove(0);
            let text = |what| format!("the unique index `u`, which serves as its key, {what}");
            assert_eq!(plan_difference(&plan, &today), expected.map(text));
        };
        let changed = Some("has changed");
        check(|_| {}, None);
        check(|table| table.indexes[1].name = "other".into(), None);
        check(
            |table| drop(table.indexes.remove(0)),
            Some("is not there any more"),
        );
        check(
            |table| table.indexes[0].name = "renamed".into(),
            Some("is not there any more"),
        );
        check(|table| table.indexes[0].unique = false, changed);
        check(|table| drop(table.indexes[0].parts.pop()), changed);
        check(|table| table.indexes[0].parts.swap(0, 1), changed);
        check(
            |table| {
                table.indexes[0].parts[0] = IndexPart::Column {
                    column: 1,
                    descending: false,
                    prefix: Some(3),
                }
            },
            changed,
        );
    }

    #[test]
    fn indexes_and_foreign_keys_are_told_by_name() {
        let recorded = keyless();
        let mut today = keyless();
        today.indexes[1].parts.truncate(0);
        today
            .foreign_keys
            .push(fixture::foreign_key("fk", &[0], "p", &["id"]));
        let changes = constraint_changes(&recorded, &today);
        let found = changes
            .iter()
            .map(|change| format!("{:?} {} {}", change.change, change.kind, change.name));
        assert_eq!(
            found.collect::<Vec<_>>(),
            ["Dropped index plain", "Added index plain", "Added foreign key fk"]
        );
    }
}
