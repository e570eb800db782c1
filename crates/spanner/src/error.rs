//! Errors of the Spanner client: every gRPC status is classified here, once, where it is born.

use std::fmt;
use std::time::Duration;

use prost::Message;
use spanferry_core::report::failure::ServerWords;
use spanferry_spanner_api::rpc;
use tonic::{Code, Status};

use crate::endpoint::EndpointError;

/// What went wrong in one call. Display names the object and what the server said; it holds what
/// the server put there, which may be a key.
#[derive(Debug, thiserror::Error)]
pub enum SpannerError {
    /// The transaction was aborted: nothing happened; run it again, not before the delay the server
    /// asks for.
    #[error("{object}: transaction aborted: {message}")]
    Aborted {
        /// What the call was about.
        object: String,
        /// The server's words.
        message: String,
        /// Delay asked for by the server.
        retry_delay: Option<Duration>,
    },
    /// No answer, or one that says nothing about the outcome: a write may have happened, a read may
    /// be made again.
    #[error("{object}: no definite answer ({code:?}): {message}")]
    Unanswered {
        /// What the call was about.
        object: String,
        /// The status: deadline, unavailable, cancelled, unknown or internal.
        code: Code,
        /// The server's or transport's words.
        message: String,
        /// Delay asked for by the server.
        retry_delay: Option<Duration>,
    },
    /// The server will not do it now; nothing happened.
    #[error("{object}: resource exhausted: {message}")]
    Exhausted {
        /// What the call was about.
        object: String,
        /// The server's words.
        message: String,
        /// Delay asked for by the server.
        retry_delay: Option<Duration>,
    },
    /// The session is gone; nothing happened, and the next call opens another.
    #[error("{object}: session lost: {message}")]
    SessionLost {
        /// What the call was about.
        object: String,
        /// The server's words.
        message: String,
    },
    /// The server will not do it, whenever it is asked.
    #[error("{object}: rejected ({code:?}): {message}")]
    Rejected {
        /// What the call was about.
        object: String,
        /// Why.
        code: Code,
        /// The server's words.
        message: String,
    },
    /// The server does not keep the version any more that the read is at.
    #[error("{object}: the version that is read is not kept any more: {message}")]
    Expired {
        /// What the call was about.
        object: String,
        /// The server's words.
        message: String,
    },
    /// The credentials are missing, wrong or lack a permission; nothing happened.
    #[error("{object}: access denied: {message}")]
    Denied {
        /// What the call was about.
        object: String,
        /// The server's or the credentials' words.
        message: String,
        /// Whether the credentials themselves could not be had for a passing reason.
        passing: bool,
    },
    /// The server's answer is not what its documentation says.
    #[error("{object}: malformed answer: expected {expected}")]
    Malformed {
        /// What the call was about.
        object: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The endpoint cannot be used.
    #[error("target endpoint")]
    Endpoint(#[from] EndpointError),
    /// The transport refuses its configuration.
    #[error("target endpoint {endpoint}")]
    Transport {
        /// The endpoint.
        endpoint: String,
        /// Why.
        source: tonic::transport::Error,
    },
}

impl SpannerError {
    /// Classifies a status; `object` says what the call was about, never a row's value.
    pub fn new(object: impl Into<String>, status: &Status) -> SpannerError {
        let object = object.into();
        let message = message(status);
        let details = Details::of(status);
        match status.code() {
            Code::Aborted => SpannerError::Aborted {
                object,
                message,
                retry_delay: details.retry_delay,
            },
            Code::DeadlineExceeded | Code::Unavailable | Code::Cancelled | Code::Unknown | Code::Internal => {
                SpannerError::Unanswered {
                    object,
                    code: status.code(),
                    message,
                    retry_delay: details.retry_delay,
                }
            }
            Code::ResourceExhausted => SpannerError::Exhausted {
                object,
                message,
                retry_delay: details.retry_delay,
            },
            Code::NotFound if details.session || message.starts_with("Session not found") => {
                SpannerError::SessionLost { object, message }
            }
            Code::Unauthenticated | Code::PermissionDenied => SpannerError::Denied {
                object,
                message,
                passing: false,
            },
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::DataLoss => SpannerError::Rejected {
                object,
                code: status.code(),
                message,
            },
            Code::Ok => SpannerError::Malformed {
                object,
                expected: "an error",
            },
        }
    }

    /// An answer that lacks something.
    pub(crate) fn malformed(object: impl Into<String>, expected: &'static str) -> SpannerError {
        SpannerError::Malformed {
            object: object.into(),
            expected,
        }
    }

    /// The same of a read whose timestamp was chosen before. Spanner answers `FAILED_PRECONDITION`
    /// once it has dropped that version of the database.
    pub(crate) fn at_timestamp(self) -> SpannerError {
        match self {
            SpannerError::Rejected {
                object,
                code: Code::FailedPrecondition,
                message,
            } => SpannerError::Expired { object, message },
            other => other,
        }
    }

    /// What a log may hold of it. A server quotes rows and keys where it judges data (a duplicate,
    /// a reference, a conflict); it does not where it speaks of the way to it, of sessions or of
    /// access.
    pub fn for_log(&self) -> String {
        match self {
            SpannerError::Aborted { object, .. } => format!("{object}: transaction aborted"),
            SpannerError::Unanswered {
                code: Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled,
                ..
            } => self.to_string(),
            SpannerError::Unanswered { object, code, .. } => {
                format!("{object}: no definite answer ({code:?})")
            }
            SpannerError::Exhausted { object, .. } => format!("{object}: resource exhausted"),
            SpannerError::Rejected { object, code, .. } => format!("{object}: rejected ({code:?})"),
            SpannerError::SessionLost { .. }
            | SpannerError::Expired { .. }
            | SpannerError::Denied { .. }
            | SpannerError::Malformed { .. }
            | SpannerError::Endpoint(_)
            | SpannerError::Transport { .. } => self.to_string(),
        }
    }

    /// Whether a call without effects, or whose effects repeat harmlessly, may be made again as it
    /// is.
    pub fn is_passing(&self) -> bool {
        match self {
            SpannerError::Aborted { .. }
            | SpannerError::Unanswered { .. }
            | SpannerError::Exhausted { .. }
            | SpannerError::SessionLost { .. } => true,
            SpannerError::Denied { passing, .. } => *passing,
            SpannerError::Rejected { .. }
            | SpannerError::Expired { .. }
            | SpannerError::Malformed { .. }
            | SpannerError::Endpoint(_)
            | SpannerError::Transport { .. } => false,
        }
    }

    /// The delay the server asks for before the next try.
    pub fn retry_delay(&self) -> Option<Duration> {
        match self {
            SpannerError::Aborted { retry_delay, .. }
            | SpannerError::Unanswered { retry_delay, .. }
            | SpannerError::Exhausted { retry_delay, .. } => *retry_delay,
            SpannerError::SessionLost { .. }
            | SpannerError::Rejected { .. }
            | SpannerError::Expired { .. }
            | SpannerError::Denied { .. }
            | SpannerError::Malformed { .. }
            | SpannerError::Endpoint(_)
            | SpannerError::Transport { .. } => None,
        }
    }

    /// The status of a rejection.
    pub fn rejection(&self) -> Option<Code> {
        match self {
            SpannerError::Rejected { code, .. } => Some(*code),
            SpannerError::Aborted { .. }
            | SpannerError::Unanswered { .. }
            | SpannerError::Exhausted { .. }
            | SpannerError::SessionLost { .. }
            | SpannerError::Expired { .. }
            | SpannerError::Denied { .. }
            | SpannerError::Malformed { .. }
            | SpannerError::Endpoint(_)
            | SpannerError::Transport { .. } => None,
        }
    }
}

impl From<SpannerError> for ServerWords {
    fn from(error: SpannerError) -> ServerWords {
        let for_log = error.for_log();
        ServerWords::new(error, for_log)
    }
}

/// The server's words, with the transport's cause, which tonic keeps apart.
fn message(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            use fmt::Write;
            write!(text, ": {words}").expect("writing to a string does not fail");
        }
        cause = error.source();
    }
    text
}

