//! What is counted: every dropped packet under a name, for the endpoint and for the session it would have been for.
//!
//! Owns the names. Does not export them; the shell turns them into metrics.

use crate::packet::DecodeError;

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident,)*) => {
        /// Why a received datagram changed nothing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason { $($(#[$doc])* $variant,)* }

        impl DropReason {
            /// Every reason, in the order of declaration.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant,)*];

            /// The name in metrics and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(DropReason::$variant => stringify!($variant),)* }
            }
        }
    };
}

drop_reasons! {
    /// TTL not 255 (single hop), below the minimum (multihop), or unknown (BFD-02).
    Ttl,
    /// Version not 1 (BFD-03).
    Version,
    /// Length field below 24, or below 26 with A (BFD-03).
    LengthTooSmall,
    /// Length field beyond the datagram (BFD-03).
    LengthTooLarge,
    /// Detection multiplier 0 (BFD-03).
    Multiplier,
    /// Multipoint bit (BFD-03).
    Multipoint,
    /// My discriminator 0 (BFD-03).
    MyDiscriminator,
    /// Your discriminator names no session of ours (BFD-04).
    UnknownDiscriminator,
    /// Your discriminator 0 in state Init or Up (BFD-04).
    NoDiscriminator,
    /// Authentication, which we do not use (BFD-05).
    AuthUnexpected,
    /// The session of this discriminator is with another address, or in another VRF (BFD-06).
    WrongAddress,
    /// The session is bound to another interface (BFD-06).
    WrongInterface,
    /// On 3784 for a multihop session or on 4784 for a single-hop one (BFD-12, BFD-17).
    WrongPort,
    /// While Up, a newcomer with another discriminator than the peer's (BFD-06).
    ForeignDiscriminator,
    /// Our own packet came back (BFD-06).
    Reflected,
    /// From an address that has no session (BFD-13).
    UnknownPeer,
    /// We hold the session down; the peer's fields were noted (BFD-23).
    AdminDown,
}

impl From<DecodeError> for DropReason {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Version => Self::Version,
            DecodeError::LengthTooSmall => Self::LengthTooSmall,
            DecodeError::LengthTooLarge => Self::LengthTooLarge,
            DecodeError::Multiplier => Self::Multiplier,
            DecodeError::Multipoint => Self::Multipoint,
            DecodeError::MyDiscriminator => Self::MyDiscriminator,
        }
    }
}

/// How many datagrams were dropped for each reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Default for Drops {
    fn default() -> Self {
        Self([0; DropReason::ALL.len()])
    }
}

impl Drops {
    /// Dropped for this reason.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or_default()
    }

    /// Every reason with its count, zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .iter()
            .map(|&reason| (reason, self.of(reason)))
    }

    /// Dropped for any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn count(&mut self, reason: DropReason) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count += 1;
        }
    }
}

/// Everything an endpoint has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams dropped, for all sessions and none.
    pub drops: Drops,
    /// Datagrams given to `handle_datagram`.
    pub received: u64,
    /// Packets handed out for sending.
    pub sent: u64,
    /// Packets that the shell could not send.
    pub send_failures: u64,
    /// Answers to P not given because the last was less than 5 ms ago (BFD-36).
    pub finals_withheld: u64,
    /// Events that found the queue full.
    pub events_lost: u64,
    /// Sessions that were asked for and not made because there are too many.
    pub sessions_refused: u64,
}
