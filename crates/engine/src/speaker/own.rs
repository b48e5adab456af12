//! Step 3: what this node announces, out of what all nodes decide.

use crate::compact::Few;
use crate::elect::Elector;
use crate::facts::Interface;
use crate::interfaces::{self, Exclusion, usability};
use crate::name::NamespacedName;
use crate::plan::{Announcement, InterfaceSet, NodePlan, Tenure};
use crate::problem::Problem;
use crate::world::Service;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// What is announced here, and what nobody can announce and this node has told.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    /// The newest plan has the same value, and is left as it is when this changes.
    announcements: Arc<BTreeMap<IpAddr, Arc<Announcement>>>,
    /// Addresses by Service.
    services: BTreeMap<NamespacedName, Few<IpAddr>>,
    failing: BTreeMap<IpAddr, Announcement>,
    /// How what is announced is held; and what another node is to hold and this one still
    /// claims, with where it was announced. Empty without claims.
    tenures: Arc<BTreeMap<IpAddr, Tenure>>,
    handing: BTreeMap<IpAddr, Arc<Announcement>>,
}

/// What an update changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Changed {
    /// Services whose announcement here differs.
    pub(super) services: BTreeSet<NamespacedName>,
    /// Addresses that nobody can announce any more, for this node to tell.
    pub(super) failures: Vec<(IpAddr, Announcement)>,
    /// How an address is held differs.
    pub(super) tenures: bool,
}

impl Own {
    pub(super) fn update(
        &mut self,
        elector: &Elector,
        node: &str,
        looked_at: &BTreeSet<IpAddr>,
        reaches: impl Fn(&InterfaceSet) -> bool,
        withdrawn: &BTreeSet<IpAddr>,
    ) -> Changed {
        let mut changed = Changed::default();
        for address in looked_at {
            // Without membership the others do not hear that this node has none of the
            // interfaces: it stays elected, says so, and announces nothing, as in MetalLB.
            let announcement = elector.announcement(*address, node);
            let announcement = announcement.filter(|_| !withdrawn.contains(address));
            let (new, unreached) = match announcement {
                Some(new) if !reaches(&new.interfaces) => (None, Some(new)),
                new => (new, None),
            };
            changed.tenures |= self.hand_over(elector, node, *address, new.as_ref());
            if self.announcements.get(address).map(Arc::as_ref) != new.as_ref() {
                self.replace(*address, new, &mut changed);
            }
            match unreached.or_else(|| elector.unannounced(*address, node)) {
                Some(failure) => {
                    if self.failing.get(address) != Some(&failure) {
                        self.failing.insert(*address, failure.clone());
                        changed.failures.push((*address, failure));
                    }
                }
                None => {
                    self.failing.remove(address);
                }
            }
        }
        changed
    }

    fn replace(&mut self, address: IpAddr, new: Option<Announcement>, changed: &mut Changed) {
        let announcements = Arc::make_mut(&mut self.announcements);
        let old = match new {
            Some(new) => announcements.insert(address, Arc::new(new)),
            None => announcements.remove(&address),
        };
        for service in old.iter().flat_map(|old| &old.services) {
            if let Some(addresses) = self.services.get_mut(service) {
                addresses.retain(|other| *other != address);
                if addresses.is_empty() {
                    self.services.remove(service);
                }
            }
            changed.services.insert(service.clone());
        }
        let new = announcements.get(&address);
        for service in new.iter().flat_map(|new| &new.services) {
            let addresses = self.services.entry(service.clone()).or_default();
            addresses.push(address);
            changed.services.insert(service.clone());
        }
    }

    /// What is announced here for a Service.
    pub(super) fn addresses_of(&self, service: &NamespacedName) -> Option<&Few<IpAddr>> {
        self.services.get(service)
    }

