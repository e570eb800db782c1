//! Asks a person for a secret on the terminal, without showing what is typed.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use spanferry_core::code;
use spanferry_core::failure::{Class, Failure};

/// The terminal of this process, also when its output goes elsewhere.
const TERMINAL: &str = "/dev/tty";

/// What was typed; nothing if no person is there to ask.
///
/// Blocks until a line was entered. Ctrl-C ends the process; shells set the echo again.
pub(crate) fn password(question: &str) -> Result<Option<String>, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let Ok(terminal) = File::options().read(true).write(true).open(TERMINAL) else {
        return Ok(None);
    };
    ask(&terminal, question).map(Some).map_err(|cause| {
        Failure::new(
            code::USAGE,
            Class::StopMigration,
            TERMINAL,
            "the password cannot be asked for",
        )
        .hint("Set `SPANFERRY_SOURCE_PASSWORD`, or name a file with `--source-password-file`.")
        .caused_by(cause)
    })
}

fn ask(mut terminal: &File, question: &str) -> std::io::Result<String> {
    terminal.write_all(question.as_bytes())?;
    let hidden = Hidden::new(terminal)?;
    let mut line = String::new();
    BufReader::new(terminal).read_line(&mut line)?;
    drop(hidden);
    terminal.write_all(b"\n")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Echo is off while this lives.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn new(terminal: &'a File) -> std::io::Result<Hidden<'a>> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Hidden { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _failed = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}
