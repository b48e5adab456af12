//! A child process on a host.
//!
//! Owns the process: it is killed and waited for when the value is dropped. Signals go by process id.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStderr, ChildStdout, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running program.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    exited: Option<ExitStatus>,
}

impl Child {
    pub(super) fn new(child: std::process::Child) -> Self {
        Self {
            child,
            exited: None,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its output, if the command asked for a pipe and nobody took it yet.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its errors, if the command asked for a pipe and nobody took it yet.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Sends a signal; nothing when it has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.try_wait().is_none() {
            let pid = Pid::from_raw(self.child.id() as i32);
            // It may have ended in between; then it stays unreaped, and the id is still its own.
            let _ = kill(pid, signal);
        }
    }

    /// SIGSTOP: it hangs, its sockets stay.
    pub fn stop(&mut self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn cont(&mut self) {
        self.signal(Signal::SIGCONT);
    }

    /// SIGTERM: asks it to end.
    pub fn term(&mut self) {
        self.signal(Signal::SIGTERM);
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::SIGKILL);
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.exited {
            return Ok(status);
        }
        let status = self.child.wait()?;
        self.exited = Some(status);
        Ok(status)
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait().ok().flatten();
        }
        self.exited
    }

    /// Waits for its end; killed, with that status, when it takes longer.
    pub fn wait_within(&mut self, time: Duration) -> io::Result<ExitStatus> {
        let deadline = std::time::Instant::now() + time;
        loop {
            if let Some(status) = self.try_wait() {
                return Ok(status);
            }
            if std::time::Instant::now() >= deadline {
                return self.kill();
            }
            super::pause(super::LOOK_INTERVAL);
        }
    }

    /// Whether this status is an end by a signal.
    pub fn was_killed(status: ExitStatus) -> bool {
        status.signal().is_some()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The program is ours and unwaited for, so the id cannot have been given to another.
        let _ = self.kill();
    }
}
