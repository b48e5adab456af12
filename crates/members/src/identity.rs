//! What a node is called in the membership, and which of two claims to one name wins.
//!
//! Owns [`BootId`] and [`Identity`]. Does not know who is alive; the rules for two living nodes with one name are in
//! `membership::conflict`.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// One start of one process: 16 bytes that are never used twice.
///
/// The shell makes it with [`BootId::new`]: wall-clock milliseconds followed by bytes from the operating system's random source. The
/// time only serves to let a restarted node win over its former self without asking; a wrong clock costs one more exchange. The random
/// part keeps the key of the seal unique, so it must never come from a logged seed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId([u8; 16]);

impl BootId {
    /// Six bytes of milliseconds since the Unix epoch, then ten random bytes.
    #[must_use]
    pub fn new(unix_millis: u64, random: [u8; 10]) -> Self {
        let mut bytes = [0; 16];
        let (time, rest) = bytes.split_at_mut(TIME_BYTES);
        time.copy_from_slice(&unix_millis.to_be_bytes()[8 - TIME_BYTES..]);
        rest.copy_from_slice(&random);
        Self(bytes)
    }

    /// Takes 16 bytes as they are.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The rank a node starts with: the time part, so that later boots rank higher.
    pub(crate) fn first_rank(self) -> u64 {
        self.0
            .iter()
            .take(TIME_BYTES)
            .fold(0, |rank, byte| rank << 8 | u64::from(*byte))
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// A member as SWIM sees it. Two identities are the same when boot and rank are; the name is what there may be only one of.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) name: Arc<str>,
    pub(crate) address: SocketAddr,
    pub(crate) boot: BootId,
    /// Grows when a node comes back: after having been declared down, or over a former self that ranks higher.
    pub(crate) rank: u64,
    /// What foca compares instead of the name, many times for each update: the front of its SHA-256.
    digest: NameDigest,
}

impl Identity {
    pub(crate) fn new(name: Arc<str>, address: SocketAddr, boot: BootId, rank: u64) -> Self {
        let digest = digest_of(&name);
        Self {
            name,
            address,
            boot,
            rank,
            digest,
        }
    }

    /// Whether both have one name.
    pub(crate) fn is_namesake(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Whether `self` replaces `other` under the same name: the higher rank, then the greater boot id.
    pub(crate) fn outranks(&self, other: &Self) -> bool {
        (self.rank, self.boot) > (other.rank, other.boot)
    }

    /// The same node and boot, one rank higher: how it returns after having been declared down.
    pub(crate) fn raised_over(&self, rank: u64) -> Self {
        Self {
            rank: self.rank.max(rank).saturating_add(1),
            ..self.clone()
        }
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.boot == other.boot && self.rank == other.rank
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}@{}/{}+{}",
            self.name, self.address, self.boot, self.rank
        )
    }
}

impl foca::Identity for Identity {
    type Addr = NameDigest;

    /// Never by itself: the machine decides, because a living rival with our name must not be answered with a higher rank.
    fn renew(&self) -> Option<Self> {
        None
    }

    fn addr(&self) -> NameDigest {
        self.digest
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.outranks(adversary)
    }
}

/// A name as foca compares it.
pub(crate) type NameDigest = u128;

fn digest_of(name: &str) -> NameDigest {
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    digest
        .as_ref()
        .iter()
        .take(16)
        .fold(0, |front, byte| front << 8 | u128::from(*byte))
}

/// Bytes of a boot id that are time.
const TIME_BYTES: usize = 6;

#[cfg(test)]
mod tests;
