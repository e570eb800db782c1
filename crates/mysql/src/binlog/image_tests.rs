//! The decoder's guards on row images and transactions: images in part, reused table ids, rows
//! taken back, keys out of column order.

use std::sync::Arc;

use spanferry_core::fixture;
use spanferry_core::plan::{TableId, TablePlan, TargetKey};
use spanferry_core::port::change::{Change as RowChange, ChangeSink, NewRow, SchemaChange};
use spanferry_core::port::change_log::Piece;
use spanferry_core::port::source::ChangeDecoder;
use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;
use spanferry_core::schema::charset::Charset;
use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::schema::source::QualifiedName;
use spanferry_core::value::encode::Encoding;

use super::decoder::BinlogDecoder;
use super::event::{HEADER_BYTES, append_event, kind, next_event};
use super::golden::{
    Golden, MARIADB_DELETE, MARIADB_INSERT, MARIADB_UPDATE, MYSQL_DELETE, MYSQL_INSERT, MYSQL_TAGGED,
    MYSQL_UPDATE,
};
use super::golden_images as images;
use super::rows::{Change, change};
use super::tests::{golden_plan, piece, shown};

const LACKING: &str = "rows that lack columns: the server or the session that wrote it has another `binlog_row_image`, expected FULL";
const TAKEN_BACK: &str = "rows that a logged ROLLBACK takes back: the transaction also changed a table without transactions, or a temporary table";

const INT: MysqlType = MysqlType::Integer {
    bits: 32,
    unsigned: false,
};
const STRING: Encoding = Encoding::String { characters_max: 99 };

/// `p` and `q` of the golden images: tables 0 and 1.
fn plans() -> [Arc<TablePlan>; 2] {
    let text = MysqlType::Text {
        charset: Charset::Utf8mb4,
        collation: String::new(),
    };
    let short = MysqlType::Varchar {
        characters: 9,
        charset: Charset::Utf8mb4,
        collation: String::new(),
    };
    let columns = [("k", short), ("n", INT), ("v", text), ("w", INT)];
    let mut p = fixture::table("p", columns.map(|(name, ty)| fixture::column(name, ty)).into());
    p.columns[1].nullable = false;
    p.primary_key = vec![1, 0];
    let columns = ["id", "v"].map(|name| fixture::column(name, INT));
    let mut q = fixture::table("q", columns.into());
    for table in [&mut p, &mut q] {
        "g".clone_into(&mut table.name.schema);
    }
    let p = fixture::plan(p, [STRING, Encoding::Int64, STRING, Encoding::Int64]);
    let mut q = fixture::plan(q, [Encoding::Int64; 2]);
    q.id = TableId(1);
    [p, q].map(Arc::new)
}

/// Records what a decoder hands on, with the tables' numbers.
#[derive(Debug, Default)]
struct Recorded {
    changes: Vec<String>,
    stops: Vec<(u32, Finding)>,
    passed: Vec<(u32, u64)>,
}

impl ChangeSink for Recorded {
    fn wants_old_rows(&self, _: TableId) -> bool {
        false
    }
    fn change(&mut self, table: TableId, change: RowChange<'_>) {
        let table = table.0;
        self.changes.push(match change {
            RowChange::Insert { key, row } => format!("{table}: {} = {}", shown(key), shown(row)),
            RowChange::Update { old, key, row } => {
                let NewRow::Whole(row) = row else {
                    panic!("MySQL's images are whole")
                };
                let (old_key, key, row) = (shown(old.key), shown(key), shown(row));
                if old_key == key {
                    format!("{table}: {key} = {row}")
                } else {
                    format!("{table}: {old_key} -> {key} = {row}")
                }
            }
            RowChange::Delete { old } => format!("{table}: {} goes", shown(old.key)),
        });
    }
    fn schema_change(&mut self, table: TableId, change: SchemaChange) {
        self.stops.push((table.0, change.finding));
    }
    fn pass(&mut self, table: TableId, changes: u64) {
        self.passed.push((table.0, changes));
    }
    fn stop(&mut self, table: TableId, finding: Finding) {
        self.stops.push((table.0, finding));
    }
    fn notice(&mut self, finding: Finding) {
        panic!("{finding:?}");
    }
}

