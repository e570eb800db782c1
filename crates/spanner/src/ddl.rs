//! DDL statements in calls of a bounded size; a refusal is narrowed down to the one statement that
//! the server refuses.

use prost::Message;
use spanferry_spanner_api::database_admin::UpdateDatabaseDdlMetadata;
use spanferry_spanner_api::longrunning::Operation;

use crate::admin::result;
use crate::backoff::Backoff;
use crate::client::Client;
use crate::ddl_call::{CONTENTION_BUDGET, NotAccepted, OBJECT, is_contention, is_refusal};
use crate::error::SpannerError;

/// Most statements of one call: the emulator answers a call only when all of them are done, each
/// slower than the one before.
const STATEMENTS_MAX: usize = 50;

/// DDL that came to an end without success.
#[derive(Debug, thiserror::Error)]
#[error("statement {} of the batch", .applied + 1)]
pub struct DdlError {
    /// Statements before it, all of them done.
    pub applied: usize,
    /// Whether the server refuses the next statement. Otherwise the reason lies elsewhere, and the
    /// next statements may still be done.
    pub is_refusal: bool,
    /// Why.
    #[source]
    pub cause: SpannerError,
}

/// What became of one call.
enum CallError {
    /// The operation ended at the statement behind the `applied` ones.
    Statement { applied: usize, cause: SpannerError },
    /// The call was refused before it became an operation: none of the statements behind the
    /// `applied` ones is done, and the answer does not say which one is refused.
    Whole { applied: usize, cause: SpannerError },
    /// The reason is no statement, or the outcome is not known.
    Failed { applied: usize, cause: SpannerError },
}

impl Client {
    /// Runs DDL statements in order, in few calls, and waits for their end, however long that
    /// takes.
    ///
    /// `operation_id` (a letter, then letters, digits and `_`) makes the calls repeatable: a call
    /// that was accepted under its id before is waited for, not run again. Statements before a
    /// failing one stay done.
    ///
    /// A call that is refused as a whole is halved until the refused statement is alone, so that
    /// the refusal is surely about that statement. The halves in front of it are run on the way.
    pub async fn update_ddl(&self, statements: &[String], operation_id: &str) -> Result<(), DdlError> {
        let mut ids = OperationIds::new(operation_id);
        let mut applied = 0;
        // The end of a part that was refused as a whole: the refused statement lies before it.
        let mut refused_end = None;
        while applied < statements.len() {
            let end = call_end(applied, refused_end, statements.len());
            let (done, cause) = match self.call(&statements[applied..end], &mut ids).await {
                Ok(()) => {
                    applied = end;
                    refused_end = refused_end.filter(|refused| *refused > applied);
                    continue;
                }
                Err(CallError::Whole { applied: done, .. }) if applied + done + 1 < end => {
                    applied += done;
                    refused_end = Some(end);
                    continue;
                }
                Err(CallError::Failed { applied: done, cause }) => {
                    let applied = applied + done;
                    let is_refusal = false;
                    return Err(DdlError {
                        applied,
                        is_refusal,
                        cause,
                    });
                }
                Err(CallError::Statement { applied, cause } | CallError::Whole { applied, cause }) => {
                    (applied, cause)
                }
            };
            return Err(DdlError {
                applied: applied + done,
                is_refusal: true,
                cause,
            });
        }
        Ok(())
    }

    /// One call, made again while other work on the database stands in its way.
    async fn call(&self, statements: &[String], ids: &mut OperationIds) -> Result<(), CallError> {
        let mut applied = 0;
        let mut backoff = Backoff::new(CONTENTION_BUDGET);
        // An operation that has ended keeps its id, so the next call needs another.
        ids.next();
        loop {
            let accepted = self.accepted(&statements[applied..], ids.current()).await;
            let operation = accepted.map_err(|error| match error {
                NotAccepted::Refused(cause) => CallError::Whole { applied, cause },
                NotAccepted::Failed(cause) => CallError::Failed { applied, cause },
            })?;
            let operation = self.finish_operation(OBJECT, operation).await;
            let operation = operation.map_err(|cause| CallError::Failed { applied, cause })?;
            let Err(cause) = result(self, OBJECT, &operation) else {
                return Ok(());
            };
            applied += applied_statements(&operation);
            if is_contention(&cause) {
                wait(&mut backoff, applied, cause).await?;
                ids.next();
            } else if is_refusal(&cause) {
                return Err(CallError::Statement { applied, cause });
            } else {
                return Err(CallError::Failed { applied, cause });
            }
        }
    }
}

/// Where the next call ends: in the middle of a part that was refused, else as far as a call may
/// reach.
fn call_end(applied: usize, refused_end: Option<usize>, all: usize) -> usize {
    match refused_end {
        Some(refused) => applied + ((refused - applied) / 2).max(1),
        None => all.min(applied + STATEMENTS_MAX),
    }
}

async fn wait(backoff: &mut Backoff, applied: usize, cause: SpannerError) -> Result<(), CallError> {
    let waited = backoff.wait(cause).await;
    waited.map_err(|cause| CallError::Failed { applied, cause })
}

/// The ids of one batch's operations: the given one, then the same with numbers.
struct OperationIds {
    base: String,
    current: String,
    number: u32,
}

impl OperationIds {
    fn new(base: &str) -> OperationIds {
        OperationIds {
            base: base.to_owned(),
            current: String::new(),
            number: 0,
        }
    }

    fn next(&mut self) {
        self.current = match self.number {
            0 => self.base.clone(),
            number => format!("{}_{number}", self.base),
        };
        self.number += 1;
    }

    fn current(&self) -> &str {
        &self.current
    }
}

/// The metadata has a commit timestamp for each statement that is done.
fn applied_statements(operation: &Operation) -> usize {
    let metadata = operation.metadata.as_ref();
    let metadata = metadata.and_then(|any| UpdateDatabaseDdlMetadata::decode(any.value.as_slice()).ok());
    metadata.map_or(0, |metadata| metadata.commit_timestamps.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts in which a batch is tried whose statement `refused` is always refused.
    fn parts(all: usize, refused: usize) -> Vec<(usize, usize)> {
        let (mut applied, mut refused_end, mut tried) = (0, None, Vec::new());
        loop {
            let end = call_end(applied, refused_end, all);
            tried.push((applied, end));
            if !(applied..end).contains(&refused) {
                applied = end;
            } else if end - applied == 1 {
                return tried;
            } else {
                refused_end = Some(end);
            }
        }
    }

    #[test]
    fn a_refused_statement_is_found_in_few_calls() {
        assert_eq!(parts(3, 1), [(0, 3), (0, 1), (1, 2)]);
        for all in [1, 2, 3, 49, 50, 51, 120] {
            for refused in 0..all {
                let tried = parts(all, refused);
                let last = tried.last().copied();
                assert_eq!(last, Some((refused, refused + 1)), "{refused} of {all}");
                let (calls_before, halvings) = (refused / STATEMENTS_MAX, 7);
                assert!(
                    tried.len() <= calls_before + 1 + halvings,
                    "{refused} of {all}: {tried:?}"
                );
            }
        }
    }
}
