//! Why a drive has failed.

/// Why a drive has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriveError {
    /// A step ended otherwise than it must.
    #[error("{0}")]
    Failed(String),
    /// A program could not be run at all.
    #[error("`{program}` could not be run: {source}")]
    Run {
        /// Its name.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Ctrl-C or SIGTERM; everything that was started has been ended.
    #[error("interrupted")]
    Interrupted,
}

impl DriveError {
    /// The exit codes are those of `spanferry` itself: 130 interrupted, otherwise 1.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Run { .. } => 1,
            Self::Interrupted => 130,
        }
    }
}

/// A failure with all its causes.
pub(crate) fn failed(what: &str, error: &dyn std::error::Error) -> DriveError {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    DriveError::Failed(format!("{what}: {}", texts.join(": ")))
}
