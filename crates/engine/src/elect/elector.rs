//! The election with its memory: one change costs one change (design/house.md 1.4).
//!
//! Owns what is remembered per Service and per address. The memory is a cache of a pure
//! function: [`Elector::forget`] may be called at any time and changes no answer.

use super::group::Group;
use super::nodes::{Base, Nodes, Standing};
use super::order::permutation;
use super::placing::Placing;
use super::slices::Slices;
use super::verdict::{Verdict, addresses_of, pool_of};
use super::{ElectOptions, Placement, keeper};
use crate::alloc;
use crate::compact::{Few, tighten};
use crate::config::{Advertisement, FrontProfile, FrontProfiles, PoolSet};
use crate::facts::MembersView;
use crate::name::{Kind, NamespacedName};
use crate::plan::Refusal;
use crate::world::{EndpointSlice, Node, Service, Touched, World};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Elector {
    pub(super) options: ElectOptions,
    pools: Arc<PoolSet>,
    profiles: Arc<FrontProfiles>,
    pub(super) advertisements: Vec<Arc<Advertisement>>,
    pub(super) members: MembersView,
    nodes: Nodes,
    bases: BTreeMap<Arc<[u16]>, Base>,
    verdicts: BTreeMap<NamespacedName, Verdict>,
    slices: Slices,
    pub(super) slots: BTreeMap<IpAddr, Slot>,
    /// Order of all nodes by digest, by the address that decides.
    orders: BTreeMap<IpAddr, Box<[u16]>>,
    placing: Placing,
    dirty: Dirty,
    examined: BTreeSet<NamespacedName>,
}

/// One address: who holds it, and the decision it belongs to.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    pub(super) holders: Few<Arc<Service>>,
    /// Those of the holders that keep it, by creation; all but after a late write of an
    /// old leader.
    pub(super) keepers: Few<Arc<Service>>,
    pub(super) group: Option<Arc<Group>>,
    /// No Service that kept it before keeps it now, and somebody else may still answer for
    /// the old one (L2-90).
    pub(super) renewed: bool,
}

/// What has to be looked at again.
#[derive(Clone, Debug, Default)]
struct Dirty {
    seen: bool,
    nodes: bool,
    /// Labels of namespaces: who keeps an address that several hold may differ.
    namespaces: bool,
    services: BTreeSet<NamespacedName>,
    slices: BTreeSet<NamespacedName>,
    /// Addresses on which the claims differ.
    claims: BTreeSet<IpAddr>,
}

impl Elector {
    /// Nothing known, everything to be looked at.
    pub fn new(options: ElectOptions) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// Pools and advertisements as they are now.
    pub fn set_config(&mut self, pools: Arc<PoolSet>, advertisements: Vec<Arc<Advertisement>>) {
        if self.pools != pools || self.advertisements != advertisements {
            self.pools = pools;
            self.advertisements = advertisements;
            self.forget();
        }
    }

    /// How Services are fronted now: a panic policy `withdraw` has a say in who announces.
    pub fn set_profiles(&mut self, profiles: Arc<FrontProfiles>) {
        if self.profiles != profiles {
            self.profiles = profiles;
            self.forget();
        }
    }

    /// Who is alive now.
    pub fn set_members(&mut self, members: &MembersView) {
        if !Arc::ptr_eq(&self.members.claims, &members.claims) {
            let differing = members.claims.differing(&self.members.claims);
            self.dirty.claims.extend(differing);
            self.members.claims = Arc::clone(&members.claims);
        }
        if self.members != *members {
            self.members = members.clone();
            self.dirty.nodes = true;
        }
    }

    /// What a change of the world touched; every one must be told before [`Self::update`].
    pub fn touch(&mut self, touched: &Touched) {
        match touched.kind {
            Some(Kind::Node) if !touched.names.is_empty() => self.dirty.nodes = true,
            Some(Kind::Namespace) => self.dirty.namespaces |= !touched.names.is_empty(),
            Some(Kind::Service) => self.dirty.services.extend(touched.names.iter().cloned()),
            Some(Kind::EndpointSlice) => self.dirty.slices.extend(touched.names.iter().cloned()),
            _ => {}
        }
    }

    /// Throws all that is remembered away.
    pub fn forget(&mut self) {
        self.dirty = Dirty::default();
    }

