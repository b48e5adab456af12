//! The BFD control packet (RFC 5880 §4.1): 24 octets, read with validation and built.
//!
//! Owns the layout and the checks that need no session. Does not check TTL, addresses or discriminators of sessions,
//! and reads no authentication section: whoever sees the A bit drops the packet.

use std::num::NonZeroU32;

/// Octets of a packet without authentication; all that we send.
pub const PACKET_BYTES: usize = 24;
/// Octets that a packet with an authentication section has at least.
const AUTHENTICATED_BYTES: u8 = 26;
const VERSION: u8 = 1;

const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTHENTICATION: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// The name one side has for a session; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Discriminator(pub NonZeroU32);

impl Discriminator {
    /// The discriminator of this number; 0 is none.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// As on the wire.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl std::fmt::Display for Discriminator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// State of a session (RFC 5880 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Held down on purpose.
    AdminDown = 0,
    /// No packets, or the other side says so.
    Down = 1,
    /// The other side is heard, and does not hear us yet.
    Init = 2,
    /// Both sides hear each other.
    Up = 3,
}

impl State {
    /// Every state, in the order of the numbers on the wire.
    pub const ALL: [State; 4] = [State::AdminDown, State::Down, State::Init, State::Up];

    /// The name in statuses, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::AdminDown => "AdminDown",
            State::Down => "Down",
            State::Init => "Init",
            State::Up => "Up",
        }
    }

    fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => State::AdminDown,
            1 => State::Down,
            2 => State::Init,
            _ => State::Up,
        }
    }
}

/// Why a side last left Up (RFC 5880 §4.1): five bits; values that nobody has defined are kept as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// Nothing to tell.
    pub const NONE: Self = Self(0);
    /// No packet within the detection time.
    pub const DETECTION_TIME_EXPIRED: Self = Self(1);
    /// The neighbour said that it is down.
    pub const NEIGHBOR_SIGNALED_DOWN: Self = Self(3);
    /// The path is known to be gone: interface down, address gone.
    pub const PATH_DOWN: Self = Self(5);
    /// On purpose.
    pub const ADMINISTRATIVELY_DOWN: Self = Self(7);

    /// The low five bits of a number.
    pub const fn new(number: u8) -> Self {
        Self(number & 0x1f)
    }

    /// As on the wire.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self.0 {
            0 => "no diagnostic",
            1 => "control detection time expired",
            2 => "echo function failed",
            3 => "neighbor signaled session down",
            4 => "forwarding plane reset",
            5 => "path down",
            6 => "concatenated path down",
            7 => "administratively down",
            8 => "reverse concatenated path down",
            _ => "unknown diagnostic",
        }
    }
}

/// A control packet; intervals in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender last left Up.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// P: the sender wants an answer at once.
    pub poll: bool,
    /// F: the answer to P.
    pub finished: bool,
    /// C: the sender's BFD does not share fate with its control plane.
    pub control_plane_independent: bool,
    /// A: an authentication section follows, which we do not read.
    pub authenticated: bool,
    /// D: the sender wants no periodic packets.
    pub demand: bool,
    /// Missing packets that mean Down, in the sender's view of its own packets.
    pub multiplier: u8,
    /// The sender's name for the session.
    pub my_discriminator: Discriminator,
    /// The receiver's name for the session, when the sender knows it.
    pub your_discriminator: Option<Discriminator>,
    /// The sender would like to send no faster than this.
    pub desired_min_tx_us: u32,
    /// The sender can receive no faster than this; 0: it wants no periodic packets.
    pub required_min_rx_us: u32,
    /// The sender can loop echo packets no faster than this; 0: not at all.
    pub required_min_echo_rx_us: u32,
}

/// Why a datagram is no control packet, in the order in which it is looked at (BFD-03).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not version 1.
    #[error("version is not 1")]
    Version,
    /// The length field is too small for what the flags promise.
    #[error("length field is too small")]
    LengthTooSmall,
    /// The length field reaches beyond the datagram.
    #[error("length field exceeds the datagram")]
    LengthTooLarge,
    /// A detection multiplier of 0.
    #[error("detection multiplier is 0")]
    Multiplier,
    /// The multipoint bit.
    #[error("multipoint bit is set")]
    Multipoint,
    /// My discriminator is 0.
    #[error("my discriminator is 0")]
    MyDiscriminator,
}

impl Packet {
    /// Reads the first packet-length octets of a datagram; what follows is ignored (BFD-08).
    ///
    /// # Errors
    /// The first check of RFC 5880 §6.8.6 that fails.
    pub fn decode(datagram: &[u8]) -> Result<Self, DecodeError> {
        let octet = |at: usize| datagram.get(at).copied();
        let first = octet(0).ok_or(DecodeError::LengthTooLarge)?;
        if first >> 5 != VERSION {
            return Err(DecodeError::Version);
        }
        let flags = octet(1).ok_or(DecodeError::LengthTooLarge)?;
        let length = octet(3).ok_or(DecodeError::LengthTooLarge)?;
        let authenticated = flags & AUTHENTICATION != 0;
        let shortest = if authenticated {
            AUTHENTICATED_BYTES
        } else {
            PACKET_BYTES as u8
        };
        if length < shortest {
            return Err(DecodeError::LengthTooSmall);
        }
        if usize::from(length) > datagram.len() {
            return Err(DecodeError::LengthTooLarge);
        }
        let multiplier = octet(2).unwrap_or(0);
        if multiplier == 0 {
            return Err(DecodeError::Multiplier);
        }
        if flags & MULTIPOINT != 0 {
            return Err(DecodeError::Multipoint);
        }
        let word = |at: usize| {
            let octets = datagram.get(at..).and_then(<[u8]>::first_chunk::<4>);
            octets.map_or(0, |octets| u32::from_be_bytes(*octets))
        };
        Ok(Self {
            diagnostic: Diagnostic::new(first),
            state: State::from_bits(flags >> 6),
            poll: flags & POLL != 0,
            finished: flags & FINAL != 0,
            control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
            authenticated,
            demand: flags & DEMAND != 0,
            multiplier,
            my_discriminator: Discriminator::new(word(4)).ok_or(DecodeError::MyDiscriminator)?,
            your_discriminator: Discriminator::new(word(8)),
            desired_min_tx_us: word(12),
            required_min_rx_us: word(16),
            required_min_echo_rx_us: word(20),
        })
    }

    /// The packet on the wire. `authenticated` is not written: there is no section to follow.
    pub fn encode(&self) -> [u8; PACKET_BYTES] {
        let bit = |set: bool, mask: u8| if set { mask } else { 0 };
        let flags = (self.state as u8) << 6
            | bit(self.poll, POLL)
            | bit(self.finished, FINAL)
            | bit(self.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | bit(self.demand, DEMAND);
        let head = [
            VERSION << 5 | self.diagnostic.number(),
            flags,
            self.multiplier,
            PACKET_BYTES as u8,
        ];
        let words = [
            self.my_discriminator.get(),
            self.your_discriminator.map_or(0, Discriminator::get),
            self.desired_min_tx_us,
            self.required_min_rx_us,
            self.required_min_echo_rx_us,
        ];
        let mut bytes = [0; PACKET_BYTES];
        let octets = head
            .into_iter()
            .chain(words.into_iter().flat_map(u32::to_be_bytes));
        for (to, from) in bytes.iter_mut().zip(octets) {
            *to = from;
        }
        bytes
    }
}

#[cfg(test)]
mod tests;
