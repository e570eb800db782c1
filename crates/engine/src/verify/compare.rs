//! Pairs rows of both sides by key as they arrive, within a bound of memory: pure, one row at a
//! time.

use std::collections::{BTreeMap, BTreeSet};

use spanferry_core::verify::canonical::{column_digests, digest};

use super::buckets::bucket_of;
use super::scan::{Content, Side};
use super::verdict::{Kind, Tally};

/// What a held row takes beside its key and its columns' digests, about: entry and allocations.
const ROW_BYTES: usize = 96;

/// A row whose partner has not come yet.
#[derive(Debug)]
struct Held {
    side: Side,
    /// Its digest; none if it is refused.
    row: Option<u128>,
    /// What naming it takes; none once enough keys are named.
    detail: Option<Detail>,
}

#[derive(Debug)]
struct Detail {
    key: Box<[u8]>,
    columns: Box<[u32]>,
}

impl Held {
    fn bytes(&self) -> usize {
        let detail = self.detail.as_ref();
        ROW_BYTES + detail.map_or(0, |detail| detail.key.len() + 4 * detail.columns.len())
    }
}

/// A key that differs, in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedKey {
    pub(super) kind: Kind,
    pub(super) key: Box<[u8]>,
    /// Names of the columns that differ.
    pub(super) columns: Vec<String>,
}

/// One pass over some buckets. Buckets whose rows would not fit into memory are shed: what was
/// counted in them is forgotten, and the next pass takes them.
pub(super) struct Comparison<'a> {
    portion: BTreeMap<usize, Tally>,
    shed: BTreeSet<usize>,
    held: BTreeMap<u128, Held>,
    held_bytes: usize,
    bytes_max: usize,
    names: &'a [String],
    named: Vec<(usize, NamedKey)>,
    named_max: usize,
}

/// What a pass found.
pub(super) struct Outcome {
    /// Counts of the buckets that were compared.
    pub(super) tally: Tally,
    /// At most `named_max` keys of them.
    pub(super) named: Vec<NamedKey>,
    /// The buckets that were shed.
    pub(super) left: BTreeSet<usize>,
    /// Whether any bucket was compared.
    pub(super) advanced: bool,
}