    /// Decides again what has to be, and tells the addresses that were looked at.
    pub fn update(&mut self, world: &World) -> BTreeSet<IpAddr> {
        let mut affected = BTreeSet::new();
        let first = !self.dirty.seen;
        let mut dirty = std::mem::replace(
            &mut self.dirty,
            Dirty {
                seen: true,
                ..Dirty::default()
            },
        );
        if dirty.seen && dirty.nodes {
            let nodes = self.nodes_of(world);
            if nodes.names() == self.nodes.names() {
                self.nodes = nodes;
                self.bases.clear();
                affected.extend(self.slots.keys().copied());
            } else {
                dirty.seen = false;
            }
        }
        if !dirty.seen {
            affected.extend(self.slots.keys().copied());
            self.start_over(world);
            dirty.slices.clear();
            dirty.services = world
                .services
                .iter()
                .map(|s| s.object.name.clone())
                .collect();
        }
        for name in dirty.slices {
            let slice = world
                .endpoint_slices
                .get(&name)
                .map(|stored| Arc::clone(&stored.object));
            dirty.services.extend(self.slices.replace(&name, slice));
        }
        if self.bases.is_empty() {
            self.note_bases();
        }
        for name in &dirty.services {
            self.examine(world, name, &mut affected);
        }
        self.examined = dirty.services;
        if self.options.placement == Placement::Fair {
            let ours = dirty.claims.iter().filter(|a| self.slots.contains_key(a));
            affected.extend(ours);
        }
        if dirty.namespaces {
            let contested = self.slots.iter().filter(|(_, slot)| slot.holders.len() > 1);
            affected.extend(contested.map(|(address, _)| *address));
        }
        self.settle_keepers(world, &affected, first);
        let mut decided = self.regroup(affected);
        if self.options.placement == Placement::Fair && !decided.is_empty() {
            decided.extend(self.place(&decided));
        }
        for address in &decided {
            self.settle_renewed(*address);
        }
        if !dirty.seen {
            self.tighten();
        }
        decided
    }

    /// Everything was decided in the order of its names.
    fn tighten(&mut self) {
        tighten(&mut self.verdicts);
        tighten(&mut self.slots);
        tighten(&mut self.orders);
        self.slices.tighten();
        self.placing.tighten();
    }

    fn nodes_of(&self, world: &World) -> Nodes {
        match &self.options.outside {
            Some(own) => Nodes::outside(own, &self.members, world),
            None => Nodes::of(world, &self.members),
        }
    }

    fn start_over(&mut self, world: &World) {
        self.nodes = self.nodes_of(world);
        self.bases.clear();
        self.verdicts.clear();
        self.slots.clear();
        self.orders.clear();
        self.placing.clear();
        self.slices = Slices::default();
        for stored in world.endpoint_slices.iter() {
            self.slices.add(&stored.object);
        }
    }

    /// Step 1 for one Service; its addresses, old and new, are affected if it differs.
    fn examine(&mut self, world: &World, name: &NamespacedName, affected: &mut BTreeSet<IpAddr>) {
        let new = world.services.get(name).and_then(|stored| {
            Verdict::of(
                &stored.object,
                self.slices.of(name),
                &self.nodes,
                &self.pools,
                &self.profiles,
                &self.advertisements,
                &self.options,
            )
        });
        let old = self.verdicts.get(name);
        if let (Some(old), Some(new)) = (old, &new)
            && old.same_as(new)
        {
            return;
        }
        for address in old.iter().flat_map(|old| old.addresses.iter()) {
            affected.insert(*address);
            if let Some(slot) = self.slots.get_mut(address) {
                slot.holders.retain(|holder| holder.name != *name);
            }
        }
        let Some(mut new) = new else {
            self.verdicts.remove(name);
            return;
        };
        for address in &new.addresses {
            affected.insert(*address);
            let slot = self.slots.entry(*address).or_default();
            slot.holders.push(Arc::clone(&new.service));
        }
        new.advertisements = self.note_base(&new.advertisements);
        self.verdicts.insert(name.clone(), new);
    }

    /// Makes the table of each set of advertisements that is used.
    fn note_bases(&mut self) {
        let sets = self
            .verdicts
            .values()
            .map(|verdict| &verdict.advertisements);
        let used: BTreeSet<Arc<[u16]>> = sets.cloned().collect();
        for advertisements in &used {
            self.note_base(advertisements);
        }
    }

    /// The set as it is kept: ten thousand Services have a handful of sets.
    fn note_base(&mut self, advertisements: &Arc<[u16]>) -> Arc<[u16]> {
        if let Some((known, _)) = self.bases.get_key_value(advertisements) {
            return Arc::clone(known);
        }
        let named = self.named(advertisements);
        let base = self.nodes.base(&named, &self.members, &self.options);
        self.bases.insert(Arc::clone(advertisements), base);
        Arc::clone(advertisements)
    }

