//! The part of a terminal that is drawn again and again; a line that stays is printed through its
//! owner.

use std::io::{IsTerminal, Stderr, stderr};
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use rustix::termios::{LocalModes, OptionalActions};

use crate::args::Output;
use crate::render;
use crate::terminal_mode::{ModesOff, is_ours};

/// Lines of progress below everything that was said; nothing is drawn off a terminal, nor for a
/// program.
///
/// While it is open the terminal does not show `^C` for Ctrl-C, which would shift the lines. Closed
/// by [`Screen::close`], by [`Screen::clear`] or when it is dropped.
#[derive(Debug)]
pub(crate) struct Screen {
    drawn: Option<ProgressBar>,
    echo_off: Mutex<Option<ModesOff<Stderr>>>,
}

impl Screen {
    /// A screen on standard error, still empty.
    pub(crate) fn open(output: Output) -> Screen {
        let is_drawn = output == Output::Text && stderr().is_terminal();
        let whole = ProgressStyle::with_template("{msg}").expect("the template names a known key");
        let echo_off = (is_drawn && is_ours(stderr()))
            .then(|| ModesOff::new(stderr(), LocalModes::ECHOCTL, OptionalActions::Now).ok());
        Screen {
            drawn: is_drawn.then(|| ProgressBar::no_length().with_style(whole)),
            echo_off: Mutex::new(echo_off.flatten()),
        }
    }

    /// Whether anybody sees what is drawn.
    pub(crate) fn is_drawn(&self) -> bool {
        self.drawn.is_some()
    }

    /// Draws `text` in the place of what was drawn before.
    pub(crate) fn draw(&self, text: String) {
        if let Some(drawn) = &self.drawn {
            drawn.set_message(text);
        }
    }

    /// Lets `print` write lines that stay, above what is drawn.
    pub(crate) fn above(&self, print: impl FnOnce()) {
        match &self.drawn {
            Some(drawn) => drawn.suspend(print),
            None => print(),
        }
    }

    /// Prints a line that stays, on standard error; with the time where nothing is drawn.
    pub(crate) fn print(&self, line: &str) {
        self.above(|| render::print_progress(line));
    }

    /// Leaves what was drawn last, and the terminal as it was. Once closed, nothing is drawn any
    /// more.
    pub(crate) fn close(&self) {
        // A second time would draw it over what was said since.
        if let Some(drawn) = self.drawn.as_ref().filter(|drawn| !drawn.is_finished()) {
            if drawn.message().is_empty() {
                drawn.finish_and_clear();
            } else {
                drawn.abandon();
            }
        }
        self.give_echo_back();
    }

    /// Takes what is drawn away, and leaves the terminal as it was.
    pub(crate) fn clear(&self) {
        if let Some(drawn) = &self.drawn {
            drawn.finish_and_clear();
        }
        self.give_echo_back();
    }

    fn give_echo_back(&self) {
        let mut echo_off = self.echo_off.lock().unwrap_or_else(PoisonError::into_inner);
        drop(echo_off.take());
    }
}
