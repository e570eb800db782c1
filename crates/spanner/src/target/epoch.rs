//! The beginning of an epoch: one read-write transaction, repeated until its outcome is known.

use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::target::{FenceRow, Lane, MigrationRow};

use super::SpannerTarget;
use crate::backoff::{Backoff, RETRY_BUDGET};
use crate::commit::Mutations;
use crate::control::{self, FENCES, MIGRATION, MIGRATION_COLUMNS};
use crate::error::SpannerError;
use crate::failure::failure;
use crate::read::{Keys, Read};

/// What an attempt at taking over found.
enum Takeover {
    Done,
    Foreign(Option<Box<MigrationRow>>),
}

impl SpannerTarget {
    /// Takes the migration over, if its row is still the expected one.
    pub(super) async fn take_over(
        &self,
        expected: Option<&MigrationRow>,
        migration: &MigrationRow,
        fences: &[(Lane, FenceRow)],
    ) -> Result<(), Failure> {
        let mut backoff = Backoff::new(RETRY_BUDGET);
        loop {
            match self.try_epoch(expected, migration, fences).await {
                Ok(Takeover::Done) => return Ok(()),
                Ok(Takeover::Foreign(found)) => return Err(self.fenced(found.as_deref())),
                // ALREADY_EXISTS may be our own earlier success: the next attempt reads the migration's row, which tells.
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
        fences: &[(Lane, FenceRow)],
    ) -> Result<Takeover, SpannerError> {
        let mut transaction = self.client.begin("the beginning of an epoch").await?;
        let read = Read::new(
            MIGRATION,
            MIGRATION_COLUMNS,
            Keys::List(vec![control::migration_key()]),
        );
        let found = match transaction.read(&read).await {
            Ok(rows) => rows.first().map(|row| control::read_migration(row)).transpose(),
            Err(error) => {
                transaction.rollback().await;
                return Err(error);
            }
        };
        let malformed_row =
            |_| SpannerError::malformed(format!("table {MIGRATION}"), "a row as Spanferry writes it");
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                transaction.rollback().await;
                return Err(malformed_row(error));
            }
        };
        if found
            .as_ref()
            .is_some_and(|found| found.migration == *migration && found.owner == self.owner)
        {
            // An earlier attempt, whose outcome was unknown, has succeeded.
            transaction.rollback().await;
            return Ok(Takeover::Done);
        }
        if found.as_ref().map(|found| &found.migration) != expected {
            transaction.rollback().await;
            return Ok(Takeover::Foreign(found.map(|found| Box::new(found.migration))));
        }
        let mut mutations = Mutations::new();
        control::write_migration(&mut mutations, migration, &self.owner);
        mutations.delete_all(FENCES);
        for (lane, row) in fences {
            control::insert_fence(&mut mutations, &migration.id, *lane, row);
        }
        transaction.commit(mutations).await.map(|_| Takeover::Done)
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