    fn settle_keepers(&mut self, world: &World, affected: &BTreeSet<IpAddr>, first: bool) {
        let options = alloc::Options {
            lb_class: self.options.lb_class.clone(),
            ..alloc::Options::default()
        };
        for address in affected {
            if let Some(slot) = self.slots.get_mut(address) {
                let holders = slot.holders.as_slice();
                let kept = keeper::kept(holders, *address, world, &self.pools, &options);
                let old = std::mem::replace(&mut slot.keepers, kept.into());
                let stays = |old: &Arc<Service>| slot.keepers.iter().any(|k| k.name == old.name);
                slot.renewed |= !first && !old.iter().any(stays);
            }
        }
    }

    /// The old holder has let go: nobody but the owner claims the address.
    fn settle_renewed(&mut self, address: IpAddr) {
        let Some(slot) = self.slots.get_mut(&address).filter(|slot| slot.renewed) else {
            return;
        };
        let owner = slot.group.as_ref().and_then(|group| group.owner);
        let owner = owner.map(|owner| self.nodes.name(owner));
        let mut claims = self.members.claims.on(address).iter();
        slot.renewed = claims.any(|claim| Some(&*claim.node) != owner);
    }

    /// Step 2 for the groups of these addresses.
    fn regroup(&mut self, affected: BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let mut open: Vec<IpAddr> = affected.iter().copied().collect();
        // What used to hang together with an affected address may not any more.
        for address in &affected {
            let group = self.slots.get(address).and_then(|slot| slot.group.as_ref());
            open.extend(group.iter().flat_map(|group| group.addresses.iter()));
        }
        let mut decided = BTreeSet::new();
        for start in open {
            if decided.contains(&start) {
                continue;
            }
            let (addresses, services) = self.component(start);
            decided.extend(addresses.iter().copied());
            let group = Group::of(self, services, addresses.iter().copied().collect());
            let group = group.map(|group| Arc::new(self.decide(group)));
            for address in addresses {
                if let Some(slot) = self.slots.get_mut(&address) {
                    slot.group = group.clone();
                }
            }
        }
        for address in &decided {
            if self
                .slots
                .get(address)
                .is_some_and(|slot| slot.holders.is_empty())
            {
                self.slots.remove(address);
                self.orders.remove(address);
            }
        }
        decided
    }

    /// The addresses that hang together with one, and the Services that keep them.
    fn component(&self, start: IpAddr) -> (BTreeSet<IpAddr>, Vec<Arc<Service>>) {
        if let Some([only]) = self.slots.get(&start).map(|slot| slot.holders.as_slice())
            && self
                .verdicts
                .get(&only.name)
                .is_some_and(|v| v.addresses.len() == 1)
        {
            return (BTreeSet::from([start]), vec![Arc::clone(only)]);
        }
        let mut addresses = BTreeSet::from([start]);
        let mut open = vec![start];
        let mut services: BTreeMap<NamespacedName, Arc<Service>> = BTreeMap::new();
        while let Some(address) = open.pop() {
            for service in self.keepers(address) {
                let verdict = self.verdicts.get(&service.name);
                for next in verdict.iter().flat_map(|verdict| verdict.addresses.iter()) {
                    let keeps = || self.keepers(*next).iter().any(|s| s.name == service.name);
                    if !addresses.contains(next) && keeps() {
                        addresses.insert(*next);
                        open.push(*next);
                    }
                }
                services.insert(service.name.clone(), Arc::clone(service));
            }
        }
        (addresses, services.into_values().collect())
    }

    fn decide(&mut self, mut group: Group) -> Group {
        if !self.orders.contains_key(&group.key) {
            let order = permutation(self.nodes.names(), group.key);
            self.orders.insert(group.key, order);
        }
        let order = self.order(group.key);
        group.owner = group.first(self, order);
        if group.owner.is_none() {
            group.silent = group.first_silent(self, order);
        }
        group
    }

