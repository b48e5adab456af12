//! Lost carriers of the interfaces that are announced on, seen within [`LOOK`].
//!
//! ```text
//!   wire ── watch<Vec<(index, name)>> ──► thread "carriers" ── watch<BTreeSet<index>> ──► wire
//! ```
//! Netlink tells of a lost carrier up to a second late, and a holder whose cable is out must let go at once. The
//! question may wait for a lock of the kernel that others hold for long, so a thread of its own asks it. It rests
//! while nothing is announced, and ends with the value here.

use std::collections::BTreeSet;
use std::thread::Thread;
use std::time::Duration;

use linux::carrier::Carrier;
use tokio::sync::watch;

/// From one look to the next. 20 ms leave 30 of the 50 that a release may take.
const LOOK: Duration = Duration::from_millis(20);

/// The same with nothing to look at.
const REST: Duration = Duration::from_secs(5);

type Wanted = Vec<(u32, String)>;

/// The wire's side of it.
pub(super) struct Carriers {
    wanted: watch::Sender<Wanted>,
    /// Interfaces without a carrier, of those that are looked at.
    pub(super) dark: watch::Receiver<BTreeSet<u32>>,
    thread: Thread,
}

impl Carriers {
    /// To be called in the network namespace that is meant.
    ///
    /// # Errors
    /// No thread, or no descriptor, is left.
    pub(super) fn start() -> anyhow::Result<Self> {
        let (wanted, asked) = watch::channel(Wanted::new());
        let (seen, dark) = watch::channel(BTreeSet::new());
        let carrier = Carrier::open()?;
        let thread = std::thread::Builder::new()
            .name("carriers".into())
            .spawn(move || look(&carrier, &asked, &seen))?;
        let thread = thread.thread().clone();
        Ok(Self {
            wanted,
            dark,
            thread,
        })
    }

    /// Looks at these interfaces from now on.
    pub(super) fn set(&self, wanted: Wanted) {
        let changed = self.wanted.send_if_modified(|old| {
            let changed = *old != wanted;
            if changed {
                *old = wanted;
            }
            changed
        });
        if changed {
            self.thread.unpark();
        }
    }
}

impl Drop for Carriers {
    fn drop(&mut self) {
        // It sees the closed channel at its next look.
        self.thread.unpark();
    }
}

fn look(carrier: &Carrier, asked: &watch::Receiver<Wanted>, seen: &watch::Sender<BTreeSet<u32>>) {
    while !seen.is_closed() {
        let wanted = asked.borrow().clone();
        let dark: BTreeSet<u32> = wanted
            .iter()
            // One that is gone, renamed or does not tell is for netlink to tell of.
            .filter(|(_, name)| matches!(carrier.is_lit(name), Ok(false)))
            .map(|(index, _)| *index)
            .collect();
        seen.send_if_modified(|old| {
            let changed = *old != dark;
            if changed {
                *old = dark;
            }
            changed
        });
        // Woken when that changes; 5 s only to see that the wire has gone.
        std::thread::park_timeout(if wanted.is_empty() { REST } else { LOOK });
    }
}
