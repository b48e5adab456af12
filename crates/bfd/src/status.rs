//! What is told of a session: events as they happen, and its status at any time.
//!
//! Owns the shapes. Does not decide what a lost session means for its user.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config::{Mode, Profile, SessionKey};
use crate::counters::Drops;
use crate::packet::{Diagnostic, Discriminator, State};

/// What made a session change its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A packet of the peer on the way up.
    Peer,
    /// The peer says Down.
    PeerDown,
    /// The peer says AdminDown: not a failure of the path (RFC 5882 §3.2, BFD-62).
    PeerAdminDown,
    /// No packet within the detection time.
    DetectionTimeExpired,
    /// The path is known to be gone ([`Endpoint::handle_path_down`](crate::Endpoint::handle_path_down)).
    PathDown,
    /// We hold the session down, or no longer do.
    Local,
}

/// A session's change of state (BFD-27).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Which session.
    pub key: SessionKey,
    /// The state it left.
    pub from: State,
    /// The state it is in.
    pub to: State,
    /// Why.
    pub cause: Cause,
    /// What we now tell the peer.
    pub local_diagnostic: Diagnostic,
    /// What the peer last told us.
    pub remote_diagnostic: Diagnostic,
    /// The detection time that was in force.
    pub detection_time: Option<Duration>,
    /// Age of the peer's last packet.
    pub silence: Option<Duration>,
}

impl StateChange {
    /// Whether this is a failure that closes the sessions of others at once (RFC 5882 §3.2, RFC 9384): Up was left,
    /// and neither side did so on purpose.
    pub fn is_failure(&self) -> bool {
        self.from == State::Up && !matches!(self.cause, Cause::PeerAdminDown | Cause::Local)
    }
}

/// A fact worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session changed its state.
    StateChanged(StateChange),
    /// A well-formed packet came from an address without a session; told at most once a minute (BFD-13).
    UnknownPeer {
        /// Who.
        remote: IpAddr,
        /// On which port.
        mode: Mode,
    },
}

/// A session from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Which session.
    pub key: SessionKey,
    /// The profile in force.
    pub profile: Profile,
    /// Our state.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// The peer's state as it last told.
    pub remote_state: State,
    /// What we tell the peer of our last change.
    pub local_diagnostic: Diagnostic,
    /// What the peer tells of its last change.
    pub remote_diagnostic: Diagnostic,
    /// Our name for the session.
    pub local_discriminator: Discriminator,
    /// The peer's, while it is known.
    pub remote_discriminator: Option<Discriminator>,
    /// Our source port.
    pub source_port: u16,
    /// Time between our packets before jitter; `None` while none are sent by themselves.
    pub transmit_interval: Option<Duration>,
    /// Silence that means Down, as negotiated; `None` before the first packet.
    pub detection_time: Option<Duration>,
    /// Silence after which the peer gives us up, as far as we know its side.
    pub remote_detection_time: Duration,
    /// The peer's multiplier; 0 before its first packet.
    pub remote_multiplier: u8,
    /// The peer's desired min TX.
    pub remote_desired_min_tx: Duration,
    /// The peer's required min RX.
    pub remote_required_min_rx: Duration,
    /// The peer's C bit.
    pub remote_control_plane_independent: bool,
    /// A poll sequence is on its way.
    pub polling: bool,
    /// The session is not wanted any more and says goodbye.
    pub closing: bool,
    /// Packets of the peer that were taken.
    pub received: u64,
    /// Packets handed out for sending.
    pub sent: u64,
    /// When the peer's last packet was received.
    pub last_received: Option<Instant>,
    /// Times that Up was reached.
    pub ups: u64,
    /// Times that Up was left.
    pub downs: u64,
    /// Packets from the peer's address that were dropped; `WrongPort` says that the peer uses the other mode (BFD-17).
    pub drops: Drops,
}
