//! Objects that the target is to have, or is to have no more: what is missing is created, what is
//! there is dropped.

use spanferry_core::port::target::{DdlFailure, SchemaObjects, SchemaTarget};
use spanferry_core::report::failure::Failure;

/// An object of the target's schema, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Object {
    /// A table.
    Table(String),
    /// An index that is no table's own.
    Index(String),
    /// A foreign key.
    ForeignKey(String),
}

/// Whether the target has an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It has not.
    Absent,
    /// It is still being built, or removed after it could not be built.
    Unfinished,
    /// It has, and uses it.
    Ready,
}

impl Object {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Object::Table(name) | Object::Index(name) | Object::ForeignKey(name) => name,
        }
    }

    /// Whether the target has it.
    pub(crate) fn presence(&self, objects: &SchemaObjects) -> Presence {
        let is_there = match self {
            Object::Table(name) => objects.tables.contains(name),
            Object::Index(name) => objects.indexes.contains(name),
            Object::ForeignKey(name) => objects.foreign_keys.contains(name),
        };
        match is_there {
            false => Presence::Absent,
            true if objects.unfinished.contains(self.name()) => Presence::Unfinished,
            true => Presence::Ready,
        }
    }
}

/// An object, and a statement about it.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Which.
    pub(crate) object: Object,
    /// The statement that creates it, or that drops it.
    pub(crate) statement: String,
}

/// What became of objects that were to be created; all others are ready.
#[derive(Debug, Default)]
pub(crate) struct Created {
    /// Those that the target refuses, by their place in the list, each with the target's own
    /// reason.
    pub(crate) refused: Vec<(usize, Failure)>,
    /// Those on which another operation is at work, by their place: they are ready or gone when it
    /// ends.
    pub(crate) unfinished: Vec<usize>,
}

/// Creates the wanted objects that the target lacks, in order.
///
/// The target is looked at before the statements are sent, and again after each refusal: an object
/// whose creation succeeded although its answer was lost is there, and is not refused for that.
/// Each round ends the work or adds a refused object, so it ends.
pub(crate) async fn create_missing<T: SchemaTarget>(
    target: &T,
    wanted: &[Wanted],
) -> Result<Created, Failure> {
    let mut refused: Vec<(usize, Failure)> = Vec::new();
    loop {
        let objects = target.schema_objects().await?;
        let places = |presence: Presence| {
            let known = wanted.iter().map(|wanted| wanted.object.presence(&objects));
            let places = known.enumerate().filter(move |(_, found)| *found == presence);
            places.map(|(place, _)| place)
        };
        let absent: Vec<usize> = places(Presence::Absent).collect();
        refused.retain(|(place, _)| absent.contains(place));
        let is_new = |place: &usize| refused.iter().all(|(known, _)| known != place);
        let missing: Vec<usize> = absent.iter().copied().filter(is_new).collect();
        let unfinished: Vec<usize> = places(Presence::Unfinished).collect();
        if missing.is_empty() {
            return Ok(Created { refused, unfinished });
        }
        let statements: Vec<String> = missing
            .iter()
            .map(|place| wanted[*place].statement.clone())
            .collect();
        match target.run_ddl(&statements).await {
            Ok(()) => return Ok(Created { refused, unfinished }),
            Err(DdlFailure::Refused { statement, reason }) => refused.push((missing[statement], reason)),
            Err(DdlFailure::Failed(failure)) => return Err(failure),
        }
    }
}

/// Drops the objects that the target has, in order. It fails if the target refuses to drop one that
/// is still there.
pub(crate) async fn drop_present<T: SchemaTarget>(target: &T, unwanted: &[Wanted]) -> Result<(), DdlFailure> {
    let mut before = usize::MAX;
    loop {
        let objects = target.schema_objects().await.map_err(DdlFailure::Failed)?;
        let is_there = |unwanted: &&Wanted| unwanted.object.presence(&objects) != Presence::Absent;
        let present: Vec<String> = unwanted
            .iter()
            .filter(is_there)
            .map(|unwanted| unwanted.statement.clone())
            .collect();
        if present.is_empty() {
            return Ok(());
        }
        let dropped = target.run_ddl(&present).await;
        match dropped {
            // A statement may be refused because an earlier attempt has dropped the object: then
            // fewer are left.
            Err(DdlFailure::Refused { .. }) if present.len() < before => before = present.len(),
            dropped => return dropped,
        }
    }
}
