//! Positions: where in the source's history. Values with laws; positions of different histories do not compare.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

/// A 16-byte server UUID of MySQL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerUuid(pub [u8; 16]);

impl ServerUuid {
    /// Parses the 36-character form, with or without dashes, in any case.
    pub fn parse(text: &str) -> Option<ServerUuid> {
        let mut digits = text.bytes().filter(|byte| *byte != b'-');
        let mut bytes = [0_u8; 16];
        for byte in &mut bytes {
            *byte = (hex_digit(digits.next()?)? << 4) | hex_digit(digits.next()?)?;
        }
        digits.next().is_none().then_some(ServerUuid(bytes))
    }

    /// Its bytes as one number: compared in one instruction.
    fn number(self) -> u128 {
        u128::from_be_bytes(self.0)
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

impl fmt::Display for ServerUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        // Every transaction's identity is printed on its way into the log: one write, not one a byte.
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, byte) in self.0.iter().enumerate() {
            at += usize::from(matches!(index, 4 | 6 | 8 | 10));
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 15)];
            at += 2;
        }
        f.write_str(str::from_utf8(&text).expect("hexadecimal digits and dashes"))
    }
}

impl fmt::Debug for ServerUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The identity of one source transaction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionId {
    /// MySQL: server UUID, optional tag (8.3 and later), number from 1.
    Mysql {
        /// Origin server.
        server: ServerUuid,
        /// Tag, empty if none.
        tag: String,
        /// Number within (server, tag).
        number: u64,
    },
    /// MariaDB: `domain-server-sequence`.
    Mariadb {
        /// Replication domain.
        domain: u32,
        /// Origin server.
        server: u32,
        /// Sequence within the domain.
        number: u64,
    },
}

impl TransactionId {
    /// Parses what `Display` writes: `uuid:number`, `uuid:tag:number` or `domain-server-number`.
    pub fn parse(text: &str) -> Option<TransactionId> {
        if let Some((server, rest)) = text.split_once(':') {
            let server = ServerUuid::parse(server)?;
            let (tag, number) = rest.split_once(':').unwrap_or(("", rest));
            return Some(TransactionId::Mysql {
                server,
                tag: tag.to_ascii_lowercase(),
                number: number.parse().ok()?,
            });
        }
        let mut parts = text.split('-');
        let id = TransactionId::Mariadb {
            domain: parts.next()?.parse().ok()?,
            server: parts.next()?.parse().ok()?,
            number: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(id)
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransactionId::Mysql { server, tag, number } if tag.is_empty() => write!(f, "{server}:{number}"),
            TransactionId::Mysql { server, tag, number } => write!(f, "{server}:{tag}:{number}"),
            TransactionId::Mariadb {
                domain,
                server,
                number,
            } => write!(f, "{domain}-{server}-{number}"),
        }
    }
}

/// Why a position operation makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PositionError {
    /// The text is not a position.
    #[error("expected a GTID set, found `{0}`")]
    Malformed(String),
    /// Two positions of different kinds of history.
    #[error("positions of different kinds of source cannot be compared")]
    DifferentKinds,
    /// A MariaDB domain whose sequence does not rise.
    #[error("sequence of domain {domain} went from {from} to {to}")]
    Backwards {
        /// Replication domain.
        domain: u32,
        /// Where it was.
        from: u64,
        /// Where it was told to go.
        to: u64,
    },
}

/// A MySQL GTID set: per (server, tag) the numbers, as half-open intervals that neither touch nor overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GtidSet {
    sets: BTreeMap<(ServerUuid, String), Vec<(u64, u64)>>,
}

