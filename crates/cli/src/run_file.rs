//! What a state directory remembers of the command line, so that other verbs find the run. No
//! secrets.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use spanferry_core::report::failure::Failure;
use spanferry_private_dir::PrivateDir;

use crate::document::{expect_version, refused};
use crate::source_options::SourceOptions;

/// The format of `run.json`. A file of another one, or of none, is refused by name.
pub(crate) const VERSION: u32 = 1;

/// The run, as stored in `run.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct RunFile {
    /// The file's format.
    pub(crate) version: u32,
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

/// What files of all formats have in common.
#[derive(Deserialize)]
struct Head {
    version: Option<u64>,
}

/// Its name in the state directory.
pub(crate) const NAME: &str = "run.json";

impl RunFile {
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
        let object = directory.path().join(NAME).display().to_string();
        RunFile::parse(&content, &object).map(Some)
    }

    /// Reads the content of the file that `object` names.
    fn parse(content: &[u8], object: &str) -> Result<RunFile, Failure> {
        let unreadable =
            |cause: serde_json::Error| refused(object, "cannot be read".to_owned()).caused_by(cause);
        let head: Head = serde_json::from_slice(content).map_err(unreadable)?;
        expect_version(head.version, VERSION, object)?;
        serde_json::from_slice(content).map_err(unreadable)
    }

    /// The content of the file.
    fn content(&self) -> Result<Vec<u8>, Failure> {
        serde_json::to_vec_pretty(self)
            .map_err(|cause| Failure::bug(NAME, "cannot be written").caused_by(cause))
    }

    /// Binds the state directory to this run: from here on it serves no other target.
    pub(crate) fn write(&self, directory: &PrivateDir) -> Result<(), Failure> {
        Ok(directory.replace_durably(NAME, &self.content()?)?)
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

/// The source that the file remembers, for a person: host, port and schema, without account or
/// password; none if this release cannot read it.
pub(crate) fn source_name_of(url: &str) -> Option<String> {
    let options = SourceOptions::parse(url).ok()?;
    Some(options.named())
}

#[cfg(test)]
mod tests {
    use spanferry_core::report::code;

    use super::*;

    /// What this release writes, byte for byte.
    const GOLDEN: &str = include_str!("golden/run-1.json");

    #[test]
    fn a_golden_run_is_read_and_written_again() {
        let run = RunFile {
            version: VERSION,
            source: "mysql://mover@db.example:3307/shop?ssl-mode=VERIFY_CA".to_owned(),
            source_password_file: Some(PathBuf::from("/etc/spanferry/password")),
            target: "spanner://projects/p/instances/i/databases/d".to_owned(),
            target_endpoint: None,
            target_allow_plaintext: false,
            include: vec!["order*".to_owned()],
            exclude: Vec::new(),
        };
        assert_eq!(
            String::from_utf8(run.content().unwrap()).unwrap(),
            GOLDEN.trim_end()
        );
        assert_eq!(RunFile::parse(GOLDEN.as_bytes(), NAME).unwrap(), run);
    }

    #[test]
    fn another_format_is_refused_by_name() {
        let check = |from: &str, to: &str, expected: &str| {
            let text = GOLDEN.replacen(from, to, 1);
            assert_ne!(text, GOLDEN, "{from}");
            let refused = RunFile::parse(text.as_bytes(), NAME).unwrap_err();
            assert_eq!(refused.code, code::STATE_FOREIGN);
            assert!(refused.message.contains(expected), "{refused}");
        };
        check(
            "\"version\": 1",
            "\"version\": 2",
            "has format 2; this release reads format 1",
        );
        check("\"version\": 1,", "", "has no format number");
        check("\"include\"", "\"tables\"", "cannot be read");
        check("}", "", "cannot be read");
    }
}
