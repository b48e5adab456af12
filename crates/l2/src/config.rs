//! What a responder is told about itself: its budgets and its interface.
//!
//! Owns the defaults, each named by the row of the checklist it comes from. Does not decide which interfaces are
//! usable or which addresses belong on them; the engine does.

use std::time::Duration;

use crate::mac::MacAddr;

/// Shortest refresh period that is obeyed; a shorter one is raised to it (L2-33).
pub const REFRESH_MIN: Duration = Duration::from_secs(5);
/// Longest refresh period that is obeyed; a longer one is cut to it (L2-33).
pub const REFRESH_MAX: Duration = Duration::from_secs(3600);

/// Budgets and schedule of one responder. `Config::default()` is what the checklist asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Period of the refresh rounds, `None` for off; held within [`REFRESH_MIN`] and [`REFRESH_MAX`]. Default 60 s (L2-33).
    pub refresh: Option<Duration>,
    /// Gratuitous frames per second on this interface. Default 4,000 (L2-34).
    pub gratuitous_per_sec: u32,
    /// Probes per second on this interface. Default 12,000: three for each address that the budget of gratuitous
    /// frames lets be announced in that time (L2-51).
    pub probes_per_sec: u32,
    /// Replies per second to one sender. Default 20 (L2-23).
    pub sender_replies_per_sec: u32,
    /// Replies to one sender in a row before its rate counts. Default 40 (L2-23).
    pub sender_burst: u32,
    /// Replies per second on this interface, to all senders. Default 20,000 (L2-23).
    pub interface_replies_per_sec: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            refresh: Some(Duration::from_secs(60)),
            gratuitous_per_sec: 4_000,
            probes_per_sec: 12_000,
            sender_replies_per_sec: 20,
            sender_burst: 40,
            interface_replies_per_sec: 20_000,
        }
    }
}

impl Config {
    /// The refresh period as it is obeyed.
    pub(crate) fn refresh_period(&self) -> Option<Duration> {
        self.refresh
            .map(|period| period.clamp(REFRESH_MIN, REFRESH_MAX))
    }
}

/// The facts of one interface, as the kernel last told them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The interface index, its identity (L2-45).
    pub index: u32,
    /// Its present Ethernet address; replies carry this one and no remembered one (L2-22).
    pub mac: MacAddr,
    /// Up, with carrier, and of a kind that can be answered on. Nothing is sent or answered while false (L2-36).
    pub usable: bool,
    /// IPv6 is enabled on it. Neighbor Discovery is off while false (L2-63).
    pub ipv6: bool,
}

impl Interface {
    /// Usable, and with an address that a station may have: a reply with any other would poison caches.
    pub(crate) fn can_send(&self) -> bool {
        self.usable && self.mac.is_station()
    }
}

/// What the kernel says of a received frame beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameMeta {
    /// Index of the device that received it (`sll_ifindex`).
    pub ifindex: u32,
    /// The kernel marks it as sent by this host (`PACKET_OUTGOING`).
    pub outgoing: bool,
    /// VLAN tag from the auxiliary data, if the frame had one. The low 12 bits are read, so an id and a whole tag
    /// control field are both welcome.
    pub vlan: Option<u16>,
}
