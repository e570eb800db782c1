//! From the client's errors to the failures and commit errors of the boundary.

use spanferry_core::port::target::{CommitError, Rejection};
use spanferry_core::report::code::{self, Code};
use spanferry_core::report::failure::{Class, Failure, ServerWords};

use crate::error::SpannerError;
use crate::row::MalformedRow;

/// The failure of a call whose retries are used up, or that no retry helps: the migration stops and
/// can be resumed.
pub(crate) fn failure(error: SpannerError) -> Failure {
    let (code, message) = judge(&error);
    Failure::new(code, Class::StopMigration, "", message).caused_by(ServerWords::from(error))
}

/// The same at the start, where no answer means that the target cannot be reached at all.
pub(crate) fn first_failure(error: SpannerError) -> Failure {
    let silent = matches!(error, SpannerError::Unanswered { .. });
    let failure = failure(error);
    if silent {
        Failure {
            code: code::TARGET_UNREACHABLE,
            message: "no answer".to_owned(),
            ..failure
        }
    } else {
        failure
    }
}

/// A control row that is not as its definition says.
pub(crate) fn malformed(table: &str, error: MalformedRow) -> Failure {
    let message = "a control row is not as Spanferry writes it";
    Failure::new(
        code::TARGET_FAILED,
        Class::StopMigration,
        format!("table {table}"),
        message,
    )
    .caused_by(error)
}

fn judge(error: &SpannerError) -> (Code, &'static str) {
    match error {
        SpannerError::Aborted { .. } => (code::TARGET_FAILED, "a transaction was aborted again and again"),
        SpannerError::Unanswered { .. } => {
            (code::TARGET_FAILED, "no definite answer within the retry budget")
        }
        SpannerError::Exhausted { .. } => (
            code::TARGET_FAILED,
            "the target has no room within the retry budget",
        ),
        SpannerError::SessionLost { .. } => (code::TARGET_FAILED, "the session was lost again and again"),
        SpannerError::Rejected {
            code: tonic::Code::NotFound,
            message,
            ..
        } if is_missing(message) => (
            code::TARGET_MISSING,
            "the database or its instance does not exist",
        ),
        SpannerError::Rejected { .. } => (code::TARGET_FAILED, "the call was rejected"),
        SpannerError::Expired { .. } => (
            code::VERSION_EXPIRED,
            "the target does not keep the version any more that is read",
        ),
        SpannerError::Denied { .. } => (code::TARGET_LOGIN, "access denied"),
        SpannerError::Malformed { .. } => (code::TARGET_FAILED, "an answer is not as the protocol says"),
        SpannerError::Endpoint(_) => (code::USAGE, "the target's endpoint cannot be used"),
        SpannerError::Transport { .. } => (code::TARGET_UNREACHABLE, "the connection cannot be configured"),
    }
}

/// Whether the database itself, or its instance, is what is not found.
pub(crate) fn is_missing(message: &str) -> bool {
    message.starts_with("Database not found") || message.starts_with("Instance not found")
}

/// What became of one commit, exhaustively; nothing that is unknown counts as an answer.
pub(crate) fn commit_error(error: SpannerError) -> CommitError {
    let rejected = |status: &str, message: String, too_large, transient: bool| {
        let named = named_objects(&message);
        CommitError::Rejected(Rejection {
            status: status.to_owned(),
            of_value: !transient && is_of_value(&message, &named),
            named,
            message,
            too_large,
            transient,
        })
    };
    match error {
        SpannerError::Aborted { retry_delay, .. } => CommitError::Aborted {
            retry_after: retry_delay,
        },
        SpannerError::Unanswered { .. } => {
            let message = "no definite answer to a commit";
            let failure = Failure::new(code::TARGET_FAILED, Class::Ambiguous, "", message);
            CommitError::Ambiguous(failure.caused_by(ServerWords::from(error)))
        }
        SpannerError::Exhausted { message, .. } => {
            let too_large = is_too_large(&message);
            rejected("RESOURCE_EXHAUSTED", message, too_large, !too_large)
        }
        SpannerError::SessionLost { message, .. } => rejected("NOT_FOUND", message, false, true),
        SpannerError::Rejected { code, message, .. } => {
            let too_large = is_too_large(&message);
            rejected(status_name(code), message, too_large, false)
        }
        SpannerError::Expired { message, .. } => rejected("FAILED_PRECONDITION", message, false, false),
        SpannerError::Denied { message, .. } => rejected("PERMISSION_DENIED", message, false, true),
        SpannerError::Malformed { .. } | SpannerError::Endpoint(_) | SpannerError::Transport { .. } => {
            rejected("INTERNAL", error.to_string(), false, true)
        }
    }
}

