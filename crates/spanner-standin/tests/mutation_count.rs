//! Plans never count fewer mutations than the target does: as many rows as they allow in a commit
//! are taken.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as tests do")]

use spanferry_core::fixture::{self, BIGINT, column, foreign_key, index};
use spanferry_core::mapping::convert::map;
use spanferry_core::mapping::options::MappingOptions;
use spanferry_core::plan::TablePlan;
use spanferry_core::schema::ddl;
use spanferry_core::schema::source::SourceTable;
use spanferry_core::schema::target::Dialect;
use spanferry_core::wire::list_value;
use spanferry_core::wire::rows::RowBatch;
use spanferry_spanner::client::{Client, ClientOptions};
use spanferry_spanner::commit::{Mutations, WriteKind};
use spanferry_spanner::endpoint::{Endpoint, EndpointChoice};
use spanferry_spanner_standin::{Mode, Options, Rule, StandIn};

/// Spanner's limit of mutations in one commit.
const MUTATIONS_MAX: usize = 80_000;

fn client(stand_in: &StandIn) -> Client {
    let name = "spanner://projects/test/instances/test/databases/shop"
        .parse()
        .unwrap();
    let choice = EndpointChoice {
        endpoint: Some(format!("http://{}", stand_in.address())),
        ..EndpointChoice::default()
    };
    Client::new(name, Endpoint::choose(&choice).unwrap(), ClientOptions::default()).unwrap()
}

/// A table of whole numbers whose first column is its key.
fn table(name: &str, columns: &[&str]) -> SourceTable {
    let columns = columns.iter().map(|name| column(name, BIGINT));
    fixture::table(name, columns.collect())
}

/// Foreign keys to a primary key, to unique columns, to a table itself, over several columns, and
/// beside an index of the same columns.
fn plans() -> Vec<TablePlan> {
    let mut parent = table("a", &["id", "code", "part", "other"]);
    parent.indexes = vec![index("code", true, &[1]), index("pair", true, &[2, 1])];
    let mut child = table("b", &["id", "a_id", "code", "part", "own"]);
    child.indexes = vec![index("a_id", false, &[1])];
    child.foreign_keys = vec![
        foreign_key("by_id", &[1], "a", &["id"]),
        foreign_key("by_code", &[2], "a", &["code"]),
        foreign_key("by_pair", &[3, 2], "a", &["part", "code"]),
        foreign_key("self", &[4], "b", &["id"]),
    ];
    let mut alone = table("c", &["id", "value"]);
    alone.foreign_keys = vec![foreign_key("c_b", &[0], "b", &["id"])];
    let options = MappingOptions {
        dialect: Dialect::GoogleSql,
        uuid_supported: true,
    };
    let mapped = map(vec![parent, child, alone], &options);
    mapped.plans
}

/// Rows of `cells` equal numbers each.
fn rows(count: usize, cells: usize) -> RowBatch {
    let mut batch = RowBatch::new();
    for number in 0..count {
        let text = number.to_string();
        let row = batch.begin_row();
        (0..cells).for_each(|_| list_value::put_string(row, text.as_bytes()));
        batch.end_row();
    }
    batch
}

fn upserts(plan: &TablePlan, count: usize) -> Mutations {
    let mut mutations = Mutations::new();
    let columns = plan.target.columns.iter().map(|column| column.name.as_str());
    let rows = rows(count, plan.columns.len());
    mutations.write(WriteKind::Upsert, &plan.target.name, columns, &rows);
    mutations
}

fn deletes(plan: &TablePlan, count: usize) -> Mutations {
    let mut mutations = Mutations::new();
    mutations.delete(&plan.target.name, &rows(count, plan.key().len()));
    mutations
}

#[tokio::test]
async fn commits_filled_by_the_plans_count_are_taken() {
    let stand_in = StandIn::start(Options::new(Mode::Null)).unwrap();
    let client = client(&stand_in);
    client.create_database(Dialect::GoogleSql).await.unwrap();
    let dialect = Dialect::GoogleSql;
    let plans = plans();
    let mut statements: Vec<_> = plans
        .iter()
        .map(|plan| ddl::create_table(&plan.target, dialect))
        .collect();
    for plan in &plans {
        let target = &plan.target;
        statements.extend(
            target
                .indexes
                .iter()
                .map(|index| ddl::create_index(target, index, dialect)),
        );
    }
    for plan in &plans {
        let target = &plan.target;
        statements.extend(
            target
                .foreign_keys
                .iter()
                .map(|key| ddl::add_foreign_key(target, key, dialect)),
        );
    }
    assert_eq!(statements.len(), 3 + 3 + 5, "{statements:?}");
    client.update_ddl(&statements, "setup").await.unwrap();
    for plan in &plans {
        let (upsert, delete) = (plan.mutations_per_upsert(), plan.mutations_per_delete());
        client
            .commit("data", upserts(plan, MUTATIONS_MAX / upsert))
            .await
            .unwrap();
        client
            .commit("data", deletes(plan, MUTATIONS_MAX / delete))
            .await
            .unwrap();
    }
    assert_eq!(stand_in.violations(), []);

    // The check itself bites: a row is never cheaper than its columns, a delete never cheaper than
    // one.
    let plan = &plans[0];
    let many = MUTATIONS_MAX / plan.columns.len() + 1;
    client.commit("data", upserts(plan, many)).await.unwrap_err();
    assert_eq!(stand_in.take_violations()[0].rule, Rule::MutationCount);
    client
        .commit("data", deletes(plan, MUTATIONS_MAX + 1))
        .await
        .unwrap_err();
    assert_eq!(stand_in.take_violations()[0].rule, Rule::MutationCount);
}
