//! Positions of MariaDB.

use std::collections::BTreeMap;
use std::fmt;

use super::{PositionError, TransactionId};

/// Most domains of a position that is read. A server has a handful.
const DOMAINS_MAX: usize = 1 << 16;

/// A position: per domain the server and sequence of the last transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MariadbGtids {
    domains: BTreeMap<u32, (u32, u64)>,
}

impl MariadbGtids {
    /// Parses `0-1-5,1-1-9`; empty text is the beginning of all domains.
    pub fn parse(text: &str) -> Result<MariadbGtids, PositionError> {
        let mut position = MariadbGtids::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match TransactionId::parse(part) {
                Some(TransactionId::Mariadb {
                    domain,
                    server,
                    number,
                }) => {
                    position.domains.insert(domain, (server, number));
                    if position.domains.len() > DOMAINS_MAX {
                        return Err(PositionError::malformed(text));
                    }
                }
                Some(TransactionId::Mysql { .. }) | None => {
                    return Err(PositionError::malformed(text));
                }
            }
        }
        Ok(position)
    }

    /// Domain, server and sequence of each domain's last transaction.
    pub fn last(&self) -> impl Iterator<Item = (u32, u32, u64)> {
        let domains = self.domains.iter();
        domains.map(|(domain, (server, number))| (*domain, *server, *number))
    }

    /// The sequence reached in a domain, 0 if none.
    pub fn sequence(&self, domain: u32) -> u64 {
        self.domains.get(&domain).map_or(0, |(_, number)| *number)
    }

    /// Whether each domain of `other` has been reached.
    pub(super) fn contains_all(&self, other: &MariadbGtids) -> bool {
        other
            .last()
            .all(|(domain, _, number)| number <= self.sequence(domain))
    }

    /// Moves on by one transaction, whose sequence must rise (`gtid_strict_mode`).
    pub(super) fn advance(&mut self, domain: u32, server: u32, number: u64) -> Result<(), PositionError> {
        let from = self.sequence(domain);
        if number <= from {
            let to = number;
            return Err(PositionError::Backwards { domain, from, to });
        }
        self.domains.insert(domain, (server, number));
        Ok(())
    }

    /// Places a domain at a transaction, whatever stood there.
    pub fn set(&mut self, domain: u32, server: u32, number: u64) {
        self.domains.insert(domain, (server, number));
    }

    /// Domain by domain the lower (or higher) of two positions.
    #[must_use]
    pub(crate) fn combine(&self, other: &MariadbGtids, higher: bool) -> MariadbGtids {
        let mut result = BTreeMap::new();
        for domain in self.domains.keys().chain(other.domains.keys()) {
            let (own, theirs) = (
                self.domains.get(domain).copied(),
                other.domains.get(domain).copied(),
            );
            let own_first = (self.sequence(*domain) <= other.sequence(*domain)) != higher;
            if let Some(entry) = if own_first { own } else { theirs } {
                result.insert(*domain, entry);
            }
        }
        MariadbGtids { domains: result }
    }
}

impl fmt::Display for MariadbGtids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (domain, (server, number))) in self.domains.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{domain}-{server}-{number}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sequences of up to four domains; 0 is a domain without transactions.
    fn position(sequences: [u64; 4]) -> MariadbGtids {
        let mut position = MariadbGtids::default();
        for (domain, number) in (0..).zip(sequences).filter(|(_, number)| *number > 0) {
            position.advance(domain, 1, number).unwrap();
        }
        position
    }

    proptest! {
        #[test]
        fn a_position_is_its_domains(own in prop::array::uniform4(0_u64..4), theirs in prop::array::uniform4(0_u64..4)) {
            let (left, right) = (position(own), position(theirs));
            let pairs = || own.into_iter().zip(theirs);
            prop_assert_eq!(left.contains_all(&right), pairs().all(|(own, theirs)| own >= theirs));
            prop_assert_eq!(left.combine(&right, false), position(std::array::from_fn(|at| own[at].min(theirs[at]))));
            prop_assert_eq!(left.combine(&right, true), position(std::array::from_fn(|at| own[at].max(theirs[at]))));
            prop_assert_eq!(MariadbGtids::parse(&left.to_string()).unwrap(), left.clone());
            for domain in 0..4 {
                let at = usize::try_from(domain).unwrap();
                prop_assert_eq!(left.sequence(domain), own[at]);
                let mut moved = left.clone();
                prop_assert_eq!(moved.advance(domain, 2, theirs[at]).is_ok(), theirs[at] > own[at]);
                prop_assert_eq!(moved.sequence(domain), own[at].max(theirs[at]));
            }
        }
    }

    #[test]
    fn the_lower_or_higher_is_taken_domain_by_domain() {
        let (a, b) = (
            MariadbGtids::parse("0-1-5,1-1-9").unwrap(),
            MariadbGtids::parse("0-1-7").unwrap(),
        );
        assert_eq!(a.combine(&b, false).to_string(), "0-1-5");
        assert_eq!(a.combine(&b, true).to_string(), "0-1-7,1-1-9");
    }
}
