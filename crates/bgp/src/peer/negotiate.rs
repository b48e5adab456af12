//! What we offer in an OPEN, and what two OPENs put in force (BGP-40 to BGP-54).
//!
//! Owns both as pure functions, and the memory of what a peer refused. After [`in_force`] nothing consults
//! capabilities again.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::timers::FULL_OFFER_AGAIN;
use crate::config::Config;
use crate::message::capability::{code, codes_named};
use crate::message::{
    Asn, Capabilities, ErrorCode, Expected, ExtendedNextHop, Fqdn, GracefulRestart, Notification,
    Open, OpenError, WireRules,
};

/// How much is offered to a peer that refused an OPEN of ours (BGP-53).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum OfferLevel {
    /// Everything the configuration asks for.
    #[default]
    Full,
    /// Families and 4-octet AS numbers.
    Reduced,
    /// No optional parameter at all: IPv4 and an AS number of two octets.
    Nothing,
}

/// What was left out of our OPEN because the peer refused it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// How much is offered.
    pub level: OfferLevel,
    /// Capability codes the peer named as unsupported.
    pub without: BTreeSet<u8>,
    /// When to offer everything again.
    pub(super) until: Option<Instant>,
}

impl Offer {
    /// Whether anything is left out.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.level == OfferLevel::Full && self.without.is_empty()
    }

    /// Takes a refusal of our OPEN into account. Answers whether the next OPEN will differ.
    pub(crate) fn refused(
        &mut self,
        notification: &Notification,
        config: &Config,
        now: Instant,
    ) -> bool {
        let before = (self.level, self.without.len());
        match notification.error {
            ErrorCode::Open(OpenError::UnsupportedParameter) => self.step(config),
            ErrorCode::Open(OpenError::UnsupportedCapability) if notification.data.is_empty() => {
                self.step(config)
            }
            ErrorCode::Open(OpenError::UnsupportedCapability) => {
                let offered = capabilities(config, self, false).codes();
                // Without the capability of families only IPv4 is left.
                let needed = |code: u8| {
                    code == code::MULTIPROTOCOL && !config.settings().families.ipv4
                        || code == code::FOUR_OCTET_AS && config.local_asn().0 > u32::from(u16::MAX)
                };
                self.without.extend(
                    codes_named(&notification.data)
                        .intersection(&offered)
                        .filter(|c| !needed(**c)),
                );
            }
            _ => return false,
        }
        self.until = Some(now + FULL_OFFER_AGAIN);
        before != (self.level, self.without.len())
    }

    fn step(&mut self, config: &Config) {
        let plain = config.settings().families.ipv4 && config.local_asn().0 <= u32::from(u16::MAX);
        self.level = match self.level {
            OfferLevel::Full => OfferLevel::Reduced,
            OfferLevel::Reduced | OfferLevel::Nothing if plain => OfferLevel::Nothing,
            level => level,
        };
    }

    /// Forgets the refusals when they are old.
    pub(crate) fn renew(&mut self, now: Instant) {
        if self.until.is_some_and(|until| until <= now) {
            *self = Offer::default();
        }
    }
}

/// Our OPEN. Equal arguments make equal octets (BGP-35).
#[must_use]
pub fn open(config: &Config, offer: &Offer, restarting: bool) -> Open {
    Open::new(
        config.local_asn(),
        config.hold_time_secs(),
        config.settings().router_id,
        capabilities(config, offer, restarting),
    )
}

fn capabilities(config: &Config, offer: &Offer, restarting: bool) -> Capabilities {
    let settings = config.settings();
    if offer.level == OfferLevel::Nothing {
        return Capabilities::default();
    }
    let with = |code: u8| !offer.without.contains(&code);
    let mut offered = Capabilities::default();
    if with(code::MULTIPROTOCOL) {
        offered.multiprotocol = settings
            .families
            .iter()
            .map(|family| family.afi_safi())
            .collect();
    }
    if with(code::FOUR_OCTET_AS) {
        offered.four_octet_as = Some(config.local_asn());
    }
    if offer.level == OfferLevel::Reduced {
        return offered;
    }
    offered.route_refresh = with(code::ROUTE_REFRESH);
    offered.enhanced_refresh = with(code::ENHANCED_REFRESH);
    offered.extended_messages = with(code::EXTENDED_MESSAGES);
    if settings.extended_next_hop && settings.families.ipv4 && with(code::EXTENDED_NEXT_HOP) {
        offered.extended_next_hop = BTreeSet::from([ExtendedNextHop::IPV4_OVER_IPV6]);
    }
    if let Some(restart) = settings.graceful_restart
        && with(code::GRACEFUL_RESTART)
    {
        offered.graceful_restart = Some(GracefulRestart {
            restarting,
            notification: true,
            restart_time_secs: restart.time_secs,
            families: settings
                .families
                .iter()
                .map(|family| (family.afi_safi(), restart.forwarding))
                .collect(),
        });
    }
    if let Some(host) = &settings.hostname
        && with(code::FQDN)
    {
        offered.fqdn = Some(Fqdn {
            host: host.clone(),
            domain: String::new(),
        });
    }
    offered
}

