//! Asks a person for a secret on the terminal, without showing what is typed.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions};
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};

use crate::terminal_mode::ModesOff;

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
    let hidden = ModesOff::new(terminal, LocalModes::ECHO, OptionalActions::Flush)?;
    let mut line = String::new();
    BufReader::new(terminal).read_line(&mut line)?;
    drop(hidden);
    terminal.write_all(b"\n")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
