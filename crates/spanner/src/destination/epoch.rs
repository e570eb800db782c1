//! The beginning of an epoch: one read-write transaction, repeated until its outcome is known.

use spanferry_core::port::target::{FenceRow, Lane, LaneStart, MigrationRow};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};

use super::SpannerTarget;
use crate::backoff::{Backoff, RETRY_BUDGET};
use crate::commit::Mutations;
use crate::control::{self, FENCE_COLUMNS, FENCES, MIGRATION, MIGRATION_COLUMNS};
use crate::error::SpannerError;
use crate::failure::failure;
use crate::read::{Keys, Read};
use crate::transaction::Transaction;

/// What an attempt at taking over found.
enum Takeover {
    Done,
    Foreign(Option<Box<MigrationRow>>),
}

/// What one look at the migration's row leads to.
enum Attempt {
    /// These mutations begin the epoch.
    Write(Mutations),
    /// Nothing is to be written.
    Known(Takeover),
}

/// The row of a lane as the transaction finds it.
async fn fence_in(
    transaction: &mut Transaction,
    migration: &str,
    lane: Lane,
) -> Result<Option<FenceRow>, SpannerError> {
    let read = Read::new(FENCES, FENCE_COLUMNS, control::fence_keys(migration, lane));
    let rows = transaction.read(&read).await?;
    let stored = rows.first().map(|row| control::read_fence(row)).transpose();
    let stored = stored.map_err(|_| malformed_fence("a row as Spanferry writes it"))?;
    Ok(stored.map(|stored| stored.row))
}

fn malformed_fence(expected: &'static str) -> SpannerError {
    SpannerError::malformed(format!("table {FENCES}"), expected)
}

impl SpannerTarget {
    /// Takes the migration over, if its row is still the expected one.
    pub(super) async fn take_over(
        &self,
        expected: Option<&MigrationRow>,
        migration: &MigrationRow,
        lanes: &[(Lane, LaneStart)],
    ) -> Result<(), Failure> {
        let mut backoff = Backoff::new(RETRY_BUDGET);
        loop {
            match self.try_epoch(expected, migration, lanes).await {
                Ok(Takeover::Done) => return Ok(()),
                Ok(Takeover::Foreign(found)) => return Err(self.fenced(found.as_deref())),
                // ALREADY_EXISTS may be our own earlier success: the next attempt reads the
                // migration's row, which shows it.
                Err(error) if error.is_passing() || error.rejection() == Some(tonic::Code::AlreadyExists) => {
                    backoff.wait(error).await.map_err(failure)?;
                }
                Err(error) => return Err(failure(error)),
            }
        }
    }

    async fn try_epoch(
        &self,
        expected: Option<&MigrationRow>,
        migration: &MigrationRow,
        lanes: &[(Lane, LaneStart)],
    ) -> Result<Takeover, SpannerError> {
        let mut transaction = self.client.begin("the beginning of an epoch").await?;
        let attempt = self.epoch_in(&mut transaction, expected, migration, lanes).await;
        match attempt {
            Ok(Attempt::Write(mutations)) => transaction.commit(mutations).await.map(|_| Takeover::Done),
            Ok(Attempt::Known(takeover)) => {
                transaction.rollback().await;
                Ok(takeover)
            }
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }

    /// Looks at the migration's row, and what is to be written if it is the expected one.
    async fn epoch_in(
        &self,
        transaction: &mut Transaction,
        expected: Option<&MigrationRow>,
        migration: &MigrationRow,
        lanes: &[(Lane, LaneStart)],
    ) -> Result<Attempt, SpannerError> {
        let read = Read::new(
            MIGRATION,
            MIGRATION_COLUMNS,
            Keys::List(vec![control::migration_key()]),
        );
        let rows = transaction.read(&read).await?;
        let found = rows.first().map(|row| control::read_migration(row)).transpose();
        let found = found.map_err(|_| {
            SpannerError::malformed(format!("table {MIGRATION}"), "a row as Spanferry writes it")
        })?;
        if found
            .as_ref()
            .is_some_and(|found| found.migration == *migration && found.owner == self.owner)
        {
            // An earlier attempt, whose outcome was unknown, has succeeded.
            return Ok(Attempt::Known(Takeover::Done));
        }
        if found.as_ref().map(|found| &found.migration) != expected {
            let found = found.map(|found| Box::new(found.migration));
            return Ok(Attempt::Known(Takeover::Foreign(found)));
        }
        let mut mutations = Mutations::new();
        control::write_migration(&mut mutations, migration, &self.owner);
        mutations.delete_all(FENCES);
        for (lane, start) in lanes {
            let found = match start {
                LaneStart::At(_) => None,
                LaneStart::Kept | LaneStart::KeptInNewLog => {
                    fence_in(transaction, &migration.id, *lane).await?
                }
            };
            let row = start
                .row(migration.epoch, found.as_ref())
                .ok_or_else(|| malformed_fence("the row of the lane"))?;
            control::insert_fence(&mut mutations, &migration.id, *lane, &row);
        }
        Ok(Attempt::Write(mutations))
    }

    fn fenced(&self, found: Option<&MigrationRow>) -> Failure {
        let message = match found {
            Some(row) => format!(
                "the target belongs to migration {} in epoch {}",
                row.id, row.epoch.0
            ),
            None => "the target holds no migration any more".to_owned(),
        };
        Failure::new(
            code::TARGET_FENCED,
            Class::StopMigration,
            self.client.name().to_string(),
            message,
        )
    }
}
