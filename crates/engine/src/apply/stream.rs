//! A stream being read: pieces of the change log are decoded into the scheduler's fold.

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

use crate::two_phase::StreamLedger;
use spanferry_core::apply::verdict::misplaced;

/// A stream being read: the log's reader and the decoder.
pub(super) struct Stream<S: ChangeSource, L: ChangeLog> {
    pub(super) reader: L::Reader,
    pub(super) decoder: S::Decoder,
    /// The prepared transactions that are open where the stream stands.
    pub(super) prepared: StreamLedger<S, L>,
}

impl<S: ChangeSource, L: ChangeLog> Stream<S, L> {
    /// Takes one piece into the fold.
    pub(super) async fn take(&mut self, piece: &Piece, fold: &mut WindowBuilder) -> Result<(), Failure> {
        self.take_if(piece, fold, |_| true).await
    }

    /// The same, but leaves a body alone that can change none of the stream's tables. Its notices
    /// stay unheard: only for a stream that goes over what the main stream has heard already.
    pub(super) async fn take_wanted(
        &mut self,
        piece: &Piece,
        fold: &mut WindowBuilder,
    ) -> Result<(), Failure> {
        self.take_if(piece, fold, WindowBuilder::wants_changes).await
    }

    async fn take_if(
        &mut self,
        piece: &Piece,
        fold: &mut WindowBuilder,
        is_wanted: impl FnOnce(&WindowBuilder) -> bool,
    ) -> Result<(), Failure> {
        if piece.kind == PieceKind::Abandoned {
            return Ok(());
        }
        if piece.number == 0 {
            let witness = self.decoder.transaction(piece)?;
            fold.begin(piece.sequence, witness).map_err(misplaced)?;
        }
        if let Some(found) = self.decoder.two_phase(piece)? {
            self.follow_prepared(found, fold).await?;
        }
        if is_wanted(fold) {
            self.decoder.decode(piece, fold)?;
        }
        if piece.last {
            let witness = self.decoder.transaction(piece)?;
            fold.end(piece.committed_at_us, witness).map_err(misplaced)?;
        }
        Ok(())
    }

    /// Follows a transaction that is prepared, or that ends a prepared one.
    async fn follow_prepared(&mut self, found: TwoPhase, fold: &mut WindowBuilder) -> Result<(), Failure> {
        match found {
            // Before any table takes part nothing has to be known.
            TwoPhase::Committed(id) if fold.wants_changes() => self.commit_prepared(&id, fold).await,
            TwoPhase::Prepared { .. } | TwoPhase::Committed(_) | TwoPhase::RolledBack(_) => {
                self.prepared.note(found);
                Ok(())
            }
        }
    }

    /// Stops the tables whose changes were logged before their snapshot and are committed now: they
    /// are in neither. A table that was changed behind its snapshot has stopped where that was
    /// logged.
    async fn commit_prepared(&mut self, id: &PreparedId, fold: &mut WindowBuilder) -> Result<(), Failure> {
        let (tables, text) = match self.prepared.committed(id).await? {
            Some(tables) => (
                tables,
                "the commit of an XA transaction that was prepared before the table's snapshot",
            ),
            None => (
                fold.tables().collect::<BTreeSet<TableId>>(),
                "the commit of an XA transaction of which the change log does not show what it changed",
            ),
        };
        for table in tables {
            let name = fold.name(table);
            let remedy = Remedy::resync(name);
            let finding = Finding::new(
                code::EVENT_UNSUPPORTED,
                Severity::Blocking,
                Subject::table(name),
                format!("{text}: {}", id.0),
            );
            fold.stop(table, finding.remedy(remedy));
        }
        Ok(())
    }
}
