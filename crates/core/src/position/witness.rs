//! What distinguishes a transaction from another one that has the same identity in another history.
//!
//! A server whose history was reset, or that was restored from a backup, gives its numbers out a
//! second time. The identity of a transaction is then no proof; its commit time and its content are
//! (docs/design/history.md).

use std::fmt;

use super::{PositionError, TransactionId};

/// A transaction with what proves that it is the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The identity.
    pub id: TransactionId,
    /// When it was committed on the server where it began, in microseconds since 1970. Replicas
    /// keep it. 0 if unknown.
    pub committed_at_us: u64,
    /// A digest of the rows that it changed; `None` if it is not known. One without rows has the
    /// digest of nothing.
    pub content: Option<ContentDigest>,
}

/// The first 64 bits of a digest of a transaction's rows, in a form that replicas share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentDigest(pub u64);

/// Whether two witnesses with the same identity are of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// They are.
    Same,
    /// They are not: there are two histories.
    Different,
    /// Neither time nor content is known of both.
    Unknown,
}

impl Witness {
    /// A transaction of which nothing but the identity is known.
    pub fn unknown(id: TransactionId) -> Witness {
        Witness {
            id,
            committed_at_us: 0,
            content: None,
        }
    }

    /// Parses what `Display` writes: `ID`, `ID@MICROSECONDS` or `ID@MICROSECONDS#DIGEST`.
    pub fn parse(text: &str) -> Result<Witness, PositionError> {
        let malformed = || PositionError::Malformed(text.to_owned());
        let (id, stamp) = match text.split_once('@') {
            Some((id, stamp)) => (id, Some(stamp)),
            None => (text, None),
        };
        let mut witness = Witness::unknown(TransactionId::parse(id).ok_or_else(malformed)?);
        let Some(stamp) = stamp else { return Ok(witness) };
        let (time, content) = match stamp.split_once('#') {
            Some((time, content)) => (time, Some(content)),
            None => (stamp, None),
        };
        witness.committed_at_us = decimal(time).ok_or_else(malformed)?;
        witness.content = content
            .map(|digits| ContentDigest::parse(digits).ok_or_else(malformed))
            .transpose()?;
        if witness.committed_at_us == 0 && witness.content.is_none() {
            return Err(malformed());
        }
        Ok(witness)
    }

    /// Refuses a transaction of the same identity that is not this one. What cannot be compared
    /// passes.
    pub fn expect_same(&self, shown: &Witness) -> Result<(), PositionError> {
        match self.compare(shown) {
            Agreement::Same | Agreement::Unknown => Ok(()),
            Agreement::Different => Err(PositionError::OtherTransaction {
                known: self.to_string(),
                shown: shown.to_string(),
            }),
        }
    }

    /// Compares with the transaction of the same identity that another history shows.
    pub fn compare(&self, shown: &Witness) -> Agreement {
        if self.id != shown.id {
            return Agreement::Different;
        }
        let times = (self.committed_at_us != 0 && shown.committed_at_us != 0)
            .then_some(self.committed_at_us == shown.committed_at_us);
        let contents = match (self.content, shown.content) {
            (Some(own), Some(theirs)) => Some(own == theirs),
            (Some(_) | None, Some(_) | None) => None,
        };
        match (times, contents) {
            (Some(false), _) | (_, Some(false)) => Agreement::Different,
            (Some(true), _) | (_, Some(true)) => Agreement::Same,
            (None, None) => Agreement::Unknown,
        }
    }
}

/// Digits without a sign or leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let value: u64 = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

impl ContentDigest {
    const DIGITS: usize = 16;

    fn parse(text: &str) -> Option<ContentDigest> {
        let is_ours = text.len() == ContentDigest::DIGITS
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let value = u64::from_str_radix(text, 16).ok()?;
        is_ours.then_some(ContentDigest(value))
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)?;
        match self.content {
            Some(ContentDigest(digest)) => write!(f, "@{}#{digest:016x}", self.committed_at_us),
            None if self.committed_at_us == 0 => Ok(()),
            None => write!(f, "@{}", self.committed_at_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts as they are stored: these must be read and written for ever.
    const GOLDEN: [&str; 6] = [
        "0-1-5",
        "0-1-5@1795972824000000",
        "0-1-5@1795972824000000#00000000000000ff",
        "0-1-5@0#0123456789abcdef",
        "19bdbc62-ec19-11f1-a791-02fc00000001:7@1795972828002936",
        "19bdbc62-ec19-11f1-a791-02fc00000001:tag:7@1795972828002936",
    ];

    #[test]
    fn golden_texts_are_read_and_written_again() {
        for text in GOLDEN {
            assert_eq!(Witness::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "0-1",
            "@5",
            "0-1-5@",
            "0-1-5@0",
            "0-1-5@+5",
            "0-1-5@05",
            "0-1-5@5#",
            "0-1-5@5#0123456789abcde",
            "0-1-5@5#0123456789ABCDEF",
            "0-1-5@5#+123456789abcdef",
            "0-1-5#0123456789abcdef",
        ] {
            Witness::parse(text).unwrap_err();
        }
    }

    #[test]
    fn two_transactions_of_one_identity_are_told_apart() {
        let check = |known: &str, shown: &str, expected: Agreement| {
            let parse = |text: &str| Witness::parse(text).unwrap();
            assert_eq!(parse(known).compare(&parse(shown)), expected, "{known} {shown}");
            assert_eq!(parse(shown).compare(&parse(known)), expected, "{shown} {known}");
        };
        let digest = |last: u8| format!("0-1-5@7#000000000000000{last}");
        check("0-1-5@7", "0-1-5@7", Agreement::Same);
        check("0-1-5@7", "0-1-5@8", Agreement::Different);
        check("0-1-5@7", "0-1-6@7", Agreement::Different);
        check("0-1-5@7", "0-2-5@7", Agreement::Different);
        check(&digest(1), &digest(1), Agreement::Same);
        check(&digest(1), &digest(2), Agreement::Different);
        check(&digest(1), "0-1-5@8#0000000000000001", Agreement::Different);
        // A first part, whose content is not known yet.
        check(&digest(1), "0-1-5@7", Agreement::Same);
        // A server that does not keep the time.
        check("0-1-5@0#0000000000000001", &digest(1), Agreement::Same);
        check("0-1-5@0#0000000000000002", &digest(1), Agreement::Different);
        check("0-1-5@0#0000000000000001", "0-1-5@7", Agreement::Unknown);
        check("0-1-5", "0-1-5@7", Agreement::Unknown);
        check("0-1-5", "0-1-5", Agreement::Unknown);
    }
}