fn decoder(schema: &str, plans: &[Arc<TablePlan>]) -> BinlogDecoder {
    BinlogDecoder::new(schema, plans)
}

/// What one decoder hands on of pieces, one after the other.
fn told(decoder: &mut BinlogDecoder, pieces: &[Piece]) -> Recorded {
    let mut told = Recorded::default();
    for piece in pieces {
        decoder.decode(piece, &mut told).unwrap();
    }
    told
}

fn told_of(golden: &Golden) -> Recorded {
    told(&mut decoder("g", &plans()), &[piece(golden)])
}

fn stop(table: u32, name: &str, text: &str) -> (u32, Finding) {
    let name = QualifiedName::new("g", name);
    let finding = Finding::new(
        code::EVENT_UNSUPPORTED,
        Severity::Blocking,
        Subject::table(&name),
        text,
    );
    (table, finding.remedy(Remedy::resync(&name)))
}

/// The events of a body, each with its header.
fn events(body: &[u8]) -> Vec<Vec<u8>> {
    let (mut run, mut events) = (body, Vec::new());
    while let Some(event) = next_event(&mut run).unwrap() {
        let end = body.len() - run.len();
        events.push(body[end - event.body.len() - HEADER_BYTES..end].to_vec());
    }
    events
}

fn kind_of(event: &[u8]) -> u8 {
    event[4]
}

/// A golden transaction whose events are changed, kept or left out.
fn edited(golden: &Golden, edit: impl Fn(Vec<u8>) -> Option<Vec<u8>>) -> Piece {
    let mut piece = piece(golden);
    let mut body = Vec::new();
    for event in events(&piece.body).into_iter().filter_map(edit) {
        append_event(&mut body, &event).unwrap();
    }
    piece.body = body;
    piece
}

/// The table id is the first field of both kinds of events.
fn with_table_id(golden: &Golden, id: u8) -> Piece {
    edited(golden, |mut event| {
        if kind_of(&event) == kind::TABLE_MAP || change(kind_of(&event)).is_some() {
            event[HEADER_BYTES] = id;
        }
        Some(event)
    })
}

fn without(golden: &Golden, left_out: u8) -> Piece {
    edited(golden, |event| (kind_of(&event) != left_out).then_some(event))
}

/// The places of the bitmaps of present columns in an event, and the number of columns; nothing if
/// it is no rows event.
fn bitmaps(event: &[u8]) -> Option<(usize, Vec<usize>)> {
    let (change, version_2) = change(kind_of(event))?;
    let count_at = HEADER_BYTES + 8 + if version_2 { 2 } else { 0 };
    let columns = usize::from(event[count_at]);
    let width = columns.div_ceil(8);
    let maps = if change == Change::Update { 2 } else { 1 };
    Some((columns, (0..maps).map(|map| count_at + 1 + map * width).collect()))
}

#[test]
fn an_image_before_gives_the_key_in_the_order_of_the_key() {
    let check = |golden: &Golden, expected: &str| {
        let told = told_of(golden);
        assert_eq!((told.stops, told.changes), (vec![], vec![expected.to_owned()]));
    };
    check(&images::INSERT, "0: 1|a = a|1|x|7");
    check(&images::UPDATE, "0: 1|a = a|1|x|8");
    check(&images::MOVE, "0: 1|a -> 2|a = a|2|y|8");
    check(&images::DELETE, "0: 3|b goes");
}

#[test]
fn images_that_mariadb_writes_in_part_are_refused() {
    for golden in [
        &images::MINIMAL_INSERT,
        &images::MINIMAL_UPDATE,
        &images::MINIMAL_DELETE,
        &images::NOBLOB_INSERT,
        &images::NOBLOB_UPDATE,
        &images::NOBLOB_DELETE,
        &images::NODUP_UPDATE,
        &images::NODUP_MOVE,
    ] {
        let told = told_of(golden);
        assert_eq!(told.stops, [stop(0, "p", LACKING)], "{}", golden.0);
        assert_eq!(
            (told.changes, told.passed),
            (vec![], vec![(0, 1)]),
            "{}",
            golden.0
        );
    }
}

