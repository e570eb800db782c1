//! What this process has used so far: processor time and peak memory, as Linux counts them.

use serde_json::{Value, json};

/// Clock ticks a second in `/proc/self/stat`: Linux has fixed them for user space (proc(5),
/// `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// `{"cpu_seconds", "memory_peak_bytes"}`, each null where the system does not show it.
pub(crate) fn report() -> Value {
    let stat = std::fs::read_to_string("/proc/self/stat").ok();
    let status = std::fs::read_to_string("/proc/self/status").ok();
    json!({
        "cpu_seconds": stat.as_deref().and_then(cpu_seconds),
        "memory_peak_bytes": status.as_deref().and_then(memory_peak_bytes),
    })
}

/// User and system time: fields 14 and 15, counted behind the command's name, which may hold
/// anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_ascii_whitespace().skip(11);
    let user: u32 = ticks.next()?.parse().ok()?;
    let system: u32 = ticks.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

/// The line `VmHWM:  1234 kB`.
fn memory_peak_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 9 9 20 0 1 0 5 1 1";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("7 (a"), None);
        assert_eq!(
            memory_peak_bytes("Name:\ta\nVmHWM:\t    1024 kB\n"),
            Some(1 << 20)
        );
        assert_eq!(memory_peak_bytes("VmRSS: 5 kB\n"), None);
        let own = report();
        assert!(
            own["memory_peak_bytes"].as_u64().is_some_and(|bytes| bytes > 0),
            "{own}"
        );
    }
}
