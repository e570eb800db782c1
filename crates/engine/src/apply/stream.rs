//! A stream being read: pieces of the change log are decoded and folded.

use std::collections::BTreeSet;

use spanferry_core::apply::window::WindowBuilder;
use spanferry_core::plan::TableId;
use spanferry_core::port::change::ChangeSink;
use spanferry_core::port::change_log::{ChangeLog, Piece, PieceKind};
use spanferry_core::port::source::{ChangeDecoder, ChangeSource, PreparedId, TwoPhase};
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;

use crate::history::misplaced;
use crate::two_phase::StreamLedger;

/// A stream being read: the log's reader, the decoder and the fold.
pub(super) struct Stream<S: ChangeSource, L: ChangeLog> {
    pub(super) reader: L::Reader,
    pub(super) decoder: S::Decoder,
    pub(super) builder: WindowBuilder,
    /// The prepared transactions that are open where the stream stands.
    pub(super) prepared: StreamLedger<S, L>,
    /// Whether a transaction has begun whose last piece has not been taken yet.
    pub(super) open: bool,
}

impl<S: ChangeSource, L: ChangeLog> Stream<S, L> {
    /// Takes one piece into the fold.
    pub(super) async fn take(&mut self, piece: &Piece) -> Result<(), Failure> {
        self.take_if(piece, |_| true).await
    }

    /// The same, but leaves a body alone that can change none of the stream's tables. Its notices stay unheard: only for a
    /// stream that goes over what the main stream has heard already.
    pub(super) async fn take_wanted(&mut self, piece: &Piece) -> Result<(), Failure> {
        self.take_if(piece, WindowBuilder::wants_changes).await
    }

    async fn take_if(
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
        if let Some(found) = self.decoder.two_phase(piece)? {
            self.follow_prepared(found).await?;
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

    /// Follows a transaction that is prepared, or that ends a prepared one.
    async fn follow_prepared(&mut self, found: TwoPhase) -> Result<(), Failure> {
        match found {
            // Before any table takes part nothing has to be known.
            TwoPhase::Committed(id) if self.builder.wants_changes() => self.commit_prepared(&id).await,
            TwoPhase::Prepared { .. } | TwoPhase::Committed(_) | TwoPhase::RolledBack(_) => {
                self.prepared.note(found);
                Ok(())
            }
        }
    }

    /// Stops the tables whose changes were logged before their snapshot and are committed now: they are in neither. A table that was
    /// changed behind its snapshot has stopped where that was logged.
    async fn commit_prepared(&mut self, id: &PreparedId) -> Result<(), Failure> {
        let (tables, text) = match self.prepared.committed(id).await? {
            Some(tables) => (
                tables,
                "the commit of an XA transaction that was prepared before the table's snapshot",
            ),
            None => (
                self.builder.tables().collect::<BTreeSet<TableId>>(),
                "the commit of an XA transaction of which the change log does not show what it changed",
            ),
        };
        for table in tables {
            let name = self.builder.name(table).to_owned();
            let remedy = Remedy::resync(&name);
            let finding = Finding::new(
                code::EVENT_UNSUPPORTED,
                Severity::Blocking,
                Subject::table(name),
                format!("{text}: {}", id.0),
            );
            self.builder.stop(table, finding.remedy(remedy));
        }
        Ok(())
    }
}
