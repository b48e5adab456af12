//! What a data plane needs of a kernel: two implementations, the real one and the one that fails on purpose.
//!
//! Owns the trait. Deliberately small: everything that can be decided is decided above it.

use std::os::fd::BorrowedFd;

use crate::change::Change;
use crate::error::Error;
use crate::ruleset::{ChainName, Family, Ruleset};

/// What a chain's counter counted since the chain was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packets {
    /// Of which family.
    pub family: Family,
    /// The chain: of a slot table (new connections), or the one that refuses.
    pub chain: ChainName,
    /// Packets: new connections in a NAT chain.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
}

/// A kernel.
pub trait Backend {
    /// Whether tables can be owned and persist.
    fn owns(&self) -> bool;

    /// Reads back both tables, and claims them where they have no owner.
    ///
    /// # Errors
    /// Nothing is known then.
    fn read(&mut self) -> Result<Ruleset, Error>;

    /// Applies the changes as one transaction: all or nothing.
    ///
    /// # Errors
    /// Nothing was applied, or ([`Error::Uncertain`]) nobody knows.
    fn commit(&mut self, changes: &[Change]) -> Result<(), Error>;

    /// Forgets the tracked connections with this mark under `mask`.
    ///
    /// # Errors
    /// Some may be left.
    fn forget(&mut self, mark: u32, mask: u32) -> Result<(), Error>;

    /// Counts them.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn count(&mut self, mark: u32, mask: u32) -> Result<u64, Error>;

    /// Packets that met the counters of our chains.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn packets(&mut self) -> Result<Vec<Packets>, Error>;

    /// What to wait on for changes by others; none where there cannot be any.
    fn events(&self) -> Option<BorrowedFd<'_>>;

    /// Reads the events that wait; true when somebody else may have changed a table of ours.
    ///
    /// # Errors
    /// The socket failed; take it for true.
    fn foreign(&mut self) -> Result<bool, Error>;
}
