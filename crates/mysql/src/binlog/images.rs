//! Full row images of an event into changes that are handed on.

use spanferry_core::plan::{RowEncoder, TablePlan};
use spanferry_core::port::change::{Change as RowChange, ChangeSink, NewRow, OldRow};

use super::columns::{ImageError, ImageReader, KeyEncoder};
use super::event::{Cursor, Malformed};
use super::rows::{Change, RowsEvent};
use super::value::Scratch;

/// Encodes the rows and keys of images. Its memory is used again for each of them.
#[derive(Debug)]
pub(super) struct Images {
    scratch: Scratch,
    encoder: RowEncoder,
    old_encoder: RowEncoder,
    key_encoder: KeyEncoder,
    key: Vec<u8>,
    old_key: Vec<u8>,
}

impl Images {
    pub(super) fn new() -> Images {
        Images {
            scratch: Scratch::default(),
            encoder: RowEncoder::new(),
            old_encoder: RowEncoder::new(),
            key_encoder: KeyEncoder::default(),
            key: Vec::new(),
            old_key: Vec::new(),
        }
    }

    /// Hands on the changes of full images, and counts them in `handed_on`.
    pub(super) fn hand_on(
        &mut self,
        plan: &TablePlan,
        reader: &ImageReader,
        event: &RowsEvent<'_>,
        handed_on: &mut u64,
        sink: &mut dyn ChangeSink,
    ) -> Result<(), ImageError> {
        let wants_old_rows = sink.wants_old_rows(plan.id);
        let mut images = Cursor::new(event.images);
        while !images.is_empty() {
            let mut has_old_row = false;
            if event.change != Change::Insert {
                let image = images;
                let (scratch, encoder) = (&mut self.scratch, &mut self.key_encoder);
                reader.key(plan, &mut images, scratch, encoder, &mut self.old_key)?;
                has_old_row = wants_old_rows && self.old_row(plan, reader, image)?;
            }
            if event.change != Change::Delete {
                reader.row(plan, &mut images, &mut self.scratch, &mut self.encoder)?;
                self.encoder.key_into(plan, &mut self.key);
            }
            let old = OldRow {
                key: &self.old_key,
                row: has_old_row.then(|| self.old_encoder.row()),
            };
            let (key, row) = (self.key.as_slice(), self.encoder.row());
            let change = match event.change {
                Change::Insert => RowChange::Insert { key, row },
                Change::Update => RowChange::Update {
                    old,
                    key,
                    row: NewRow::Whole(row),
                },
                Change::Delete => RowChange::Delete { old },
            };
            sink.change(plan.id, change);
            *handed_on += 1;
        }
        Ok(())
    }

    /// Encodes a whole image of a row before its change. False if a value that is not part of the
    /// key is refused: the row is as good as unknown then, and its change still counts.
    fn old_row(
        &mut self,
        plan: &TablePlan,
        reader: &ImageReader,
        mut image: Cursor<'_>,
    ) -> Result<bool, Malformed> {
        match reader.row(plan, &mut image, &mut self.scratch, &mut self.old_encoder) {
            Ok(()) => Ok(true),
            Err(ImageError::Refused(_)) => Ok(false),
            Err(ImageError::Malformed(error)) => Err(error),
        }
    }
}
