//! What the checks compare: rows as numbers, what a decoder hands on, and what a stream brings
//! until a position.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanferry_core::plan::{TableId, TablePlan};
use spanferry_core::port::change::{Change, ChangeSink, NewRow, OldRow, SchemaChange};
use spanferry_core::port::change_log::{PIECE_BYTES_MAX, Piece, PieceKind, Sequence};
use spanferry_core::port::source::{
    Boundary, ChangeDecoder, ChangeSource, ChangeStream, PositionSource, Range, ReadRows, ReadStatus,
    SnapshotSession, SnapshotSource,
};
use spanferry_core::position::{Bookmark, Position, TransactionId, Witness};
use spanferry_core::report::code::Code;
use spanferry_core::report::finding::Finding;
use spanferry_core::wire::list_value::{WireReader, WireValue};
use spanferry_core::wire::rows::RowBatch;

use super::{in_time, open};

/// A row of a subject's tables: its key and two more numbers.
pub type Row = [i64; 3];

/// The rows of all tables, by table and key.
pub(super) type State = BTreeMap<(u32, i64), Row>;

/// The numbers of a `ListValue` payload.
fn numbers(payload: &[u8]) -> Vec<i64> {
    let number = |cell| match cell {
        Ok(WireValue::String(text)) => std::str::from_utf8(text).unwrap().parse().unwrap(),
        other => panic!("expected a number, found {other:?}"),
    };
    WireReader::new(payload).map(number).collect()
}

fn row(payload: &[u8]) -> Row {
    numbers(payload).try_into().unwrap()
}

fn key(payload: &[u8]) -> i64 {
    let [key] = numbers(payload).try_into().unwrap();
    key
}

/// One call of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Recorded {
    Upsert(u32, Row),
    Relocate(u32, i64, Row),
    Delete(u32, i64),
    Pass(u32, u64),
    Stop(u32, Code),
    Notice(Code),
}

/// What a decoder handed on, in order.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) calls: Vec<Recorded>,
    /// Rows that were handed on, as they are now.
    rows: State,
}

impl Recorder {
    /// What is said of a row before a change is what was said of it last.
    fn expect_old(&mut self, table: TableId, old: OldRow<'_>) -> i64 {
        let key = key(old.key);
        let known = self.rows.remove(&(table.0, key));
        if let Some(found) = old.row.map(row) {
            assert_eq!(found[0], key, "the old key is the old row's");
            assert!(
                known.is_none_or(|known| known == found),
                "{known:?} was {found:?}"
            );
        }
        key
    }

    /// Notes a row that is handed on whole.
    fn whole(&mut self, table: TableId, found: &[u8], content: &[u8]) -> Row {
        let content = row(content);
        assert_eq!(key(found), content[0], "the key is the row's");
        self.rows.insert((table.0, content[0]), content);
        content
    }
}

impl ChangeSink for Recorder {
    fn wants_old_rows(&self, _table: TableId) -> bool {
        true
    }

    fn change(&mut self, table: TableId, change: Change<'_>) {
        let recorded = match change {
            Change::Insert { key, row } => Recorded::Upsert(table.0, self.whole(table, key, row)),
            Change::Update { old, key, row } => {
                let NewRow::Whole(row) = row else {
                    panic!("every column was logged")
                };
                let old = self.expect_old(table, old);
                let row = self.whole(table, key, row);
                if old == row[0] {
                    Recorded::Upsert(table.0, row)
                } else {
                    Recorded::Relocate(table.0, old, row)
                }
            }
            Change::Delete { old } => Recorded::Delete(table.0, self.expect_old(table, old)),
        };
        self.calls.push(recorded);
    }

    /// Passes in a row are one: a decoder may count each row or a whole event.
    fn pass(&mut self, table: TableId, changes: u64) {
        match self.calls.last_mut() {
            Some(Recorded::Pass(last, counted)) if *last == table.0 => *counted += changes,
            _ => self.calls.push(Recorded::Pass(table.0, changes)),
        }
    }

    fn schema_change(&mut self, table: TableId, change: SchemaChange) {
        self.stop(table, change.finding);
    }

    fn stop(&mut self, table: TableId, finding: Finding) {
        self.calls.push(Recorded::Stop(table.0, finding.code));
    }

    fn notice(&mut self, finding: Finding) {
        self.calls.push(Recorded::Notice(finding.code));
    }
}

/// Makes the changes that were handed on. A row that goes may be gone: a state between two
/// positions has part of them already.
pub(super) fn apply(state: &mut State, told: &[Recorded]) {
    for one in told {
        match *one {
            Recorded::Upsert(table, row) => {
                state.insert((table, row[0]), row);
            }
            Recorded::Relocate(table, old, row) => {
                state.remove(&(table, old));
                state.insert((table, row[0]), row);
            }
            Recorded::Delete(table, key) => {
                state.remove(&(table, key));
            }
            Recorded::Pass(..) | Recorded::Stop(..) | Recorded::Notice(_) => {
                panic!("expected changes only, found {one:?}")
            }
        }
    }
}

/// A whole transaction as the log would hold it: its pieces are numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Captured {
    pub(super) id: TransactionId,
    pub(super) pieces: Vec<Piece>,
}

