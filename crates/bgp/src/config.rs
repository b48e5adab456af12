//! What one peer is told to be: [`Settings`] as a user writes them, [`Config`] after they were judged.
//!
//! Owns the rules for what cannot be, and which change needs another session. Addresses, ports, TTLs, passwords and
//! devices are the caller's, who opens the sockets; of a password only that there is one is known here.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use thiserror::Error;

use crate::message::capability::{FQDN_OCTETS_MAX, RESTART_TIME_SECS_MAX};
use crate::message::{Asn, ExpectedAsn, Families, Family};

/// Hold time where neither time is set, in seconds (BGP-63).
pub const HOLD_TIME_SECS: u16 = 90;
/// ConnectRetryTime where it is not set, in seconds (BGP-04).
pub const CONNECT_TIME_SECS: u16 = 10;
/// How long the routes carry GRACEFUL_SHUTDOWN before they go, where it is not set (BGP-99).
pub const DRAIN_WAIT: Duration = Duration::from_secs(10);
/// LIMIT: the longest such wait that can be set: ten minutes cover the slowest convergence and end.
pub const DRAIN_WAIT_MAX: Duration = Duration::from_secs(600);
/// Restart time offered where it is not set, in seconds (BGP-46).
pub const RESTART_TIME_SECS: u16 = 120;

/// A peer's AS that is not written down but learnt (BGP-26).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DynamicAsn {
    /// The peer has our AS.
    Internal,
    /// The peer has any AS but ours.
    External,
}

/// Graceful restart as we offer it (RFC 4724).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartSettings {
    /// Seconds that the peer is asked to keep our routes for: 1 to 4,095.
    pub time_secs: u16,
    /// Packets are forwarded while we are away. False only after a boot of the node until its first complete view.
    /// Counts for the next OPEN; a change ends no session.
    pub forwarding: bool,
    /// This process has just started: the R bit is set until the first Established, at most for the restart time after
    /// [`crate::Peer::new`]. False for a peer that is new to a process that runs for longer.
    pub restarted: bool,
}

impl Default for RestartSettings {
    fn default() -> Self {
        RestartSettings {
            time_secs: RESTART_TIME_SECS,
            forwarding: true,
            restarted: false,
        }
    }
}

/// One peer as a user describes it. Field names follow MetalLB's BGPPeer where it has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Our AS.
    pub my_asn: u32,
    /// Our AS on this session, in place of `my_asn`: it alone is in OPEN and AS_PATH (BGP-36).
    pub local_asn: Option<u32>,
    /// The peer's AS. Exactly one of this and `dynamic_asn`.
    pub peer_asn: Option<u32>,
    /// How the peer's AS is learnt.
    pub dynamic_asn: Option<DynamicAsn>,
    /// Our BGP identifier (BGP-37).
    pub router_id: Ipv4Addr,
    /// Proposed hold time, cut to whole seconds: 0, or 3 s to 65,535 s.
    pub hold_time: Option<Duration>,
    /// Longest silence of ours, cut to whole seconds.
    pub keepalive_time: Option<Duration>,
    /// ConnectRetryTime, cut to whole seconds: 1 s to 65,535 s.
    pub connect_time: Option<Duration>,
    /// A peer that proposes less, and not 0, is refused.
    pub min_hold_time: Option<Duration>,
    /// Families to announce. See [`families`].
    pub families: Families,
    /// Offer IPv4 prefixes with IPv6 next hops (RFC 8950): for sessions over IPv6 that carry IPv4.
    pub extended_next_hop: bool,
    /// Accepted without effect, as upstream (BGP-41).
    pub disable_mp: bool,
    /// Offer graceful restart.
    pub graceful_restart: Option<RestartSettings>,
    /// The peer may be routers away. Here it is judged and named in reasons; the TTL is the socket's.
    pub ebgp_multihop: bool,
    /// GTSM is on (RFC 5082). Judged here, set on the socket.
    pub ttl_security: bool,
    /// TCP-MD5 is on. The password stays with the socket.
    pub password: bool,
    /// Never dial, wait for the peer to.
    pub passive: bool,
    /// BFD watches the peer.
    pub bfd: bool,
    /// No session before BFD is up (BGP-131).
    pub bfd_strict: bool,
    /// Tell the peer this host name.
    pub hostname: Option<String>,
    /// How long routes carry GRACEFUL_SHUTDOWN before a drain withdraws them: 0 to 600 s.
    pub drain_wait: Duration,
}