impl<'a> Comparison<'a> {
    /// A pass over `buckets` that holds at most about `bytes_max` bytes and names at most
    /// `named_max` keys. `names` are the columns' names.
    pub(super) fn new(
        buckets: &BTreeSet<usize>,
        names: &'a [String],
        bytes_max: usize,
        named_max: usize,
    ) -> Comparison<'a> {
        Comparison {
            portion: buckets.iter().map(|at| (*at, Tally::default())).collect(),
            shed: BTreeSet::new(),
            held: BTreeMap::new(),
            held_bytes: 0,
            bytes_max,
            names,
            named: Vec::new(),
            named_max,
        }
    }

    /// Takes a row, by its canonical key.
    pub(super) fn add(&mut self, side: Side, key: &[u8], content: Content<'_>) {
        let key_digest = digest(key);
        let bucket = bucket_of(key_digest);
        if !self.portion.contains_key(&bucket) {
            return;
        }
        match self.held.get(&key_digest).map(|held| held.side) {
            None => self.hold(side, key_digest, key, content),
            // A second row of one key cannot have a partner. One that is refused is counted as
            // that.
            Some(known) if known == side && content == Content::Refused => {}
            Some(known) if known == side => self.note(bucket, side.alone(), key, Vec::new()),
            Some(_) => self.pair(bucket, key_digest, key, content),
        }
        while self.held_bytes > self.bytes_max && !self.portion.is_empty() {
            self.shed_half();
        }
    }

    fn hold(&mut self, side: Side, key_digest: u128, key: &[u8], content: Content<'_>) {
        let (row, detail) = match content {
            Content::Refused => (None, None),
            Content::Row { canonical: row, .. } => {
                let detail = (self.named.len() < self.named_max).then(|| Detail {
                    key: key.into(),
                    columns: column_digests(row),
                });
                (Some(digest(row)), detail)
            }
        };
        let held = Held { side, row, detail };
        self.held_bytes += held.bytes();
        self.held.insert(key_digest, held);
    }

    fn pair(&mut self, bucket: usize, key_digest: u128, key: &[u8], content: Content<'_>) {
        let Some(held) = self.held.remove(&key_digest) else {
            return;
        };
        self.held_bytes -= held.bytes();
        // A refused row is counted as that, whatever stands against it.
        let (Some(digest_held), Content::Row { canonical: row, .. }) = (held.row, content) else {
            return;
        };
        if digest_held == digest(row) {
            return;
        }
        let columns = held
            .detail
            .map(|detail| self.differing(&detail.columns, &column_digests(row)));
        self.note(bucket, Kind::Different, key, columns.unwrap_or_default());
    }

    fn differing(&self, ours: &[u32], theirs: &[u32]) -> Vec<String> {
        let both = self.names.iter().zip(ours.iter().zip(theirs));
        both.filter(|(_, (ours, theirs))| ours != theirs)
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn note(&mut self, bucket: usize, kind: Kind, key: &[u8], columns: Vec<String>) {
        if let Some(tally) = self.portion.get_mut(&bucket) {
            tally.count(kind);
        }
        if self.named.len() < self.named_max {
            let key = key.into();
            self.named.push((bucket, NamedKey { kind, key, columns }));
        }
    }

    /// Leaves the upper half of the buckets (the last one, if it is alone) to the next pass.
    fn shed_half(&mut self) {
        let Some(middle) = self.portion.keys().nth(self.portion.len() / 2).copied() else {
            return;
        };
        self.shed.extend(self.portion.split_off(&middle).into_keys());
        let portion = &self.portion;
        let bytes = &mut self.held_bytes;
        self.held.retain(|key_digest, held| {
            let kept = portion.contains_key(&bucket_of(*key_digest));
            *bytes -= if kept { 0 } else { held.bytes() };
            kept
        });
        self.named.retain(|(bucket, _)| portion.contains_key(bucket));
    }

    /// Ends the pass: rows without partner are missing or extra.
    pub(super) fn finish(mut self) -> Outcome {
        let mut rest = std::mem::take(&mut self.held);
        rest.retain(|_, held| held.row.is_some());
        for (key_digest, held) in rest {
            let (bucket, kind) = (bucket_of(key_digest), held.side.alone());
            match held.detail {
                Some(detail) => self.note(bucket, kind, &detail.key, Vec::new()),
                None => {
                    if let Some(tally) = self.portion.get_mut(&bucket) {
                        tally.count(kind);
                    }
                }
            }
        }
        let mut tally = Tally::default();
        for part in self.portion.values() {
            tally.missing += part.missing;
            tally.extra += part.extra;
            tally.different += part.different;
        }
        Outcome {
            tally,
            named: self.named.into_iter().map(|(_, named)| named).collect(),
            advanced: !self.portion.is_empty(),
            left: self.shed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spanferry_core::wire::list_value;

    type Rows = BTreeMap<u32, [&'static str; 2]>;

    fn row_of(canonical: &[u8]) -> Content<'_> {
        Content::Row {
            canonical,
            spelled: &[],
        }
    }

    fn canonical(key: u32, values: [&str; 2]) -> (Vec<u8>, Vec<u8>) {
        let mut bytes = Vec::new();
        list_value::put_string(&mut bytes, key.to_string().as_bytes());
        let key = bytes.clone();
        for value in values {
            list_value::put_string(&mut bytes, value.as_bytes());
        }
        (key, bytes)
    }

    /// Compares in as many passes as `bytes_max` takes: counts, named keys, passes.
    fn compare(source: &Rows, target: &Rows, bytes_max: usize) -> (Tally, Vec<NamedKey>, usize) {
        let names = ["id", "a", "b"].map(str::to_owned);
        let (mut sum, mut named, mut passes) = (Tally::default(), Vec::new(), 0);
        let mut left: BTreeSet<usize> = (0..4_096).collect();
        while !left.is_empty() {
            let mut comparison = Comparison::new(&left, &names, bytes_max, 1_000);
            for (key, values) in source {
                let (key, row) = canonical(*key, *values);
                comparison.add(Side::Source, &key, row_of(&row));
            }
            // The other order: nothing pairs early.
            for (key, values) in target.iter().rev() {
                let (key, row) = canonical(*key, *values);
                comparison.add(Side::Target, &key, row_of(&row));
            }
            let outcome = comparison.finish();
            sum.missing += outcome.tally.missing;
            sum.extra += outcome.tally.extra;
            sum.different += outcome.tally.different;
            named.extend(outcome.named);
            left = outcome.left;
            passes += 1;
            assert!(outcome.advanced && passes < 1_000, "no end");
        }
        (sum, named, passes)
    }

    #[test]
    fn counts_are_exact_however_many_passes_they_take() {
        let source: Rows = (0..600).map(|key| (key, ["x", "y"])).collect();
        let mut target = source.clone();
        for key in 0..50 {
            target.remove(&(key * 3));
            target.insert(1_000 + key, ["x", "y"]);
            target.insert(key * 3 + 1, ["x", "other"]);
        }
        let expected = Tally {
            missing: 50,
            extra: 50,
            different: 50,
        };
        let (whole, named, passes) = compare(&source, &target, usize::MAX);
        assert_eq!((whole, named.len(), passes), (expected, 150, 1));
        let (parts, mut again, passes) = compare(&source, &target, 20_000);
        assert_eq!((parts, again.len()), (expected, 150));
        assert!(passes > 1, "the bound was not met");
        let mut named = named;
        let sort = |keys: &mut Vec<NamedKey>| keys.sort_by(|a, b| a.key.cmp(&b.key));
        sort(&mut named);
        sort(&mut again);
        assert_eq!(named, again);
        let different = named
            .iter()
            .find(|key| key.kind == Kind::Different)
            .expect("there are 50");
        assert_eq!(different.columns, ["b"]);
    }

    #[test]
    fn pairs_are_forgotten_at_once() {
        let names = ["id", "a", "b"].map(str::to_owned);
        let buckets: BTreeSet<usize> = (0..4_096).collect();
        let mut comparison = Comparison::new(&buckets, &names, 2_000, 10);
        for key in 0..10_000 {
            let (id, row) = canonical(key, ["x", "y"]);
            comparison.add(Side::Source, &id, row_of(&row));
            let (id, row) = canonical(key, ["x", "z"]);
            comparison.add(Side::Target, &id, row_of(&row));
        }
        let outcome = comparison.finish();
        assert!(outcome.left.is_empty());
        assert_eq!((outcome.tally.different, outcome.named.len()), (10_000, 10));
    }

    #[test]
    fn a_bucket_beyond_memory_ends_the_pass_without_a_count() {
        let names = ["id", "a", "b"].map(str::to_owned);
        let (key, row) = canonical(1, ["x", "y"]);
        let buckets = BTreeSet::from([bucket_of(digest(&key))]);
        let mut comparison = Comparison::new(&buckets, &names, 10, 10);
        comparison.add(Side::Source, &key, row_of(&row));
        comparison.add(Side::Source, &key, row_of(&row));
        let outcome = comparison.finish();
        assert!(!outcome.advanced);
        assert_eq!((outcome.tally, outcome.left.len()), (Tally::default(), 1));
    }

    /// A refused row is neither missing nor different, and what the target holds for its key is not
    /// extra.
    #[test]
    fn refused_rows_are_counted_elsewhere() {
        let names = ["id", "a", "b"].map(str::to_owned);
        for target_first in [true, false] {
            let mut comparison = Comparison::new(&(0..4_096).collect(), &names, 9_999, 10);
            let (one, row) = canonical(1, ["x", "y"]);
            let (two, _) = canonical(2, ["x", "y"]);
            if target_first {
                comparison.add(Side::Target, &one, row_of(&row));
            }
            comparison.add(Side::Source, &one, Content::Refused);
            comparison.add(Side::Source, &two, Content::Refused);
            if !target_first {
                comparison.add(Side::Target, &one, row_of(&row));
            }
            let outcome = comparison.finish();
            assert_eq!((outcome.tally, outcome.named), (Tally::default(), Vec::new()));
        }
    }

    #[test]
    fn a_key_twice_on_one_side_is_never_equal() {
        let names = ["id", "a", "b"].map(str::to_owned);
        let mut comparison = Comparison::new(&(0..4_096).collect(), &names, 9_999, 10);
        let (key, row) = canonical(1, ["x", "y"]);
        for side in [Side::Source, Side::Source, Side::Target] {
            comparison.add(side, &key, row_of(&row));
        }
        assert_eq!(
            comparison.finish().tally,
            Tally {
                missing: 1,
                extra: 0,
                different: 0
            }
        );
    }
}