/// What stands behind the word `index`, `key` or `constraint` in the server's words, perhaps
/// quoted, in its order. Behind the first bracket a server quotes values, which could hold
/// anything.
fn named_objects(message: &str) -> Vec<String> {
    const KINDS: [&str; 4] = ["index", "indexes", "key", "constraint"];
    let words = message.split(['{', '[', '(']).next().unwrap_or_default();
    let words = words.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let behind = words
        .windows(2)
        .filter(|pair| KINDS.iter().any(|kind| kind.eq_ignore_ascii_case(pair[0])));
    behind.map(|pair| pair[1].to_owned()).collect()
}

/// Whether a commit as a whole was too large, as Spanner, the emulator and gRPC say it; a cell that
/// is too large is another matter.
fn is_too_large(message: &str) -> bool {
    const WORDS: [&str; 6] = [
        "too many mutations",
        "transaction size",
        "commit size",
        "larger than max",
        "message length too large",
        "request payload size",
    ];
    let message = message.to_ascii_lowercase();
    WORDS.iter().any(|words| message.contains(words))
}

/// Whether a value does not fit its column, the table's own key or a rule about values, as Spanner
/// and the emulator say it. Other words that name an index, a key or a constraint are about that.
fn is_of_value(message: &str, named: &[String]) -> bool {
    const OF_COLUMN: [&str; 4] = [
        "exceeds the maximum size limit for this column",
        "cannot specify a null value for column",
        "does not specify a non-null value",
        "invalid value for column",
    ];
    const OF_ROW: [&str; 2] = ["check constraint ", "number of bytes for key of table "];
    let message = message.to_ascii_lowercase();
    let is_of_column = named.is_empty() && OF_COLUMN.iter().any(|words| message.contains(words));
    is_of_column || OF_ROW.iter().any(|words| message.starts_with(words))
}