/// What `grpc-status-details-bin` adds to a status.
#[derive(Debug, Default, PartialEq, Eq)]
struct Details {
    retry_delay: Option<Duration>,
    session: bool,
}

impl Details {
    /// Details that do not parse are as good as none: the status code alone decides then.
    fn of(status: &Status) -> Details {
        let mut details = Details::default();
        let Ok(parsed) = rpc::Status::decode(status.details()) else {
            return details;
        };
        for detail in parsed.details {
            match detail.type_url.rsplit('/').next() {
                Some("google.rpc.RetryInfo") => {
                    let info = rpc::RetryInfo::decode(detail.value.as_slice()).unwrap_or_default();
                    details.retry_delay = info.retry_delay.and_then(|delay| delay.try_into().ok());
                }
                Some("google.rpc.ResourceInfo") => {
                    let info = rpc::ResourceInfo::decode(detail.value.as_slice()).unwrap_or_default();
                    details.session |= info.resource_type.ends_with("google.spanner.v1.Session");
                }
                _ => {}
            }
        }
        details
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Any;

    use super::*;

    fn status(code: Code, message: &str, details: Vec<Any>) -> Status {
        let details = rpc::Status {
            code: code as i32,
            message: message.to_owned(),
            details,
        };
        Status::with_details(code, message, details.encode_to_vec().into())
    }

    fn any(name: &str, message: &impl Message) -> Any {
        Any {
            type_url: format!("type.googleapis.com/{name}"),
            value: message.encode_to_vec(),
        }
    }

    #[track_caller]
    fn check(status: &Status, expected: &str) {
        let error = SpannerError::new("table a", status);
        let shape = match &error {
            SpannerError::Aborted { retry_delay, .. } => format!("aborted {retry_delay:?}"),
            SpannerError::Unanswered { code, .. } => format!("unanswered {code:?}"),
            SpannerError::Exhausted { retry_delay, .. } => format!("exhausted {retry_delay:?}"),
            SpannerError::SessionLost { .. } => "session lost".to_owned(),
            SpannerError::Rejected { code, .. } => format!("rejected {code:?}"),
            SpannerError::Denied { .. } => "denied".to_owned(),
            other => format!("{other}"),
        };
        assert_eq!(shape, expected);
    }

    #[test]
    fn classes() {
        let delay = prost_types::Duration {
            seconds: 0,
            nanos: 20_000_000,
        };
        let retry = any(
            "google.rpc.RetryInfo",
            &rpc::RetryInfo {
                retry_delay: Some(delay),
            },
        );
        let resource_type = "type.googleapis.com/google.spanner.v1.Session".to_owned();
        let session = any(
            "google.rpc.ResourceInfo",
            &rpc::ResourceInfo {
                resource_type,
                ..Default::default()
            },
        );
        check(
            &status(Code::Aborted, "x", vec![retry.clone()]),
            "aborted Some(20ms)",
        );
        check(&Status::aborted("x"), "aborted None");
        check(
            &status(Code::ResourceExhausted, "x", vec![retry]),
            "exhausted Some(20ms)",
        );
        check(&status(Code::NotFound, "gone", vec![session]), "session lost");
        check(
            &Status::not_found("Session not found: projects/p"),
            "session lost",
        );
        check(
            &Status::not_found("Row [1] in table t is missing"),
            "rejected NotFound",
        );
        check(&Status::permission_denied("x"), "denied");
        check(&Status::unavailable("x"), "unanswered Unavailable");
        check(&Status::cancelled("x"), "unanswered Cancelled");
        check(
            &Status::with_details(Code::Aborted, "x", bytes::Bytes::from_static(b"\xff")),
            "aborted None",
        );
    }

    #[test]
    fn only_what_may_pass_is_asked_again() {
        let error = |status: &Status| SpannerError::new("t", status);
        let denied = |passing| SpannerError::Denied {
            object: "t".to_owned(),
            message: "x".to_owned(),
            passing,
        };
        let passing = [
            error(&Status::aborted("x")),
            error(&Status::unavailable("x")),
            error(&Status::resource_exhausted("x")),
            error(&Status::not_found("Session not found: x")),
            denied(true),
        ];
        for error in passing {
            assert!(error.is_passing(), "{error}");
        }
        let lasting = [
            error(&Status::failed_precondition("x")),
            error(&Status::failed_precondition("x")).at_timestamp(),
            error(&Status::permission_denied("x")),
            denied(false),
            SpannerError::malformed("t", "a row"),
        ];
        for error in lasting {
            assert!(!error.is_passing(), "{error}");
        }
    }
}