impl GtidSet {
    /// Parses `uuid:1-5:7,uuid:tag:1-3`; spaces and newlines are allowed, empty text is the empty set.
    pub fn parse(text: &str) -> Result<GtidSet, PositionError> {
        let malformed = || PositionError::Malformed(text.to_owned());
        let mut set = GtidSet::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut pieces = part.split(':').map(str::trim);
            let server = pieces.next().and_then(ServerUuid::parse).ok_or_else(malformed)?;
            let mut tag = String::new();
            for piece in pieces {
                if piece.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
                    tag = piece.to_ascii_lowercase();
                    continue;
                }
                let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
                let first: u64 = first.trim().parse().map_err(|_| malformed())?;
                let last: u64 = last.trim().parse().map_err(|_| malformed())?;
                if first == 0 || last < first || last == u64::MAX {
                    return Err(malformed());
                }
                set.insert_interval(server, &tag, first, last + 1);
            }
        }
        Ok(set)
    }

    fn insert_interval(&mut self, server: ServerUuid, tag: &str, start: u64, end: u64) {
        let list = self.list_mut(server, tag);
        if let Some(last) = list.last_mut()
            && last.1 == start
        {
            last.1 = end;
            return;
        }
        let from = list.partition_point(|interval| interval.1 < start);
        let to = list.partition_point(|interval| interval.0 <= end);
        if from == to {
            list.insert(from, (start, end));
        } else {
            let merged = (start.min(list[from].0), end.max(list[to - 1].1));
            list.splice(from..to, [merged]);
        }
    }

    /// The intervals of a server and tag, made if there are none.
    fn list_mut(&mut self, server: ServerUuid, tag: &str) -> &mut Vec<(u64, u64)> {
        // As in `contains`: no key is made for what is there already.
        if self.list(server, tag).is_none() {
            self.sets.insert((server, tag.to_owned()), Vec::new());
        }
        self.sets
            .iter_mut()
            .find(|(key, _)| is_key(key, server, tag))
            .map(|(_, list)| list)
            .expect("it was made if it was not there")
    }

    /// A lookup by a borrowed pair would need a key type of its own; the sets are few.
    fn list(&self, server: ServerUuid, tag: &str) -> Option<&Vec<(u64, u64)>> {
        self.sets
            .iter()
            .find(|(key, _)| is_key(key, server, tag))
            .map(|(_, list)| list)
    }

    /// Adds one number.
    pub fn insert(&mut self, server: ServerUuid, tag: &str, number: u64) {
        self.insert_interval(server, tag, number, number.saturating_add(1));
    }

    /// Whether one number is in it.
    pub fn contains(&self, server: ServerUuid, tag: &str, number: u64) -> bool {
        self.list(server, tag).is_some_and(|list| {
            // The stream moves at the end of the last interval.
            if list.last().is_some_and(|last| last.1 <= number) {
                return false;
            }
            let at = list.partition_point(|interval| interval.1 <= number);
            list.get(at).is_some_and(|interval| interval.0 <= number)
        })
    }

    /// Whether every number of `other` is in it.
    pub fn contains_all(&self, other: &GtidSet) -> bool {
        other.sets.iter().all(|(key, list)| {
            let own = self.sets.get(key).map_or(&[][..], Vec::as_slice);
            list.iter()
                .all(|(start, end)| own.iter().any(|(from, to)| from <= start && end <= to))
        })
    }

    /// Adds every number of `other`.
    pub fn union(&mut self, other: &GtidSet) {
        for ((server, tag), list) in &other.sets {
            for (start, end) in list {
                self.insert_interval(*server, tag, *start, *end);
            }
        }
    }

    /// How many numbers of `self` are not in `other`.
    pub fn count_beyond(&self, other: &GtidSet) -> u64 {
        let mut count = 0;
        for (key, list) in &self.sets {
            let known = other.sets.get(key).map_or(&[][..], Vec::as_slice);
            for (start, end) in list {
                let overlap: u64 = known
                    .iter()
                    .map(|(from, to)| to.min(end).saturating_sub(*from.max(start)))
                    .sum();
                count += end - start - overlap;
            }
        }
        count
    }

    /// Every (server, tag) with its half-open intervals, in order: what `COM_BINLOG_DUMP_GTID` sends.
    pub fn intervals(&self) -> impl Iterator<Item = (ServerUuid, &str, &[(u64, u64)])> {
        self.sets
            .iter()
            .map(|((server, tag), list)| (*server, tag.as_str(), list.as_slice()))
    }

    /// Whether it has no number at all.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }
}

