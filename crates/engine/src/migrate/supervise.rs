//! The supervisor: starts capture, load, apply and constraints, and waits for their end.

use std::num::NonZeroU64;
use std::sync::Arc;

use spanferry_core::port::change_log::ChangeLog;
use spanferry_core::port::source::Source;
use spanferry_core::port::target::{Committer, SchemaTarget};
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use tokio::sync::watch;

use super::created::forget_dropped;
use super::outcome::{Outcome, StopWhen};
use super::stale::StaleStream;
use super::watcher::Watcher;
use crate::apply::{Apply, ApplyParts};
use crate::capture::Capture;
use crate::constraint;
use crate::history::{ClaimProof, HistoryWatch};
use crate::load::{Load, LoadOptions};
use crate::prepare::{Prepared, PreparedLoad};
use crate::progress::Progress;
use crate::retention::{Retention, RetentionOptions};
use crate::stop::CancellationToken;
use crate::task::{Tasks, settle};

/// Everything a running migration works with.
pub struct Migration<S, L, T> {
    /// The source.
    pub source: Arc<S>,
    /// What `prepare` made.
    pub prepared: Prepared<L, T>,
    /// The request to stop, given by the operator.
    pub interrupt: CancellationToken,
    /// Counters.
    pub progress: Arc<Progress>,
    /// When to end.
    pub stop_when: StopWhen,
    /// Whether the source shows the account every table of the schema.
    pub sees_all_tables: bool,
    /// Whether the tables may be locked for the moment in which a snapshot opens.
    pub lock: bool,
    /// Most bytes a second that the load reads over all sessions, as they are encoded for the
    /// target; no bound if none.
    pub source_rate: Option<NonZeroU64>,
    /// How the change log is trimmed.
    pub retention: RetentionOptions,
}

impl<S, L, T> Migration<S, L, T>
where
    S: Source,
    L: ChangeLog,
    T: Committer + SchemaTarget,
{
    /// Runs to its end. A failure is resumable unless its code says otherwise.
    ///
    /// Cancellation: as a crash; the next start resumes.
    pub async fn run(self) -> Result<Outcome, Failure> {
        let Migration {
            source,
            prepared,
            interrupt,
            progress,
            stop_when,
            sees_all_tables,
            lock,
            source_rate,
            retention,
        } = self;
        let Prepared {
            load:
                PreparedLoad {
                    registry,
                    shared,
                    control,
                    lanes,
                    ranges,
                    dialect,
                },
            log,
            main,
            catch_up,
            reached: reached_now,
            unproved,
        } = prepared;
        let stop = shared.stop.clone();
        let apply = Apply::new(ApplyParts {
            source: Arc::clone(&source),
            log: Arc::clone(&log),
            registry: Arc::clone(&registry),
            shared: shared.clone(),
            main,
            catch_up,
            reached: reached_now,
            dialect,
        });
        let reached = apply.reached();
        let retention = Retention::new(
            Arc::clone(&log),
            Arc::clone(&registry),
            apply.watermark(),
            retention,
            Arc::clone(&progress),
        );
        progress.update(|state| state.phase = "running".into());

        let (following, is_following) = watch::channel(false);
        let mut tasks = Tasks::new();
        let capture = Capture {
            source: Arc::clone(&source),
            log: Arc::clone(&log),
            registry: Arc::clone(&registry),
            control: Arc::clone(&control),
            stop: stop.clone(),
            progress: Arc::clone(&progress),
            following,
            unproved,
        };
        tasks.spawn("capture", capture.run());
        tasks.spawn("apply", apply.run());
        tasks.spawn("retention", retention.run(stop.clone()));
        tasks.spawn(
            "constraints",
            constraint::build(
                Arc::clone(&source),
                Arc::clone(&registry),
                Arc::clone(&control),
                shared.clone(),
                dialect,
                reached.clone(),
            ),
        );
        let load = Load {
            source: Arc::clone(&source),
            log: Arc::clone(&log),
            registry: Arc::clone(&registry),
            control,
            shared,
            lanes,
            ranges,
            options: LoadOptions {
                lock,
                source_rate,
                unproved,
            },
        };
        tasks.spawn("load", async move { load.run().await.map(drop) });
        let stale = StaleStream {
            source: Arc::clone(&source),
            log: Arc::clone(&log),
            stop: stop.clone(),
            is_following: is_following.clone(),
            progress: Arc::clone(&progress),
            unproved,
        };
        tasks.spawn("stale stream", stale.run());
        let watcher = Watcher {
            source,
            log: Arc::clone(&log),
            registry: Arc::clone(&registry),
            stop: stop.clone(),
            reached,
            is_following,
            history: HistoryWatch::default(),
            goal: None,
            ended: Arc::default(),
            proof: ClaimProof::new(unproved),
            progress,
            silent_since: None,
        };
        tasks.spawn("watcher", watcher.clone().run(stop_when));
        tasks.spawn("interrupt", forward(interrupt.clone(), stop.clone()));

        let failure = settle(tasks, &stop).await;
        match failure {
            Some(failure) if failure.code != code::INTERRUPTED => Err(failure),
            Some(_) | None => {
                if sees_all_tables {
                    forget_dropped(watcher.source.as_ref(), &watcher.progress).await;
                }
                Ok(watcher.outcome(interrupt.is_cancelled() && !watcher.is_drained()))
            }
        }
    }
}

async fn forward(interrupt: CancellationToken, stop: CancellationToken) -> Result<(), Failure> {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = interrupt.cancelled() => stop.cancel(),
    }
    Ok(())
}
