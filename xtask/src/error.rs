//! Why a task has failed.

/// What a person runs next, and the exit code that goes with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// Something that has to be installed first; nothing was started.
    #[error("{what}\n{remedy}")]
    Missing {
        /// What is not there.
        what: String,
        /// The commands that install it.
        remedy: String,
    },
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
}

impl TaskError {
    /// The exit codes are those of `spanferry` itself: 3 refused at the start, otherwise 1.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Missing { .. } => 3,
            Self::Failed(_) | Self::Run { .. } => 1,
        }
    }
}
