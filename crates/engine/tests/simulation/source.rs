//! The source's schema and the position of its history.

use std::time::Duration;

use spanferry_core::port::source::{
    Allotment, CatalogSource, CheckRequest, HealthSource, HistorySource, PositionSource, PreflightSource,
    SessionSource, SourceHealth,
};
use spanferry_core::position::{Bookmark, Position, Witness, Witnesses};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::schema::source::{Catalog, QualifiedName};

use crate::history::catalog;
use crate::world::{Mutant, Shared, SourceFault, World, number_of};

pub(crate) struct SimSource(pub(crate) Shared);

/// The catalog as the administrator's statements have made it.
pub(crate) fn catalog_now(world: &World) -> Catalog {
    let mut now = catalog();
    for table in &world.administration.altered {
        now.tables[*table].columns[2].ty = MysqlType::Decimal {
            precision: 30,
            scale: 10,
        }
        .into();
    }
    if !world.bare {
        world.catalog.apply(&mut now);
    }
    if let Some(name) = world.administration.created {
        let mut table = now.tables[0].clone();
        table.name.table = name.into();
        now.tables.push(table);
    }
    now
}

/// The connection broke.
pub(crate) fn lost(code: code::Code) -> Failure {
    Failure::new(
        code,
        Class::Retry { after: None },
        "source",
        "the connection broke",
    )
}

/// Whether the history is the known one; `is_claim` if no stream is asked for.
pub(crate) fn expect_history(world: &World, known: &Bookmark, is_claim: bool) -> Result<(), Failure> {
    let stop = |code: code::Code| Failure::new(code, Class::StopMigration, "source", code.title());
    if !world.holds(&known.position) && !world.has(SourceFault::StrangerIsOpened) {
        return Err(stop(code::HISTORY_CHANGED));
    }
    let by_numbers = match world.mutant {
        Some(Mutant::NumbersOnly) => true,
        Some(Mutant::StreamByNumbers) => !is_claim,
        Some(Mutant::ClaimByNumbers) => is_claim,
        _ => false,
    };
    let Some(newest) = known.witnesses.newest().filter(|_| !by_numbers) else {
        return Ok(());
    };
    let is_forgotten = number_of(&newest.id.to_string()) <= world.administration.purged;
    if is_forgotten && !world.has(SourceFault::ForgottenIsProof) {
        return Err(stop(code::HISTORY_UNPROVED));
    }
    let is_known = is_forgotten || known.witnesses.iter().all(|witness| world.has_committed(witness));
    if is_known || world.has(SourceFault::OtherIsSame) {
        return Ok(());
    }
    Err(stop(code::HISTORY_CHANGED))
}

impl HistorySource for SimSource {
    async fn bookmark(&self, position: &Position) -> Result<Bookmark, Failure> {
        let world = self.0.lock();
        let number = number_of(&position.to_string());
        let last = number - usize::from(world.has(SourceFault::BookmarkIsOld) && number > 1);
        let mut bookmark = world.bookmark(number);
        bookmark.witnesses = Witnesses::default();
        // Only at its beginning does a migration ask for anything but a `high`.
        let is_begun = world.target.control.is_some();
        let is_blind = is_begun && world.mutant == Some(Mutant::HighUnwitnessed);
        if last > world.administration.purged && last <= world.committed {
            for witness in world.bookmark(last).witnesses.iter() {
                let unknown = || Witness::unknown(witness.id.clone());
                let shown = if is_blind { unknown() } else { witness.clone() };
                bookmark.witnesses.push(shown);
            }
        }
        Ok(bookmark)
    }

    async fn prove(&self, known: &Bookmark) -> Result<(), Failure> {
        expect_history(&self.0.lock(), known, true)
    }
}

impl CatalogSource for SimSource {
    async fn catalog(&self) -> Result<Catalog, Failure> {
        Ok(catalog_now(&self.0.lock()))
    }
}

impl PreflightSource for SimSource {
    async fn check(&self, request: &CheckRequest) -> Result<Vec<Finding>, Failure> {
        let tables = catalog().tables;
        let is_absent = |name: &&QualifiedName| !tables.iter().any(|table| table.name == **name);
        let absent = request.tables.iter().filter(is_absent).map(|name| {
            let subject = Subject::table(name);
            Finding::new(
                code::SOURCE_SCHEMA,
                Severity::Blocking,
                subject,
                "it is not there",
            )
        });
        Ok(absent.collect())
    }
}

impl SessionSource for SimSource {
    async fn allot_sessions(&self, wanted: usize, _lock: bool) -> Result<Allotment, Failure> {
        Ok(Allotment {
            sessions: wanted,
            finding: None,
        })
    }

    async fn allot_verification(&self) -> Result<Option<Finding>, Failure> {
        Ok(None)
    }
}

impl PositionSource for SimSource {
    async fn position(&self) -> Result<Position, Failure> {
        let mut world = self.0.lock();
        world.advance(2);
        if world.target.control.is_none() {
            world.expect_reservation();
            // Here the migration begins: a source that lacked it would be refused at once.
            world.received = world.committed;
        }
        let unseen = usize::from(world.has(SourceFault::PositionBehind));
        Ok(world.position(world.committed.saturating_sub(unseen)))
    }

    async fn holds(&self, position: &Position) -> Result<bool, Failure> {
        let world = self.0.lock();
        Ok(world.mutant == Some(Mutant::HoldsAnything) || world.holds(position))
    }

    async fn identity(&self) -> Result<String, Failure> {
        Ok("simulated".into())
    }
}

impl HealthSource for SimSource {
    async fn health(&self) -> Result<SourceHealth, Failure> {
        let world = self.0.lock();
        // Now and then it is a replica far behind, whose load is slowed down.
        let is_far_behind = !world.bare && world.committed.is_multiple_of(3);
        Ok(SourceHealth {
            versions_kept: Some(world.committed as u64),
            replica_lag: is_far_behind.then_some(Duration::from_secs(90)),
        })
    }
}