    /// Holders keep, the others go by the bounded share; tells the addresses whose owner
    /// that moved. A group counts once, however many addresses hang together in it.
    fn place(&mut self, decided: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let mut seats = BTreeMap::new();
        for address in decided {
            let group = self.slots.get(address).and_then(|slot| slot.group.as_ref());
            if let Some(group) = group.filter(|g| g.addresses.first() == Some(address)) {
                seats.extend(group.seat(self).map(|seat| (*address, seat)));
            }
        }
        let owners = self.placing.update(decided, seats, &self.orders);
        let mut moved = BTreeSet::new();
        for (address, owner) in owners {
            let group = self.slots.get(&address).and_then(|s| s.group.clone());
            if let Some(group) = group.filter(|group| group.owner != owner) {
                moved.extend(group.addresses.iter().copied());
                self.hand_over(&group, owner);
            }
        }
        moved
    }

    fn hand_over(&mut self, group: &Arc<Group>, owner: Option<u16>) {
        let mut moved = Group::clone(group);
        moved.owner = owner;
        let moved = Arc::new(moved);
        for address in &moved.addresses {
            if let Some(slot) = self.slots.get_mut(address) {
                slot.group = Some(Arc::clone(&moved));
            }
        }
    }

    /// The Services that keep an address.
    pub(crate) fn keepers(&self, address: IpAddr) -> &[Arc<Service>] {
        let slot = self.slots.get(&address);
        slot.map_or(&[], |slot| slot.keepers.as_slice())
    }

    /// The Services whose status has an address, keepers or not.
    pub(crate) fn holders(&self, address: IpAddr) -> &[Arc<Service>] {
        let slot = self.slots.get(&address);
        slot.map_or(&[], |slot| slot.holders.as_slice())
    }

    /// The Services that the last update looked at: they, or their slices, were touched.
    pub(crate) fn examined(&self) -> &BTreeSet<NamespacedName> {
        &self.examined
    }

    /// The slices of a Service.
    pub(crate) fn slices(&self, service: &NamespacedName) -> &[Arc<EndpointSlice>] {
        self.slices.of(service)
    }

    /// The FrontProfile of a Service.
    pub fn profile(&self, service: &Service) -> Option<&FrontProfile> {
        if self.profiles.is_empty() {
            return None;
        }
        let pool = pool_of(service, &addresses_of(service), &self.pools);
        self.profiles.of(service, pool)
    }

    /// A node is not to get new connections, as all see it.
    pub(crate) fn is_unwell(&self, node: &str) -> bool {
        self.nodes.is_unwell(node)
    }

    /// The nodes that are well and have a living speaker.
    pub(crate) fn well(&self) -> impl Iterator<Item = &Arc<Node>> + '_ {
        let members = &self.members;
        let alive = |name: &str| members.off || members.alive.contains_key(name);
        let well = move |node: &&Arc<Node>| {
            let name = node.name.name.as_str();
            alive(name) && !self.is_unwell(name)
        };
        self.nodes.objects().iter().filter(well)
    }

    pub(super) fn verdict(&self, name: &NamespacedName) -> Option<&Verdict> {
        self.verdicts.get(name)
    }

    pub(super) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    pub(super) fn base(&self, advertisements: &[u16]) -> Option<&Base> {
        self.bases.get(advertisements)
    }

    pub(super) fn placing(&self) -> &Placing {
        &self.placing
    }

    pub(super) fn orders(&self) -> &BTreeMap<IpAddr, Box<[u16]>> {
        &self.orders
    }

    pub(super) fn order(&self, key: IpAddr) -> &[u16] {
        self.orders.get(&key).map_or(&[], |order| order)
    }

    pub(super) fn named(&self, advertisements: &[u16]) -> Vec<&Advertisement> {
        let at = |at: &u16| self.advertisements.get(usize::from(*at)).map(Arc::as_ref);
        advertisements.iter().filter_map(at).collect()
    }

    /// How a node stands for a Service.
    pub(super) fn standing(&self, verdict: &Verdict, node: u16) -> Standing {
        match self.base(&verdict.advertisements) {
            Some(base) => verdict.standing(base, node),
            None => Standing::Refused(Refusal::NoMatchingAdvertisement),
        }
    }

    /// Whether any node may announce a Service, taken alone.
    pub(super) fn has_candidate(&self, verdict: &Verdict) -> bool {
        let may = |node: &u16| matches!(self.standing(verdict, *node), Standing::Candidate(_));
        match &verdict.local {
            _ if verdict.blocked.is_some() => false,
            Some(local) => local.iter().any(may),
            None if verdict.withdraws => self.nodes.all().any(|node| may(&node)),
            None => {
                let base = self.base(&verdict.advertisements);
                base.is_some_and(|base| base.best().is_some())
            }
        }
    }
}
