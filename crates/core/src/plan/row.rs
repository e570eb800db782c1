//! The encoding of one row: the source hands its values in its own order, the row has them in the
//! plan's.

use crate::plan::TablePlan;
use crate::value::encode::{Input, Refusal, RowFunction};
use crate::value::scalar::Scalar;

/// Bytes of a digest of a row.
const DIGEST_BYTES: usize = 16;

/// A cell that was refused: which column, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedCell {
    /// Index into the plan's columns.
    pub column: usize,
    /// Why.
    pub refusal: Refusal,
}

/// Which columns of the source a plan reads, and where their values go. Computed once for a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowLayout {
    feeds: Vec<Feed>,
    is_direct: bool,
}

/// A column of the source that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// Its place in the source's columns.
    pub source: usize,
    /// The plan's columns that take its value.
    pub columns: Vec<usize>,
}

impl RowLayout {
    /// The layout of a plan's rows.
    pub fn of(plan: &TablePlan) -> RowLayout {
        let mut feeds: Vec<Feed> = Vec::new();
        for (index, column) in plan.columns.iter().enumerate() {
            let Some(source) = column.source() else { continue };
            match feeds.iter_mut().find(|feed| feed.source == source) {
                Some(feed) => feed.columns.push(index),
                None => feeds.push(Feed {
                    source,
                    columns: vec![index],
                }),
            }
        }
        feeds.sort_by_key(|feed| feed.source);
        let in_place = |(place, feed): (usize, &Feed)| feed.columns == [place];
        RowLayout {
            is_direct: feeds.len() == plan.columns.len() && feeds.iter().enumerate().all(in_place),
            feeds,
        }
    }

    /// The columns of the source that are read, in the source's order: the order in which
    /// [`RowEncoder::cell`] takes their values.
    pub fn feeds(&self) -> &[Feed] {
        &self.feeds
    }

    /// Whether the row's cells are those of the source in the source's order, so that each is
    /// written as it arrives.
    pub fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// The place of a source column among those that are read.
    pub fn feed_of(&self, source: usize) -> Option<usize> {
        self.feeds.iter().position(|feed| feed.source == source)
    }
}

/// Encodes one row at a time and remembers where each cell lies, so that its key can be taken from
/// it.
#[derive(Debug, Default)]
pub struct RowEncoder {
    row: Vec<u8>,
    ends: Vec<usize>,
    /// How many values of the source have come.
    fed: usize,
    /// Cells that wait for their place in the row, and where they lie, by the plan's columns.
    waiting: Vec<u8>,
    places: Vec<(usize, usize)>,
}

impl RowEncoder {
    /// An encoder with no row.
    pub fn new() -> RowEncoder {
        RowEncoder::default()
    }

    /// Begins a new row.
    pub fn begin(&mut self, plan: &TablePlan, layout: &RowLayout) {
        self.row.clear();
        self.ends.clear();
        self.fed = 0;
        if !layout.is_direct {
            self.waiting.clear();
            self.places.clear();
            self.places.resize(plan.columns.len(), (0, 0));
        }
    }

    /// Encodes the value of the next column of the source that the layout names.
    pub fn cell(
        &mut self,
        plan: &TablePlan,
        layout: &RowLayout,
        scalar: Scalar<'_>,
    ) -> Result<(), RefusedCell> {
        let feed = self.fed;
        self.fed += 1;
        if layout.is_direct {
            plan.columns[feed]
                .encode(scalar, &mut self.row)
                .map_err(|refusal| RefusedCell {
                    column: feed,
                    refusal,
                })?;
            self.ends.push(self.row.len());
            return Ok(());
        }
        for column in &layout.feeds[feed].columns {
            let start = self.waiting.len();
            plan.columns[*column]
                .encode(scalar, &mut self.waiting)
                .map_err(|refusal| RefusedCell {
                    column: *column,
                    refusal,
                })?;
            self.places[*column] = (start, self.waiting.len());
        }
        Ok(())
    }

    /// Ends the row, once all values of the source have come.
    pub fn end(&mut self, plan: &TablePlan, layout: &RowLayout) -> Result<(), RefusedCell> {
        assert_eq!(
            self.fed,
            layout.feeds.len(),
            "all values of a row come before its end"
        );
        if layout.is_direct {
            return Ok(());
        }
        for column in 0..plan.columns.len() {
            self.place(plan, column)
                .map_err(|refusal| RefusedCell { column, refusal })?;
            self.ends.push(self.row.len());
        }
        Ok(())
    }

    /// Writes one cell to its place in the row.
    fn place(&mut self, plan: &TablePlan, index: usize) -> Result<(), Refusal> {
        let column = &plan.columns[index];
        match &column.input {
            Input::Source(_) => {
                let (start, end) = self.places[index];
                self.row.extend_from_slice(&self.waiting[start..end]);
                Ok(())
            }
            Input::Constant(constant) => column.encode(constant.scalar(), &mut self.row),
            Input::Function(RowFunction::Digest) => {
                let digest = self.digest(plan);
                column.encode(Scalar::Bytes(&digest), &mut self.row)
            }
            // No row shows it; `TablePlan::not_built` refuses such a plan before it runs.
            Input::Function(RowFunction::Ordinal) => Err(Refusal::Form {
                expected: "a value that the source shows",
            }),
        }
    }

    /// The digest of the row's values from the source, each with its length before it, in the
    /// plan's order.
    fn digest(&self, plan: &TablePlan) -> [u8; DIGEST_BYTES] {
        let mut hasher = blake3::Hasher::new();
        for (column, (start, end)) in plan.columns.iter().zip(&self.places) {
            if column.source().is_some() {
                hasher.update(&((end - start) as u64).to_le_bytes());
                hasher.update(&self.waiting[*start..*end]);
            }
        }
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..DIGEST_BYTES]);
        digest
    }

    /// The whole row as `ListValue` payload, once it is ended.
    pub fn row(&self) -> &[u8] {
        &self.row
    }

    /// Writes the key of the ended row as `ListValue` payload into `key`.
    pub fn key_into(&self, plan: &TablePlan, key: &mut Vec<u8>) {
        key.clear();
        for column in plan.key() {
            let start = if *column == 0 { 0 } else { self.ends[column - 1] };
            key.extend_from_slice(&self.row[start..self.ends[*column]]);
        }
    }
}
