//! `spanferry end`: the control tables are dropped and the change log erased.

use serde_json::json;
use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};
use spanferry_core::target::Target;
use spanferry_kill_point::kill_point;
use spanferry_private_dir::PrivateDir;
use spanferry_spanner::SpannerTarget;

use crate::args::{EndArgs, Output};
use crate::interrupt::or_interrupted;
use crate::render;
use crate::session::connect_target;
use crate::settings::Settings;
use crate::state_dir::StateDir;

/// Ends a migration for good, after asking. Where there is none to end, that is a failure: the target may be mistyped.
pub(crate) async fn run(settings: &Settings, args: &EndArgs) -> Result<u8, Failure> {
    let target = connect_target(settings)?;
    let question = format!(
        "This drops the `spanferry_` tables of `{}` and erases the change log in `{}`; data tables stay. \
         The migration cannot be resumed afterwards.",
        settings.target_text(),
        settings.state_dir.display()
    );
    if !args.yes && !render::confirm(&question, "end") {
        return Err(render::not_confirmed("end"));
    }
    // A directory that is not there is not made for this.
    let is_there = PrivateDir::open(&settings.state_dir)?.is_some();
    let state = is_there
        .then(|| StateDir::lock(&settings.state_dir, "end"))
        .transpose()?;
    let ended = or_interrupted("end", end(&target, state.as_ref())).await?;
    if ended == NOTHING {
        return Err(nothing_to_end(settings));
    }
    match settings.output {
        Output::Text => render::say(&ended.text(settings)),
        Output::Json => render::say_json(&json!({"dropped": ended.dropped.then(|| settings.target_text()),
            "erased": ended.erased.then_some(&settings.state_dir)})),
    }
    Ok(0)
}

/// What was there to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ended {
    /// Control tables at the target.
    dropped: bool,
    /// A change log, or what else describes a run, in the state directory.
    erased: bool,
}

const NOTHING: Ended = Ended {
    dropped: false,
    erased: false,
};

impl Ended {
    fn text(self, settings: &Settings) -> String {
        let (target, directory) = (settings.target_text(), settings.state_dir.display());
        match (self.dropped, self.erased) {
            (true, true) => {
                format!("end: control tables of `{target}` dropped, change log in `{directory}` erased")
            }
            (true, false) => {
                format!("end: control tables of `{target}` dropped; there was no change log in `{directory}`")
            }
            (false, _) => {
                format!(
                    "end: change log in `{directory}` erased; `{target}` had no control tables (any more)"
                )
            }
        }
    }
}

async fn end(target: &SpannerTarget, state: Option<&StateDir>) -> Result<Ended, Failure> {
    kill_point("before control drop", "");
    let dropped = match target.drop_control().await {
        // Whoever has dropped the database has dropped its control tables; the change log may still be here.
        Err(failure) if failure.code == code::TARGET_MISSING && state.is_some_and(StateDir::has_run) => false,
        dropped => dropped?,
    };
    kill_point("after control drop", "");
    let erased = state.is_some_and(StateDir::has_run);
    state.map(StateDir::erase).transpose()?;
    Ok(Ended { dropped, erased })
}

fn nothing_to_end(settings: &Settings) -> Failure {
    let text = format!(
        "it holds no migration, and `{}` no change log: nothing was ended",
        settings.state_dir.display()
    );
    Failure::new(
        code::STATE_FOREIGN,
        Class::StopMigration,
        settings.target_text(),
        text,
    )
    .hint("Name the target that holds the migration, or its state directory. One that was ended before needs nothing more.")
}
