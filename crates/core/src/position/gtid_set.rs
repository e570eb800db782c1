//! GTID sets of MySQL.

use std::collections::BTreeMap;
use std::fmt;

use super::{PositionError, ServerUuid};

/// Most intervals of a set that is read. A server with as many would hardly run; texts that fill
/// our memory have more.
const INTERVALS_MAX: usize = 1 << 16;

/// A GTID set: per (server, tag) the numbers, as half-open intervals that neither touch nor
/// overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GtidSet {
    sets: BTreeMap<(ServerUuid, String), Vec<(u64, u64)>>,
}

impl GtidSet {
    /// Parses `uuid:1-5:7,uuid:tag:1-3`; spaces and newlines are allowed, empty text is the empty
    /// set.
    pub fn parse(text: &str) -> Result<GtidSet, PositionError> {
        let malformed = || PositionError::malformed(text);
        let mut intervals = 0;
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
                intervals += 1;
                if intervals > INTERVALS_MAX {
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

    /// The numbers that are in both.
    #[must_use]
    pub(crate) fn intersection(&self, other: &GtidSet) -> GtidSet {
        let mut common = GtidSet::default();
        for ((server, tag), list) in &self.sets {
            let theirs = other.list(*server, tag).map_or(&[][..], Vec::as_slice);
            for (start, end) in list {
                for (from, to) in theirs {
                    let (first, behind) = (*start.max(from), *end.min(to));
                    if first < behind {
                        common.insert_interval(*server, tag, first, behind);
                    }
                }
            }
        }
        common
    }

    /// Takes one number out.
    pub fn remove(&mut self, server: ServerUuid, tag: &str, number: u64) {
        let key = (server, tag.to_owned());
        let Some(list) = self.sets.get_mut(&key) else {
            return;
        };
        let Some(at) = list
            .iter()
            .position(|(start, end)| (*start..*end).contains(&number))
        else {
            return;
        };
        let (start, end) = list[at];
        let rest = [(start, number), (number + 1, end)];
        list.splice(at..=at, rest.into_iter().filter(|(start, end)| start < end));
        if list.is_empty() {
            self.sets.remove(&key);
        }
    }

    /// The highest number of each server and tag that has any which `other` lacks.
    pub fn highest_beyond(&self, other: &GtidSet) -> Vec<(ServerUuid, String, u64)> {
        let highest = |(key, list): (&(ServerUuid, String), &Vec<(u64, u64)>)| {
            let known = other.sets.get(key).map_or(&[][..], Vec::as_slice);
            let last_beyond = |(start, end): &(u64, u64)| {
                // What is known at the interval's end is skipped; intervals do not touch.
                let covering = known.iter().find(|(from, to)| from < end && end <= to);
                let last = covering.map_or(end - 1, |(from, _)| from.saturating_sub(1));
                (last >= *start).then_some(last)
            };
            let number = list.iter().rev().find_map(last_beyond)?;
            Some((key.0, key.1.clone(), number))
        };
        self.sets.iter().filter_map(highest).collect()
    }

    /// Every (server, tag) with its half-open intervals, in order: what `COM_BINLOG_DUMP_GTID`
    /// sends.
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
    // Hardly anybody uses tags, and comparing two empty texts costs more than one may think: their
    // addresses are not mapped.
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
            let mut without = set.clone();
            for n in &others {
                without.remove(server, "", *n);
            }
            for n in 0..62 {
                prop_assert_eq!(without.contains(server, "", n), numbers.contains(&n) && !others.contains(&n));
            }
            prop_assert_eq!(without.is_empty(), other.contains_all(&set));
            let highest = numbers.iter().filter(|n| !others.contains(n)).max();
            let found = set.highest_beyond(&other);
            prop_assert_eq!(found.iter().map(|(_, _, number)| number).collect::<Vec<_>>(), Vec::from_iter(highest));
        }
    }
}
