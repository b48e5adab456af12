//! Which addresses of its status a Service may still have, by its own wish and the pools
//! alone; other Services are looked at later, in the order of holders.

use super::text::quoted;
use super::wish::{Families, Wish};
use crate::config::PoolSet;
use crate::selector::Labels;
use crate::world::{Family, FamilyPolicy, Service};
use std::net::IpAddr;

/// Where held addresses come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Index of a usable pool.
    Pool(usize),
    /// The name of a refused pool. What is in use stays: a typo in a pool must not take
    /// addresses away; nothing new is given from it.
    Refused(String),
}

impl Origin {
    pub(super) fn index(&self) -> Option<usize> {
        match self {
            Self::Pool(index) => Some(*index),
            Self::Refused(_) => None,
        }
    }

    pub(super) fn name<'a>(&'a self, pools: &'a PoolSet) -> &'a str {
        match self {
            Self::Pool(index) => &pools.at(*index).name,
            Self::Refused(name) => name,
        }
    }
}

/// What remains of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claim {
    /// In the order they were claimed.
    pub(super) addresses: Vec<IpAddr>,
    /// Of all of them; none when there are none.
    pub(super) origin: Option<Origin>,
    /// Why the others are not among them.
    pub(super) lost: Vec<String>,
}

impl Claim {
    /// How much it counts in the order of holders (two addresses before one). Half of a
    /// pair that must be whole counts nothing: it may have to be given back, and nobody
    /// shall have been moved for it.
    pub(super) fn weight(&self, wish: &Wish) -> usize {
        match self.addresses.len() {
            one if one < 2 && wish.policy == FamilyPolicy::RequireDualStack => 0,
            count => count,
        }
    }
}

/// What of `held` the Service may have.
pub(super) fn claim(
    wish: &Wish,
    service: &Service,
    held: &[IpAddr],
    pools: &PoolSet,
    namespace: Option<&Labels>,
) -> Claim {
    let mut claim = Claim::default();
    let families = match &wish.families {
        Ok(families) => *families,
        Err(complaint) => {
            claim.lost.push(complaint.text.clone());
            return claim;
        }
    };
    for address in held {
        if claim.addresses.contains(address) {
            continue;
        }
        match admit(wish, service, *address, families, pools, namespace) {
            Ok(origin) if claim.origin.as_ref().is_some_and(|o| *o != origin) => {
                let text = format!(
                    "{} is of pool {:?} and both addresses of a Service come from one pool",
                    quoted(&[*address]),
                    origin.name(pools)
                );
                claim.lost.push(text);
            }
            Ok(_)
                if claim
                    .addresses
                    .iter()
                    .any(|a| a.is_ipv4() == address.is_ipv4()) =>
            {
                let text = format!("{} is a second of its family", quoted(&[*address]));
                claim.lost.push(text);
            }
            Ok(origin) => {
                claim.addresses.push(*address);
                claim.origin = Some(origin);
            }
            Err(why) => claim.lost.push(why),
        }
    }
    claim
}

fn admit(
    wish: &Wish,
    service: &Service,
    address: IpAddr,
    families: Families,
    pools: &PoolSet,
    namespace: Option<&Labels>,
) -> Result<Origin, String> {
    let quoted = quoted(&[address]);
    if !families.wants(Family::of(address)) {
        let family = Family::of(address).as_str();
        return Err(format!(
            "{quoted} is {family}, which the Service does not have"
        ));
    }
    let origin = origin(service, address, pools)
        .ok_or_else(|| format!("{quoted} is not allowed in config"))?;
    if let Origin::Pool(index) = &origin
        && !pools.at(*index).serves(service, namespace)
    {
        let name = origin.name(pools);
        return Err(format!("pool {name:?} not compatible for ip assignment"));
    }
    if let Some(wanted) = &wish.pool
        && wanted != origin.name(pools)
    {
        let name = origin.name(pools);
        return Err(format!(
            "{quoted} is of pool {name:?}, requested is {wanted:?}"
        ));
    }
    // A request that cannot be read keeps what is there (compat/metallb.md 3.1, 8).
    if let Ok(requested) = &wish.requested
        && !requested.is_empty()
        && !requested.contains(&address)
    {
        return Err(format!("{quoted} is not what is requested"));
    }
    Ok(origin)
}

fn origin(service: &Service, address: IpAddr, pools: &PoolSet) -> Option<Origin> {
    if let Some(pool) = pools.containing(address) {
        let owned = pool.owns(address);
        return owned.then(|| pools.index_of(&pool.name).map(Origin::Pool))?;
    }
    let name = service.annotation("ip-allocated-from-pool")?;
    pools
        .is_refused(name)
        .then(|| Origin::Refused(name.to_owned()))
}
