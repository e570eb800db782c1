//! The emulator's own ceiling, and how much of it a snapshot reaches: both with one commit in
//! flight.

use std::time::Instant;

use spanferry_core::schema::target::Dialect;
use spanferry_core::wire::list_value;
use spanferry_core::wire::rows::RowBatch;
use spanferry_spanner::client::{Client, ClientOptions};
use spanferry_spanner::commit::{Mutations, WriteKind};
use spanferry_spanner::endpoint::{Endpoint, EndpointChoice};
use spanferry_testkit::server::Emulator;

use super::measure::Measured;
use super::scenario;
use super::setup::{DATABASE, Setup};
use super::table::Line;
use crate::error::{DriveError, failed};

/// The scenario's name.
pub(crate) const NAME: &str = "emulator, sysbench rows";
/// The emulator keeps every row in memory, 1.7 kB each.
pub(crate) const ROWS_MAX: u64 = 200_000;
/// Rows of one commit, as the load makes them.
const COMMIT_ROWS: u64 = 1_000;

/// A plain loop of commits, and a migration of rows of the same shape.
pub(crate) async fn lines(setup: &Setup, rows: u64) -> Result<[Line; 2], DriveError> {
    let (mut ours, mut ceiling) = (Vec::new(), Vec::new());
    let scenarios = scenario::all(rows);
    setup.execute(scenarios[0].before).await?;
    for _ in 0..setup.runs {
        let emulator = Emulator::start().map_err(|error| failed("starting the emulator", &error))?;
        ceiling.push(plain_loop(emulator.host_port(), rows).await?);
        drop(emulator);
        let emulator = Emulator::start().map_err(|error| failed("starting the emulator", &error))?;
        drop(std::fs::remove_dir_all(setup.scratch.join("state")));
        ours.push(setup.migrate(emulator.host_port())?);
    }
    Ok([
        Line::new(NAME, rows, "rows", ours),
        Line::new("  a plain loop of commits", rows, "rows", ceiling),
    ])
}

/// Upserts of prepared rows, one commit after the other.
async fn plain_loop(address: &str, rows: u64) -> Result<Measured, DriveError> {
    let choice = EndpointChoice {
        emulator_host: Some(address.to_owned()),
        ..EndpointChoice::default()
    };
    let endpoint = Endpoint::choose(&choice).map_err(|error| failed("the emulator's address", &error))?;
    let name = format!("spanner://{DATABASE}")
        .parse()
        .map_err(|error| failed("the database's name", &error))?;
    let client = Client::new(name, endpoint, ClientOptions::default())
        .map_err(|error| failed("the client", &error))?;
    let lost = |error| failed("the emulator", &error);
    client.create_database(Dialect::GoogleSql).await.map_err(lost)?;
    let table = "CREATE TABLE sbtest1 (id INT64 NOT NULL, k INT64 NOT NULL, c STRING(120) NOT NULL, pad STRING(60) NOT NULL) PRIMARY KEY (id)";
    let made = client.update_ddl(&[table.to_owned()], "bench").await;
    made.map_err(|error| lost(error.cause))?;
    let commits: Vec<Mutations> = (0..rows / COMMIT_ROWS)
        .map(|commit| mutations(commit * COMMIT_ROWS))
        .collect();
    let began = Instant::now();
    for commit in commits {
        client.commit("bench", commit).await.map_err(lost)?;
    }
    Ok(Measured {
        seconds: began.elapsed().as_secs_f64(),
        cpu_seconds: 0.0,
        memory_peak_bytes: None,
    })
}

fn mutations(first: u64) -> Mutations {
    let mut batch = RowBatch::new();
    for id in first..first + COMMIT_ROWS {
        let mut row = Vec::new();
        list_value::put_string(&mut row, (id + 1).to_string().as_bytes());
        list_value::put_string(&mut row, (id * 7).to_string().as_bytes());
        list_value::put_string(&mut row, format!("{id}-klmnopqrst").repeat(6).as_bytes());
        list_value::put_string(&mut row, "x".repeat(58).as_bytes());
        batch.push(&row);
    }
    let mut mutations = Mutations::new();
    mutations.write(WriteKind::Upsert, "sbtest1", ["id", "k", "c", "pad"], &batch);
    mutations
}
