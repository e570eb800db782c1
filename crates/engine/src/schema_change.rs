//! Objects that the target is to have: those that it lacks are created, and each that it refuses is handed back with its own reason.

use spanferry_core::failure::Failure;
use spanferry_core::target::{DdlFailure, SchemaObjects, Target};

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

impl Object {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Object::Table(name) | Object::Index(name) | Object::ForeignKey(name) => name,
        }
    }

    /// Whether the target has it.
    pub(crate) fn is_in(&self, objects: &SchemaObjects) -> bool {
        match self {
            Object::Table(name) => objects.tables.contains(name),
            Object::Index(name) => objects.indexes.contains(name),
            Object::ForeignKey(name) => objects.foreign_keys.contains(name),
        }
    }
}

/// An object that the target is to have.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Which.
    pub(crate) object: Object,
    /// The statement that creates it.
    pub(crate) statement: String,
}

/// Creates the wanted objects that the target lacks, in order. The refused ones come back with their place in `wanted` and the
/// target's reason; all others are there at the end.
///
/// The target is looked at before the statements are sent, and again after each refusal: an object whose creation succeeded although
/// its answer was lost is there, and is not refused for that. Each round ends the work or adds a refused object, so it ends.
pub(crate) async fn create_missing<T: Target>(
    target: &T,
    wanted: &[Wanted],
) -> Result<Vec<(usize, Failure)>, Failure> {
    let mut refused: Vec<(usize, Failure)> = Vec::new();
    loop {
        let objects = target.schema_objects().await?;
        refused.retain(|(place, _)| !wanted[*place].object.is_in(&objects));
        let is_refused = |place: usize| refused.iter().any(|(known, _)| *known == place);
        let missing: Vec<usize> = (0..wanted.len())
            .filter(|place| !is_refused(*place) && !wanted[*place].object.is_in(&objects))
            .collect();
        if missing.is_empty() {
            return Ok(refused);
        }
        let statements: Vec<String> = missing
            .iter()
            .map(|place| wanted[*place].statement.clone())
            .collect();
        match target.run_ddl(&statements).await {
            Ok(()) => return Ok(refused),
            Err(DdlFailure::Refused { statement, reason }) => refused.push((missing[statement], reason)),
            Err(DdlFailure::Failed(failure)) => return Err(failure),
        }
    }
}
