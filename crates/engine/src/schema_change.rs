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

/// Most statements of one step. The target takes as many in one call.
const AT_ONCE: usize = 50;
/// Objects that are named while they are created.
const NAMED_MAX: usize = 3;

/// Creates the wanted objects that the target lacks, in order. `show` gets each step in words
/// before it begins: how many of the objects are done, and names of those that are created now.
/// `what` is the word for all of them.
///
/// The target is looked at before the statements are sent, and again after each refusal: an object
/// whose creation succeeded although its answer was lost is there, and is not refused for that.
/// Each round ends the work or adds a refused object, so it ends.
pub(crate) async fn create_missing<T: SchemaTarget>(
    target: &T,
    what: &str,
    wanted: &[Wanted],
    show: impl Fn(String) + Send + Sync,
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
        let mut is_refused = false;
        for (number, step) in missing.chunks(AT_ONCE).enumerate() {
            let step: Vec<&Wanted> = step.iter().map(|place| &wanted[*place]).collect();
            let done = wanted.len() - missing.len() + number * AT_ONCE;
            show(words(what, done, wanted.len(), &step));
            let statements: Vec<String> = step.iter().map(|wanted| wanted.statement.clone()).collect();
            match target.run_ddl(&statements).await {
                Ok(()) => {}
                Err(DdlFailure::Refused { statement, reason }) => {
                    refused.push((missing[number * AT_ONCE + statement], reason));
                    is_refused = true;
                    break;
                }
                Err(DdlFailure::Failed(failure)) => return Err(failure),
            }
        }
        if !is_refused {
            return Ok(Created { refused, unfinished });
        }
    }
}

/// A step in words: `creating tables, 50 of 900: `a`, `b`, `c`, …`.
fn words(what: &str, done: usize, of: usize, step: &[&Wanted]) -> String {
    let names = step.iter().take(NAMED_MAX);
    let names: Vec<String> = names
        .map(|wanted| format!("`{}`", wanted.object.name()))
        .collect();
    let more = if step.len() > NAMED_MAX { ", …" } else { "" };
    format!("creating {what}, {done} of {of}: {}{more}", names.join(", "))
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use spanferry_core::port::target::TargetDescription;
    use spanferry_core::report::code;
    use spanferry_core::report::failure::Class;
    use spanferry_core::schema::target::Dialect;

    use super::*;

    /// A target whose statements are names of indexes.
    struct Indexes {
        present: Mutex<SchemaObjects>,
        refused: &'static str,
    }

    impl SchemaTarget for Indexes {
        async fn describe(&self) -> Result<TargetDescription, Failure> {
            Err(Failure::bug("target", "it is not described"))
        }

        async fn create_database(&self, _dialect: Dialect) -> Result<(), Failure> {
            Err(Failure::bug("target", "it is there"))
        }

        async fn schema_objects(&self) -> Result<SchemaObjects, Failure> {
            Ok(self.present.lock().unwrap().clone())
        }

        async fn run_ddl(&self, statements: &[String]) -> Result<(), DdlFailure> {
            assert!(statements.len() <= AT_ONCE);
            for (statement, name) in statements.iter().enumerate() {
                if name == self.refused {
                    let reason = Failure::new(code::TARGET_DDL, Class::StopTable, name, "refused");
                    return Err(DdlFailure::Refused { statement, reason });
                }
                self.present.lock().unwrap().indexes.insert(name.clone());
            }
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_is_missing_is_created_and_each_step_is_told() {
        let name = |number: usize| format!("i{number:03}");
        let target = Indexes {
            present: Mutex::new(SchemaObjects {
                indexes: [name(0), name(1)].into(),
                ..SchemaObjects::default()
            }),
            refused: "i060",
        };
        let wanted: Vec<Wanted> = (0..120)
            .map(|number| Wanted {
                object: Object::Index(name(number)),
                statement: name(number),
            })
            .collect();
        let told = Mutex::new(Vec::new());
        let tell = |step| told.lock().unwrap().push(step);
        let created = create_missing(&target, "indexes", &wanted, tell).await.unwrap();
        let places: Vec<usize> = created.refused.iter().map(|(place, _)| *place).collect();
        assert_eq!((places, created.unfinished), (vec![60], vec![]));
        assert_eq!(target.present.lock().unwrap().indexes.len(), 119);
        assert_eq!(
            told.into_inner().unwrap(),
            [
                "creating indexes, 2 of 120: `i002`, `i003`, `i004`, …",
                "creating indexes, 52 of 120: `i052`, `i053`, `i054`, …",
                "creating indexes, 61 of 120: `i061`, `i062`, `i063`, …",
                "creating indexes, 111 of 120: `i111`, `i112`, `i113`, …",
            ]
        );
        let again = create_missing(&target, "indexes", &wanted[..60], |step| panic!("{step}")).await;
        assert!(again.unwrap().refused.is_empty());
    }
}
