//! What a membership is told at its start, and the figures it runs by.
//!
//! Owns the defaults, measured by simulation (crates.md of the design). Does not hold keys: those are re-read at run time.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::identity::BootId;
use crate::message::MAX_NAME_BYTES;

/// What a node is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's name, 1 to [`MAX_NAME_BYTES`] bytes; unique in the cluster.
    pub name: String,
    /// Where the others reach this node: an address of the node itself (not unspecified) and the membership port (not 0).
    pub address: SocketAddr,
    /// This start of the process; drawn anew by the shell each time. Using one twice breaks the seal.
    pub boot: BootId,
    /// Whether datagrams may go unsealed while there is no key.
    pub sealing: Sealing,
    /// The figures of the protocol.
    pub tuning: Tuning,
}

impl Config {
    /// A node with sealing required and the measured figures.
    #[must_use]
    pub fn new(name: impl Into<String>, address: SocketAddr, boot: BootId) -> Self {
        Self {
            name: name.into(),
            address,
            boot,
            sealing: Sealing::Required,
            tuning: Tuning::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.name.is_empty() || self.name.len() > MAX_NAME_BYTES {
            return Err(ConfigError::Name {
                bytes: self.name.len(),
            });
        }
        if self.address.ip().is_unspecified() || self.address.port() == 0 {
            return Err(ConfigError::Address(self.address));
        }
        let tuning = &self.tuning;
        let zero = [
            tuning.probe_interval,
            tuning.probe_timeout,
            tuning.suspicion,
            tuning.gossip_interval,
        ]
        .contains(&Duration::ZERO);
        if zero
            || tuning.transmissions == 0
            || tuning.indirect_probes == 0
            || tuning.gossip_members == 0
        {
            return Err(ConfigError::Tuning("no interval and no count may be zero"));
        }
        if tuning.probe_timeout >= tuning.probe_interval {
            return Err(ConfigError::Tuning(
                "the probe timeout must be shorter than the probe interval",
            ));
        }
        Ok(())
    }
}

/// Whether datagrams may go unsealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// Without a key the machine is silent and has no members, until [`crate::Membership::set_keys`] brings one.
    Required,
    /// Without a key datagrams go in the clear, unauthenticated and without protection against replay. For tests.
    None,
}

/// The figures of the protocol. With the defaults everybody knows of a death in about 0.6 s, within 1 s at 3 to 200 nodes with 2 % loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// One member, in random order, is probed each time this passes. Default 100 ms.
    pub probe_interval: Duration,
    /// A probe without an answer for this long goes through other members. Default 40 ms; shorter than the interval.
    pub probe_timeout: Duration,
    /// A suspect that does not object for this long is down. Default 300 ms.
    pub suspicion: Duration,
    /// How many members are asked to probe in our place. Default 5.
    pub indirect_probes: usize,
    /// How often each update is passed on. Default 40.
    pub transmissions: u8,
    /// While there are updates they are told each time this passes. Default 50 ms.
    pub gossip_interval: Duration,
    /// To how many members updates are told each time. Default 3.
    pub gossip_members: usize,
    /// A member that is down is forgotten after this, name and rank. Default 10 minutes.
    pub forget_down_after: Duration,
    /// An address to join that is no member is tried again after this, give or take a quarter. Default 1 s.
    pub join_interval: Duration,
    /// Records are compared with one random member each time this passes, give or take a quarter. Default 1 s.
    pub record_sync_interval: Duration,
    /// A call that comes this much after the deadline means that the process was stopped for a while. Default 300 ms.
    pub late_after: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            probe_interval: Duration::from_millis(100),
            probe_timeout: Duration::from_millis(40),
            suspicion: Duration::from_millis(300),
            indirect_probes: 5,
            transmissions: 40,
            gossip_interval: Duration::from_millis(50),
            gossip_members: 3,
            forget_down_after: Duration::from_secs(600),
            join_interval: Duration::from_secs(1),
            record_sync_interval: Duration::from_secs(1),
            late_after: Duration::from_millis(300),
        }
    }
}

/// Why a membership could not be made. Nothing was started; the person who configured the node should act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// The name is empty or longer than [`MAX_NAME_BYTES`].
    Name {
        /// Its length.
        bytes: usize,
    },
    /// The address is unspecified or has port 0, so nobody could answer to it.
    Address(SocketAddr),
    /// A figure that cannot work, in words.
    Tuning(&'static str),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { bytes } => write!(
                formatter,
                "a node name has 1 to {MAX_NAME_BYTES} bytes, this one has {bytes}"
            ),
            Self::Address(address) => write!(
                formatter,
                "{address} cannot be reached by other nodes: give an address of this node and a port"
            ),
            Self::Tuning(why) => formatter.write_str(why),
        }
    }
}

impl std::error::Error for ConfigError {}
