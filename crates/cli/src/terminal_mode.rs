//! Modes of a terminal that are off while something needs it, and on again afterwards.

use std::os::fd::AsFd;

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcgetpgrp, tcsetattr};

/// Local modes of one terminal that were on and are off while this lives.
#[derive(Debug)]
pub(crate) struct ModesOff<Terminal: AsFd> {
    terminal: Terminal,
    modes: LocalModes,
}

impl<Terminal: AsFd> ModesOff<Terminal> {
    /// Switches those of `modes` off that are on. `when` says what becomes of input that was typed
    /// already.
    pub(crate) fn new(
        terminal: Terminal,
        modes: LocalModes,
        when: OptionalActions,
    ) -> std::io::Result<ModesOff<Terminal>> {
        let mut found = tcgetattr(&terminal)?;
        let modes = found.local_modes & modes;
        found.local_modes.remove(modes);
        tcsetattr(&terminal, when, &found)?;
        Ok(ModesOff { terminal, modes })
    }
}

impl<Terminal: AsFd> Drop for ModesOff<Terminal> {
    fn drop(&mut self) {
        // The terminal of a shell that has put us into the background is not ours to change: asking
        // would stop us.
        if !is_ours(&self.terminal) {
            return;
        }
        // One that is gone needs nothing.
        if let Ok(mut found) = tcgetattr(&self.terminal) {
            found.local_modes.insert(self.modes);
            let _gone = tcsetattr(&self.terminal, OptionalActions::Now, &found);
        }
    }
}

/// Whether this process may change the terminal's modes: in the background of a shell that would
/// stop it. A terminal that controls no process here has the foreground.
pub(crate) fn is_ours(terminal: impl AsFd) -> bool {
    tcgetpgrp(terminal).map_or(true, |group| group == getpgrp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

    #[test]
    fn only_what_was_on_comes_back() {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let terminal = ioctl_tiocgptpeer(&master, flags).unwrap();
        let both = LocalModes::ECHO | LocalModes::ECHOCTL;
        let modes = || tcgetattr(&terminal).unwrap().local_modes;
        let off = |modes| ModesOff::new(&terminal, modes, OptionalActions::Now).unwrap();
        assert!(modes().contains(both));

        let outer = off(LocalModes::ECHOCTL);
        assert_eq!(modes() & both, LocalModes::ECHO);
        // It was off already, so it stays off.
        drop(off(both));
        assert_eq!(modes() & both, LocalModes::ECHO);
        drop(outer);
        assert!(modes().contains(both));
    }
}
