//! `spanferry end`: the control tables are dropped and the change log erased.

use serde_json::json;
use spanferry_core::failure::Failure;
use spanferry_core::target::Target;
use spanferry_kill_point::kill_point;

use crate::args::{EndArgs, Output};
use crate::render;
use crate::session::connect_target;
use crate::settings::{Settings, usage};
use crate::state_dir::StateDir;

/// Ends a migration for good, after asking.
pub(crate) async fn run(settings: &Settings, args: &EndArgs) -> Result<u8, Failure> {
    let target = connect_target(settings)?;
    let question = format!(
        "This drops the `spanferry_` tables of `{}` and erases the change log in `{}`; data tables stay. \
         The migration cannot be resumed afterwards.",
        settings.target_text(),
        settings.state_dir.display()
    );
    if !args.yes && !render::confirm(&question, "end") {
        return Err(usage("end", "not confirmed: type `end`, or give `--yes`"));
    }
    let state = StateDir::lock(&settings.state_dir, "end")?;
    kill_point("before control drop", "");
    target.drop_control().await?;
    kill_point("after control drop", "");
    state.erase()?;
    render::say(&match settings.output {
        Output::Text => "end: control tables dropped, change log erased".to_owned(),
        Output::Json => json!({"dropped": settings.target_text(), "erased": settings.state_dir}).to_string(),
    });
    Ok(0)
}
