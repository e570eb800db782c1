//! The number and the name under which the change stream registers among the replicas of the
//! source.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::connection::Connection;
use crate::error::MysqlError;

/// The name of a stream whose number the operator gave.
const NAME: &str = "spanferry";
/// How often another number is chosen before a collision is an error: other programs take numbers
/// faster than we look.
const MOVES_MAX: u32 = 16;
/// Chosen numbers are far above the small ones that people give.
const CHOSEN_MIN: u32 = 0x4000_0000;

/// Number and name. The number of a stream that may choose moves on when another replica has it.
#[derive(Debug)]
pub(crate) struct ReplicaId {
    number: AtomicU32,
    moves: AtomicU32,
    is_given: bool,
    name: String,
}

impl ReplicaId {
    /// A number that the operator gave: it stays.
    pub(crate) fn given(number: u32) -> ReplicaId {
        ReplicaId {
            number: AtomicU32::new(number),
            moves: AtomicU32::new(0),
            is_given: true,
            name: NAME.to_owned(),
        }
    }

    /// A number to begin with. By `name` the source distinguishes this migration's streams, also
    /// earlier ones, from those of others.
    pub(crate) fn chosen(first: u32, name: String) -> ReplicaId {
        ReplicaId {
            number: AtomicU32::new(first | CHOSEN_MIN),
            moves: AtomicU32::new(0),
            is_given: false,
            name,
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number.load(Ordering::Relaxed)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_given(&self) -> bool {
        self.is_given
    }

    /// Whether another replica has the number. The server may not have noticed yet that an earlier
    /// stream of ours has gone; it gives way to the next one.
    pub(crate) fn is_taken(&self, replicas: &[Replica]) -> bool {
        let number = self.number();
        let mut others = replicas.iter().filter(|replica| replica.name != self.name);
        others.any(|replica| replica.number == number)
    }

    /// Moves on to another number; false if that is not allowed, or was done too often.
    pub(crate) fn move_on(&self) -> bool {
        if self.is_given || self.moves.fetch_add(1, Ordering::Relaxed) >= MOVES_MAX {
            return false;
        }
        let next = self.number().wrapping_add(1) | CHOSEN_MIN;
        tracing::warn!(
            taken = self.number(),
            next,
            "another replica of the source has our server id; another one is chosen"
        );
        self.number.store(next, Ordering::Relaxed);
        true
    }
}

/// A replica that the source lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replica {
    pub(crate) number: u32,
    pub(crate) name: String,
}

/// The replicas of the source; `None` if the account may not see them.
pub(crate) async fn listed(connection: &mut Connection) -> Result<Option<Vec<Replica>>, MysqlError> {
    for statement in connection.server().facts().replicas {
        if let Some(found) = connection.query_if_allowed(statement).await? {
            let number = |number: u64| u32::try_from(number).ok();
            let replicas = found.rows.iter().filter_map(|row| {
                Some(Replica {
                    number: row.number(0).and_then(number)?,
                    name: row.text_or_empty(1),
                })
            });
            return Ok(Some(replicas.collect()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_number_moves_on_and_a_given_one_stays() {
        let replica = |number: u32, name: &str| Replica {
            number,
            name: name.to_owned(),
        };
        let given = ReplicaId::given(7);
        assert!(
            given.is_taken(&[replica(7, "db2")]) && !given.is_taken(&[replica(7, NAME), replica(8, "db2")])
        );
        assert!(!given.move_on());
        assert_eq!(given.number(), 7);
        let chosen = ReplicaId::chosen(u32::MAX, "spanferry-a".to_owned());
        assert!(chosen.is_taken(&[replica(u32::MAX, "spanferry-b")]));
        assert!(!chosen.is_taken(&[replica(u32::MAX, "spanferry-a")]));
        let mut numbers = vec![chosen.number()];
        while chosen.move_on() {
            numbers.push(chosen.number());
        }
        assert_eq!(numbers.len(), 17);
        assert!(numbers.iter().all(|number| *number >= CHOSEN_MIN));
    }
}