/// The status as gRPC writes it.
pub(crate) fn status_name(code: tonic::Code) -> &'static str {
    match code {
        tonic::Code::Ok => "OK",
        tonic::Code::Cancelled => "CANCELLED",
        tonic::Code::Unknown => "UNKNOWN",
        tonic::Code::InvalidArgument => "INVALID_ARGUMENT",
        tonic::Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        tonic::Code::NotFound => "NOT_FOUND",
        tonic::Code::AlreadyExists => "ALREADY_EXISTS",
        tonic::Code::PermissionDenied => "PERMISSION_DENIED",
        tonic::Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        tonic::Code::FailedPrecondition => "FAILED_PRECONDITION",
        tonic::Code::Aborted => "ABORTED",
        tonic::Code::OutOfRange => "OUT_OF_RANGE",
        tonic::Code::Unimplemented => "UNIMPLEMENTED",
        tonic::Code::Internal => "INTERNAL",
        tonic::Code::Unavailable => "UNAVAILABLE",
        tonic::Code::DataLoss => "DATA_LOSS",
        tonic::Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    #[track_caller]
    fn check(status: &Status, expected: &str) {
        check_error(SpannerError::new("t", status), expected);
    }

    #[track_caller]
    fn check_error(error: SpannerError, expected: &str) {
        let shape = match commit_error(error) {
            CommitError::Aborted { .. } => "aborted".to_owned(),
            CommitError::Ambiguous(failure) => format!("ambiguous {:?}", failure.class),
            CommitError::Rejected(rejection) => {
                format!(
                    "{} large {} transient {}",
                    rejection.status, rejection.too_large, rejection.transient
                )
            }
        };
        assert_eq!(shape, expected);
    }

    /// The words of the emulator and of the service.
    #[test]
    fn objects_are_named_by_the_servers_words() {
        let check = |message: &str, expected: &str| {
            let named = named_objects(message);
            assert!(named.iter().any(|name| name == expected), "{message}: {named:?}");
        };
        check(
            "Foreign key `fk_one` constraint violation on table `c`. Cannot find referenced key `{Int64(5)}` in table `p`.",
            "fk_one",
        );
        check(
            "Foreign key `fk` constraint violation when deleting or updating referenced key `{String(\"a\")}` in table `p`.",
            "fk",
        );
        check(
            "Foreign key constraint `fk_one` is violated on table `c`. Cannot find referenced values in p(id).",
            "fk_one",
        );
        check(
            "UNIQUE violation on index c_k,  duplicate key: {String(\"a\")} in this transaction.",
            "c_k",
        );
        check(
            "Unique index violation on index c_k at index key [a,1]. It conflicts with row [2] in table c.",
            "c_k",
        );
        check(
            "Number of bytes for key of index p_k is 9008 which exceeds the maximum of 8192.",
            "p_k",
        );
        assert!(named_objects("key: {String(\"index c_k\")}").is_empty());
    }

    #[test]
    fn a_value_that_does_not_fit_is_told_from_a_constraint() {
        let of_value = |status: &Status| match commit_error(SpannerError::new("t", status)) {
            CommitError::Rejected(rejection) => rejection.of_value,
            CommitError::Aborted { .. } | CommitError::Ambiguous(_) => false,
        };
        let cell = "New value exceeds the maximum size limit for this column: t.c, size: 5, limit: 4.";
        assert!(of_value(&Status::failed_precondition(cell)));
        let null = "Cannot specify a null value for column: c in table: t";
        assert!(of_value(&Status::failed_precondition(null)));
        let key = "Number of bytes for key of table p is 9008 which exceeds the maximum of 8192.";
        assert!(of_value(&Status::failed_precondition(key)));
        let key = "Number of bytes for key of index p_k is 9008 which exceeds the maximum of 8192.";
        assert!(!of_value(&Status::failed_precondition(key)));
        let foreign = "Foreign key `fk` constraint violation on table `c`. Cannot find referenced key `{String(\"invalid value for column\")}` in table `p`.";
        assert!(!of_value(&Status::failed_precondition(foreign)));
        let rule = "Check constraint `t`.`rule` is violated for key {Int64(5)}";
        assert!(of_value(&Status::out_of_range(rule)));
        assert!(!of_value(&Status::aborted(cell)));
        assert!(!of_value(&Status::resource_exhausted(cell)), "it may pass");
    }

    #[test]
    fn commit_outcomes() {
        check(&Status::aborted("x"), "aborted");
        for status in [
            Status::unavailable("x"),
            Status::deadline_exceeded("x"),
            Status::cancelled("x"),
        ] {
            check(&status, "ambiguous Ambiguous");
        }
        check(&Status::unknown("x"), "ambiguous Ambiguous");
        check(&Status::internal("x"), "ambiguous Ambiguous");
        check(
            &Status::not_found("Row missing"),
            "NOT_FOUND large false transient false",
        );
        check(
            &Status::not_found("Session not found: x"),
            "NOT_FOUND large false transient true",
        );
        check(
            &Status::resource_exhausted("quota"),
            "RESOURCE_EXHAUSTED large false transient true",
        );
        let large =
            Status::resource_exhausted("SERVER: Received message larger than max (115343360 vs. 104857600)");
        check(&large, "RESOURCE_EXHAUSTED large true transient false");
        let many =
            Status::invalid_argument("The transaction contains too many mutations. Insert and update …");
        check(&many, "INVALID_ARGUMENT large true transient false");
        let cell =
            Status::failed_precondition("New value exceeds the maximum size limit for this column: t.c");
        check(&cell, "FAILED_PRECONDITION large false transient false");
        check(
            &Status::permission_denied("x"),
            "PERMISSION_DENIED large false transient true",
        );
        let expired = SpannerError::new("t", &Status::failed_precondition("x")).at_timestamp();
        check_error(expired, "FAILED_PRECONDITION large false transient false");
        let malformed = SpannerError::malformed("t", "a number");
        check_error(malformed, "INTERNAL large false transient true");
    }

    #[test]
    fn a_missing_database_is_told_from_a_missing_table() {
        let code_of = |words: &str| failure(SpannerError::new("t", &Status::not_found(words))).code;
        assert_eq!(code_of("Database not found: projects/p"), code::TARGET_MISSING);
        assert_eq!(code_of("Instance not found: projects/p"), code::TARGET_MISSING);
        assert_eq!(code_of("Table not found: t"), code::TARGET_FAILED);
    }
}
