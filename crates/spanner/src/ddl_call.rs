//! One DDL call until it has become an operation. A call whose outcome is unknown is found by the
//! id of its operation; it is sent again only where the server does not know that id.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use spanferry_spanner_api::database_admin::UpdateDatabaseDdlRequest;
use spanferry_spanner_api::longrunning::Operation;
use tokio::time::timeout;
use tonic::{Code, Response};

use crate::backoff::{Backoff, RETRY_BUDGET};
use crate::client::{Client, Route};
use crate::error::SpannerError;
use crate::failure::is_missing;

/// What the calls are about, for their errors.
pub(crate) const OBJECT: &str = "its schema change";
/// How long DDL that is refused because of other work on the database is tried again.
pub(crate) const CONTENTION_BUDGET: Duration = Duration::from_secs(120);
/// Deadline of one call. Spanner answers in seconds. The emulator answers when all statements are
/// done, and it does not stop when the caller has gone away. Google's clients wait as long.
const DDL_DEADLINE: Duration = Duration::from_secs(3_600);
/// How long a call may be without an answer before its operation is looked for, and from one look
/// to the next.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// Looks at an operation that must be there soon, if ever: the emulator makes the operation of a
/// call a moment after its statements are done.
const LOOKS_MAX: u32 = 8;
/// What the server says while a read-write transaction or another schema change is active.
const CONTENTION: &str = "concurrent schema change operation or read-write transaction";

/// Why a call has not become an operation.
#[derive(Debug)]
pub(crate) enum NotAccepted {
    /// The server refuses the call as a whole: none of its statements is done.
    Refused(SpannerError),
    /// The reason is no statement, or the outcome is not known.
    Failed(SpannerError),
}

impl Client {
    /// The operation that runs these statements under an id, perhaps since an earlier attempt.
    ///
    /// Once an attempt had no answer, its statements may be done or still be at work. So each later
    /// answer, a refusal too, counts only after a look for the operation: the statements of the
    /// attempt may be what the server objects to.
    pub(crate) async fn accepted(&self, statements: &[String], id: &str) -> Result<Operation, NotAccepted> {
        let mut is_unknown = false;
        let mut contended = Backoff::new(CONTENTION_BUDGET);
        let mut unanswered = None;
        loop {
            let error = match self.attempt(statements, id).await {
                Ok(operation) => return Ok(operation),
                Err(error) => error,
            };
            if error.is_passing() && !is_unknown {
                is_unknown = true;
                contended = Backoff::new(DDL_DEADLINE);
            }
            let is_final = !error.is_passing() && !is_contention(&error);
            let looks = match (is_unknown, is_final) {
                (true, true) => LOOKS_MAX,
                (true, false) => 1,
                (false, _) => u32::from(error.rejection() == Some(Code::AlreadyExists)),
            };
            let found = self.find(id, looks).await.map_err(NotAccepted::Failed)?;
            if let Some(operation) = found {
                return Ok(operation);
            }
            let waited = if error.is_passing() {
                let backoff = unanswered.get_or_insert_with(|| Backoff::new(RETRY_BUDGET));
                backoff.wait(error).await
            } else if is_contention(&error) {
                unanswered = None;
                contended.wait(error).await
            } else if is_refusal(&error) {
                return Err(NotAccepted::Refused(error));
            } else {
                Err(error)
            };
            waited.map_err(NotAccepted::Failed)?;
        }
    }

    /// Sends the call once.
    async fn attempt(&self, statements: &[String], id: &str) -> Result<Operation, SpannerError> {
        let message = UpdateDatabaseDdlRequest {
            database: self.path().to_owned(),
            statements: statements.to_vec(),
            operation_id: id.to_owned(),
            ..UpdateDatabaseDdlRequest::default()
        };
        let key = ("database", self.path());
        let request = self.request(message, key, Route::Any, DDL_DEADLINE).await?;
        let call = async {
            let answer = self.databases().update_database_ddl(request).await;
            answer
                .map(Response::into_inner)
                .map_err(|status| self.error(OBJECT, &status))
        };
        answered_or_found(call, || self.find(id, 1)).await
    }

    /// The operation of an id, if the server knows it at one of so many looks.
    async fn find(&self, id: &str, looks: u32) -> Result<Option<Operation>, SpannerError> {
        let name = format!("{}/operations/{id}", self.path());
        let mut backoff = Backoff::new(Duration::MAX);
        for look in 0..looks {
            if look > 0 {
                backoff.pause().await;
            }
            match self.operation(OBJECT, &name).await {
                Err(error) if error.rejection() == Some(Code::NotFound) => {}
                Err(error) if error.rejection().is_some() => {
                    return Err(SpannerError::malformed(OBJECT, "the operation of an id"));
                }
                found => return found.map(Some),
            }
        }
        Ok(None)
    }
}

/// The answer of a call; or what is found beside it, because an answer may get lost while the
/// connection stays. A look that fails decides nothing.
async fn answered_or_found<T, E, F>(
    call: impl Future<Output = Result<T, E>>,
    look: impl Fn() -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<Option<T>, E>>,
{
    let mut call = pin!(call);
    loop {
        if let Ok(answer) = timeout(LOOK_INTERVAL, &mut call).await {
            return answer;
        }
        if let Ok(Some(found)) = look().await {
            return Ok(found);
        }
    }
}

pub(crate) fn is_contention(error: &SpannerError) -> bool {
    matches!(error, SpannerError::Rejected { code: Code::FailedPrecondition, message, .. } if message.contains(CONTENTION))
}

/// Whether the server has judged a statement. A missing database is no statement's fault.
pub(crate) fn is_refusal(error: &SpannerError) -> bool {
    match error {
        SpannerError::Rejected { code, message, .. } => *code != Code::DataLoss && !is_missing(message),
        SpannerError::Aborted { .. }
        | SpannerError::Unanswered { .. }
        | SpannerError::Exhausted { .. }
        | SpannerError::SessionLost { .. }
        | SpannerError::Expired { .. }
        | SpannerError::Denied { .. }
        | SpannerError::Malformed { .. }
        | SpannerError::Endpoint(_)
        | SpannerError::Transport { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_call_is_waited_for_and_its_operation_is_looked_for() {
        let check = async |answer: Option<u64>, found_at: u32, expected: &str, seconds: u64| {
            let (begun, looks) = (Instant::now(), Cell::new(0));
            let call = async {
                match answer {
                    Some(after) => sleep(Duration::from_secs(after)).await,
                    None => std::future::pending().await,
                }
                Ok::<_, ()>("answered")
            };
            let look = || async {
                looks.set(looks.get() + 1);
                match looks.get() {
                    1 => Err(()),
                    look => Ok((look >= found_at).then_some("found")),
                }
            };
            assert_eq!(answered_or_found(call, look).await, Ok(expected));
            assert_eq!(begun.elapsed().as_secs(), seconds);
        };
        check(Some(29), 2, "answered", 29).await;
        check(Some(1_000), u32::MAX, "answered", 1_000).await;
        check(None, 3, "found", 90).await;
    }
}
