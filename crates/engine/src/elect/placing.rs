//! Who of several candidates: holders keep, the others by order and bounded share.
//!
//! Owns the fold over all addresses (design/ownership.md, 3 to 5) with its memory: a
//! change costs the class of addresses it is in, and of that only what nobody holds. Does
//! not know how claims come about; a holder is given.

use super::share::{Shares, share};
use crate::compact::tighten;
use crate::name::NamespacedName;
use crate::world::Service;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// Addresses with the same key share one bound: the same candidates, the same best of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClassKey {
    /// By node.
    pub(super) candidates: Vec<u16>,
    /// Those with the best score, by node.
    pub(super) top: Vec<u16>,
}

impl ClassKey {
    /// Of candidates with their scores, ascending by node; none when there are none.
    pub(super) fn of(scored: impl Iterator<Item = (u16, u64)> + Clone) -> Option<Self> {
        let best = scored.clone().map(|(_, score)| score).max()?;
        let top = scored.clone().filter(|(_, score)| *score == best);
        Some(Self {
            top: top.map(|(node, _)| node).collect(),
            candidates: scored.map(|(node, _)| node).collect(),
        })
    }
}

/// A group's turn in the fold: creation and name of its first Service, then its address.
type Rank = (i64, NamespacedName, IpAddr);

/// One group of addresses that has one owner, named by its first address.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) class: Arc<ClassKey>,
    /// Who keeps it; none: it is free.
    pub(super) holder: Option<u16>,
    /// The first Service of the group.
    pub(super) first: Arc<Service>,
    /// The address that decides the order.
    pub(super) key: IpAddr,
}

impl Seat {
    fn rank(&self, address: IpAddr) -> Rank {
        let created = self.first.created.unwrap_or(i64::MAX);
        (created, self.first.name.clone(), address)
    }

    /// Whether the fold does the same with both.
    fn is_as(&self, other: &Self) -> bool {
        let turn = |seat: &Self| (seat.first.created, seat.first.name.clone());
        self.class == other.class
            && self.holder == other.holder
            && self.key == other.key
            && (Arc::ptr_eq(&self.first, &other.first) || turn(self) == turn(other))
    }
}

#[derive(Clone, Debug, Default)]
struct Class {
    seats: usize,
    /// How many each node keeps.
    kept: BTreeMap<u16, usize>,
    /// In the order in which they are placed.
    free: BTreeMap<Rank, IpAddr>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Placing {
    seats: BTreeMap<IpAddr, (Seat, Option<u16>)>,
    classes: BTreeMap<Arc<ClassKey>, Class>,
}

impl Placing {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes these seats in place of those that the addresses had, and places what is free
    /// in the classes concerned. Tells the owner of each seat given, and of every other
    /// that the fold moved, by the address that names it.
    pub(super) fn update(
        &mut self,
        addresses: &BTreeSet<IpAddr>,
        mut seats: BTreeMap<IpAddr, Seat>,
        orders: &BTreeMap<IpAddr, Box<[u16]>>,
    ) -> BTreeMap<IpAddr, Option<u16>> {
        let mut dirty = BTreeSet::new();
        for address in addresses {
            let seat = seats.remove(address);
            if let (Some((old, _)), Some(seat)) = (self.seats.get_mut(address), &seat)
                && old.is_as(seat)
            {
                // A former value of the Service is not kept alive for its name.
                old.first = Arc::clone(&seat.first);
                continue;
            }
            dirty.extend(self.stand_up(*address));
            if let Some(seat) = seat {
                dirty.insert(Arc::clone(&seat.class));
                self.sit(*address, seat);
            }
        }
        let mut owners = BTreeMap::new();
        for class in dirty {
            self.fold(&class, orders, &mut owners);
        }
        for address in addresses {
            if let Some((_, owner)) = self.seats.get(address) {
                owners.insert(*address, *owner);
            }
        }
        owners
    }

    /// The fewest moves after which nobody carries more than its share: what was placed
    /// last goes first, to the first of its order that has room. Each is the address that
    /// names a seat, and the node to go to.
    pub(super) fn excess(&self, orders: &BTreeMap<IpAddr, Box<[u16]>>) -> Vec<(IpAddr, u16)> {
        let mut by_class: BTreeMap<&ClassKey, Vec<(&Seat, IpAddr, u16)>> = BTreeMap::new();
        for (address, (seat, owner)) in &self.seats {
            if let Some(owner) = owner {
                let class = by_class.entry(&seat.class).or_default();
                class.push((seat, *address, *owner));
            }
        }
        let mut moves = Vec::new();
        for (key, mut seats) in by_class {
            let limit = share(seats.len(), key.top.len());
            let mut carried: BTreeMap<u16, usize> = BTreeMap::new();
            for (_, _, owner) in &seats {
                *carried.entry(*owner).or_default() += 1;
            }
            seats.sort_by_cached_key(|(seat, address, _)| Reverse(seat.rank(*address)));
            for (seat, address, owner) in seats {
                let load = |node: &u16| carried.get(node).copied().unwrap_or_default();
                if load(&owner) <= limit {
                    continue;
                }
                let order = orders.get(&seat.key).map_or(&[][..], |order| order);
                let mut top = order
                    .iter()
                    .filter(|node| key.top.binary_search(node).is_ok());
                if let Some(to) = top.find(|node| load(node) < limit).copied() {
                    *carried.entry(owner).or_default() -= 1;
                    *carried.entry(to).or_default() += 1;
                    moves.push((address, to));
                }
            }
        }
        moves
    }

    /// All seats were given in the order of their addresses.
    pub(super) fn tighten(&mut self) {
        tighten(&mut self.seats);
    }

    fn sit(&mut self, address: IpAddr, seat: Seat) {
        let class = self.classes.entry(Arc::clone(&seat.class)).or_default();
        class.seats += 1;
        match seat.holder {
            Some(holder) => *class.kept.entry(holder).or_default() += 1,
            None => {
                class.free.insert(seat.rank(address), address);
            }
        }
        let owner = seat.holder;
        self.seats.insert(address, (seat, owner));
    }

    /// The class that a seat leaves.
    fn stand_up(&mut self, address: IpAddr) -> Option<Arc<ClassKey>> {
        let (seat, _) = self.seats.remove(&address)?;
        let class = self.classes.get_mut(&seat.class)?;
        class.seats -= 1;
        match seat.holder {
            Some(holder) => {
                if let Some(kept) = class.kept.get_mut(&holder) {
                    *kept -= 1;
                }
            }
            None => {
                class.free.remove(&seat.rank(address));
            }
        }
        if class.seats == 0 {
            self.classes.remove(&seat.class);
        }
        Some(seat.class)
    }

    /// Places what is free in a class, in its order, beside what is kept.
    fn fold(
        &mut self,
        key: &ClassKey,
        orders: &BTreeMap<IpAddr, Box<[u16]>>,
        moved: &mut BTreeMap<IpAddr, Option<u16>>,
    ) {
        let Some(class) = self.classes.get(key) else {
            return;
        };
        let mut shares = Shares::new(class.seats, key.top.len());
        for (node, kept) in &class.kept {
            shares.count(*node, *kept);
        }
        for address in class.free.values() {
            let Some((seat, owner)) = self.seats.get_mut(address) else {
                continue;
            };
            let order = orders.get(&seat.key).map_or(&[][..], |order| order);
            let top = order
                .iter()
                .filter(|node| key.top.binary_search(node).is_ok());
            let placed = shares.place(top);
            if *owner != placed {
                *owner = placed;
                moved.insert(*address, placed);
            }
        }
    }
}
