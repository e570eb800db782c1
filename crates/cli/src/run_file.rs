//! What a state directory remembers of the command line, so that `status` and `end` find the run. No secrets.

use std::path::Path;

use serde::{Deserialize, Serialize};
use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};

use crate::settings::Settings;
use crate::state_dir::StateDir;

/// The run, as stored in `run.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunFile {
    /// The target's URL.
    pub(crate) target: String,
    /// The source, for a person.
    pub(crate) source: String,
    /// `--include`.
    pub(crate) include: Vec<String>,
    /// `--exclude`.
    pub(crate) exclude: Vec<String>,
}

const NAME: &str = "run.json";

impl RunFile {
    /// The run that settings describe.
    pub(crate) fn of(settings: &Settings) -> Result<RunFile, Failure> {
        Ok(RunFile {
            target: settings.need_target()?.path(),
            source: source_name(settings)?,
            include: settings.include.clone(),
            exclude: settings.exclude.clone(),
        })
    }

    /// Reads what a state directory remembers, if anything.
    pub(crate) fn read(directory: &Path) -> Result<Option<RunFile>, Failure> {
        let path = directory.join(NAME);
        let Ok(text) = std::fs::read_to_string(&path) else {
            return Ok(None);
        };
        serde_json::from_str(&text).map(Some).map_err(|cause| {
            let object = path.display().to_string();
            Failure::new(
                code::STATE_FOREIGN,
                Class::StopMigration,
                object,
                "is not of this release",
            )
            .caused_by(cause)
        })
    }

    /// Remembers the run, or refuses if the directory belongs to another target.
    pub(crate) fn bind(&self, state: &StateDir) -> Result<(), Failure> {
        if let Some(known) = RunFile::read(state.path())?
            && known.target != self.target
        {
            let text = format!("this state directory belongs to the target `{}`", known.target);
            let object = state.path().display().to_string();
            return Err(Failure::new(
                code::STATE_FOREIGN,
                Class::StopMigration,
                object,
                text,
            ));
        }
        let text = serde_json::to_vec_pretty(self)
            .map_err(|cause| Failure::bug(NAME, "cannot be written").caused_by(cause))?;
        state.write(NAME, &text)
    }
}

/// The source for a person: host, port and schema, without account or password.
pub(crate) fn source_name(settings: &Settings) -> Result<String, Failure> {
    let source = settings.need_source()?;
    Ok(format!("{}:{}/{}", source.host, source.port, source.schema))
}
