//! What the machine tells: events, its standing, counters with named reasons for each datagram dropped.
//!
//! Values only; they are made in `membership`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Something worth telling. The truth is in [`crate::Membership::members`]; events say what changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A node is alive that was not.
    Up(String),
    /// A member stopped answering and is taken for dead.
    Down(String),
    /// A member said goodbye in good order.
    Left(String),
    /// A live member is another start of its process now; its record is empty until the new one comes.
    Restarted(String),
    /// The record of a live member is another one now.
    RecordChanged(String),
    /// Claims of a live member changed, came or went: a batch. When a member goes (`Down`, `Left`, a conflict) its claims go with it
    /// and this is not told.
    ClaimsChanged {
        /// Whose.
        node: String,
        /// On what.
        addresses: Vec<IpAddr>,
    },
    /// Two living nodes use one name. Told by those who see both (at most every 10 s) and by the node that has to stand back.
    NameConflict {
        /// The name.
        name: String,
        /// The node that keeps the name.
        keeper: SocketAddr,
        /// The node that is ignored.
        ignored: SocketAddr,
    },
    /// A peer seals with a key that is not ours. Told once until a datagram from there opens again.
    WrongKey {
        /// Where its datagrams come from.
        from: SocketAddr,
    },
    /// There is no key: the machine is silent until it is given one.
    NoKey,
    /// The first member was found after there were none.
    Joined,
    /// The last member is gone.
    Isolated,
    /// The others had taken this node for dead; it has come back under a higher rank.
    Rejoined,
    /// A call came long after its deadline: the process was stopped, and may have been replaced meanwhile.
    Late {
        /// How long after the deadline.
        by: Duration,
    },
}

/// What this node is to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Silent, because sealing is required and there is no key.
    NoKey,
    /// Taking part, or looking for peers.
    Active,
    /// Standing back, because another living node has our name. Nothing may be decided from the (empty) member list.
    Conflict,
    /// Has said goodbye; the member list is that of the moment of leaving.
    Left,
}

/// Why a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// Longer than any of ours.
    TooLong,
    /// Not in our format: too short, another version, or a payload that cannot be read.
    Malformed,
    /// Sealed with another key, or altered on the way.
    Unsealed,
    /// Came in the clear while we have a key, or sealed while we have none.
    NotAllowed,
    /// Was here before, or is too old to tell.
    Replayed,
    /// Our own.
    FromSelf,
    /// For another boot or rank than ours.
    NotForUs,
    /// From a boot that is not the member's present one.
    StaleBoot,
    /// Says it comes from another node than the seal says.
    Forged,
    /// Speaks as a member and is none.
    UnknownSender,
    /// Another living node has this name.
    NameTaken,
    /// Would bring more nodes than we keep.
    Full,
    /// Arrived while the machine is silent: no key, standing back, or gone.
    Silent,
}

impl DropReason {
    /// Every reason, in order; the position is the index in the counters.
    pub const ALL: [Self; 13] = [
        Self::TooLong,
        Self::Malformed,
        Self::Unsealed,
        Self::NotAllowed,
        Self::Replayed,
        Self::FromSelf,
        Self::NotForUs,
        Self::StaleBoot,
        Self::Forged,
        Self::UnknownSender,
        Self::NameTaken,
        Self::Full,
        Self::Silent,
    ];

    /// The reason as a metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Unsealed => "unsealed",
            Self::NotAllowed => "not_allowed",
            Self::Replayed => "replayed",
            Self::FromSelf => "from_self",
            Self::NotForUs => "not_for_us",
            Self::StaleBoot => "stale_boot",
            Self::Forged => "forged",
            Self::UnknownSender => "unknown_sender",
            Self::NameTaken => "name_taken",
            Self::Full => "full",
            Self::Silent => "silent",
        }
    }
}

/// What was counted since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams queued for sending.
    pub sent: u64,
    /// Bytes queued for sending, with the seal, without UDP and IP.
    pub sent_bytes: u64,
    /// Datagrams handed in.
    pub received: u64,
    /// Datagrams not sent because the queue was full.
    pub transmit_overflow: u64,
    /// Events not kept because nobody took them.
    pub event_overflow: u64,
    /// Hints that a port was unreachable.
    pub unreachable: u64,
    /// How often we were taken for dead and came back.
    pub rejoins: u64,
    /// Claims of our own for which there was no room.
    pub claims_refused: u64,
    /// Questions what a member claims.
    pub claim_questions: u64,
    /// How often foca reported an error that was not the fault of a datagram.
    pub foca_errors: u64,
    dropped: [u64; DropReason::ALL.len()],
}

impl Counters {
    /// Datagrams dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }

    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        if let Some(count) = self.dropped.get_mut(reason as usize) {
            *count += 1;
        }
    }
}
