//! Which known transactions a stream has to show again, and what it has shown of them. Pure.

use spanferry_core::position::{Agreement, TransactionId, Witness};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};

use super::assemble_error::AssembleError;

/// What is done with a transaction that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It must be the one that is known.
    Compare,
    /// Only its identity is known: what it shows is to be learnt.
    Learn,
}

/// The known transactions that are still to come, and those that came.
#[derive(Debug, Clone)]
pub(crate) struct Proof {
    purpose: Purpose,
    awaited: Vec<Witness>,
    shown: Vec<Witness>,
}

impl Proof {
    /// A proof by these transactions.
    pub(crate) fn new(purpose: Purpose, awaited: Vec<Witness>) -> Proof {
        Proof {
            purpose,
            awaited,
            shown: Vec::new(),
        }
    }

    /// Whether every transaction has been shown.
    pub(crate) fn is_complete(&self) -> bool {
        self.awaited.is_empty()
    }

    /// The transactions that are still to come.
    pub(crate) fn awaited(&self) -> &[Witness] {
        &self.awaited
    }

    /// What was shown, in the order of the source.
    pub(crate) fn into_shown(self) -> Vec<Witness> {
        self.shown
    }

    /// A transaction begins: whether it is an awaited one. A MariaDB domain comes in order: an
    /// awaited one that is passed over is not there.
    pub(crate) fn awaits(&self, id: &TransactionId) -> Result<bool, AssembleError> {
        if self.awaited.iter().any(|witness| witness.id == *id) {
            return Ok(true);
        }
        let passed_over = self.awaited.iter().find(|witness| is_one_domain(&witness.id, id));
        match passed_over {
            Some(witness) => Err(AssembleError::NotThere(witness.to_string())),
            None => Ok(false),
        }
    }

    /// A transaction has shown its commit time, or all of it if `is_whole`. An awaited one is done
    /// with once that is enough.
    pub(crate) fn show(&mut self, shown: &Witness, is_whole: bool) -> Result<(), AssembleError> {
        let Some(at) = self.awaited.iter().position(|known| known.id == shown.id) else {
            return Ok(());
        };
        let known = &self.awaited[at];
        let is_enough = match self.purpose {
            Purpose::Learn => !needs_content(shown),
            Purpose::Compare => match known.compare(shown) {
                Agreement::Same => known.content.is_none(),
                Agreement::Unknown if is_whole => {
                    return Err(AssembleError::Unproved(shown.id.to_string()));
                }
                Agreement::Unknown => false,
                Agreement::Different => {
                    return Err(AssembleError::Other {
                        known: known.to_string(),
                        shown: shown.to_string(),
                    });
                }
            },
        };
        if !is_enough && !is_whole {
            return Ok(());
        }
        self.awaited.remove(at);
        self.shown.push(shown.clone());
        Ok(())
    }
}

/// Whether the content proves the transaction: its time is of seconds only (MariaDB), or is not
/// known.
pub(super) fn needs_content(witness: &Witness) -> bool {
    match witness.id {
        TransactionId::Mariadb { .. } => true,
        TransactionId::Mysql { .. } => witness.committed_at_us == 0,
    }
}

/// The failure of a source that cannot show the last known transaction.
pub(crate) fn unproved(address: &str) -> Failure {
    let code = code::HISTORY_UNPROVED;
    Failure::new(code, Class::StopMigration, address, code.title())
}

fn is_one_domain(one: &TransactionId, other: &TransactionId) -> bool {
    match (one, other) {
        (TransactionId::Mariadb { domain, .. }, TransactionId::Mariadb { domain: other, .. }) => {
            domain == other
        }
        (TransactionId::Mysql { .. } | TransactionId::Mariadb { .. }, TransactionId::Mysql { .. })
        | (TransactionId::Mysql { .. }, TransactionId::Mariadb { .. }) => false,
    }
}
