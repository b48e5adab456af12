//! What can fail, in words that name the object and the mend.
//!
//! Owns the error type. After any of them the kernel holds what it held before, unless the text says otherwise; the
//! desired table is kept and tried again.

/// Why the forwarding table is not as desired.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket could not be opened or read.
    #[error(transparent)]
    Socket(#[from] linux::Error),
    /// The process may not.
    #[error(
        "cannot {what}: not permitted. Mend: give the process the capability NET_ADMIN in the host's network namespace"
    )]
    Permission {
        /// What was tried.
        what: String,
    },
    /// The kernel has no such thing.
    #[error("cannot {what}: the kernel lacks {lacks}. Mend: {mend}")]
    Lacks {
        /// What was tried.
        what: String,
        /// What it lacks.
        lacks: &'static str,
        /// What helps.
        mend: &'static str,
    },
    /// Another living process owns the table.
    #[error(
        "table harbinger ({family:?}) is owned by another process (netlink port {owner}). Mend: stop the other speaker on this machine"
    )]
    Owned {
        /// Of which family.
        family: crate::Family,
        /// The owner's netlink port; usually its process id.
        owner: u32,
    },
    /// The kernel refused a step of a transaction; nothing of it was applied.
    #[error("cannot {what}: {source}")]
    Refused {
        /// The refused step.
        what: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The acknowledgement was lost: the transaction may have been applied. What is there is read again.
    #[error("no acknowledgement for the transaction: {source}")]
    Uncertain {
        /// What was got instead.
        source: std::io::Error,
    },
    /// What the kernel holds could not be read.
    #[error("cannot read table harbinger: {source}")]
    Unreadable {
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// Somebody changes the rulesets faster than they can be read.
    #[error(
        "cannot read table harbinger: the rulesets of this machine changed during each of {tries} tries"
    )]
    Restless {
        /// How often it was tried.
        tries: u32,
    },
}