/// Every kind of rows event, each column, in either bitmap. The image itself is whole: only the
/// bitmap speaks against it.
#[test]
fn an_image_without_any_one_column_is_refused() {
    let [p, _] = plans();
    let (with_json, plain) = (golden_plan(true), golden_plan(false));
    let check = |golden: &Golden, plan: &Arc<TablePlan>, cases: usize| {
        let name = plan.name().table.as_str();
        let mut seen = 0;
        let whole = piece(golden);
        let rows = events(&whole.body).into_iter().find_map(|event| bitmaps(&event));
        let (columns, maps) = rows.unwrap();
        for (map, column) in maps
            .iter()
            .flat_map(|map| (0..columns).map(move |column| (*map, column)))
        {
            let cut = edited(golden, |mut event| {
                if bitmaps(&event).is_some() {
                    let byte = &mut event[map + column / 8];
                    assert_ne!(*byte & (1 << (column % 8)), 0, "the golden image is whole");
                    *byte &= !(1 << (column % 8));
                }
                Some(event)
            });
            let told = told(&mut decoder("g", std::slice::from_ref(plan)), &[cut]);
            assert_eq!(
                told.stops,
                [stop(0, name, LACKING)],
                "{} {map} {column}",
                golden.0
            );
            assert_eq!(told.changes, [""; 0], "{} {map} {column}", golden.0);
            seen += 1;
        }
        assert_eq!(seen, cases, "{}", golden.0);
    };
    check(&MYSQL_INSERT, &with_json, 12);
    check(&MYSQL_UPDATE, &with_json, 24);
    check(&MYSQL_TAGGED, &with_json, 24);
    check(&MYSQL_DELETE, &with_json, 12);
    check(&MARIADB_INSERT, &plain, 11);
    check(&MARIADB_UPDATE, &plain, 22);
    check(&MARIADB_DELETE, &plain, 11);
    check(&images::INSERT, &p, 4);
    check(&images::MOVE, &p, 8);
    check(&images::DELETE, &p, 4);
}

/// A server gives an id again, to another table: after a restart, or when its counter has gone
/// round.
#[test]
fn a_table_id_means_what_its_own_transaction_says() {
    let (of_p, of_q) = (
        with_table_id(&images::INSERT, 7),
        with_table_id(&images::TO_SAVEPOINT, 7),
    );
    let of_q = edited_query_free(&of_q);
    let q = ["1: 10 = 10|1", "1: 11 = 11|1"];
    let p = "0: 1|a = a|1|x|7";
    let mut both = decoder("g", &plans());
    let found = told(
        &mut both,
        &[of_p.clone(), of_q.clone(), of_p.clone(), of_q.clone()],
    );
    assert_eq!(
        (found.stops, found.changes),
        (vec![], [p, q[0], q[1], p, q[0], q[1]].map(str::to_owned).into())
    );
    // The second table is not migrated.
    let mut alone = decoder("g", &plans()[..1]);
    let found = told(&mut alone, &[of_p.clone(), of_q.clone(), of_q, of_p]);
    assert_eq!(
        (found.stops, found.changes),
        (vec![], [p, p].map(str::to_owned).into())
    );
}

#[test]
fn a_table_id_may_change_its_table_inside_a_transaction() {
    let mut both = with_table_id(&images::INSERT, 7);
    let of_q = edited_query_free(&with_table_id(&images::TO_SAVEPOINT, 7));
    // Behind the rows of `p`, before its end.
    let mut body: Vec<u8> = events(&both.body)[..3].concat();
    body.extend(events(&of_q.body)[1..].concat());
    both.body = body;
    let found = told(&mut decoder("g", &plans()), &[both]);
    let expected = ["0: 1|a = a|1|x|7", "1: 10 = 10|1", "1: 11 = 11|1"];
    assert_eq!(
        (found.stops, found.changes),
        (vec![], expected.map(str::to_owned).into())
    );
}

