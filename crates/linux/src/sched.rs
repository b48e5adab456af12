//! Scheduling of the thread that must not be late.
//!
//! Owns one request to the kernel. Deliberately does not decide who is that important: the shell asks for its wire
//! thread, and goes on without when it is refused.

use crate::{Error, sys};

/// New threads and processes of this one are ordinary again.
const RESET_ON_FORK: i32 = 0x4000_0000;

/// Puts the calling thread under round-robin real-time scheduling with this priority (1 lowest to 99). It then runs
/// before every ordinary thread of the host, so it must never spin. Needs CAP_SYS_NICE or a real-time limit.
///
/// # Errors
/// Refused ([`Error::is_permission`]), or a container's share of real-time is zero: nothing changed.
pub fn round_robin(priority: u8) -> Result<(), Error> {
    sys::set_scheduler(libc::SCHED_RR | RESET_ON_FORK, i32::from(priority))
        .map_err(Error::io("ask for real-time scheduling of", || {
            format!("this thread, priority {priority}")
        }))
}
