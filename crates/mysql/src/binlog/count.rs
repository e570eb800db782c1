//! The number of changes in a rows event, by its table map alone: no plan, and no value is read.
//!
//! A transaction that was cut is continued after so many changes of the recorded tables, by any
//! later process. So the number must not depend on whether a table has stopped, whether its
//! definition still fits its plan, or where its rows could no longer be converted
//! (docs/design/fence.md).

use std::collections::BTreeSet;

use super::event::Cursor;
use super::rows::{Change, RowsEvent, bit};
use super::table_map::Definition;
use super::value::Layout;

/// Counts the changes of one table under one definition.
#[derive(Debug)]
pub(crate) struct ChangeCounter {
    /// How each column is stepped over; nothing if one of them cannot be.
    layouts: Option<Vec<Layout>>,
}

impl ChangeCounter {
    /// A counter for a table map's definition; nothing if that could not be parsed.
    pub(crate) fn new(definition: Option<&Definition>) -> ChangeCounter {
        let layouts = definition.and_then(|definition| {
            let columns = definition.columns.iter();
            columns.map(|column| Layout::of(column).ok()).collect()
        });
        ChangeCounter { layouts }
    }

    /// How many changes the event holds. Changes that cannot be separated count as one: an event of
    /// which the table map does not show the columns' lengths, or the rest of one behind an image
    /// that breaks off.
    pub(crate) fn count(&self, event: &RowsEvent<'_>) -> u64 {
        let layouts = self.layouts.as_deref();
        let Some(layouts) = layouts.filter(|layouts| layouts.len() == event.columns) else {
            return 1;
        };
        let mut images = Cursor::new(event.images);
        let mut changes = 0;
        while !images.is_empty() {
            changes += 1;
            let before = images.rest().len();
            let is_whole = step_over(&mut images, event, layouts).is_some();
            // Images without a column have no bytes, so that any number of them would fit.
            if !is_whole || images.rest().len() == before {
                break;
            }
        }
        changes
    }
}

/// Which columns an event of updates changes, by their bytes, in any of its rows. Nothing if that
/// cannot be seen: an image lacks columns, or a column's length is not known.
pub(crate) fn changed_columns(definition: &Definition, event: &RowsEvent<'_>) -> Option<BTreeSet<usize>> {
    let layouts = ChangeCounter::new(Some(definition)).layouts?;
    if layouts.len() != event.columns || layouts.is_empty() || !event.is_full() {
        return None;
    }
    let mut images = Cursor::new(event.images);
    let mut changed = BTreeSet::new();
    while !images.is_empty() {
        let before = cells(&mut images, &layouts)?;
        let after = cells(&mut images, &layouts)?;
        changed.extend((0..layouts.len()).filter(|column| before[*column] != after[*column]));
    }
    Some(changed)
}

/// The bytes of each column of a full image; nothing for NULL.
fn cells<'a>(images: &mut Cursor<'a>, layouts: &[Layout]) -> Option<Vec<Option<&'a [u8]>>> {
    let nulls = images.take(layouts.len().div_ceil(8)).ok()?;
    let mut cells = Vec::with_capacity(layouts.len());
    for (column, layout) in layouts.iter().enumerate() {
        if bit(nulls, column) {
            cells.push(None);
            continue;
        }
        let rest = images.rest();
        layout.take(images).ok()?;
        cells.push(rest.get(..rest.len() - images.rest().len()));
    }
    Some(cells)
}

/// Steps over the images of one change; nothing if they break off.
fn step_over(images: &mut Cursor<'_>, event: &RowsEvent<'_>, layouts: &[Layout]) -> Option<()> {
    image(images, event.first_columns, layouts)?;
    if event.change == Change::Update {
        image(images, event.second_columns, layouts)?;
    }
    Some(())
}

/// Steps over one image, which carries the columns of a bitmap.
fn image(images: &mut Cursor<'_>, carried: &[u8], layouts: &[Layout]) -> Option<()> {
    let present = || (0..layouts.len()).filter(|column| bit(carried, *column));
    let nulls = images.take(present().count().div_ceil(8)).ok()?;
    for (place, column) in present().enumerate() {
        if !bit(nulls, place) {
            layouts[column].take(images).ok()?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use spanferry_core::plan::TablePlan;
    use spanferry_core::port::change_log::Piece;
    use spanferry_core::port::source::ChangeDecoder;
    use spanferry_core::schema::mysql::MysqlType;

    use super::super::decoder::BinlogDecoder;
    use super::super::golden::{
        MARIADB_DELETE, MARIADB_INSERT, MARIADB_UPDATE, MYSQL_DELETE, MYSQL_INSERT, MYSQL_TAGGED,
        MYSQL_UPDATE,
    };
    use super::super::tests::{Sink, golden_plan, piece};
    use crate::fuzz::Random;

    /// Changes that are handed on or passed when the piece is decoded by a plan, and whether the
    /// table stops.
    fn counted(piece: &Piece, plan: TablePlan) -> Option<(u64, bool)> {
        let mut sink = Sink::default();
        let mut decoder = BinlogDecoder::new("g", &[Arc::new(plan)]);
        decoder.decode(piece, &mut sink).ok()?;
        Some((sink.changes.len() as u64 + sink.passed, !sink.stops.is_empty()))
    }

    /// The plan as it is, and plans that no longer fit: another type, another number of columns, no
    /// value that is taken.
    fn plans(json: bool) -> [TablePlan; 4] {
        let plan = || TablePlan::clone(&golden_plan(json));
        let (mut retyped, mut shorter, mut refusing) = (plan(), plan(), plan());
        Arc::make_mut(&mut retyped.source).columns[1].ty = MysqlType::Date.into();
        Arc::make_mut(&mut shorter.source).columns.pop();
        refusing.columns[3].encoding = spanferry_core::value::encode::Encoding::Int64;
        [plan(), retyped, shorter, refusing]
    }

    #[test]
    fn a_change_counts_whatever_the_plan_makes_of_it() {
        let mysql = [&MYSQL_INSERT, &MYSQL_UPDATE, &MYSQL_TAGGED, &MYSQL_DELETE].map(|golden| (golden, true));
        let mariadb = [&MARIADB_INSERT, &MARIADB_UPDATE, &MARIADB_DELETE].map(|golden| (golden, false));
        for (golden, json) in mysql.into_iter().chain(mariadb) {
            let found = plans(json).map(|plan| counted(&piece(golden), plan));
            assert_eq!(found[0], Some((1, false)));
            assert_eq!(found[1..3], [Some((1, true)); 2]);
            assert_eq!(found[3].map(|(changes, _)| changes), Some(1));
        }
    }

    /// Damage that no checksum catches here: whatever is read from the event, its changes have one
    /// number.
    #[test]
    fn a_damaged_event_has_one_number_of_changes() {
        let mut random = Random(7);
        for golden in [&MYSQL_INSERT, &MYSQL_UPDATE, &MARIADB_UPDATE] {
            let is_mysql = std::ptr::eq(golden, &MYSQL_INSERT) || std::ptr::eq(golden, &MYSQL_UPDATE);
            for _ in 0..4_000 {
                let mut damaged = piece(golden);
                let at = random.below(damaged.body.len());
                damaged.body[at] ^= 1 << random.below(8);
                let found = plans(is_mysql).map(|plan| counted(&damaged, plan));
                let numbers = found.map(|found| found.map(|(changes, _)| changes));
                assert!(
                    numbers.iter().all(|number| *number == numbers[0]),
                    "byte {at}: {found:?}"
                );
            }
        }
    }
}
