//! Why a group of tables has stopped, as it is recorded with each of its tables.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::text::{RecordError, VERSION, decode, encode};
use crate::code::Code;
use crate::finding::{Finding, Subject};

/// What the text is, for errors.
const WHAT: &str = "the reason of a stop";

/// Why a group of tables has stopped. Decisions read the code; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReason {
    /// Register entry.
    pub code: Code,
    /// What it is about.
    pub subject: Subject,
    /// What happened, as a sentence fragment.
    pub text: String,
    /// The statement or command that helps.
    pub remedy: Option<String>,
}

impl From<&Finding> for StopReason {
    fn from(finding: &Finding) -> StopReason {
        StopReason {
            code: finding.code,
            subject: finding.subject.clone(),
            text: finding.text.clone(),
            remedy: finding.remedy.as_ref().map(ToString::to_string),
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.code, self.subject, self.text)
    }
}

/// The stored form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredStopReason {
    version: u32,
    code: String,
    table: Option<String>,
    part: Option<String>,
    text: String,
    remedy: Option<String>,
}

impl StopReason {
    /// The text that is stored.
    pub fn to_record(&self) -> String {
        encode(&StoredStopReason {
            version: VERSION,
            code: self.code.to_string(),
            table: self.subject.table.clone(),
            part: self.subject.part.clone(),
            text: self.text.clone(),
            remedy: self.remedy.clone(),
        })
    }

    /// Reads a stored text.
    pub fn from_record(text: &str) -> Result<StopReason, RecordError> {
        let stored: StoredStopReason = decode(text, WHAT)?;
        let code = Code::parse(&stored.code)
            .ok_or_else(|| RecordError::unreadable(WHAT, format!("`{}` is not a code", stored.code)))?;
        Ok(StopReason {
            code,
            subject: Subject {
                table: stored.table,
                part: stored.part,
            },
            text: stored.text,
            remedy: stored.remedy,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code;

    #[test]
    fn the_golden_reason_is_read_and_written_again() {
        let golden = include_str!("golden/stop-reason-2.json").trim_end();
        let reason = StopReason {
            code: code::DDL_SEEN,
            subject: Subject::part("orders", "state"),
            text: "ALTER TABLE at the source (transaction 0-1-7) é\"".to_owned(),
            remedy: Some("spanferry resync orders".to_owned()),
        };
        assert_eq!(StopReason::from_record(golden), Ok(reason.clone()));
        assert_eq!(reason.to_record(), golden);
    }

    #[test]
    fn what_this_release_does_not_write_is_an_error() {
        let golden = include_str!("golden/stop-reason-2.json").trim_end();
        for (from, to) in [
            ("\"version\":2", "\"version\":3"),
            ("\"version\":2,", ""),
            ("SF-5001", "SF-0000"),
            ("\"part\"", "\"column\""),
            ("\"text\"", "\"words\""),
            ("}", ""),
        ] {
            let text = golden.replacen(from, to, 1);
            assert_ne!(text, golden, "{from}");
            StopReason::from_record(&text).unwrap_err();
        }
        StopReason::from_record("SF-5001: orders: ALTER TABLE").unwrap_err();
    }
}
