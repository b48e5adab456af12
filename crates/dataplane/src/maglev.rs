//! Slots: which target serves which share of new connections. Every front computes the same.
//!
//! Owns the hash (written down below), the permutation of Maglev over **all** configured targets, and the refill of the
//! slots of targets that are down. Deliberately looks at nothing but the target set: no order of arrival, no history.
//!
//! - M slots: 64 for each configured target, rounded up to a power of two, at least 256.
//! - Base: Maglev (Eisenbud et al. 2016 §3.4) with weighted turns. Target i walks `offset + j * skip mod M` with
//!   `offset = hash(0, node) mod M` and `skip = hash(1, node) mod M | 1`: odd, so it visits every slot of a power of two.
//!   In each round a target takes its next free slot as often as its weight earned.
//! - Refill: the slots of those that are down, in ascending order, each to the target that is up, is below its cap
//!   `ceil(M * weight / sum of weights up)` and has the highest rank `mix(hash(2, node) ^ mix(slot))`, where `mix` is
//!   the hash's finaliser; the name breaks ties.
//!
//! So a target that goes moves its own slots and no other, and one that comes back gets exactly its own again.

use std::collections::BTreeMap;

use engine::forward::TargetSet;

/// Slots for each target: shares within 2 % of even.
const SLOTS_PER_TARGET: u32 = 64;

/// Least number of slots.
const SLOTS_MIN: u32 = 256;

/// LIMIT: most slots of one table; with more than 1,024 targets there are fewer than 64 for each.
const SLOTS_MAX: u32 = 65_536;

/// The hash that all fronts share: FNV-1a with 64 bits over the eight octets of `salt` (little end first) and the name,
/// then the finaliser of MurmurHash3 with 64 bits, because FNV's high bits say little about short names.
pub fn hash(salt: u64, name: &str) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let octets = salt.to_le_bytes().into_iter().chain(name.bytes());
    let h = octets.fold(BASIS, |h, octet| (h ^ u64::from(octet)).wrapping_mul(PRIME));
    finish(h)
}

/// MurmurHash3's `fmix64`.
fn finish(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

/// How many slots this set has: its targets up or down decide.
pub fn slots(set: &TargetSet) -> u32 {
    let targets = u32::try_from(set.targets.len()).unwrap_or(u32::MAX);
    targets
        .saturating_mul(SLOTS_PER_TARGET)
        .clamp(SLOTS_MIN, SLOTS_MAX)
        .next_power_of_two()
}

/// For each slot the place of its target in `set.targets`; empty when none is up.
pub fn table(set: &TargetSet) -> Vec<usize> {
    if set.targets.iter().all(|t| !t.up) {
        return Vec::new();
    }
    let mut table = base(set);
    refill(set, &mut table);
    table
}

/// Slots of each node, for people: the share of new connections is slots over [`slots`].
pub fn shares(set: &TargetSet) -> BTreeMap<String, u32> {
    let mut shares: BTreeMap<String, u32> = set
        .targets
        .iter()
        .map(|target| (target.node.clone(), 0))
        .collect();
    for place in table(set) {
        if let Some(target) = set.targets.get(place) {
            *shares.entry(target.node.clone()).or_default() += 1;
        }
    }
    shares
}

struct Walk {
    next: u64,
    skip: u64,
    weight: u64,
    earned: u64,
}

/// Maglev over all that are configured.
fn base(set: &TargetSet) -> Vec<usize> {
    let slots = slots(set);
    let m = u64::from(slots);
    let mut walks: Vec<Walk> = set
        .targets
        .iter()
        .map(|target| Walk {
            next: hash(0, &target.node) % m,
            skip: (hash(1, &target.node) % m) | 1,
            weight: u64::from(target.weight.max(1)),
            earned: 0,
        })
        .collect();
    // Targets are in the order of their names whatever order they came in.
    let mut order: Vec<usize> = (0..walks.len()).collect();
    order.sort_by(|a, b| name(set, *a).cmp(name(set, *b)));
    let most = walks.iter().map(|w| w.weight).max().unwrap_or(1);
    let mut table = vec![usize::MAX; slots as usize];
    let mut filled = 0;
    while filled < slots {
        for &who in &order {
            let Some(walk) = walks.get_mut(who) else {
                continue;
            };
            // The heaviest takes one slot in each round, the others as their weight earns.
            walk.earned += walk.weight;
            if walk.earned < most {
                continue;
            }
            walk.earned -= most;
            if filled == slots {
                break;
            }
            // `skip` is odd and M a power of two: the walk meets every slot, and one is free.
            loop {
                let at = walk.next as usize;
                walk.next = (walk.next + walk.skip) % m;
                match table.get_mut(at) {
                    Some(slot) if *slot == usize::MAX => {
                        *slot = who;
                        break;
                    }
                    _ => {}
                }
            }
            filled += 1;
        }
    }
    table
}

fn name(set: &TargetSet, place: usize) -> &str {
    set.targets.get(place).map_or("", |t| &t.node)
}

/// Gives the slots of those that are down to those that are up.
fn refill(set: &TargetSet, table: &mut [usize]) {
    let up = |place: &usize| set.targets.get(*place).is_some_and(|t| t.up);
    if set.targets.iter().all(|t| t.up) {
        return;
    }
    let weight = |place: usize| {
        set.targets
            .get(place)
            .map_or(1, |t| u64::from(t.weight.max(1)))
    };
    let alive: Vec<usize> = (0..set.targets.len()).filter(up).collect();
    let sum: u64 = alive.iter().map(|p| weight(*p)).sum();
    let m = table.len() as u64;
    let mut room: BTreeMap<usize, u64> = alive
        .iter()
        .map(|p| (*p, (m * weight(*p)).div_ceil(sum.max(1))))
        .collect();
    for place in table.iter().filter(|p| up(p)) {
        if let Some(left) = room.get_mut(place) {
            *left = left.saturating_sub(1);
        }
    }
    // The node's half of the rank is computed once, and mixed with the slot by the finaliser.
    let seeds: BTreeMap<usize, u64> = alive.iter().map(|p| (*p, hash(2, name(set, *p)))).collect();
    for (slot, place) in table.iter_mut().enumerate() {
        if up(place) {
            continue;
        }
        let best = room
            .iter()
            .filter(|(_, left)| **left > 0)
            .map(|(p, _)| {
                let seed = seeds.get(p).copied().unwrap_or(0);
                (finish(seed ^ finish(slot as u64)), name(set, *p), *p)
            })
            .max();
        // The caps sum to M or more, so somebody has room; with rounding in doubt the first alive takes it.
        let who = best.map(|(_, _, p)| p).or(alive.first().copied());
        if let Some(who) = who {
            *place = who;
            if let Some(left) = room.get_mut(&who) {
                *left = left.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests;
