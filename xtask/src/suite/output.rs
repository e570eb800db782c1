//! Runs a command of cargo and shows its output line by line as it comes; ends tests that are
//! silent for too long.

use std::io::{BufRead, BufReader, Read};
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::error::TaskError;

/// Lines that wait to be printed.
const LINES_WAITING: usize = 1024;

/// Runs `command`; each line of its output is printed and given to `each`. True when it succeeded.
/// When `silence_max` is set and no line comes for so long, the programs that the command has
/// started are killed.
pub(super) fn run(
    command: &mut Command,
    silence_max: Option<Duration>,
    mut each: impl FnMut(&str),
) -> Result<bool, TaskError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| TaskError::Run {
        program: program.clone(),
        source,
    };
    // One pipe for both, so that the lines keep their order.
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    command.stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    let mut child = command.spawn().map_err(failed)?;
    // The command holds our ends of the pipe until they are replaced.
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    for line in lines(reader, silence_max, child.id()) {
        println!("{line}");
        each(&line);
    }
    Ok(child.wait().map_err(failed)?.success())
}

/// The lines of `output`, as they come. When none comes for `silence_max`, the programs that
/// process `parent` has started are killed: a test that hangs fails the run, and the tests after it
/// still run.
fn lines(
    output: impl Read + Send + 'static,
    silence_max: Option<Duration>,
    parent: u32,
) -> impl Iterator<Item = String> {
    let (sender, receiver) = sync_channel::<String>(LINES_WAITING);
    // Ends with the pipe, or with the receiver.
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    std::iter::from_fn(move || {
        loop {
            match receiver.recv_timeout(silence_max.unwrap_or(Duration::MAX)) {
                Ok(line) => return Some(line),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => end_children(parent, silence_max),
            }
        }
    })
}

/// Kills what a process has started; what that has started in turn ends by itself, as after any
/// kill.
fn end_children(of: u32, silence: Option<Duration>) {
    let seconds = silence.map_or(0, |silence| silence.as_secs());
    for child in children(of) {
        println!(
            "error: no test has ended for {seconds} s: process {child} is killed; tests without a result above hang"
        );
        // An error means that it is gone by itself: as good.
        let _gone = Pid::from_raw(child).map(|child| kill_process(child, Signal::KILL));
    }
}

/// The processes whose parent is `of`. Source: proc(5), `/proc/PID/task/TID/children`.
fn children(of: u32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{of}/task"));
    let lists = threads.into_iter().flatten().flatten();
    lists
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|child| child.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::{children, run};

    #[test]
    fn both_outputs_come_in_order() {
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; echo three; exit 3"]);
        let succeeded = run(&mut command, None, |line| seen.push(line.to_owned())).unwrap();
        assert!(!succeeded);
        assert_eq!(seen, ["one", "two", "three"]);
    }

    #[test]
    fn a_silent_program_is_killed() {
        let mut command = Command::new("sh");
        // The shell stays as the parent, as cargo does.
        command.args(["-c", "cat /dev/zero >/dev/null; echo killed with $?"]);
        let mut seen = Vec::new();
        let silence = Some(Duration::from_millis(300));
        let succeeded = run(&mut command, silence, |line| seen.push(line.to_owned())).unwrap();
        assert!(succeeded);
        assert_eq!(
            seen.last().map(String::as_str),
            Some("killed with 137"),
            "{seen:?}"
        );
    }

    #[test]
    fn children_are_found() {
        let mut child = Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let found = children(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&i32::try_from(child.id()).unwrap()), "{found:?}");
    }
}
