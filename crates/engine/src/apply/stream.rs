//! A stream being read: pieces of the change log are decoded and folded.

use spanferry_core::change_log::{ChangeLog, Piece, PieceKind};
use spanferry_core::failure::Failure;
use spanferry_core::source::ChangeDecoder;
use spanferry_core::window::WindowBuilder;

use crate::history::misplaced;

/// A stream being read: the log's reader, the decoder and the fold.
pub(super) struct Stream<L: ChangeLog, D> {
    pub(super) reader: L::Reader,
    pub(super) decoder: D,
    pub(super) builder: WindowBuilder,
    /// Whether a transaction has begun whose last piece has not been taken yet.
    pub(super) open: bool,
}

impl<L: ChangeLog, D: ChangeDecoder> Stream<L, D> {
    /// Takes one piece into the fold.
    pub(super) fn take(&mut self, piece: &Piece) -> Result<(), Failure> {
        self.take_if(piece, |_| true)
    }

    /// The same, but leaves a body alone that can change none of the stream's tables. Its notices stay unheard: only for a
    /// stream that goes over what the main stream has heard already.
    pub(super) fn take_wanted(&mut self, piece: &Piece) -> Result<(), Failure> {
        self.take_if(piece, WindowBuilder::wants_changes)
    }

    fn take_if(
        &mut self,
        piece: &Piece,
        is_wanted: impl FnOnce(&WindowBuilder) -> bool,
    ) -> Result<(), Failure> {
        if piece.kind == PieceKind::Abandoned {
            return Ok(());
        }
        if piece.number == 0 {
            let witness = self.decoder.transaction(piece)?;
            self.builder.begin(piece.sequence, witness).map_err(misplaced)?;
            self.open = true;
        }
        if is_wanted(&self.builder) {
            self.decoder.decode(piece, &mut self.builder)?;
        }
        if piece.last {
            let witness = self.decoder.transaction(piece)?;
            self.builder
                .end(piece.committed_at_us, witness)
                .map_err(misplaced)?;
            self.open = false;
        }
        Ok(())
    }
}