/// A piece without the QUERY events that its transaction had.
fn edited_query_free(whole: &Piece) -> Piece {
    let kept = events(&whole.body)
        .into_iter()
        .filter(|event| kind_of(event) != kind::QUERY);
    Piece {
        body: kept.collect::<Vec<_>>().concat(),
        ..whole.clone()
    }
}

#[test]
fn rows_without_a_table_map_of_their_transaction_stop_every_table() {
    let mut decoder = decoder("g", &plans());
    let lone = without(&images::UPDATE, kind::TABLE_MAP);
    let text = "rows without a table map";
    let told = told(&mut decoder, &[piece(&images::INSERT), lone]);
    assert_eq!(told.changes, ["0: 1|a = a|1|x|7"]);
    assert_eq!(told.stops, [stop(0, "p", text), stop(1, "q", text)]);
}

#[test]
fn rows_that_a_logged_rollback_takes_back_stop_their_table() {
    let told = told_of(&images::ROLLED_BACK);
    assert_eq!(told.stops, [stop(0, "p", TAKEN_BACK)]);
    let told = told_of(&images::TO_SAVEPOINT);
    assert_eq!(told.stops, [stop(1, "q", TAKEN_BACK)]);
}

/// A golden transaction of MySQL whose end is a ROLLBACK.
fn mysql_rolled_back(golden: &Golden) -> Piece {
    let rollback = |event: Vec<u8>| {
        let text = event.strip_suffix(b"BEGIN").unwrap();
        [text, b"ROLLBACK"].concat()
    };
    let begin = events(&bytes_of(golden))
        .into_iter()
        .find(|event| kind_of(event) == kind::QUERY);
    let end = rollback(begin.unwrap());
    edited(golden, |event| {
        Some(if kind_of(&event) == kind::XID {
            end.clone()
        } else {
            event
        })
    })
}

fn bytes_of(golden: &Golden) -> Vec<u8> {
    piece(golden).body
}

#[test]
fn a_rollback_is_followed_over_pieces_and_stops_nothing_behind_it() {
    let plan = golden_plan(true);
    let rolled_back = mysql_rolled_back(&MYSQL_UPDATE);
    let mut parts = Vec::new();
    let all = events(&rolled_back.body);
    let split = all.len() - 1;
    for (number, part) in [(0, &all[..split]), (1, &all[split..])] {
        parts.push(Piece {
            number,
            last: number == 1,
            body: part.concat(),
            ..rolled_back.clone()
        });
    }
    for pieces in [vec![rolled_back], parts] {
        let mut decoder = decoder("g", std::slice::from_ref(&plan));
        let found = told(&mut decoder, &pieces);
        assert_eq!(found.stops, [stop(0, "t", TAKEN_BACK)]);
        let next = told(&mut decoder, &[piece(&MYSQL_DELETE)]);
        assert_eq!((next.stops, next.changes), (vec![], vec!["0: 1 goes".to_owned()]));
    }
}

/// The rest of a transaction may never come: its connection broke, and it comes again as another
/// one.
#[test]
fn nothing_of_a_transaction_is_known_in_the_next() {
    let begun = |events_of: &Piece, count: usize| Piece {
        last: false,
        body: events(&events_of.body)[..count].concat(),
        ..events_of.clone()
    };
    // Its table maps.
    let mut used = decoder("g", &plans());
    let lone = without(&images::UPDATE, kind::TABLE_MAP);
    let found = told(&mut used, &[begun(&piece(&images::INSERT), 2), lone]);
    let text = "rows without a table map";
    assert_eq!(found.stops, [stop(0, "p", text), stop(1, "q", text)]);
    assert_eq!(found.changes, [""; 0]);
    // That it has stopped a table.
    let mut used = decoder("g", &plans());
    let found = told(&mut used, &[piece(&images::NODUP_MOVE), piece(&images::INSERT)]);
    assert_eq!(found.changes, ["0: 1|a = a|1|x|7"]);
    assert_eq!(found.passed, [(0, 1)]);
    // Which tables it has changed: a ROLLBACK concerns its own.
    let mut used = decoder("g", &plans());
    let savepoint = piece(&images::TO_SAVEPOINT);
    let found = told(&mut used, &[begun(&piece(&images::INSERT), 3), savepoint]);
    assert_eq!(found.stops, [stop(1, "q", TAKEN_BACK)]);
    // That it was an XA transaction: flag 64 of MariaDB's GTID event.
    let mut used = decoder("g", &plans());
    let prepared = edited(&images::INSERT, |mut event| {
        if kind_of(&event) == kind::MARIADB_GTID {
            event[HEADER_BYTES + 12] |= 64;
        }
        Some(event)
    });
    let found = told(&mut used, &[prepared, piece(&images::MOVE)]);
    let text = "rows of an XA transaction, which may still be rolled back";
    assert_eq!(found.stops, [stop(0, "p", text)]);
    assert_eq!(found.changes, ["0: 1|a -> 2|a = a|2|y|8"]);
}

