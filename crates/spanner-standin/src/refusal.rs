//! What the stand-in answers when it refuses, in the service's words, and the record of
//! violations.

use std::sync::Mutex;
use std::time::Duration;

use prost::Message;
use spanferry_spanner_api::rpc;
use tonic::{Code, Status};

/// Most violations that are kept; later ones are counted only.
pub(crate) const VIOLATIONS_MAX: usize = 1_000;

/// Which rule of the protocol a request broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// `google-cloud-resource-prefix` or `x-goog-request-params` is missing or names something
    /// else.
    RoutingHeader,
    /// `x-goog-spanner-route-to-leader` is missing; recorded, but not refused, as the service only
    /// becomes slower.
    LeaderHeader,
    /// A session that never existed.
    Session,
    /// A transaction that never existed or is over.
    Transaction,
    /// The newest precommit token does not come with the commit.
    PrecommitToken,
    /// More than 80,000 mutations in a commit.
    MutationCount,
    /// More than 100 MiB in a commit.
    CommitBytes,
    /// A cell beyond its column's or Spanner's limit.
    CellSize,
    /// A key beyond 8 KiB.
    KeySize,
    /// Not as many values as columns, or a key column left out.
    ValueCount,
    /// A table that does not exist.
    UnknownTable,
    /// A column that does not exist.
    UnknownColumn,
    /// NULL in a NOT NULL column.
    NotNull,
    /// A value that is not in the form of its column's type.
    ValueForm,
    /// SQL or a method that the null mode does not answer.
    Unsupported,
    /// Bytes that are no message of the protocol.
    Malformed,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// What was answered, or would have been.
    pub message: String,
}

/// A status to answer with; with a rule when the client broke one.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: Status,
    pub(crate) rule: Option<Rule>,
}

impl Refusal {
    /// The client broke a rule.
    pub(crate) fn broken(rule: Rule, code: Code, message: impl Into<String>) -> Refusal {
        Refusal {
            status: Status::new(code, message),
            rule: Some(rule),
        }
    }

    /// An answer that a correct client can get.
    pub(crate) fn answer(code: Code, message: impl Into<String>) -> Refusal {
        Refusal {
            status: Status::new(code, message),
            rule: None,
        }
    }

    pub(crate) fn malformed() -> Refusal {
        Refusal::broken(
            Rule::Malformed,
            Code::Internal,
            "Failed to parse the request message.",
        )
    }

    pub(crate) fn ddl_syntax(statement: &str) -> Refusal {
        let message = format!("Error parsing Spanner DDL statement: {statement}");
        Refusal::answer(Code::InvalidArgument, message)
    }

    pub(crate) fn unknown_table(table: &str) -> Refusal {
        Refusal::broken(
            Rule::UnknownTable,
            Code::NotFound,
            format!("Table not found: {table}"),
        )
    }

    pub(crate) fn unknown_column(table: &str, column: &str) -> Refusal {
        let message = format!("Column not found in table {table}: {column}");
        Refusal::broken(Rule::UnknownColumn, Code::NotFound, message)
    }

    /// `known`: it was ended on command, which is no fault of the client.
    pub(crate) fn no_session(name: &str, known: bool) -> Refusal {
        let message = format!("Session not found: {name}");
        let resource = rpc::ResourceInfo {
            resource_type: "type.googleapis.com/google.spanner.v1.Session".to_owned(),
            resource_name: name.to_owned(),
            description: "Session does not exist.".to_owned(),
            ..rpc::ResourceInfo::default()
        };
        let status = detailed(Code::NotFound, &message, "google.rpc.ResourceInfo", &resource);
        Refusal {
            status,
            rule: if known { None } else { Some(Rule::Session) },
        }
    }

    pub(crate) fn no_database(name: &str) -> Refusal {
        Refusal::answer(Code::NotFound, format!("Database not found: {name}"))
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Refusal {
        Refusal { status, rule: None }
    }
}

/// A status with RetryInfo when there is a delay.
pub(crate) fn retryable(code: Code, message: &str, delay: Option<Duration>) -> Status {
    let Some(delay) = delay else {
        return Status::new(code, message);
    };
    let retry_delay = prost_types::Duration::try_from(delay).expect("a delay of this test kit fits");
    let info = rpc::RetryInfo {
        retry_delay: Some(retry_delay),
    };
    detailed(code, message, "google.rpc.RetryInfo", &info)
}

fn detailed(code: Code, message: &str, kind: &str, detail: &impl Message) -> Status {
    let detail = prost_types::Any {
        type_url: format!("type.googleapis.com/{kind}"),
        value: detail.encode_to_vec(),
    };
    let status = rpc::Status {
        code: code.into(),
        message: message.to_owned(),
        details: vec![detail],
    };
    Status::with_details(code, message, status.encode_to_vec().into())
}

/// The violations so far.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    kept: Mutex<Vec<Violation>>,
}

impl Violations {
    /// Records one.
    pub(crate) fn record(&self, rule: Rule, message: &str) {
        let mut kept = self.kept.lock().expect("no holder of this lock panics");
        if kept.len() < VIOLATIONS_MAX {
            kept.push(Violation {
                rule,
                message: message.to_owned(),
            });
        }
    }

    /// Records the rule of a refusal, if there is one, and gives its status.
    pub(crate) fn refuse(&self, refusal: Refusal) -> Status {
        if let Some(rule) = refusal.rule {
            self.record(rule, refusal.status.message());
        }
        refusal.status
    }

    pub(crate) fn all(&self) -> Vec<Violation> {
        self.kept.lock().expect("no holder of this lock panics").clone()
    }

    pub(crate) fn take(&self) -> Vec<Violation> {
        std::mem::take(&mut self.kept.lock().expect("no holder of this lock panics"))
    }
}
