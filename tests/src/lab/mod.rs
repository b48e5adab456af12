//! Network labs in one process: hosts, switches, captures, clients and servers in network namespaces.
//!
//! Owns the namespaces it makes; everything goes when the values are dropped. Only [`router`] needs other
//! programs. It works as root and, where the system allows it, inside an unprivileged user namespace ([`enter`]).
//! Deliberately absent: anything of the project's own crates, so that the lab cannot share their mistakes.

mod capture;
mod child;
pub mod client;
mod frame;
mod host;
mod lan;
mod link;
mod load;
pub mod nft;
pub mod router;
mod web;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};

pub use capture::Capture;
pub use child::Child;
pub use frame::{Arp, Frame, Neighbor};
pub use host::Host;
pub use lan::{Lan, LanOptions, Port, Topology};
pub use link::{LinkFacts, Neighbour};
pub use load::{Asked, Held, Load, Outcome, Tally};
pub use web::{Echo, Lines, Status, Web};

/// Pause between two looks of [`eventually`].
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// See [`has_own_users`].
static OWN_USERS: AtomicBool = AtomicBool::new(false);

/// Makes this process able to create network namespaces: nothing to do for root, else a user namespace in
/// which it is root. Call it before the first thread is started; calling it again is harmless.
///
/// # Errors
/// The system permits no user namespaces, or threads are running already.
pub fn enter() -> Result<()> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if uid.is_root() {
        return Ok(());
    }
    match unshare(CloneFlags::CLONE_NEWUSER) {
        Ok(()) => {}
        Err(Errno::EINVAL) => bail!(
            "cannot enter a user namespace: threads are running already (call lab::enter first, or run as root)"
        ),
        Err(e) => bail!(
            "cannot enter a user namespace: {e} (run as root, or permit it: sysctl kernel.unprivileged_userns_clone=1, \
             kernel.apparmor_restrict_unprivileged_userns=0)"
        ),
    }
    let write = |file: &str, text: String| {
        std::fs::write(format!("/proc/self/{file}"), text)
            .with_context(|| format!("cannot write /proc/self/{file}"))
    };
    OWN_USERS.store(true, Ordering::Relaxed);
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))?;
    Ok(())
}

/// Whether [`enter`] made a user namespace, which other programs must enter first.
pub fn has_own_users() -> bool {
    OWN_USERS.load(Ordering::Relaxed)
}

/// Enters the lab's user namespace before `main` when the process is not root, in a test binary whose
/// harness starts threads before any code of ours runs. Put it once at the top of the test file.
#[macro_export]
macro_rules! enter_lab_at_start {
    () => {
        // SAFETY: the section holds functions that the C library calls once before `main`; this one only
        // makes system calls and needs nothing that `main` would have to set up.
        #[used]
        #[unsafe(link_section = ".init_array")]
        static ENTER_LAB: extern "C" fn() = {
            extern "C" fn enter() {
                // A failure is reported by `lab::ready` in the first test.
                let _ = $crate::lab::enter();
            }
            enter
        };
    };
}

/// Whether labs are to be run: false when the environment has `SKIP=lab` (a list, by commas).
///
/// # Panics
/// When namespaces are not permitted here, with what to do about it.
pub fn ready() -> bool {
    let skip = std::env::var("SKIP").unwrap_or_default();
    if skip.split(',').any(|s| s.trim() == "lab") {
        eprintln!("lab skipped: SKIP={skip}");
        return false;
    }
    let tried = enter().and_then(|()| Host::new("trial").map(drop));
    if let Err(e) = tried {
        panic!("no network namespaces here: {e:#}. Set SKIP=lab to leave the labs out.");
    }
    true
}

/// Looks again and again, every 2 ms, until `look` finds something; for conditions that have no event.
///
/// # Panics
/// When nothing was found in time; the message names `what`.
#[track_caller]
pub fn eventually<T>(within: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        let now = Instant::now();
        assert!(now < deadline, "not within {within:?}: {what}");
        pause(LOOK_INTERVAL.min(deadline - now));
    }
}

/// Lets time pass, for watching that something does not happen.
pub fn pause(time: Duration) {
    let millis = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
    // Interrupted or not, the callers look at the clock themselves.
    let _ = poll(&mut [], millis);
}
