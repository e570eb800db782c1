//! Shows what a command is doing before it has figures: a line renewed on a terminal, plain lines
//! for what takes long, JSON lines if asked, and the step in the state directory, where `status`
//! finds it.

use std::time::{Duration, Instant};

use serde_json::json;
use spanferry_engine::progress::Progress;

use crate::args::Output;
use crate::render;
use crate::screen::Screen;
use crate::state_dir::StateDir;

/// How often it is looked at what is done.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How long a step takes before it is worth a plain line, and the time between two lines.
const LINE_INTERVAL: Duration = Duration::from_secs(3);

/// Where the steps of a preparation are shown.
pub(crate) struct Preparation<'a> {
    pub(crate) progress: &'a Progress,
    pub(crate) screen: &'a Screen,
    pub(crate) output: Output,
    /// The state directory whose lock the command holds.
    pub(crate) state: Option<&'a StateDir>,
}

impl Preparation<'_> {
    /// What `work` ends with; its steps are shown meanwhile.
    pub(crate) async fn show<T>(&self, work: impl Future<Output = T>) -> T {
        // Boxed, because a future that is an argument and awaited takes its room twice.
        let mut work = Box::pin(work);
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        let mut shown = Shown {
            step: String::new(),
            said_at: Instant::now(),
        };
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut work => break ended,
                _ = looks.tick() => self.look(&mut shown),
            }
        };
        self.screen.draw(String::new());
        ended
    }

    fn look(&self, shown: &mut Shown) {
        let step = self.progress.snapshot().phase;
        let is_new = step != shown.step;
        if is_new && let Some(state) = self.state {
            state.note_step(&step);
        }
        if self.screen.is_drawn() {
            self.screen.draw(format!("{step} …"));
        } else if self.output == Output::Json {
            if is_new {
                render::print_json(&json!({"event": "preparing", "step": step}));
            }
        } else if !step.is_empty() && shown.said_at.elapsed() >= LINE_INTERVAL {
            render::print_progress(&step);
            shown.said_at = Instant::now();
        }
        shown.step = step;
    }
}

/// What was shown last.
struct Shown {
    step: String,
    said_at: Instant,
}
