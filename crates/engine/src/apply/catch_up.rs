//! Catch-up: a batch of loaded tables is brought to where the main stream stands, and joins it there.

use std::collections::BTreeSet;
use std::sync::Arc;

use spanferry_core::apply::window::{TableFilter, Window};
use spanferry_core::plan::{GroupId, TableId};
use spanferry_core::port::change_log::{ChangeLog, ChangeLogReader, Sequence};
use spanferry_core::port::source::ChangeSource;
use spanferry_core::port::target::{Committer, ControlChange, SchemaTarget, TablePhase};
use spanferry_core::position::checkpoint::Checkpoint;
use spanferry_core::position::{Bookmark, Position};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure, ServerWords};

use super::stop::{settle, stopping};
use super::stream::Stream;
use super::task::{Apply, admit};
use crate::history::misplaced;
use crate::lane::LaneError;
use crate::registry::Transition;

impl<S: ChangeSource, L: ChangeLog, T: Committer + SchemaTarget> Apply<S, L, T> {
    pub(super) async fn catch_up_and_join(
        &mut self,
        stream: &mut Stream<S, L>,
        ready: &[TableId],
    ) -> Result<(), LaneError> {
        self.flush(stream).await?;
        assert_eq!(
            self.main.key().sequence,
            stream.builder.sequence(),
            "a batch joins where the main stream stands"
        );
        self.catch_up_batch(ready).await?;
        for table in ready {
            admit(&self.registry, &mut stream.builder, *table);
        }
        Ok(())
    }

    /// Applies everything between the tables' `low` and the main stream's watermark to a batch of loaded tables.
    async fn catch_up_batch(&mut self, batch: &[TableId]) -> Result<(), Failure> {
        let end = self.main.key().sequence;
        let (first, before) = self.catch_up_start(batch).await?;
        let reached = Checkpoint::whole(before);
        let mut stream = self.stream(Sequence(first.0 - 1), reached).await?;
        for table in batch {
            let after = self.registry.row(*table).low;
            stream.builder.set_filter(*table, TableFilter::Apply { after });
        }
        while stream.builder.sequence() < end {
            if self.shared.stop.is_cancelled() {
                return Ok(());
            }
            if batch
                .iter()
                .all(|table| self.registry.phase(*table) != TablePhase::Loaded)
            {
                // All have stopped: nothing holds the log for them any more.
                return Ok(());
            }
            match stream.reader.try_next().await? {
                Some(piece) if piece.sequence > end => break,
                Some(piece) => stream.take_wanted(&piece).await?,
                None => break,
            }
            drop(stream.builder.take_notices());
            while let Some(window) = stream.builder.take_ready() {
                self.commit_catch_up(window).await?;
                if self.shared.stop.is_cancelled() {
                    return Ok(());
                }
            }
        }
        if let Some(window) = stream.builder.take_now() {
            self.commit_catch_up(window).await?;
        }
        let registry = Arc::clone(&self.registry);
        let transition = registry.transition().await;
        let loaded = batch
            .iter()
            .filter(|table| registry.phase(**table) == TablePhase::Loaded);
        let rows: Vec<_> = loaded
            .map(|table| {
                ControlChange::Table(transition.row_with(*table, |row| row.phase = TablePhase::Joined))
            })
            .collect();
        self.record(&transition, rows).await
    }

    /// Where the log is to be read from so that each table of a batch gets every change after its own `low`.
    async fn catch_up_start(&self, batch: &[TableId]) -> Result<(Sequence, Bookmark), Failure> {
        let mut earliest: Option<(Sequence, Bookmark)> = None;
        // Tables of one snapshot have one `low`: the log is asked once for all of them.
        let mut asked: Vec<Position> = Vec::new();
        for table in batch {
            let low = self.registry.row(*table).low;
            let low = low.ok_or_else(|| Failure::bug("catch-up", "a loaded table has no `low`"))?;
            if asked.contains(&low) {
                continue;
            }
            asked.push(low.clone());
            let start = self.log.start_for(&low).await?;
            if !low.contains_all(&start.1.position).map_err(misplaced)? {
                let text = "it begins after a table's `low`: changes of that table are missing";
                return Err(
                    Failure::new(code::LOG_CORRUPT, Class::StopMigration, "change log", text)
                        .hint("Run `spanferry resync` for the tables that `status` shows as loaded."),
                );
            }
            if earliest.as_ref().is_none_or(|(first, _)| start.0 < *first) {
                earliest = Some(start);
            }
        }
        earliest.ok_or_else(|| Failure::bug("catch-up", "a batch without a table"))
    }

    /// Makes rows durable on the catch-up lane, then known.
    pub(super) async fn record(
        &mut self,
        transition: &Transition<'_>,
        rows: Vec<ControlChange>,
    ) -> Result<(), Failure> {
        if rows.is_empty() {
            return Ok(());
        }
        self.catch_up
            .commit_counted(Vec::new(), rows.clone())
            .await
            .map_err(unexpected)?;
        transition.adopt(&rows);
        Ok(())
    }

    async fn commit_catch_up(&mut self, window: Window) -> Result<(), Failure> {
        if window.data.is_empty() && window.stops.is_empty() {
            return Ok(());
        }
        let registry = Arc::clone(&self.registry);
        let stopping = stopping(&registry, &window).await;
        let control = stopping.as_ref().map_or_else(Vec::new, |(_, rows)| rows.clone());
        let groups: BTreeSet<GroupId> = window.data.iter().map(|data| data.table.group).collect();
        match self.catch_up.commit_counted(window.data, control).await {
            Ok(_) => {
                settle(&window.stops, stopping, &self.shared.progress);
                Ok(())
            }
            Err(LaneError::Failed(failure)) => Err(failure),
            Err(LaneError::Rejected(rejection, _)) => {
                // The window's own stops count all the same: what follows them was not folded for their groups.
                if let Some((transition, rows)) = stopping {
                    self.record(&transition, rows.clone()).await?;
                    settle(&window.stops, Some((transition, rows)), &self.shared.progress);
                }
                // Nothing binds these tables yet, so a rejection concerns a row as such: every group of the window stops, also those
                // whose rows were in a part of it that was not sent any more.
                let groups: Vec<GroupId> = groups.into_iter().collect();
                self.stop_groups(&groups, &rejection, "while catching up").await
            }
        }
    }
}

fn unexpected(error: LaneError) -> Failure {
    match error {
        LaneError::Failed(failure) => failure,
        LaneError::Rejected(rejection, _) => Failure::new(
            code::TARGET_FAILED,
            Class::StopMigration,
            "control tables",
            "the target rejects control rows",
        )
        .caused_by(ServerWords::from(rejection)),
    }
}