impl Settings {
    /// The least that makes a session: both AS numbers and our identifier; IPv4.
    #[must_use]
    pub fn new(my_asn: u32, peer_asn: u32, router_id: Ipv4Addr) -> Settings {
        Settings {
            my_asn,
            local_asn: None,
            peer_asn: Some(peer_asn),
            dynamic_asn: None,
            router_id,
            hold_time: None,
            keepalive_time: None,
            connect_time: None,
            min_hold_time: None,
            families: Families::IPV4,
            extended_next_hop: false,
            disable_mp: false,
            graceful_restart: None,
            ebgp_multihop: false,
            ttl_security: false,
            password: false,
            passive: false,
            bfd: false,
            bfd_strict: false,
            hostname: None,
            drain_wait: DRAIN_WAIT,
        }
    }
}

/// The families of a session (BGP-40): that of its transport, both where asked for or unnumbered.
#[must_use]
pub fn families(transport: Family, dual_stack: bool, unnumbered: bool) -> Families {
    if dual_stack || unnumbered {
        Families::BOTH
    } else {
        Families::default().with(transport)
    }
}

/// Why a peer cannot be. The caller names the object; these name the field.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// AS 0 is nobody's (RFC 7607).
    #[error("{field} is 0, which is no AS number")]
    ZeroAsn {
        /// `myASN`, `localASN` or `peerASN`.
        field: &'static str,
    },
    /// Which of the two counts cannot be told.
    #[error("peerASN and dynamicASN are both set")]
    BothAsn,
    /// Nothing says who the peer is.
    #[error("neither peerASN nor dynamicASN is set")]
    NoAsn,
    /// Identifier 0 is refused by every router (RFC 6286).
    #[error("routerID is 0.0.0.0")]
    ZeroRouterId,
    /// Neither 0 nor 3 s to 65,535 s.
    #[error("holdTime is {0} s: it must be 0, or at least 3 s and at most 65535 s")]
    HoldTime(u64),
    /// A hold time must outlast a keepalive.
    #[error("keepaliveTime ({keepalive} s) is longer than holdTime ({hold} s)")]
    KeepaliveTime {
        /// Seconds.
        keepalive: u64,
        /// Seconds.
        hold: u64,
    },
    /// Out of range.
    #[error("connectTime is {0} s: it must be 1 s to 65535 s")]
    ConnectTime(u64),
    /// Out of range.
    #[error("minHoldTime is {0} s: it must be 3 s to 65535 s")]
    MinHoldTime(u64),
    /// We would refuse a peer for proposing what we propose.
    #[error("minHoldTime ({min} s) is longer than holdTime ({hold} s)")]
    MinHoldTimeAboveHold {
        /// Seconds.
        min: u64,
        /// Seconds.
        hold: u64,
    },
    /// A session for nothing.
    #[error("no address family")]
    NoFamily,
    /// Multihop is for eBGP; iBGP may span routers anyway.
    #[error("ebgpMultiHop is set, but the peer has our own AS")]
    MultihopInternal,
    /// They contradict each other.
    #[error("ttlSecurityHops and ebgpMultiHop are both set")]
    TtlSecurityMultihop,
    /// Does not fit 12 bits, or is 0.
    #[error("the restart time is {0} s: it must be 1 s to 4095 s")]
    RestartTime(u16),
    /// Out of range.
    #[error("the drain wait is longer than 600 s")]
    DrainWait,
    /// It would not fit, or says nothing.
    #[error("the host name is empty or longer than 64 octets")]
    Hostname,
    /// Strictness about something that is not there.
    #[error("bfdStrict is set without a BFD profile")]
    StrictWithoutBfd,
}

