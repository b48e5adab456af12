//! What the kernel tells of a process: memory, CPU time. Linux only.
//!
//! Owns nothing; every call reads /proc again.

use std::time::Duration;

use anyhow::{Context, Result};

/// Resident memory, MiB.
pub(super) fn resident(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("a process without memory")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// CPU time of all its threads so far, to the nanosecond; threads that ended are not in it.
pub(super) fn cpu(pid: u32) -> Result<Duration> {
    let mut total = Duration::ZERO;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else {
            // It ended meanwhile.
            continue;
        };
        let nanos = text.split(' ').next().context("schedstat")?.parse()?;
        total += Duration::from_nanos(nanos);
    }
    Ok(total)
}

/// The machine's load over the last minute.
pub(super) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or(0.0)
}
