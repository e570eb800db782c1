//! The target's rows as Spanner itself spells them: a judge that shares no conversion with the
//! program's own `verify`.

use spanferry_core::wire::list_value::{self, WireReader, WireValue};
use spanferry_core::wire::rows::RowBatch;
use spanferry_spanner::client::{Client, ClientOptions};
use spanferry_spanner::commit::{Mutations, WriteKind};
use spanferry_spanner::endpoint::{Endpoint, EndpointChoice};
use spanferry_spanner::read::{Keys, Read, ReadAt};
use spanferry_spanner_standin::{Mode, Options, StandIn, parse_rates};

use super::World;

/// A load that cannot end before it is let go: the time each commit takes.
pub const HELD_UP: &str = "Commit.latency=1:300ms";

impl World {
    /// Puts an interposer with these faults between the program and the target.
    pub fn interpose(&mut self, faults: &str) -> StandIn {
        let options = Options {
            rates: parse_rates(faults).unwrap(),
            ..Options::new(Mode::Forward(self.emulator.host_port().to_owned()))
        };
        let interposer = StandIn::start(options).unwrap();
        self.target_address = Some(interposer.address());
        interposer
    }

    /// Puts a stand-in in the target's place that keeps all rows.
    pub fn stand_in(&mut self) -> StandIn {
        let stand_in = StandIn::start(Options::new(Mode::Keep)).unwrap();
        self.target_address = Some(stand_in.address());
        stand_in
    }

    /// A client of the target database, past any interposer.
    pub fn target_client(&self) -> Client {
        self.client_at(self.emulator.host_port())
    }

    /// A client of the target database at another address: that of a stand-in.
    pub fn client_at(&self, address: &str) -> Client {
        let choice = EndpointChoice {
            emulator_host: Some(address.to_owned()),
            ..EndpointChoice::default()
        };
        let name = format!("spanner://{}", self.emulator.database(&self.schema))
            .parse()
            .unwrap();
        Client::new(name, Endpoint::choose(&choice).unwrap(), ClientOptions::default()).unwrap()
    }

    /// The rows of a table in key order, cells as text, NULL as `NULL`.
    pub async fn target_rows(&self, table: &str, columns: &[&str]) -> Vec<Vec<String>> {
        let read = Read::new(table, columns.iter().copied(), Keys::All);
        let rows = self
            .target_client()
            .read(table, &read, ReadAt::Strong)
            .await
            .unwrap();
        let rows = rows.collect().await.unwrap();
        rows.iter()
            .map(|row| WireReader::new(row).map(|cell| text(cell.unwrap())).collect())
            .collect()
    }

    /// Writes rows past the program, like a person who changes the target by hand.
    pub async fn meddle(&self, table: &str, columns: &[&str], rows: &[&[&str]]) {
        let mut mutations = Mutations::new();
        mutations.write(WriteKind::Upsert, table, columns.iter().copied(), &batch(rows));
        self.target_client().commit("meddling", mutations).await.unwrap();
    }
    /// Removes rows past the program, by their keys.
    pub async fn meddle_away(&self, table: &str, keys: &[&[&str]]) {
        let mut mutations = Mutations::new();
        mutations.delete(table, &batch(keys));
        self.target_client().commit("meddling", mutations).await.unwrap();
    }
}

fn batch(rows: &[&[&str]]) -> RowBatch {
    let mut batch = RowBatch::new();
    for row in rows {
        let out = batch.begin_row();
        row.iter()
            .for_each(|cell| list_value::put_string(out, cell.as_bytes()));
        batch.end_row();
    }
    batch
}

fn text(value: WireValue<'_>) -> String {
    match value {
        WireValue::Null => "NULL".to_owned(),
        WireValue::String(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => format!("{other:?}"),
    }
}
