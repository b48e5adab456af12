//! What a session still has to say: prefix by prefix, what is wanted and what was sent (BGP-80 to BGP-84).
//!
//! Owns the difference and makes one message at a time from the newest state. A change marks prefixes and makes no
//! octets, so a peer that reads slowly costs memory for prefixes, never for changes. Made new for each session:
//! nothing of "sent" outlives one (BGP-100).
//!
//! Invariants, for each prefix of a negotiated family:
//! - wanted and sendable: it is in `announce`, under its wanted attributes, exactly if what was sent differs;
//! - otherwise: it is in `withdraw` exactly if it was sent.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::negotiate::Negotiated;
use super::nexthop::{Endpoints, next_hop};
use crate::message::{
    AsPath, Asn, Attributes, Community, ExtendedCommunity, Family, NextHop, Origin, RefreshKind,
    RouteRefresh, WireRules, encode_announcement, encode_end_of_rib, encode_withdrawal,
};
use crate::routes::{LOCAL_PREF, RouteAttributes, RouteSet};

/// What the peer was told of a prefix.
#[derive(Clone, Debug)]
struct Sent {
    attributes: Arc<RouteAttributes>,
    /// It went with GRACEFUL_SHUTDOWN.
    graceful: bool,
    /// The peer asked to hear it again.
    stale: bool,
}

#[derive(Clone, Debug, Default)]
struct FamilyOut {
    withdraw: BTreeSet<IpNetwork>,
    announce: BTreeMap<Arc<RouteAttributes>, BTreeSet<IpNetwork>>,
    /// How many of `sent` are stale. End of the refresh when it is nought.
    stale: usize,
    /// The beginning of a refresh has to be told.
    begin: bool,
    /// Its end has to be told.
    refreshing: bool,
    end_of_rib_sent: bool,
}

/// What sort of message was made, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    Update { announced: usize, withdrawn: usize },
    EndOfRib,
    Refresh,
}

#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    rules: WireRules,
    local_asn: Asn,
    ends: Endpoints,
    wanted: RouteSet,
    /// Somebody has told what is wanted: End-of-RIB waits for that (BGP-135).
    told: bool,
    /// The node drains (RFC 8326).
    graceful: bool,
    sent: BTreeMap<IpNetwork, Sent>,
    families: BTreeMap<Family, FamilyOut>,
    /// Wanted, but of a family without agreement or next hop.
    withheld: usize,
    /// Prefixes that no message can carry; attributes are bounded so that there are none.
    unsendable: u64,
}

impl Outbound {
    pub(crate) fn new(
        negotiated: &Negotiated,
        local_asn: Asn,
        ends: Endpoints,
        graceful: bool,
    ) -> Outbound {
        Outbound {
            rules: negotiated.rules,
            local_asn,
            ends,
            wanted: RouteSet::new(),
            told: false,
            graceful,
            sent: BTreeMap::new(),
            families: negotiated
                .rules
                .families
                .iter()
                .map(|family| (family, FamilyOut::default()))
                .collect(),
            withheld: 0,
            unsendable: 0,
        }
    }

