//! SIGINT and SIGTERM: a clean stop of `migrate`, the end of every other verb.

use std::sync::Arc;

use spanferry_core::report::code::{self, Exit};
use spanferry_core::report::failure::{Class, Failure};
use spanferry_engine::stop::CancellationToken;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::render;
use crate::screen::Screen;

/// Asks for a clean stop at the first signal; a second one ends the process at once, which is as
/// safe as any crash.
pub(crate) async fn stop_on_signal(stop: CancellationToken, screen: Arc<Screen>) {
    let Some(mut signals) = Signals::new() else { return };
    signals.next().await;
    screen.print("stopping at the next clean point; once more to end at once");
    stop.cancel();
    signals.next().await;
    screen.close();
    render::print_error("ended at once; the same command resumes");
    std::process::exit(i32::from(Exit::Interrupted.status()));
}

/// What `work` ends with, or the interruption by a signal: `work` is dropped where it stands, so it
/// must be safe to run again. Not for work that asks a person something: the signal would be seen
/// only after the answer.
pub(crate) async fn or_interrupted<T>(
    verb: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    // Boxed, because a future that is an argument and awaited takes its room twice.
    let work = Box::pin(work);
    let Some(mut signals) = Signals::new() else {
        return work.await;
    };
    tokio::select! {
        biased;
        () = signals.next() => Err(interrupted(verb).hint("Run the same command again.")),
        ended = work => ended,
    }
}

/// What `work` ends with, or the interruption that was asked for by `stop`; `work` is dropped where
/// it stands.
pub(crate) async fn unless_stopped<T>(
    verb: &str,
    stop: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let work = Box::pin(work);
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(interrupted(verb)),
        ended = work => ended,
    }
}

fn interrupted(verb: &str) -> Failure {
    Failure::new(code::INTERRUPTED, Class::StopMigration, verb, "ended by a signal")
}

/// Both signals as one stream.
struct Signals {
    int: Signal,
    term: Signal,
}

impl Signals {
    /// From now on the process does not end by itself; none if signals cannot be listened to.
    fn new() -> Option<Signals> {
        match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            (Ok(int), Ok(term)) => Some(Signals { int, term }),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "signals cannot be listened to; SIGINT ends the process at once");
                None
            }
        }
    }

    async fn next(&mut self) {
        tokio::select! {
            _got = self.int.recv() => {}
            _got = self.term.recv() => {}
        }
    }
}
