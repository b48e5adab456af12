//! The fast path: plain ARP requests answered inside the kernel, by a program as a value.
//!
//! Owns the program, the layout of the tables it shares with the shell, and the value of what it may answer. Does not
//! load anything: the shell gives the program to the kernel on the interface's ingress and keeps the tables as the
//! responder says. The responder stays the only source of what is answered, and the packet socket the way of every
//! frame that is not plain.
//!
//! ```text
//!   frame ──► program ──plain request──► reply, out of the same interface
//!                │
//!                └─ anything else, or in doubt ──► packet socket ──► Responder::handle_frame
//! ```
//!
//! Plain is a request of which the responder would say nothing but the reply: from a station to us or to all, with
//! its Ethernet source as sender, for an address that is announced here, by a sender whose protocol address is neither
//! unspecified (a probe, which may contest: L2-05, L2-52) nor one of ours (a claim: L2-09, L2-53), without any VLAN
//! tag. It gets the bytes that the responder would send, within the same budgets (L2-23): what the kernel has no
//! budget for is dropped there and counted as `RateLimited`. Where two processors take from one budget in the same
//! instant, the later one passes its frame on. Frames that are passed on have the responder's own budgets, so a sender
//! that asks in both ways gets at most twice one of them.
//!
//! The program answers only until the time in the table [`Table::Lease`], which the shell renews. A stopped process
//! renews nothing.

mod assemble;
mod program;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::config::Config;
use crate::limit::SENDERS_MAX;
use crate::mac::MacAddr;

pub use assemble::{Insn, LOAD_64, MAP};
pub use program::program;

/// LIMIT: how long the kernel answers after the last renewal. Well below the soonest that the other speakers can take
/// a silent one for dead (about 450 ms): a process that hangs is silent before anybody takes its place. The program
/// also refuses a lease that ends later than this from now, so a clock that differs (a time namespace) means silence.
pub const LEASE: Duration = Duration::from_millis(200);
/// A turn of the shell's loop renews a lease that is older than this.
pub const RENEWAL: Duration = Duration::from_millis(50);
/// And the loop wakes up for it when it is so old: few wake-ups of an idle process, and half a lease of room for one
/// that is late. A lease that ends meanwhile costs speed alone, the packet socket answers.
pub const RENEWAL_MAX: Duration = Duration::from_millis(100);
/// LIMIT: addresses on one interface; with more, its kernel answers none. The table's own cost is 16 octets for each
/// of these and 80 for each one used.
pub const ADDRESSES_MAX: u32 = 16_384;

/// What the program returns for a frame that it does not answer: the next program, or the kernel (`TCX_NEXT`).
pub const NEXT: u32 = u32::MAX;
/// What it returns for a frame over a budget, which ends there (`TCX_DROP`).
pub const DROP: u32 = 2;
/// What it returns for the reply that it has made of the frame (`TCX_REDIRECT`).
pub const REDIRECT: u32 = 7;

/// The tables of the program, in the order of their places in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// [`address_key`] to [`Address`]: what is announced here, and what is only watched for claims.
    Addresses,
    /// The budget of each sender, kept by the program alone.
    Senders,
    /// [`ONLY`] to [`control`].
    Control,
    /// [`ONLY`] to nanoseconds of the monotonic clock, `u64`; all interfaces of a process share it.
    Lease,
    /// The interface's budget, kept by the program alone.
    Budget,
}

/// What kind of table the kernel is to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By any key, memory as it is used.
    Hash,
    /// By any key, the least recently used one gives way.
    LruHash,
    /// By number.
    Array,
}

/// How a table is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its kind.
    pub kind: Kind,
    /// Octets of a key.
    pub key: u32,
    /// Octets of a value.
    pub value: u32,
    /// Entries at most.
    pub entries: u32,
}

impl Table {
    /// All of them, in order.
    pub const ALL: [Table; 5] = [
        Table::Addresses,
        Table::Senders,
        Table::Control,
        Table::Lease,
        Table::Budget,
    ];

    /// How it is to be made.
    pub fn shape(self) -> Shape {
        let (kind, key, value, entries) = match self {
            Table::Addresses => (Kind::Hash, 4, Address::BYTES, ADDRESSES_MAX),
            // As many as the responder remembers (L2-23). Who is forgotten has a full budget again.
            Table::Senders => (
                Kind::LruHash,
                8,
                8,
                u32::try_from(SENDERS_MAX).unwrap_or(u32::MAX),
            ),
            Table::Control | Table::Lease | Table::Budget => (Kind::Array, 4, 8, 1),
        };
        Shape {
            kind,
            key,
            value,
            entries,
        }
    }

    fn place(self) -> i32 {
        self as i32
    }
}

/// The key of a table that has one entry.
pub const ONLY: [u8; 4] = [0; 4];

/// The key of an address.
pub fn address_key(address: Ipv4Addr) -> [u8; 4] {
    address.octets()
}

/// The value of [`Table::Control`]: the station that answers; none: nobody does, every frame is passed on.
pub fn control(mac: Option<MacAddr>) -> [u8; 8] {
    let [a, b, c, d, e, f] = mac.unwrap_or_default().octets();
    let [open_a, open_b] = u16::from(mac.is_some()).to_ne_bytes();
    [a, b, c, d, e, f, open_a, open_b]
}

/// The value of an address in [`Table::Addresses`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// It is announced here; else a sender that claims it is passed on, and nothing more.
    pub answered: bool,
    /// Requests that the kernel answered.
    pub replies: u64,
    /// Requests over a budget, which it dropped.
    pub limited: u64,
}

impl Address {
    /// Octets of the value.
    pub const BYTES: u32 = 24;
    const REPLIES: i16 = 8;
    const LIMITED: i16 = 16;

    /// As the table holds it.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let words = [u64::from(self.answered), self.replies, self.limited];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// From the table.
    pub fn from_bytes(bytes: [u8; 24]) -> Self {
        let mut words = bytes.chunks_exact(8).map(|word| {
            let word = word.first_chunk::<8>().copied().unwrap_or_default();
            u64::from_ne_bytes(word)
        });
        let mut next = || words.next().unwrap_or_default();
        Address {
            answered: next() != 0,
            replies: next(),
            limited: next(),
        }
    }
}

/// What may be answered on an interface without asking its responder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The station that answers; zero when the interface cannot send.
    pub mac: MacAddr,
    /// Every IPv4 address of the responder, and whether it is announced: one that is being probed, or that another
    /// station has, is not.
    pub addresses: BTreeMap<Ipv4Addr, bool>,
}

/// A rate with a burst, as the program reckons it.
#[derive(Clone, Copy, Debug)]
struct Rate {
    interval_nanos: u64,
    tolerance_nanos: u64,
}

impl Rate {
    fn new(per_sec: u32, burst: u32) -> Self {
        let interval_nanos = 1_000_000_000 / u64::from(per_sec.max(1));
        Rate {
            interval_nanos,
            tolerance_nanos: interval_nanos * u64::from(burst.max(1) - 1),
        }
    }

    fn of_sender(config: &Config) -> Self {
        Rate::new(config.sender_replies_per_sec, config.sender_burst)
    }

    fn of_interface(config: &Config) -> Self {
        Rate::new(
            config.interface_replies_per_sec,
            crate::responder::INTERFACE_BURST,
        )
    }
}