/// What the peer's OPEN is held against.
#[must_use]
pub fn expected(config: &Config) -> Expected {
    Expected {
        local_asn: config.local_asn(),
        peer: config.expected_asn(),
        router_id: config.settings().router_id,
        hold_time_secs_min: config.min_hold_time_secs(),
        families: config.settings().families,
    }
}

/// What two OPENs put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The AS the peer says it has.
    pub peer_asn: Asn,
    /// The identifier the peer says it has.
    pub peer_id: Ipv4Addr,
    /// Hold time in seconds; 0: neither hold nor keepalive timers.
    pub hold_time_secs: u16,
    /// What decides about octets: families, sizes, AS numbers, iBGP.
    pub rules: WireRules,
    /// ROUTE-REFRESH may be sent and is honoured.
    pub route_refresh: bool,
    /// Refreshes are bracketed (RFC 7313).
    pub enhanced_refresh: bool,
    /// We keep forwarding over a restart and the peer keeps our routes (RFC 4724).
    pub graceful_restart: bool,
    /// A plain Cease is graceful, a hard reset is not (RFC 8538).
    pub notification_restart: bool,
    /// All that the peer offered, for display.
    pub theirs: Capabilities,
}

impl Negotiated {
    /// Our longest silence: the configured one or a third of the hold time, at least a second; none with hold time 0
    /// (BGP-64).
    #[must_use]
    pub fn keepalive(&self, configured_secs: u16) -> Option<Duration> {
        let third = self.hold_time_secs / 3;
        let secs = if configured_secs == 0 {
            third
        } else {
            third.min(configured_secs)
        };
        (self.hold_time_secs != 0).then(|| Duration::from_secs(u64::from(secs.max(1))))
    }

    /// The hold time, if there is one.
    #[must_use]
    pub fn hold(&self) -> Option<Duration> {
        (self.hold_time_secs != 0).then(|| Duration::from_secs(u64::from(self.hold_time_secs)))
    }
}

/// The one function of both OPENs that says what holds (BGP-54). What the RFCs make symmetric is symmetric.
#[must_use]
pub fn in_force(ours: &Open, theirs: &Open) -> Negotiated {
    let (mine, yours) = (&ours.capabilities, &theirs.capabilities);
    let extended_next_hop = ExtendedNextHop::IPV4_OVER_IPV6;
    let route_refresh = mine.route_refresh && yours.route_refresh;
    let enhanced_refresh = route_refresh && mine.enhanced_refresh && yours.enhanced_refresh;
    let restarts = (&mine.graceful_restart, &yours.graceful_restart);
    Negotiated {
        peer_asn: theirs.asn(),
        peer_id: theirs.router_id,
        hold_time_secs: ours.hold_time_secs.min(theirs.hold_time_secs),
        rules: WireRules {
            extended_in: mine.extended_messages,
            extended_out: yours.extended_messages,
            four_octet_as: mine.four_octet_as.is_some() && yours.four_octet_as.is_some(),
            internal: ours.asn() == theirs.asn(),
            families: mine.families().and(yours.families()),
            extended_next_hop: mine.extended_next_hop.contains(&extended_next_hop)
                && yours.extended_next_hop.contains(&extended_next_hop),
            enhanced_refresh,
        },
        route_refresh,
        enhanced_refresh,
        graceful_restart: matches!(restarts, (Some(_), Some(_))),
        notification_restart: matches!(restarts, (Some(a), Some(b)) if a.notification && b.notification),
        theirs: yours.clone(),
    }
}