/// Puts the pieces of a stream together, and holds them to what a stream promises.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) whole: Vec<Captured>,
    pub(super) open: Vec<Piece>,
    /// The position after the last whole transaction.
    pub(super) reached: Position,
}

impl Assembly {
    pub(super) fn new(after: &Position) -> Assembly {
        Assembly {
            whole: Vec::new(),
            open: Vec::new(),
            reached: after.clone(),
        }
    }

    /// Takes what one call of `next` has brought.
    pub(super) fn take(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            self.push(piece);
        }
    }

    fn push(&mut self, mut piece: Piece) {
        assert_eq!(
            (piece.sequence, piece.number),
            (Sequence::ZERO, 0),
            "the log numbers"
        );
        assert_eq!(piece.kind, PieceKind::Transaction);
        assert!(piece.body.len() <= PIECE_BYTES_MAX, "{} bytes", piece.body.len());
        if let Some(first) = self.open.first() {
            let id = |piece: &Piece| Witness::parse(&piece.transaction).unwrap().id;
            assert_eq!(id(&piece), id(first), "pieces follow one another");
        }
        piece.number = u32::try_from(self.open.len()).unwrap();
        let is_last = piece.last;
        self.open.push(piece);
        if is_last {
            let pieces = std::mem::take(&mut self.open);
            let id = Witness::parse(&pieces[0].transaction).unwrap().id;
            assert!(!self.reached.contains(&id).unwrap(), "{id} comes again");
            self.reached.advance(&id).unwrap();
            self.whole.push(Captured { id, pieces });
        }
    }

    pub(super) fn has_reached(&self, end: &Position) -> bool {
        self.reached.contains_all(end).unwrap()
    }
}

/// Every transaction behind `after`, up to where the source stands now.
pub(super) async fn capture<S: ChangeSource + PositionSource>(source: &S, after: &Position) -> Vec<Captured> {
    let end = source.position().await.unwrap();
    let unproved = Bookmark::unproved(after.clone());
    let mut stream = ChangeSource::open_stream(source, &unproved).await.unwrap();
    let mut assembly = Assembly::new(after);
    in_time("a stream", async {
        while !assembly.has_reached(&end) {
            let mut pieces = Vec::new();
            stream.next(&mut pieces, 1 << 20).await.unwrap();
            assembly.take(pieces);
        }
    })
    .await;
    assert_eq!(assembly.reached, end, "nothing but what the source has committed");
    assert!(assembly.open.is_empty(), "nothing is half there");
    assembly.whole
}

/// What a decoder hands on of these transactions.
pub(super) fn decode<D: ChangeDecoder>(decoder: &mut D, transactions: &[Captured]) -> Vec<Recorded> {
    let mut recorder = Recorder::default();
    for piece in transactions.iter().flat_map(|transaction| &transaction.pieces) {
        decoder.decode(piece, &mut recorder).unwrap();
    }
    recorder.calls
}

/// What the source brings between `after` and now.
pub(super) async fn recorded_since<S>(source: &S, plans: &[Arc<TablePlan>], after: &Position) -> Vec<Recorded>
where
    S: ChangeSource + PositionSource,
{
    decode(&mut source.decoder(plans), &capture(source, after).await)
}

/// The range between two boundaries.
pub(super) fn range(plan: &TablePlan, after: Option<&Boundary>, up_to: Option<&Boundary>) -> Range {
    Range {
        table: plan.id,
        after: after.cloned(),
        up_to: up_to.cloned(),
    }
}

/// Appends rows that have come, each of which must lie above the one before.
pub(super) fn append(found: &mut Vec<Row>, rows: &RowBatch) {
    for row in rows.payloads().map(row) {
        let last = found.last().map(|last| last[0]);
        assert!(
            last.is_none_or(|last| last < row[0]),
            "{row:?} comes behind {last:?}"
        );
        found.push(row);
    }
}

/// All rows of a range, none of which is refused, in the order in which they come.
pub(super) async fn read<S: SnapshotSession>(
    session: &mut S,
    plan: &Arc<TablePlan>,
    range: &Range,
) -> Vec<Row> {
    session.begin(plan, range).await.unwrap();
    let (mut rows, mut found) = (ReadRows::default(), Vec::new());
    loop {
        let status = session.read(&mut rows, 100, 1 << 20).await.unwrap();
        assert_eq!(rows.refused, []);
        append(&mut found, &rows.rows);
        if status == ReadStatus::End {
            return found;
        }
        assert!(!rows.rows.is_empty(), "only the end brings no row");
    }
}

/// Everything that a session sees.
pub(super) async fn seen<S: SnapshotSession>(session: &mut S, plans: &[Arc<TablePlan>]) -> State {
    let mut state = State::new();
    for plan in plans {
        for row in read(session, plan, &range(plan, None, None)).await {
            let twin = state.insert((plan.id.0, row[0]), row);
            assert_eq!(twin, None, "a row comes twice");
        }
    }
    state
}

/// Everything that is in the tables now.
pub(super) async fn state_now<S: SnapshotSource>(source: &S, plans: &[Arc<TablePlan>]) -> State {
    let mut snapshot = open(source, plans, 1, true).await.unwrap();
    seen(&mut snapshot.sessions[0], plans).await
}