/// What follows in the transaction belongs to a table that has stopped: it is counted, and not
/// handed on.
#[test]
fn rows_behind_a_stop_are_counted_and_not_told() {
    let mut both = piece(&images::NODUP_UPDATE);
    let kept = events(&both.body).len() - 1;
    let mut body = events(&both.body)[..kept].concat();
    body.extend(events(&bytes_of(&images::INSERT))[1..].concat());
    both.body = body;
    let told = told(&mut decoder("g", &plans()), &[both]);
    assert_eq!(told.stops, [stop(0, "p", LACKING)]);
    assert_eq!((told.changes, told.passed), (vec![], vec![(0, 1), (0, 1)]));
}

#[test]
fn rows_with_another_number_of_columns_than_their_table_map_stop_their_table() {
    let plan = golden_plan(true);
    for golden in [&MYSQL_INSERT, &MYSQL_UPDATE, &MYSQL_DELETE] {
        // One column fewer, in a bitmap of the same width. Its two changes cannot be separated:
        // they count as one.
        let fewer = edited(golden, |mut event| {
            if let Some((_, maps)) = bitmaps(&event) {
                let images = event[maps[maps.len() - 1] + 2..].to_vec();
                event[maps[0] - 1] -= 1;
                event.extend(images);
            }
            Some(event)
        });
        let told = told(&mut decoder("g", std::slice::from_ref(&plan)), &[fewer]);
        let found: Vec<_> = told
            .stops
            .iter()
            .map(|(_, stop)| (stop.code, stop.text.as_str()))
            .collect();
        let text = "rows with another number of columns than their table map";
        assert_eq!(found, [(code::SCHEMA_MISMATCH, text)]);
        assert_eq!((told.changes, told.passed), (vec![], vec![(0, 1)]));
    }
}

/// An XA transaction that MySQL has only prepared: its rows were handed on before the event that
/// says so.
#[test]
fn rows_that_are_only_prepared_stop_their_table() {
    let plan = golden_plan(true);
    let prepared = edited(&MYSQL_UPDATE, |mut event| {
        if kind_of(&event) == kind::XID {
            event[4] = kind::XA_PREPARE;
        }
        Some(event)
    });
    let told = told(&mut decoder("g", std::slice::from_ref(&plan)), &[prepared]);
    let text = "rows of an XA transaction, which may still be rolled back";
    assert_eq!(told.stops, [stop(0, "t", text)]);
}