/// Something accepted that the user should hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigNote {
    /// `disableMP` has no effect (BGP-41).
    DisableMpIgnored,
    /// The keepalive time was cut to 0 s; a third of the hold time is used (BGP-65).
    KeepaliveTooShort,
    /// Hold time 0 and no BFD: a peer that dies silently is not noticed (BGP-63).
    NothingDetectsFailure,
}

impl ConfigNote {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ConfigNote::DisableMpIgnored => "disableMP is deprecated and has no effect",
            ConfigNote::KeepaliveTooShort => {
                "keepaliveTime is below one second; a third of the hold time is used"
            }
            ConfigNote::NothingDetectsFailure => {
                "hold time 0 and no BFD: a router that dies silently is not noticed"
            }
        }
    }
}

/// One peer, judged. Equal settings make equal configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    settings: Settings,
    hold_secs: u16,
    keepalive_secs: u16,
    connect_secs: u16,
    min_hold_secs: u16,
    notes: BTreeSet<ConfigNote>,
}

impl Config {
    /// Judges the settings.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first; never empty.
    pub fn new(settings: Settings) -> Result<Config, Vec<ConfigError>> {
        let mut errors = Vec::new();
        check_asn(&settings, &mut errors);
        let (hold, keepalive, cut_to_nothing) = times(&settings, &mut errors);
        let connect = settings
            .connect_time
            .map_or(u64::from(CONNECT_TIME_SECS), |time| time.as_secs());
        let min_hold = settings.min_hold_time.map_or(3, |time| time.as_secs());
        let problems = [
            (
                settings.router_id.is_unspecified(),
                ConfigError::ZeroRouterId,
            ),
            (
                !(1..=65_535).contains(&connect),
                ConfigError::ConnectTime(connect),
            ),
            (
                !(3..=65_535).contains(&min_hold),
                ConfigError::MinHoldTime(min_hold),
            ),
            (
                settings.min_hold_time.is_some()
                    && hold >= 3
                    && (3..=65_535).contains(&min_hold)
                    && min_hold > hold,
                ConfigError::MinHoldTimeAboveHold {
                    min: min_hold,
                    hold,
                },
            ),
            (settings.families.is_empty(), ConfigError::NoFamily),
            (
                settings.ebgp_multihop && settings.ttl_security,
                ConfigError::TtlSecurityMultihop,
            ),
            (settings.drain_wait > DRAIN_WAIT_MAX, ConfigError::DrainWait),
            (
                settings.bfd_strict && !settings.bfd,
                ConfigError::StrictWithoutBfd,
            ),
            (
                settings
                    .hostname
                    .as_ref()
                    .is_some_and(|name| name.is_empty() || name.len() > FQDN_OCTETS_MAX),
                ConfigError::Hostname,
            ),
        ];
        errors.extend(
            problems
                .into_iter()
                .filter_map(|(is, error)| is.then_some(error)),
        );
        if let Some(restart) = settings.graceful_restart
            && !(1..=RESTART_TIME_SECS_MAX).contains(&restart.time_secs)
        {
            errors.push(ConfigError::RestartTime(restart.time_secs));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let notes = [
            (settings.disable_mp, ConfigNote::DisableMpIgnored),
            (cut_to_nothing, ConfigNote::KeepaliveTooShort),
            (
                hold == 0 && !settings.bfd,
                ConfigNote::NothingDetectsFailure,
            ),
        ];
        let secs = |value: u64| u16::try_from(value).expect("each was judged to fit");
        Ok(Config {
            hold_secs: secs(hold),
            keepalive_secs: secs(keepalive),
            connect_secs: secs(connect),
            min_hold_secs: secs(min_hold),
            notes: notes
                .into_iter()
                .filter_map(|(is, note)| is.then_some(note))
                .collect(),
            settings,
        })
    }

    /// What it was made of.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the user should hear of.
    #[must_use]
    pub fn notes(&self) -> &BTreeSet<ConfigNote> {
        &self.notes
    }

    /// Our AS on this session.
    #[must_use]
    pub fn local_asn(&self) -> Asn {
        Asn(self.settings.local_asn.unwrap_or(self.settings.my_asn))
    }

    /// Which AS the peer may have.
    #[must_use]
    pub fn expected_asn(&self) -> ExpectedAsn {
        match (self.settings.peer_asn, self.settings.dynamic_asn) {
            (Some(asn), _) => ExpectedAsn::Exactly(Asn(asn)),
            (None, Some(DynamicAsn::External)) => ExpectedAsn::External,
            (None, _) => ExpectedAsn::Internal,
        }
    }

    /// The hold time we propose, in seconds.
    #[must_use]
    pub fn hold_time_secs(&self) -> u16 {
        self.hold_secs
    }

    /// Our longest silence before negotiation, in seconds; 0 with hold time 0.
    #[must_use]
    pub fn keepalive_time_secs(&self) -> u16 {
        self.keepalive_secs
    }

    /// The least hold time of the peer's that is accepted besides 0, in seconds.
    #[must_use]
    pub fn min_hold_time_secs(&self) -> u16 {
        self.min_hold_secs
    }

    /// ConnectRetryTime before jitter.
    #[must_use]
    pub fn connect_time(&self) -> Duration {
        Duration::from_secs(u64::from(self.connect_secs))
    }

    /// Whether a running session must end for the change to count (BGP-76). Times that only pace us, the R and F bits
    /// of the next OPEN and the drain's wait do not.
    #[must_use]
    pub fn needs_new_session(&self, other: &Config) -> bool {
        self.of_the_session() != other.of_the_session()
    }

    fn of_the_session(&self) -> (Settings, u16, u16, u16) {
        let settings = Settings {
            // Judged values stand for these three.
            hold_time: None,
            keepalive_time: None,
            min_hold_time: None,
            connect_time: None,
            disable_mp: false,
            passive: false,
            bfd: false,
            bfd_strict: false,
            drain_wait: Duration::ZERO,
            my_asn: self.local_asn().0,
            local_asn: None,
            graceful_restart: self
                .settings
                .graceful_restart
                .map(|restart| RestartSettings {
                    forwarding: true,
                    restarted: false,
                    ..restart
                }),
            ..self.settings.clone()
        };
        (
            settings,
            self.hold_secs,
            self.keepalive_secs,
            self.min_hold_secs,
        )
    }
}

fn check_asn(settings: &Settings, errors: &mut Vec<ConfigError>) {
    let zeros = [
        ("myASN", settings.my_asn == 0),
        ("localASN", settings.local_asn == Some(0)),
        ("peerASN", settings.peer_asn == Some(0)),
    ];
    errors.extend(
        zeros
            .into_iter()
            .filter_map(|(field, is)| is.then_some(ConfigError::ZeroAsn { field })),
    );
    match (settings.peer_asn, settings.dynamic_asn) {
        (Some(_), Some(_)) => errors.push(ConfigError::BothAsn),
        (None, None) => errors.push(ConfigError::NoAsn),
        _ => {}
    }
    let local = settings.local_asn.unwrap_or(settings.my_asn);
    let internal =
        settings.peer_asn == Some(local) || settings.dynamic_asn == Some(DynamicAsn::Internal);
    if internal && settings.ebgp_multihop {
        errors.push(ConfigError::MultihopInternal);
    }
}

/// Hold and keepalive time in whole seconds, and whether a keepalive time came to nothing (BGP-65).
fn times(settings: &Settings, errors: &mut Vec<ConfigError>) -> (u64, u64, bool) {
    let hold = settings.hold_time.map(|time| time.as_secs());
    let keepalive = settings.keepalive_time.map(|time| time.as_secs());
    let default = u64::from(HOLD_TIME_SECS);
    let hold = match (hold, keepalive) {
        (Some(hold), _) => hold,
        (None, Some(keepalive @ 1..)) => keepalive.saturating_mul(3),
        (None, _) => default,
    };
    if !(hold == 0 || (3..=65_535).contains(&hold)) {
        errors.push(ConfigError::HoldTime(hold));
    }
    let cut_to_nothing = keepalive == Some(0) && hold != 0;
    let keepalive = match keepalive {
        Some(keepalive @ 1..) => keepalive,
        _ => hold / 3,
    };
    if keepalive > hold {
        errors.push(ConfigError::KeepaliveTime { keepalive, hold });
    }
    (hold, keepalive, cut_to_nothing)
}
