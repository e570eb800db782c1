//! Limits of a Spanner database as a whole, as far as definitions show that they are exceeded.

use std::sync::Arc;

use crate::plan::TablePlan;
use crate::report::code;
use crate::report::finding::{Finding, Severity, Subject};
use crate::schema::ddl;
use crate::schema::target::{Dialect, TargetTable};

/// Most tables of a database.
const TABLES_MAX: usize = 5_000;
/// Most indexes of a database.
const INDEXES_MAX: usize = 10_000;
/// Most bytes of all statements that make a schema.
const SCHEMA_BYTES_MAX: usize = 10_000_000;

/// What a database is to hold.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseContent<'a> {
    /// How many tables are selected, those without a plan included.
    pub selected: usize,
    /// The tables that have a plan.
    pub plans: &'a [Arc<TablePlan>],
    /// Spanferry's own tables.
    pub control: &'a [TargetTable],
    /// How many further tables the database has already.
    pub others: usize,
    /// The database's dialect.
    pub dialect: Dialect,
}

/// A finding for each limit of a database that its content exceeds.
pub fn check_database(content: &DatabaseContent<'_>) -> Vec<Finding> {
    [
        check_tables(content),
        check_indexes(content),
        check_schema_bytes(content),
    ]
    .into_iter()
    .flatten()
    .map(|text| Finding::new(code::TARGET_LIMIT, Severity::Blocking, Subject::whole(), text))
    .collect()
}

fn check_tables(content: &DatabaseContent<'_>) -> Option<String> {
    let (selected, own, others) = (content.selected, content.control.len(), content.others);
    let all = selected + own + others;
    (all > TABLES_MAX).then(|| {
        format!(
            "{all} tables ({selected} selected, {own} of Spanferry's own, {others} others), \
             Spanner takes {TABLES_MAX} in a database"
        )
    })
}

fn check_indexes(content: &DatabaseContent<'_>) -> Option<String> {
    let own = |plan: &Arc<TablePlan>| plan.target.indexes.len() + plan.backing_indexes;
    let indexes: usize = content.plans.iter().map(own).sum();
    (indexes > INDEXES_MAX).then(|| {
        format!(
            "{indexes} indexes, those behind foreign keys included, Spanner takes {INDEXES_MAX} in a database"
        )
    })
}

fn check_schema_bytes(content: &DatabaseContent<'_>) -> Option<String> {
    let migrated = content.plans.iter().map(|plan| &plan.target);
    let tables = migrated.chain(content.control);
    let bytes: usize = tables.map(|table| statement_bytes(table, content.dialect)).sum();
    (bytes > SCHEMA_BYTES_MAX)
        .then(|| format!("the statements of the schema have {bytes} bytes, Spanner takes {SCHEMA_BYTES_MAX}"))
}

/// Bytes of the statements that make a table with everything that belongs to it.
fn statement_bytes(table: &TargetTable, dialect: Dialect) -> usize {
    let indexes = table.indexes.iter();
    let indexes = indexes.map(|index| ddl::create_index(table, index, dialect).len());
    let foreign_keys = table.foreign_keys.iter();
    let foreign_keys = foreign_keys.map(|key| ddl::add_foreign_key(table, key, dialect).len());
    ddl::create_table(table, dialect).len() + indexes.chain(foreign_keys).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{BIGINT, column, foreign_key, index, table};
    use crate::mapping::convert::map;
    use crate::mapping::options::MappingOptions;

    const OPTIONS: MappingOptions = MappingOptions {
        dialect: Dialect::GoogleSql,
        uuid_supported: true,
    };

    /// Tables of one kind: their columns have names of 120 characters, so that few make long
    /// statements.
    fn plans(tables: usize, columns: usize, indexes: usize) -> Vec<Arc<TablePlan>> {
        let columns = (0..columns).map(|place| column(&format!("c{place:0>119}"), BIGINT));
        let mut one = table("t", columns.collect());
        one.indexes = (0..indexes)
            .map(|number| index(&format!("i{number}"), false, &[1]))
            .collect();
        let plan = map(vec![one], &OPTIONS).plans.remove(0);
        let plan = Arc::new(plan);
        (0..tables).map(|_| Arc::clone(&plan)).collect()
    }

    #[track_caller]
    fn check(plans: &[Arc<TablePlan>], selected: usize, others: usize, expected: Option<&str>) {
        let control = plans[0].target.clone();
        let control = vec![control; 4];
        let content = DatabaseContent {
            selected,
            plans,
            control: &control,
            others,
            dialect: Dialect::GoogleSql,
        };
        let findings = check_database(&content);
        let text = findings.first().map(|finding| finding.text.as_str());
        assert_eq!(text, expected);
    }

    #[test]
    fn tables_count_all_that_the_database_will_hold() {
        let plans = plans(1, 2, 0);
        check(&plans, 4_996, 0, None);
        let text =
            "5001 tables (4997 selected, 4 of Spanferry's own, 0 others), Spanner takes 5000 in a database";
        check(&plans, 4_997, 0, Some(text));
        let text =
            "5001 tables (4990 selected, 4 of Spanferry's own, 7 others), Spanner takes 5000 in a database";
        check(&plans, 4_990, 7, Some(text));
    }

    #[test]
    fn indexes_count_over_all_tables() {
        check(&plans(200, 3, 50), 200, 0, None);
        let text = "10050 indexes, those behind foreign keys included, Spanner takes 10000 in a database";
        check(&plans(201, 3, 50), 201, 0, Some(text));
    }

    #[test]
    fn statements_of_the_whole_schema_have_a_limit() {
        // About 130 bytes a column.
        check(&plans(70, 1_000, 0), 70, 0, None);
        let plans = plans(80, 1_000, 0);
        let content = DatabaseContent {
            selected: plans.len(),
            plans: &plans,
            control: &[],
            others: 0,
            dialect: Dialect::GoogleSql,
        };
        let text = &check_database(&content)[0].text;
        assert!(text.starts_with("the statements of the schema have 1"), "{text}");
    }

    /// A child with a foreign key of a long name, and its parent.
    fn tied(name: &str) -> Vec<Arc<TablePlan>> {
        let columns = || ["id", "n"].map(|name| column(name, BIGINT)).to_vec();
        let mut child = table("b", columns());
        child.foreign_keys = vec![foreign_key(name, &[1], "a", &["id"])];
        let plans = map(vec![table("a", columns()), child], &OPTIONS).plans;
        plans.into_iter().map(Arc::new).collect()
    }

    #[test]
    fn indexes_behind_foreign_keys_count() {
        let child = tied("f").remove(1);
        assert_eq!((child.target.indexes.len(), child.backing_indexes), (0, 1));
        check(&vec![Arc::clone(&child); 10_000][..], 0, 0, None);
        let text = "10001 indexes, those behind foreign keys included, Spanner takes 10000 in a database";
        check(&vec![child; 10_001][..], 0, 0, Some(text));
    }

    #[test]
    fn statements_of_foreign_keys_count() {
        let bytes = |name: &str| statement_bytes(&tied(name)[1].target, Dialect::GoogleSql);
        assert_eq!(bytes(&"f".repeat(101)), bytes("f") + 100);
    }
}