    /// What the peer shall hold from now on.
    pub(crate) fn set(&mut self, wanted: &RouteSet) {
        self.told = true;
        if wanted.is(&self.wanted) {
            return;
        }
        let old = std::mem::replace(&mut self.wanted, wanted.clone());
        let (mut before, mut after) = (old.iter().peekable(), wanted.iter().peekable());
        loop {
            let order = match (before.peek(), after.peek()) {
                (None, None) => return,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            let gone = if order.is_le() { before.next() } else { None };
            let come = if order.is_ge() { after.next() } else { None };
            if let (Some((_, a)), Some((_, b))) = (gone, come)
                && (Arc::ptr_eq(a, b) || a == b)
            {
                continue;
            }
            if let Some((prefix, attributes)) = gone {
                self.forget(prefix, attributes);
            }
            match (gone, come) {
                (_, Some((prefix, attributes))) => self.mark(prefix, attributes),
                (Some((prefix, _)), None) => self.unwant(prefix),
                (None, None) => {}
            }
        }
    }

    /// Adds GRACEFUL_SHUTDOWN to all that is announced, or takes it off (BGP-99).
    pub(crate) fn set_graceful(&mut self, graceful: bool) {
        if self.graceful != graceful {
            self.graceful = graceful;
            self.mark_all(None);
        }
    }

    /// The peer wants to hear a family again. Before End-of-RIB the first announcement begins again, without brackets
    /// (BGP-45).
    pub(crate) fn refresh(&mut self, family: Family, bracketed: bool) {
        let Some(out) = self.families.get_mut(&family) else {
            return;
        };
        for (_, sent) in self
            .sent
            .iter_mut()
            .filter(|(prefix, _)| Family::of(prefix) == family)
        {
            out.stale += usize::from(!sent.stale);
            sent.stale = true;
        }
        out.begin = bracketed && out.end_of_rib_sent;
        out.refreshing = out.begin;
        self.mark_all(Some(family));
    }

    /// A refresh of this family is being answered.
    pub(crate) fn is_refreshing(&self, family: Family) -> bool {
        self.families
            .get(&family)
            .is_some_and(|out| out.refreshing || out.stale > 0)
    }

    /// End-of-RIB goes even though nobody told what is wanted.
    pub(crate) fn tell_end_of_rib(&mut self) {
        self.told = true;
    }

    /// Appends the next message, if there is something to say.
    pub(crate) fn next_message(&mut self, octets: &mut Vec<u8>) -> Option<Made> {
        for (family, out) in &mut self.families {
            if std::mem::take(&mut out.begin) {
                return Some(refresh_mark(*family, RefreshKind::Begin, octets));
            }
        }
        let withdrawing = self
            .families
            .iter()
            .find(|(_, out)| !out.withdraw.is_empty())
            .map(|(family, _)| *family);
        if let Some(family) = withdrawing {
            return Some(self.withdraw_some(family, octets));
        }
        for family in Family::ALL {
            while self
                .families
                .get(&family)
                .is_some_and(|out| !out.announce.is_empty())
            {
                if let Some(made) = self.announce_some(family, octets) {
                    return Some(made);
                }
            }
            let told = self.told;
            let Some(out) = self.families.get_mut(&family) else {
                continue;
            };
            if out.refreshing && out.stale == 0 {
                out.refreshing = false;
                return Some(refresh_mark(family, RefreshKind::End, octets));
            }
            if told && !out.end_of_rib_sent {
                out.end_of_rib_sent = true;
                encode_end_of_rib(family, octets);
                return Some(Made::EndOfRib);
            }
        }
        None
    }

    /// Nothing is to be said.
    pub(crate) fn is_idle(&self) -> bool {
        self.families.values().all(|out| {
            out.withdraw.is_empty()
                && out.announce.is_empty()
                && !out.begin
                && !out.refreshing
                && (out.end_of_rib_sent || !self.told)
        })
    }

    /// Prefixes that wait to be announced or withdrawn.
    pub(crate) fn pending(&self) -> usize {
        self.families
            .values()
            .map(|out| out.withdraw.len() + out.announce.values().map(BTreeSet::len).sum::<usize>())
            .sum()
    }

    /// Prefixes that the peer was told of and not told to forget.
    pub(crate) fn sent(&self) -> impl Iterator<Item = (&IpNetwork, &Arc<RouteAttributes>)> {
        self.sent
            .iter()
            .map(|(prefix, sent)| (prefix, &sent.attributes))
    }

    pub(crate) fn sent_len(&self) -> usize {
        self.sent.len()
    }

    pub(crate) fn withheld(&self) -> usize {
        self.withheld
    }

    pub(crate) fn unsendable(&self) -> u64 {
        self.unsendable
    }

    /// The next hop of what is announced without one of its own.
    pub(crate) fn own_next_hop(&self, family: Family) -> Option<NextHop> {
        next_hop(&self.ends, family, self.rules.extended_next_hop, None)
    }

    /// End-of-RIB of every family is out.
    pub(crate) fn is_complete(&self) -> bool {
        self.families.values().all(|out| out.end_of_rib_sent)
    }

    fn hop(&self, prefix: &IpNetwork, attributes: &RouteAttributes) -> Option<NextHop> {
        let family = Family::of(prefix);
        self.families.get(&family)?;
        next_hop(
            &self.ends,
            family,
            self.rules.extended_next_hop,
            attributes.next_hop,
        )
    }

    /// Takes back what `mark` did for attributes that are not wanted any more.
    fn forget(&mut self, prefix: &IpNetwork, attributes: &Arc<RouteAttributes>) {
        if self.hop(prefix, attributes).is_none() {
            self.withheld = self.withheld.saturating_sub(1);
        }
        let Some(out) = self.families.get_mut(&Family::of(prefix)) else {
            return;
        };
        if let Some(group) = out.announce.get_mut(attributes) {
            group.remove(prefix);
            if group.is_empty() {
                out.announce.remove(attributes);
            }
        }
    }

    fn unwant(&mut self, prefix: &IpNetwork) {
        if self.sent.contains_key(prefix)
            && let Some(out) = self.families.get_mut(&Family::of(prefix))
        {
            out.withdraw.insert(*prefix);
        }
    }

    fn mark(&mut self, prefix: &IpNetwork, attributes: &Arc<RouteAttributes>) {
        if self.hop(prefix, attributes).is_none() {
            self.withheld += 1;
            self.unwant(prefix);
        } else {
            self.consider(prefix, attributes);
        }
    }

    /// Marks a prefix that is wanted and sendable if the peer does not have it so.
    fn consider(&mut self, prefix: &IpNetwork, attributes: &Arc<RouteAttributes>) {
        let has = self.sent.get(prefix).is_some_and(|sent| {
            !sent.stale
                && sent.graceful == self.graceful
                && self.same_on_wire(&sent.attributes, attributes)
        });
        let Some(out) = self.families.get_mut(&Family::of(prefix)) else {
            return;
        };
        out.withdraw.remove(prefix);
        if has {
            if let Some(group) = out.announce.get_mut(attributes) {
                group.remove(prefix);
                if group.is_empty() {
                    out.announce.remove(attributes);
                }
            }
        } else if let Some(group) = out.announce.get_mut(attributes) {
            group.insert(*prefix);
        } else {
            out.announce
                .insert(attributes.clone(), BTreeSet::from([*prefix]));
        }
    }

    fn mark_all(&mut self, only: Option<Family>) {
        let wanted = self.wanted.clone();
        for (prefix, attributes) in wanted.iter() {
            if only.is_none_or(|family| family == Family::of(prefix))
                && self.hop(prefix, attributes).is_some()
            {
                self.consider(prefix, attributes);
            }
        }
    }

    /// Attributes that differ only in what this kind of session does not carry are the same message.
    fn same_on_wire(&self, a: &Arc<RouteAttributes>, b: &Arc<RouteAttributes>) -> bool {
        Arc::ptr_eq(a, b)
            || a == b
            || (self.wire_attributes(a) == self.wire_attributes(b) && a.next_hop == b.next_hop)
    }

    fn withdraw_some(&mut self, family: Family, octets: &mut Vec<u8>) -> Made {
        let Outbound {
            rules,
            sent,
            families,
            ..
        } = self;
        let out = families
            .get_mut(&family)
            .expect("the caller found it there");
        let fitted = encode_withdrawal(rules, out.withdraw.iter().copied(), octets);
        let done: Vec<IpNetwork> = out.withdraw.iter().take(fitted.max(1)).copied().collect();
        for prefix in &done {
            out.withdraw.remove(prefix);
            if sent.remove(prefix).is_some_and(|was| was.stale) {
                out.stale = out.stale.saturating_sub(1);
            }
        }
        Made::Update {
            announced: 0,
            withdrawn: done.len(),
        }
    }

    /// One message of the first group of a family that has one. None: the group cannot be sent and was dropped.
    fn announce_some(&mut self, family: Family, octets: &mut Vec<u8>) -> Option<Made> {
        let (attributes, prefixes) = self.families.get(&family)?.announce.first_key_value()?;
        let attributes = attributes.clone();
        let hop = self.hop(prefixes.first()?, &attributes);
        let wire = self.wire_attributes(&attributes);
        let fitted = hop.map_or(0, |hop| {
            encode_announcement(&self.rules, hop, &wire, prefixes.iter().copied(), octets)
                .unwrap_or(0)
        });
        let graceful = self.graceful;
        let Outbound {
            sent,
            families,
            unsendable,
            ..
        } = self;
        let out = families.get_mut(&family)?;
        let group = out.announce.get_mut(&attributes)?;
        if fitted == 0 {
            *unsendable += group.len() as u64;
            out.announce.remove(&attributes);
            return None;
        }
        // The prefixes that are left make a new set: cheaper than to remove thousands one by one.
        let rest = group
            .iter()
            .nth(fitted)
            .copied()
            .map(|first| group.split_off(&first))
            .unwrap_or_default();
        let done = std::mem::replace(group, rest);
        if group.is_empty() {
            out.announce.remove(&attributes);
        }
        let announced = done.len();
        for prefix in done {
            let new = Sent {
                attributes: attributes.clone(),
                graceful,
                stale: false,
            };
            if sent.insert(prefix, new).is_some_and(|was| was.stale) {
                out.stale = out.stale.saturating_sub(1);
            }
        }
        Some(Made::Update {
            announced,
            withdrawn: 0,
        })
    }

    /// The attributes as this session carries them (BGP-86, BGP-90 to BGP-94, BGP-99).
    fn wire_attributes(&self, route: &RouteAttributes) -> Attributes {
        let internal = self.rules.internal;
        let times = if internal {
            0
        } else {
            1 + usize::from(route.prepend)
        };
        let preference = match route.local_pref {
            _ if self.graceful => 0,
            None | Some(0) => LOCAL_PREF,
            Some(preference) => preference,
        };
        let mut communities: Vec<Community> = route.communities.iter().copied().collect();
        if self.graceful {
            communities.push(Community::GRACEFUL_SHUTDOWN);
        }
        // An IEEE float is what the draft wants; a bandwidth beyond its 24 bits of precision is rounded.
        let bandwidth = route.link_bandwidth.map(|octets| octets as f32);
        Attributes {
            origin: Origin::Igp,
            as_path: AsPath::repeated(self.local_asn, times),
            med: route.med,
            local_pref: internal.then_some(preference),
            communities,
            extended_communities: bandwidth
                .map(|bandwidth| ExtendedCommunity::link_bandwidth(self.local_asn, bandwidth))
                .into_iter()
                .collect(),
            large_communities: route.large_communities.iter().copied().collect(),
            ..Attributes::default()
        }
        .sorted()
    }
}

fn refresh_mark(family: Family, kind: RefreshKind, octets: &mut Vec<u8>) -> Made {
    RouteRefresh {
        family: family.afi_safi(),
        kind,
    }
    .encode(octets);
    Made::Refresh
}
