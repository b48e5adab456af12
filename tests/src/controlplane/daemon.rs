//! A program that runs until it is stopped.
//!
//! Owns the process and its log file. It ends with the value, and with this process however that ends.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::{self, Host};

/// As much of a log as a message takes, bytes.
const LOG_END_BYTES: usize = 4_000;

/// A running program.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
    /// Keeps alive the thread that started it: the kernel kills the child when that thread ends.
    _parent: mpsc::SyncSender<()>,
}

impl Daemon {
    /// Starts it, in the host's network namespace if there is one; both outputs go to `<name>.log` in `folder`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        name: &str,
        mut command: Command,
        host: Option<&Host>,
        folder: &Path,
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out);
        // SAFETY: one system call between fork and exec.
        unsafe {
            command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?));
        }
        let (parent, alive) = mpsc::sync_channel::<()>(0);
        let (started, child) = mpsc::sync_channel(1);
        let start = move || {
            // The receiver waits below.
            let _ = started.send(command.spawn());
            // Until the daemon is dropped.
            let _ = alive.recv();
        };
        match host {
            Some(host) => drop(host.thread(start)),
            None => drop(std::thread::spawn(start)),
        }
        let child = child
            .recv()
            .map_err(|_gone| anyhow!("the starting thread died"))?
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            _parent: parent,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal; nothing when it has ended.
    pub fn signal(&mut self, signal: Signal) {
        if !self.has_ended() {
            let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
            // It may have ended in between; unreaped, its id is still its own.
            let _ = kill(pid, signal);
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Panics
    /// It does not end in time.
    pub fn stop_within(&mut self, time: Duration) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        lab::eventually(time, &format!("{} ends", self.name), || {
            self.child.try_wait().ok().flatten()
        })
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(&mut self) {
        // Neither fails for a child that is ours and unwaited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The end of what it wrote.
    pub fn log_end(&self) -> String {
        let log = self.log();
        let from = log.len().saturating_sub(LOG_END_BYTES);
        let from = (from..log.len()).find(|at| log.is_char_boundary(*at));
        log[from.unwrap_or(0)..].to_owned()
    }

    /// Waits until its log has a text.
    ///
    /// # Panics
    /// It ends, or the text does not come in time.
    pub fn wait_for_log(&mut self, within: Duration, text: &str) {
        let deadline = Instant::now() + within;
        while !self.log().contains(text) {
            let ended = self.has_ended();
            assert!(
                !ended && Instant::now() < deadline,
                "{} {} without saying {text:?}:\n{}",
                self.name,
                if ended { "ended" } else { "goes on" },
                self.log_end()
            );
            lab::pause(Duration::from_millis(5));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
