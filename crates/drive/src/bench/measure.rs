//! A child process measured as a whole: wall time, processor time of itself and its children, peak
//! memory.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::Value;

use crate::error::DriveError;

/// Clock ticks a second in `/proc/PID/stat` (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// The figures of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Wall time.
    pub(crate) seconds: f64,
    /// User and system time.
    pub(crate) cpu_seconds: f64,
    /// Peak resident memory, where the process shows it.
    pub(crate) memory_peak_bytes: Option<u64>,
}

impl Measured {
    /// Adds what our own program says of itself.
    pub(crate) fn with_report(mut self, report: &Path) -> Measured {
        let text = std::fs::read_to_string(report).unwrap_or_default();
        let report: Value = serde_json::from_str(&text).unwrap_or_default();
        self.memory_peak_bytes = report["process"]["memory_peak_bytes"].as_u64();
        self
    }
}

/// Runs a command to its end, which must be a success.
pub(crate) fn measure(mut command: Command) -> Result<Measured, DriveError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let unrunnable = |source| DriveError::Run {
        program: program.clone(),
        source,
    };
    let began = Instant::now();
    let mut child = command.spawn().map_err(unrunnable)?;
    let id = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .expect("a child has a process id");
    // Ended but not yet reaped: its figures can still be read.
    waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        .map_err(|error| unrunnable(error.into()))?;
    let seconds = began.elapsed().as_secs_f64();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).map_err(unrunnable)?;
    let status = child.wait().map_err(unrunnable)?;
    if !status.success() {
        return Err(DriveError::Failed(format!("`{program}` ended with {status}")));
    }
    Ok(Measured {
        seconds,
        cpu_seconds: cpu_seconds(&stat).unwrap_or_default(),
        memory_peak_bytes: None,
    })
}

/// Fields 14 to 17: user and system time of the process, and of its ended children.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_ascii_whitespace().skip(11).take(4);
    let ticks: Option<u32> = ticks.map(|field| field.parse::<u32>().ok()).sum();
    Some(f64::from(ticks?) / TICKS_PER_SECOND)
}
