//! The stream from a position on, decoded, and the same rows as a snapshot reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanferry_core::plan::{TableId, TablePlan};
use spanferry_core::port::change::{Change, ChangeSink, NewRow, OldRow, SchemaChange, SchemaChangeKind};
use spanferry_core::port::change_log::Piece;
use spanferry_core::port::source::{
    ChangeDecoder, ChangeSource, ChangeStream, PositionSource, Range, ReadRows, ReadStatus, SnapshotSession,
};
use spanferry_core::position::{Bookmark, Position, Witness};
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::Finding;
use spanferry_core::wire::list_value::WireReader;
use spanferry_mysql::MysqlSource;

use super::patience::within;
use super::plan::open;

/// A key or row as `ListValue` payload.
pub(crate) type Payload = Vec<u8>;

/// Applies what a decoder hands on, and keeps its other calls. A stopped table takes no more
/// changes, as in a migration.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    pub(crate) rows: BTreeMap<u32, BTreeMap<Payload, Payload>>,
    pub(crate) stops: Vec<(u32, Finding)>,
    pub(crate) notices: Vec<Finding>,
    pub(crate) relocated: usize,
    pub(crate) schema_changes: Vec<SchemaChangeKind>,
}

impl Sink {
    pub(crate) fn is_stopped(&self, table: u32) -> bool {
        self.stops.iter().any(|(stopped, _)| *stopped == table)
    }
}

impl Sink {
    fn write(&mut self, table: TableId, key: &[u8], row: &[u8]) {
        let rows = self.rows.entry(table.0).or_default();
        rows.insert(key.to_vec(), row.to_vec());
    }

    /// Removes a row, which is as the change says.
    fn remove(&mut self, table: TableId, old: OldRow<'_>) {
        let removed = self.rows.entry(table.0).or_default().remove(old.key);
        let removed = removed.expect("a row is changed that was never written");
        assert_eq!(Some(removed.as_slice()), old.row, "the row before the change");
    }
}

impl ChangeSink for Sink {
    fn wants_old_rows(&self, _table: TableId) -> bool {
        true
    }

    fn change(&mut self, table: TableId, change: Change<'_>) {
        if self.is_stopped(table.0) {
            return;
        }
        match change {
            Change::Insert { key, row } => self.write(table, key, row),
            Change::Update { old, key, row } => {
                let NewRow::Whole(row) = row else {
                    panic!("every column was logged")
                };
                self.relocated += usize::from(old.key != key);
                self.remove(table, old);
                self.write(table, key, row);
            }
            Change::Delete { old } => self.remove(table, old),
        }
    }

    fn schema_change(&mut self, table: TableId, change: SchemaChange) {
        self.schema_changes.push(change.kind);
        self.stop(table, change.finding);
    }

    fn pass(&mut self, _table: TableId, _changes: u64) {}

    fn stop(&mut self, table: TableId, finding: Finding) {
        self.stops.push((table.0, finding));
    }

    fn notice(&mut self, finding: Finding) {
        self.notices.push(finding);
    }
}

/// Everything between `after` and the source's present end, as the log would number it.
pub(crate) async fn capture(source: &MysqlSource, after: &Position) -> Result<Vec<Piece>, Failure> {
    let end = source.position().await?;
    let mut reached = after.clone();
    let mut stream = ChangeSource::open_stream(source, &Bookmark::unproved(after.clone())).await?;
    let mut all = Vec::new();
    let mut number = 0;
    while !reached.contains_all(&end).expect("one kind of source") {
        let mut pieces = Vec::new();
        within(
            "the stream brings what was committed",
            stream.next(&mut pieces, 4096),
        )
        .await?;
        for mut piece in pieces {
            piece.number = number;
            number = if piece.last { 0 } else { number + 1 };
            if piece.last {
                let id = Witness::parse(&piece.transaction).expect("an identity").id;
                reached.advance(&id).expect("it goes forward");
            }
            all.push(piece);
        }
    }
    Ok(all)
}

pub(crate) async fn decode(source: &MysqlSource, plans: &[Arc<TablePlan>], after: &Position) -> Sink {
    let mut decoder = source.decoder(plans);
    let mut sink = Sink::default();
    for piece in capture(source, after).await.expect("a stream") {
        decoder.decode(&piece, &mut sink).expect("whole events");
    }
    sink
}

pub(crate) async fn snapshot(source: &MysqlSource, plans: &[Arc<TablePlan>]) -> BTreeMap<u32, Vec<Payload>> {
    let mut snapshot = open(source, plans, 1).await.expect("a snapshot");
    let session = &mut snapshot.sessions[0];
    let mut tables = BTreeMap::new();
    for plan in plans {
        let range = Range {
            table: plan.id,
            after: None,
            up_to: None,
        };
        session.begin(plan, &range).await.expect("a range");
        let (mut rows, mut all) = (ReadRows::default(), Vec::new());
        loop {
            let status = session.read(&mut rows, 100, 1 << 20).await.expect("rows");
            assert!(rows.refused.is_empty(), "{}: {:?}", plan.name(), rows.refused);
            all.extend(rows.rows.payloads().map(<[u8]>::to_vec));
            if status == ReadStatus::End {
                break;
            }
        }
        all.sort();
        tables.insert(plan.id.0, all);
    }
    tables
}

/// What was decoded, with the same rows as a snapshot.
pub(crate) fn assert_same(plans: &[Arc<TablePlan>], sink: &Sink, snapshot: &BTreeMap<u32, Vec<Payload>>) {
    for plan in plans {
        let mut decoded: Vec<Payload> = sink
            .rows
            .get(&plan.id.0)
            .into_iter()
            .flat_map(|rows| rows.values().cloned())
            .collect();
        decoded.sort();
        let selected = &snapshot[&plan.id.0];
        for (found, expected) in decoded.iter().zip(selected) {
            for (index, (found, expected)) in
                WireReader::new(found).zip(WireReader::new(expected)).enumerate()
            {
                assert_eq!(found, expected, "{}, column {index}", plan.name());
            }
        }
        assert_eq!(&decoded, selected, "{}", plan.name());
    }
}