    /// How the address is held from now on; true when it differs. Called before the
    /// announcement is replaced.
    fn hand_over(
        &mut self,
        elector: &Elector,
        node: &str,
        address: IpAddr,
        new: Option<&Announcement>,
    ) -> bool {
        if !elector.has_claims() {
            return false;
        }
        let old = self.announcements.get(&address);
        let old = old.or_else(|| self.handing.get(&address));
        let handed = old.filter(|old| {
            let same = |keeper: &Arc<Service>| old.services.contains(&keeper.name);
            // To another Service it is given back, not handed over (L2-90).
            new.is_none()
                && elector.claims(address, node)
                && elector.owner(address).is_some_and(|owner| owner != node)
                && elector.keepers(address).iter().any(same)
        });
        let handed = handed.cloned();
        let tenure = elector.tenure(address, node).map(|tenure| Tenure {
            handing: handed.is_some(),
            ..tenure
        });
        let tenure = tenure.filter(|_| new.is_some() || handed.is_some());
        match handed {
            Some(handed) => self.handing.insert(address, handed),
            None => self.handing.remove(&address),
        };
        if self.tenures.get(&address) == tenure.as_ref() {
            return false;
        }
        let tenures = Arc::make_mut(&mut self.tenures);
        match tenure {
            Some(tenure) => tenures.insert(address, tenure),
            None => tenures.remove(&address),
        };
        true
    }

    /// Addresses that were looked at before and may be gone now.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.announcements
            .keys()
            .chain(self.failing.keys())
            .chain(self.handing.keys())
            .copied()
    }

    /// Addresses that are answered for here, those on their way to another node included.
    pub(super) fn held(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.announcements
            .keys()
            .chain(self.handing.keys())
            .copied()
    }

    /// Services announced here.
    pub(super) fn services(&self) -> impl Iterator<Item = &NamespacedName> + '_ {
        self.services.keys()
    }

    /// Where a Service is announced here; none when it is not.
    pub(super) fn interfaces(&self, service: &NamespacedName) -> Option<InterfaceSet> {
        let addresses = self.services.get(service)?;
        addresses
            .iter()
            .filter_map(|address| self.announcements.get(address))
            .map(|announcement| announcement.interfaces.clone())
            .reduce(|all, more| all.union(&more))
    }

    /// The plan on the interfaces that there are; each usable one has a key.
    /// `claims`: how each address is held is part of it.
    pub(super) fn plan(
        &self,
        known: &BTreeMap<u32, Interface>,
        exclusion: &Exclusion,
        claims: bool,
    ) -> NodePlan {
        let usable: Vec<&Interface> = known
            .values()
            .filter(|interface| usability(interface, exclusion).is_ok())
            .collect();
        let mut answers: BTreeMap<u32, BTreeSet<IpAddr>> = usable
            .iter()
            .map(|interface| (interface.index, BTreeSet::new()))
            .collect();
        for interface in usable {
            let Some(set) = answers.get_mut(&interface.index) else {
                continue;
            };
            let here = self.announcements.iter().chain(&self.handing);
            set.extend(
                here.filter(|(_, a)| a.interfaces.selects(&interface.name))
                    .map(|(ip, _)| *ip),
            );
        }
        NodePlan {
            answers,
            announcements: Arc::clone(&self.announcements),
            tenures: claims.then(|| Arc::clone(&self.tenures)),
        }
    }

    /// What stands in the way on this host's interfaces, of any address there is.
    pub(super) fn problems(
        &self,
        node: &str,
        known: &BTreeMap<u32, Interface>,
        exclusion: &Exclusion,
        elector: &Elector,
    ) -> Vec<Problem> {
        let local: BTreeSet<IpAddr> = known
            .values()
            .flat_map(|interface| interface.addresses.iter().map(|network| network.ip()))
            .collect();
        let mut addresses = BTreeMap::new();
        for address in elector.addresses() {
            let announced = self.announcements.get(&address);
            if announced.is_none() && !local.contains(&address) {
                continue;
            }
            let Some(service) = elector.keepers(address).first().map(|s| s.name.clone()) else {
                continue;
            };
            let on: Vec<u32> = announced
                .iter()
                .flat_map(|a| interfaces::selected(known, exclusion, &a.interfaces))
                .collect();
            addresses.insert(address, (service, on));
        }
        interfaces::problems(node, known, exclusion, &addresses)
    }
}
