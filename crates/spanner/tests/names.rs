//! Names at the target: every name that the conversion gives is taken by the emulator, and found
//! again as it was given.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first surprise, also in its helpers"
)]

mod support;

use std::collections::BTreeSet;

use spanferry_core::fixture::{BIGINT, column, foreign_key, index, table};
use spanferry_core::mapping::convert::map;
use spanferry_core::mapping::options::MappingOptions;
use spanferry_core::port::target::SchemaTarget;
use spanferry_core::schema::ddl;
use spanferry_core::schema::source::SourceTable;
use spanferry_core::schema::target::{Dialect, TargetTable};
use spanferry_spanner::SpannerTarget;
use support::Emulator;

/// Words of SQL in either dialect.
const WORDS: &str = "select order table index group all analyse analyze and any array as asc asymmetric both case cast check collate \
    column constraint create current_catalog current_date current_role current_time current_timestamp current_user default deferrable \
    desc distinct do else end except false fetch for foreign from grant having in initially intersect into lateral leading limit \
    localtime localtimestamp not null offset on only or placing primary references returning session_user some symmetric then to \
    trailing true union unique user using variadic when where window with authorization binary collation concurrently cross \
    current_schema freeze full ilike inner is isnull join left like natural notnull outer overlaps right similar tablesample verbose \
    between bigint bit boolean char character coalesce dec decimal exists extract float greatest grouping inout int integer interval \
    least national nchar none nullif numeric out overlay position precision real row setof smallint substring time timestamp treat \
    trim values varchar assert_rows_modified contains cube current enum escape exclude following fulltext hash if ignore interleave \
    lookup merge new no nulls of over partition preceding proto qualify range recursive respect rollup rows set struct unbounded unnest \
    within json jsonb date";

/// Names that a server keeps for itself, or that are near to such, and letters that no name may
/// have.
const SPECIAL: &str = "information_schema INFORMATION_SCHEMA spanner_sys SPANNER_SYS pg_catalog pg_x PG_x Pg_X pg pgx spanner_x \
    public PUBLIC _x __x x_ _TABLE_ ctid CTID oid tableoid xmin xmax cmin cmax rowid _row_ commit_timestamp PENDING_COMMIT_TIMESTAMP \
    PRIMARY_KEY primary_key IDX_x FK_x PK_x pk_y CK_x CK_IS_NOT_NULL_x ck_is_not_null_y sys mysql root dual value 2nd größe 表 a-b a\u{20}b";

fn special() -> Vec<String> {
    let mut names: Vec<String> = SPECIAL.split_whitespace().map(str::to_owned).collect();
    for length in [62, 63, 64] {
        names.extend(["a", "b"].map(|last| format!("{}{last}", "n".repeat(length - 1))));
        names.push(format!("pg_{}", "p".repeat(length - 3)));
    }
    names
}

/// A table for each name, whose second column has that name too. A special one is also the name of
/// an index and of a foreign key.
fn tables() -> Vec<SourceTable> {
    let plain = |name: &str| table(name, vec![column("id", BIGINT), column(name, BIGINT)]);
    let special = special().into_iter().map(|name| {
        let mut one = plain(&name);
        one.indexes = vec![index(&name, false, &[1])];
        one.foreign_keys = vec![foreign_key(&name, &[1], &name, &["id"])];
        one
    });
    WORDS.split_whitespace().map(plain).chain(special).collect()
}

#[tokio::test]
async fn every_given_name_is_taken_and_found_again() {
    let emulator = Emulator::start();
    for (dialect, name) in [(Dialect::GoogleSql, "google"), (Dialect::PostgreSql, "postgres")] {
        let options = MappingOptions {
            dialect,
            uuid_supported: false,
        };
        let mapped = map(tables(), &options);
        let made: Vec<&TargetTable> = mapped.plans.iter().map(|plan| &plan.target).collect();
        let target = SpannerTarget::new(emulator.database(name, dialect, &[]).await);
        let tables = made.iter().map(|table| ddl::create_table(table, dialect));
        let indexes = made.iter().flat_map(|table| {
            table
                .indexes
                .iter()
                .map(|index| ddl::create_index(table, index, dialect))
        });
        let keys = made.iter().flat_map(|table| {
            let keys = table.foreign_keys.iter();
            keys.map(|key| ddl::add_foreign_key(table, key, dialect))
        });
        let statements: Vec<String> = tables.chain(indexes).chain(keys).collect();
        target.run_ddl(&statements).await.unwrap();

        let objects = target.schema_objects().await.unwrap();
        let names = |of: fn(&TargetTable) -> Vec<String>| -> BTreeSet<String> {
            made.iter().flat_map(|table| of(table)).collect()
        };
        assert_eq!(objects.tables, names(|table| vec![table.name.clone()]));
        let indexes = names(|table| table.indexes.iter().map(|index| index.name.clone()).collect());
        assert_eq!(objects.indexes, indexes);
        let keys = names(|table| table.foreign_keys.iter().map(|key| key.name.clone()).collect());
        assert_eq!(objects.foreign_keys, keys);
        let described = target.describe().await.unwrap();
        for table in made {
            assert_eq!(
                described.tables[&table.name].table.columns, table.columns,
                "{}",
                table.name
            );
        }
    }
}