fn is_key(key: &(ServerUuid, String), server: ServerUuid, tag: &str) -> bool {
    // Hardly anybody uses tags, and comparing two empty texts costs more than one may think: their addresses are not mapped.
    let same_tag = (tag.is_empty() && key.1.is_empty()) || key.1 == tag;
    key.0.number() == server.number() && same_tag
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, ((server, tag), list)) in self.sets.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{server}")?;
            if !tag.is_empty() {
                write!(f, ":{tag}")?;
            }
            for (start, end) in list {
                if end - start == 1 {
                    write!(f, ":{start}")?;
                } else {
                    write!(f, ":{start}-{}", end - 1)?;
                }
            }
        }
        Ok(())
    }
}

/// A MariaDB position: per domain the server and sequence of the last transaction.
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
                }
                Some(TransactionId::Mysql { .. }) | None => {
                    return Err(PositionError::Malformed(text.to_owned()));
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

    /// Domain by domain the lower (or higher) of two positions.
    #[must_use]
    pub fn combine(&self, other: &MariadbGtids, higher: bool) -> MariadbGtids {
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

/// Where in the source's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// All transactions of the set have happened.
    Mysql(GtidSet),
    /// All transactions up to these, domain by domain, have happened.
    Mariadb(MariadbGtids),
}

impl Position {
    /// Parses what `Display` writes: `mysql:SET` or `mariadb:LIST`.
    pub fn parse(text: &str) -> Result<Position, PositionError> {
        match text.split_once(':') {
            Some(("mysql", set)) => GtidSet::parse(set).map(Position::Mysql),
            Some(("mariadb", list)) => MariadbGtids::parse(list).map(Position::Mariadb),
            _ => Err(PositionError::Malformed(text.to_owned())),
        }
    }

    /// Whether a transaction has happened at this position: *not* contained means "after the position".
    pub fn contains(&self, id: &TransactionId) -> Result<bool, PositionError> {
        match (self, id) {
            (Position::Mysql(set), TransactionId::Mysql { server, tag, number }) => {
                Ok(set.contains(*server, tag, *number))
            }
            (Position::Mariadb(position), TransactionId::Mariadb { domain, number, .. }) => {
                Ok(*number <= position.sequence(*domain))
            }
            (Position::Mysql(_), TransactionId::Mariadb { .. })
            | (Position::Mariadb(_), TransactionId::Mysql { .. }) => Err(PositionError::DifferentKinds),
        }
    }

    /// Whether everything that has happened at `other` has happened here too.
    pub fn contains_all(&self, other: &Position) -> Result<bool, PositionError> {
        match (self, other) {
            (Position::Mysql(own), Position::Mysql(theirs)) => Ok(own.contains_all(theirs)),
            (Position::Mariadb(own), Position::Mariadb(theirs)) => Ok(theirs
                .domains
                .iter()
                .all(|(domain, (_, number))| *number <= own.sequence(*domain))),
            (Position::Mysql(_), Position::Mariadb(_)) | (Position::Mariadb(_), Position::Mysql(_)) => {
                Err(PositionError::DifferentKinds)
            }
        }
    }

    /// Moves on by one transaction. MariaDB: a sequence that does not rise is an error (gtid_strict_mode).
    pub fn advance(&mut self, id: &TransactionId) -> Result<(), PositionError> {
        match (self, id) {
            (Position::Mysql(set), TransactionId::Mysql { server, tag, number }) => {
                set.insert(*server, tag, *number);
                Ok(())
            }
            (
                Position::Mariadb(position),
                TransactionId::Mariadb {
                    domain,
                    server,
                    number,
                },
            ) => {
                let from = position.sequence(*domain);
                if *number <= from {
                    return Err(PositionError::Backwards {
                        domain: *domain,
                        from,
                        to: *number,
                    });
                }
                position.domains.insert(*domain, (*server, *number));
                Ok(())
            }
            (Position::Mysql(_), TransactionId::Mariadb { .. })
            | (Position::Mariadb(_), TransactionId::Mysql { .. }) => Err(PositionError::DifferentKinds),
        }
    }

    /// How many transactions of `self` have not happened at `other` (MariaDB: by sequence numbers, an estimate).
    pub fn count_beyond(&self, other: &Position) -> Result<u64, PositionError> {
        match (self, other) {
            (Position::Mysql(own), Position::Mysql(theirs)) => Ok(own.count_beyond(theirs)),
            (Position::Mariadb(own), Position::Mariadb(theirs)) => Ok(own
                .domains
                .iter()
                .map(|(domain, (_, number))| number.saturating_sub(theirs.sequence(*domain)))
                .sum()),
            (Position::Mysql(_), Position::Mariadb(_)) | (Position::Mariadb(_), Position::Mysql(_)) => {
                Err(PositionError::DifferentKinds)
            }
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Mysql(set) => write!(f, "mysql:{set}"),
            Position::Mariadb(list) => write!(f, "mariadb:{list}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn sets_print_as_the_server_does() {
        let check =
            |input: &str, expected: &str| assert_eq!(GtidSet::parse(input).unwrap().to_string(), expected);
        check("", "");
        check(&format!("{}:1-3:5:4", A.to_uppercase()), &format!("{A}:1-5"));
        check(
            &format!("{A}:9:1-3:Tag:7:5,\n{A}:4"),
            &format!("{A}:1-4:9,{A}:tag:5:7"),
        );
        for bad in [
            "x",
            "3e11fa47:1",
            &format!("{A}:0"),
            &format!("{A}:5-4"),
            &format!("{A}:1-"),
        ] {
            GtidSet::parse(bad).unwrap_err();
        }
    }

    #[test]
    fn mariadb_goes_forward_only() {
        let mut position = Position::parse("mariadb:0-1-5,3-2-9").unwrap();
        let step = |text: &str| TransactionId::parse(text).unwrap();
        position.advance(&step("0-7-6")).unwrap();
        assert_eq!(position.to_string(), "mariadb:0-7-6,3-2-9");
        assert_eq!(
            position.advance(&step("3-2-9")),
            Err(PositionError::Backwards {
                domain: 3,
                from: 9,
                to: 9
            })
        );
        assert!(position.contains(&step("3-1-9")).unwrap());
        assert!(!position.contains(&step("4-1-1")).unwrap());
        let (a, b) = (
            MariadbGtids::parse("0-1-5,1-1-9").unwrap(),
            MariadbGtids::parse("0-1-7").unwrap(),
        );
        assert_eq!(a.combine(&b, false).to_string(), "0-1-5");
        assert_eq!(a.combine(&b, true).to_string(), "0-1-7,1-1-9");
    }

    proptest! {
        #[test]
        fn a_set_is_its_numbers(numbers in prop::collection::vec(1_u64..60, 0..60), others in prop::collection::vec(1_u64..60, 0..60)) {
            let server = ServerUuid::parse(A).unwrap();
            let build = |list: &[u64]| { let mut set = GtidSet::default(); for n in list { set.insert(server, "", *n); } set };
            let (set, other) = (build(&numbers), build(&others));
            for n in 0..62 {
                prop_assert_eq!(set.contains(server, "", n), numbers.contains(&n));
            }
            prop_assert_eq!(GtidSet::parse(&set.to_string()).unwrap(), set.clone());
            prop_assert_eq!(set.contains_all(&other), others.iter().all(|n| numbers.contains(n)));
            let mut beyond: Vec<u64> = numbers.iter().copied().filter(|n| !others.contains(n)).collect();
            beyond.sort_unstable();
            beyond.dedup();
            prop_assert_eq!(set.count_beyond(&other), beyond.len() as u64);
        }
    }
}
