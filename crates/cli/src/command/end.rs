//! `spanferry end`: the control tables are dropped and the change log erased.

use serde_json::{Value, json};
use spanferry_core::port::target::ControlStore;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_kill_point::kill_point;
use spanferry_private_dir::PrivateDir;
use spanferry_spanner::SpannerTarget;

use crate::args::{EndArgs, Output};
use crate::incomplete::Incomplete;
use crate::interrupt::or_interrupted;
use crate::render;
use crate::session::connect_target;
use crate::settings::Settings;
use crate::source::{self, AnySource};
use crate::state_dir::StateDir;

/// Ends a migration for good, after asking. Where there is none to end, that is a failure: the
/// target may be mistyped. So is one that is not complete, unless the operator abandons it.
pub(crate) async fn run(settings: &Settings, args: &EndArgs) -> Result<u8, Failure> {
    settings.need_target_alone()?;
    let target = connect_target(settings)?;
    // A directory that is not there is not made for this.
    let is_there = PrivateDir::open(&settings.state_dir)?.is_some();
    let state = is_there
        .then(|| StateDir::lock(&settings.state_dir, "end"))
        .transpose()?;
    let found = or_interrupted("end", look(&target, state.as_ref(), args.abandon)).await?;
    if let Found::Incomplete(incomplete) = &found
        && !args.abandon
    {
        return Err(incomplete.refusal(settings.target_text()));
    }
    let question = format!(
        "{}This drops the `spanferry_` tables of `{}` and erases the change log in `{}`; data tables stay. \
         The migration cannot be resumed afterwards.",
        found.warning(),
        settings.target_text(),
        settings.state_dir.display()
    );
    if !args.yes && !render::confirm(&question, "end") {
        return Err(render::not_confirmed("end"));
    }
    let source = settings.source.is_some().then(|| source::open(settings));
    let source = source.transpose()?;
    let ended = or_interrupted("end", end(source.as_ref(), &target, state.as_ref())).await?;
    if ended == NOTHING {
        return Err(nothing_to_end(settings));
    }
    match settings.output {
        Output::Text => render::print(&format!("{}{}", ended.text(settings), found.abandoned())),
        Output::Json => render::print_json(&json!({"dropped": ended.dropped.then(|| settings.target_text()),
            "erased": ended.erased.then_some(&settings.state_dir), "abandoned": found.json()})),
    }
    Ok(0)
}

/// What the target's record says of its tables.
enum Found {
    /// There is no record, or everything in it is complete.
    Complete,
    /// Something is not complete.
    Incomplete(Incomplete),
    /// The record cannot be read. Only with `--abandon`.
    Unreadable,
}

impl Found {
    /// What a question begins with.
    fn warning(&self) -> String {
        match self {
            Found::Complete => String::new(),
            Found::Incomplete(incomplete) => format!("Not complete: {}. ", incomplete.text()),
            Found::Unreadable => {
                "The record of the tables cannot be read, so they may be incomplete. ".to_owned()
            }
        }
    }

    /// What is said at the end.
    fn abandoned(&self) -> String {
        match self {
            Found::Complete => String::new(),
            Found::Incomplete(incomplete) => format!("\nabandoned: {}", incomplete.text()),
            Found::Unreadable => "\nabandoned: tables of which the record could not be read".to_owned(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Found::Complete => json!([]),
            Found::Incomplete(incomplete) => incomplete.json(),
            Found::Unreadable => Value::Null,
        }
    }
}

/// Looks whether the migration is complete.
async fn look(target: &SpannerTarget, state: Option<&StateDir>, abandons: bool) -> Result<Found, Failure> {
    let control = match target.read_control().await {
        // A database that was dropped has no tables that could be incomplete; the change log may
        // still be here.
        Err(failure) if failure.code == code::TARGET_MISSING && state.is_some_and(StateDir::has_run) => {
            return Ok(Found::Complete);
        }
        Err(failure) if failure.code == code::CONTROL_FORMAT && abandons => return Ok(Found::Unreadable),
        Err(failure) if failure.code == code::CONTROL_FORMAT => {
            let hint = "The release that wrote them knows whether they are complete. `--abandon` ends the migration whatever they hold.";
            return Err(failure.hint(hint));
        }
        control => control?,
    };
    let incomplete = control.as_ref().map(Incomplete::of);
    let incomplete = incomplete.filter(|incomplete| !incomplete.is_empty());
    Ok(incomplete.map_or(Found::Complete, Found::Incomplete))
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

async fn end(
    source: Option<&AnySource>,
    target: &SpannerTarget,
    state: Option<&StateDir>,
) -> Result<Ended, Failure> {
    kill_point("before control drop", "");
    let dropped = match source::end(source, target).await {
        // Its control tables are gone with it; the change log may still be here.
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
