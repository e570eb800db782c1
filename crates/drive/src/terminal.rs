//! The terminal is left as it was found, whatever a killed child made of it.

use std::io::{IsTerminal, stderr};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// The modes of the terminal on standard error, set again when this is dropped.
#[derive(Debug)]
pub(crate) struct TerminalModes(Option<Termios>);

impl TerminalModes {
    /// Remembers them; nothing where there is no terminal.
    pub(crate) fn remember() -> TerminalModes {
        let found = stderr().is_terminal().then(|| tcgetattr(stderr()).ok());
        TerminalModes(found.flatten())
    }
}

impl Drop for TerminalModes {
    fn drop(&mut self) {
        if let Some(modes) = &self.0 {
            // A terminal that is gone needs nothing.
            tcsetattr(stderr(), OptionalActions::Now, modes).ok();
        }
    }
}