/// A change counts once: as one that was handed on, or as one that is passed. A resume continues
/// behind so many of them.
#[test]
fn the_changes_around_a_refused_row_are_counted_once() {
    let [p, _] = plans();
    let mut narrow = TablePlan::clone(&p);
    narrow.columns[2].encoding = Encoding::String { characters_max: 1 };
    // The rows of one event: k, n, v, w. The second has a text that is too long.
    let row = |n: u8, text: &[u8]| {
        let length = u8::try_from(text.len()).unwrap();
        [&[0xf0, 1, b'a', n, 0, 0, 0, length, 0], text, &[7, 0, 0, 0]].concat()
    };
    let rows = [row(1, b"x"), row(2, b"xy"), row(3, b"z")].concat();
    let several = edited(&images::INSERT, |mut event| {
        if let Some((_, maps)) = bitmaps(&event) {
            event.truncate(maps[0] + 1);
            event.extend_from_slice(&rows);
        }
        Some(event)
    });
    let whole = told(&mut decoder("g", &[p]), std::slice::from_ref(&several));
    let expected = ["0: 1|a = a|1|x|7", "0: 2|a = a|2|xy|7", "0: 3|a = a|3|z|7"];
    assert_eq!(whole.changes, expected);
    let refused = told(&mut decoder("g", &[Arc::new(narrow)]), &[several]);
    assert_eq!(refused.changes, expected[..1]);
    assert_eq!((refused.passed, refused.stops.len()), (vec![(0, 2)], 1));
    assert_eq!(refused.stops[0].1.code, code::VALUE_REFUSED);
}

#[test]
fn a_key_of_the_same_columns_in_another_order_is_another_key() {
    let [p, _] = plans();
    let check = |change: &dyn Fn(&mut TablePlan), expected: &str| {
        let mut plan = TablePlan::clone(&p);
        change(&mut plan);
        let told = told(&mut decoder("g", &[Arc::new(plan)]), &[piece(&images::INSERT)]);
        assert_eq!(told.stops[0].1.code, code::SCHEMA_MISMATCH);
        assert!(
            told.stops[0].1.text.contains(expected),
            "{}",
            told.stops[0].1.text
        );
        assert_eq!(told.changes, [""; 0]);
    };
    check(
        &|plan| Arc::make_mut(&mut plan.source).primary_key = vec![0, 1],
        "its primary key in the binary log",
    );
}

/// The row has the plan's order, and the key stays the same.
#[test]
fn a_plan_of_another_order_is_followed() {
    let [p, _] = plans();
    let mut swapped = TablePlan::clone(&p);
    swapped.columns.swap(0, 3);
    let place = |column: &usize| if *column == 0 { 3 } else { *column };
    swapped.target_key = TargetKey::Columns(p.key().iter().map(place).collect());
    let changes = |plan| told(&mut decoder("g", &[plan]), &[piece(&images::INSERT)]).changes;
    let moved = |change: &String| {
        let (key, row) = change.split_once(" = ").unwrap();
        let mut cells: Vec<&str> = row.split('|').collect();
        cells.swap(0, 3);
        format!("{key} = {}", cells.join("|"))
    };
    let expected: Vec<String> = changes(Arc::clone(&p)).iter().map(moved).collect();
    assert!(!expected.is_empty());
    assert_eq!(changes(Arc::new(swapped)), expected);
}

/// Each image of an update has a bitmap of its own, also where the changes are only counted.
#[test]
fn changes_in_part_are_counted_by_both_bitmaps() {
    for golden in [
        &images::NODUP_UPDATE,
        &images::NODUP_MOVE,
        &images::MINIMAL_UPDATE,
    ] {
        let three = edited(golden, |mut event| {
            if let Some((_, maps)) = bitmaps(&event) {
                let images = event[maps[1] + 1..].repeat(2);
                event.extend(images);
            }
            Some(event)
        });
        let told = told(&mut decoder("g", &plans()), &[three]);
        assert_eq!(told.stops, [stop(0, "p", LACKING)], "{}", golden.0);
        assert_eq!(told.passed, [(0, 3)], "{}", golden.0);
    }
}

#[test]
fn an_end_of_a_prepared_transaction_that_cannot_be_read_stops_every_table() {
    for text in [&b"XA COMMIT 'q'"[..], b"XA ROLLBACK 'q'"] {
        let ended = edited(&MYSQL_INSERT, |event| {
            let begin = event.strip_suffix(b"BEGIN");
            let is_head = kind_of(&event) == kind::GTID;
            begin
                .map(|head| [head, text].concat())
                .or(is_head.then_some(event.clone()))
        });
        let told = told(&mut decoder("g", &plans()), &[ended]);
        let text = "the end of an XA transaction that cannot be read";
        assert_eq!(told.stops, [stop(0, "p", text), stop(1, "q", text)]);
    }
}
