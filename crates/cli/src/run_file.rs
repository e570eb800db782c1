//! What a state directory remembers of the command line, so that other verbs find the run. No secrets.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::schema::source::NameCase;
use spanferry_private_dir::PrivateDir;

use crate::settings::{Agreement, Settings};
use crate::state_dir::StateDir;

/// The run, as stored in `run.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct RunFile {
    /// `--source`, without its password.
    pub(crate) source: String,
    /// `--source-password-file`.
    pub(crate) source_password_file: Option<PathBuf>,
    /// `--target`.
    pub(crate) target: String,
    /// `--target-endpoint`.
    pub(crate) target_endpoint: Option<String>,
    /// `--target-allow-plaintext`.
    pub(crate) target_allow_plaintext: bool,
    /// `--include`.
    pub(crate) include: Vec<String>,
    /// `--exclude`.
    pub(crate) exclude: Vec<String>,
}

/// Its name in the state directory.
pub(crate) const NAME: &str = "run.json";

impl RunFile {
    /// The run that settings describe.
    pub(crate) fn of(settings: &Settings) -> Result<RunFile, Failure> {
        Ok(RunFile {
            source: settings.need_source()?.url(),
            source_password_file: settings.source_password_file.clone(),
            target: target_url(settings)?,
            target_endpoint: settings.target_endpoint.clone(),
            target_allow_plaintext: settings.target_allow_plaintext,
            include: settings.include.clone(),
            exclude: settings.exclude.clone(),
        })
    }

    /// Reads what a state directory remembers, if anything.
    pub(crate) fn read(directory: &Path) -> Result<Option<RunFile>, Failure> {
        match PrivateDir::open(directory)? {
            Some(directory) => RunFile::read_in(&directory),
            None => Ok(None),
        }
    }

    /// The same of a directory that is open.
    pub(crate) fn read_in(directory: &PrivateDir) -> Result<Option<RunFile>, Failure> {
        let Some(content) = directory.read(NAME)? else {
            return Ok(None);
        };
        serde_json::from_slice(&content).map(Some).map_err(|cause| {
            let object = directory.path().join(NAME).display().to_string();
            Failure::new(
                code::STATE_FOREIGN,
                Class::StopMigration,
                object,
                "is not of this release",
            )
            .caused_by(cause)
        })
    }

    /// What a state directory remembers before a start, if anything; one that another target has been bound to is refused.
    pub(crate) fn expect_unbound_or_same(settings: &Settings) -> Result<Option<RunFile>, Failure> {
        let known = RunFile::read(&settings.state_dir)?;
        if let Some(run) = &known {
            run.expect_target(settings)?;
        }
        Ok(known)
    }

    /// Binds the state directory to this run: from here on it serves no other target.
    pub(crate) fn write(&self, state: &StateDir) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|cause| Failure::bug(NAME, "cannot be written").caused_by(cause))?;
        Ok(state.directory().replace_durably(NAME, &text)?)
    }

    /// Refuses settings that name something else than this run, as far as they must agree with it.
    pub(crate) fn expect_same(&self, given: &Settings, agreement: Agreement) -> Result<(), Failure> {
        self.expect_target(given)?;
        let source = source_name_of(&self.source);
        // Whether letter case counts in the schema's name is known once the source is reached: the target's own record of the
        // schema is compared then.
        let is_other = match (&given.source, &source) {
            (None, _) => false,
            (Some(_), Some(known)) => !NameCase::Insensitive.same(&source_name(given)?, known),
            (Some(_), None) => true,
        };
        if is_other && agreement != Agreement::Target {
            return Err(differs(
                given,
                "--source",
                source.as_deref().unwrap_or(&self.source),
            ));
        }
        let selects = !(given.include.is_empty() && given.exclude.is_empty());
        if agreement != Agreement::Whole || !selects {
            return Ok(());
        }
        if given.include != self.include {
            return Err(differs(given, "--include", &self.include.join("`, `")));
        }
        if given.exclude != self.exclude {
            return Err(differs(given, "--exclude", &self.exclude.join("`, `")));
        }
        Ok(())
    }

    fn expect_target(&self, given: &Settings) -> Result<(), Failure> {
        if given.target.is_none() || target_url(given)? == self.target {
            return Ok(());
        }
        let text = format!("it belongs to the migration into `{}`", self.target);
        let hint = "Leave `--target` out: it is taken from the state directory. For another migration, name another `--state-dir`.";
        Err(foreign(given, text).hint(hint))
    }

    /// Source and target in short, for a person.
    pub(crate) fn title(&self) -> String {
        let source = source_name_of(&self.source).unwrap_or_else(|| self.source.clone());
        format!(
            "{source} -> {}",
            self.target.strip_prefix("spanner://").unwrap_or(&self.target)
        )
    }
}

/// The failure of an option that is not the one that the migration has.
fn differs(given: &Settings, option: &str, known: &str) -> Failure {
    let text = format!("its migration has another `{option}`: `{known}`");
    let hint = format!(
        "Leave `{option}` out: it is taken from the state directory. Where the source has a new host, or other tables are to be \
         migrated, run `spanferry migrate` with the new `{option}` first."
    );
    foreign(given, text).hint(hint)
}

fn foreign(settings: &Settings, text: String) -> Failure {
    let object = settings.state_dir.display().to_string();
    Failure::new(code::STATE_FOREIGN, Class::StopMigration, object, text)
}

fn target_url(settings: &Settings) -> Result<String, Failure> {
    Ok(format!("spanner://{}", settings.need_target()?.path()))
}

/// The source for a person: host, port and schema, without account or password.
pub(crate) fn source_name(settings: &Settings) -> Result<String, Failure> {
    settings.need_source().map(named)
}

fn named(source: &spanferry_mysql::Options) -> String {
    format!("{}/{}", source.address(), source.schema)
}

fn source_name_of(url: &str) -> Option<String> {
    let options = spanferry_mysql::Options::parse(url).ok()?;
    Some(named(&options))
}
