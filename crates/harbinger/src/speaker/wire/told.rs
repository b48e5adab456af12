//! Events of the wire as log lines: flips are told, repetitions are counted elsewhere.

use std::collections::BTreeMap;

use bgp::PeerEvent;
use engine::wire::Event;
use engine::wire::routers::RouterEvent;

/// What was said last, so that the same is not said again.
#[derive(Default)]
pub(super) struct Told {
    failures: BTreeMap<u32, String>,
}

/// LIMIT: interfaces whose last failure is remembered; beyond it a failure is told again.
const FAILURES_MAX: usize = 1_024;

impl Told {
    pub(super) fn tell(&mut self, event: Event, name: impl Fn(u32) -> String) {
        match event {
            Event::ForeignClaim {
                ifindex,
                address,
                mac,
            } => tracing::warn!(
                event = "foreignClaim", interface = name(ifindex), ip = %address, %mac,
                vendor = mac.vendor(), "another station claims an address that this node answers for: it is defended"
            ),
            Event::AddressInUse {
                ifindex,
                address,
                mac,
            } => tracing::warn!(
                event = "addressInUse", interface = name(ifindex), ip = %address, %mac,
                vendor = mac.vendor(), "a station has the address: it is not announced here, and probed again every 30 s"
            ),
            Event::SplitBrainSuspected {
                ifindex,
                address,
                mac,
                node,
            } => tracing::warn!(
                event = "splitBrainSuspected", interface = name(ifindex), ip = %address, %mac, node,
                "a speaker that the members have lost answers for an address of this node: the network between them may be split"
            ),
            Event::InterfaceFailed { ifindex, why } => self.failed(ifindex, why, &name(ifindex)),
            Event::Late { by } => tracing::warn!(
                event = "late",
                millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX),
                "this process was stopped for a while: nothing is answered until the members are heard"
            ),
            Event::Leaving { addresses } => tracing::info!(
                event = "leaving",
                addresses,
                "what this node answers for is handed over; it answers until the others have it"
            ),
            Event::Isolated => tracing::warn!(
                event = "cutOff",
                "fewer than half of the speakers and not the default gateway can be reached: this node gives up what it answers for"
            ),
            Event::Reconnected => tracing::info!(
                event = "reconnected",
                "the speakers or the default gateway can be reached again"
            ),
            Event::Resumed => tracing::info!(event = "resumed", "answering goes on"),
            Event::MembershipRefused(why) => {
                tracing::error!(event = "membershipRefused", %why, "the membership's key or record is not used");
            }
            Event::Member(event) => member(event),
        }
    }

    fn failed(&mut self, ifindex: u32, why: String, interface: &str) {
        if self.failures.get(&ifindex) == Some(&why) {
            return;
        }
        tracing::warn!(event = "interfaceFailed", interface, %why, "its sockets cannot be used, trying again");
        if self.failures.len() >= FAILURES_MAX {
            self.failures.clear();
        }
        self.failures.insert(ifindex, why);
    }
}

/// Sessions with routers: one line for each change, and a failure that repeats is told once (BGP-136).
pub(super) fn router(event: RouterEvent) {
    match event {
        RouterEvent::Peer { peer, event } => match event {
            PeerEvent::Established(_) => {
                tracing::info!(event = "bgpEstablished", peer, "the session is established");
            }
            PeerEvent::Down { reason, uptime } => tracing::warn!(
                event = "bgpDown", peer, %reason, seconds = uptime.as_secs(),
                "the session is down"
            ),
            PeerEvent::Failed { reason, times: 1 } => {
                tracing::warn!(event = "bgpFailed", peer, %reason, "no session, trying again");
            }
            PeerEvent::Failed { .. } => {}
            PeerEvent::Note(note) => tracing::warn!(event = "bgpNote", peer, ?note, "noticed"),
            PeerEvent::Stopped => tracing::info!(event = "bgpStopped", peer, "the session is over"),
        },
        RouterEvent::Bfd(bfd::Event::StateChanged(change)) => tracing::info!(
            event = "bfdState", peer = %change.key.peer, from = ?change.from, to = ?change.to,
            cause = ?change.cause, failure = change.is_failure(), "BFD changed its state"
        ),
        RouterEvent::Bfd(bfd::Event::UnknownPeer { remote, .. }) => {
            tracing::warn!(event = "bfdUnknownPeer", peer = %remote, "BFD packets of no peer of ours");
        }
        RouterEvent::AmbiguousNeighbor {
            interface,
            taken,
            other,
        } => tracing::warn!(
            event = "ambiguousNeighbor", interface, %taken, %other,
            "two routers advertise themselves on an unnumbered link; the first is taken"
        ),
        RouterEvent::Refused { peer, why } => {
            tracing::error!(event = "bgpRefused", peer, %why, "the session cannot be run as configured");
        }
    }
}

fn member(event: members::Event) {
    use members::Event as Member;
    match event {
        Member::Up(node) => tracing::info!(event = "memberUp", node, "a speaker is alive"),
        Member::Down(node) => {
            tracing::warn!(event = "memberDown", node, "a speaker is taken for dead")
        }
        Member::Left(node) => tracing::info!(event = "memberLeft", node, "a speaker said goodbye"),
        Member::Restarted(node) => {
            tracing::info!(event = "memberRestarted", node, "a speaker was restarted")
        }
        Member::RecordChanged(node) => {
            tracing::debug!(
                event = "memberRecord",
                node,
                "a speaker's interfaces changed"
            );
        }
        Member::ClaimsChanged { node, addresses } => {
            tracing::debug!(
                event = "memberClaims",
                node,
                addresses = addresses.len(),
                "a speaker's claims changed"
            );
        }
        Member::NameConflict {
            name,
            keeper,
            ignored,
        } => tracing::error!(
            event = "nameConflict", node = name, %keeper, %ignored,
            "two living speakers have one node name; the later one stands back, give it another --node-name"
        ),
        Member::WrongKey { from } => tracing::warn!(
            event = "wrongKey", %from,
            "a peer seals with another membership key and is ignored; give all speakers the same"
        ),
        Member::NoKey => tracing::warn!(
            event = "noKey",
            "there is no membership key yet: this speaker is alone until it comes"
        ),
        Member::Joined => tracing::info!(event = "joined", "the first other speaker was found"),
        Member::Isolated => {
            tracing::warn!(event = "isolated", "no other speaker is alive any more")
        }
        Member::Late { by } => tracing::warn!(
            event = "late",
            ?by,
            "this speaker was stopped for a while, or its node is overloaded; it listens again before it answers"
        ),
        Member::Rejoined => tracing::warn!(
            event = "rejoined",
            "the other speakers took this one for dead; it is a member again"
        ),
    }
}
