//! What a peer has counted: messages by type and direction, and what was dropped, by name.
//!
//! Owns the names. The shell makes metrics of them.

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident,)*) => {
        /// Why something that came from the peer's side was not acted upon.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason { $($(#[$doc])* $variant,)* }

        impl DropReason {
            /// Every reason, in the order of declaration.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant,)*];

            /// The name in metrics and logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(DropReason::$variant => stringify!($variant),)* }
            }
        }
    };
}

drop_reasons! {
    /// A message that ended its connection with a NOTIFICATION of ours.
    BadMessage,
    /// A NOTIFICATION too short to be read.
    ShortNotification,
    /// A message that its state does not allow (RFC 6608).
    UnexpectedMessage,
    /// An OPEN that we do not agree with.
    RefusedOpen,
    /// An UPDATE treated as withdraw (RFC 7606).
    TreatedAsWithdraw,
    /// An attribute that was left out of an UPDATE (RFC 7606), or is of a family that was not agreed on.
    DiscardedAttribute,
    /// A capability whose length cannot be.
    IgnoredCapability,
    /// A ROUTE-REFRESH without agreement, or for a family without.
    RefreshNotNegotiated,
    /// A mark of an enhanced refresh, or an unknown subtype: we keep nothing it could be about.
    RefreshMark,
    /// A ROUTE-REFRESH within a second of another one.
    RefreshMerged,
    /// A connection of the peer's own that came while another was Established.
    ConnectionWhileEstablished,
    /// A connection of the peer's own that came while we are stopped or held back.
    ConnectionRefused,
    /// An unidentified connection that gave way to a newer one.
    ConnectionReplaced,
    /// Octets, or word, of a connection that is not there any more.
    StaleConnection,
    /// An event that found the queue full.
    EventLost,
}

/// Messages of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// OPENs.
    pub open: u64,
    /// UPDATEs, End-of-RIB included.
    pub update: u64,
    /// NOTIFICATIONs.
    pub notification: u64,
    /// KEEPALIVEs.
    pub keepalive: u64,
    /// ROUTE-REFRESHes, marks included.
    pub route_refresh: u64,
}

impl Messages {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.open + self.update + self.notification + self.keepalive + self.route_refresh
    }
}

/// Everything a peer has counted since it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    drops: [u64; DropReason::ALL.len()],
    /// Messages handed out for sending.
    pub sent: Messages,
    /// Messages read.
    pub received: Messages,
    /// Octets handed out for sending.
    pub octets_sent: u64,
    /// Octets read.
    pub octets_received: u64,
    /// Prefixes announced, repetitions included.
    pub prefixes_announced: u64,
    /// Prefixes withdrawn.
    pub prefixes_withdrawn: u64,
    /// Prefixes that the peer announced; none is kept (BGP-129).
    pub prefixes_received: u64,
    /// Prefixes that the peer withdrew.
    pub prefixes_received_withdrawn: u64,
    /// Attempts to connect.
    pub dials: u64,
    /// Attempts that failed before TCP was up.
    pub dials_failed: u64,
    /// Times the session was Established.
    pub established: u64,
    /// Times an Established session ended.
    pub dropped: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            drops: [0; DropReason::ALL.len()],
            sent: Messages::default(),
            received: Messages::default(),
            octets_sent: 0,
            octets_received: 0,
            prefixes_announced: 0,
            prefixes_withdrawn: 0,
            prefixes_received: 0,
            prefixes_received_withdrawn: 0,
            dials: 0,
            dials_failed: 0,
            established: 0,
            dropped: 0,
        }
    }
}

impl Counters {
    /// How often something was dropped for this reason.
    #[must_use]
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or_default()
    }

    /// Every reason with its count, zeros included.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .iter()
            .map(|&reason| (reason, self.dropped_for(reason)))
    }

    pub(crate) fn count(&mut self, reason: DropReason) {
        self.add(reason, 1);
    }

    pub(crate) fn add(&mut self, reason: DropReason, times: u64) {
        if let Some(count) = self.drops.get_mut(reason as usize) {
            *count = count.saturating_add(times);
        }
    }
}
