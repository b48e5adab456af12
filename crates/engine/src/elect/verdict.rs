//! Step 1: what one Service says by itself. Remembered until the Service, its slices or
//! the configuration change.

use super::ElectOptions;
use super::nodes::{Base, Nodes, Standing};
use crate::compact::Few;
use crate::config::{Advertisement, FrontProfiles, PoolSet};
use crate::plan::Refusal;
use crate::world::{ENDPOINTS_ANNOTATION, Endpoint, EndpointSlice, Service, TrafficPolicy};
use std::net::IpAddr;
use std::sync::Arc;

/// LIMIT: addresses of one status that count. Kubernetes has two families; more can only
/// be written by hand.
const ADDRESSES_MAX: usize = 16;

/// What is remembered of a Service.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) service: Arc<Service>,
    /// Distinct, in the order of the status; never empty.
    pub(super) addresses: Few<IpAddr>,
    /// Positions of the advertisements that apply, ascending; the elector has each set once.
    pub(super) advertisements: Arc<[u16]>,
    /// Nobody may announce it, for this reason.
    pub(super) blocked: Option<Refusal>,
    /// Under policy Local the nodes with an endpoint that can serve, ascending.
    pub(super) local: Option<Box<[u16]>>,
    /// Its panic policy is `withdraw`: rather nobody announces it than a node that is unwell.
    pub(super) withdraws: bool,
}

impl Verdict {
    /// None when the Service is not ours or holds nothing.
    pub(super) fn of(
        service: &Arc<Service>,
        slices: &[Arc<EndpointSlice>],
        nodes: &Nodes,
        pools: &PoolSet,
        profiles: &FrontProfiles,
        advertisements: &[Arc<Advertisement>],
        options: &ElectOptions,
    ) -> Option<Self> {
        if !options.handles(service) {
            return None;
        }
        let addresses = addresses_of(service);
        let applicable = applicable(service, &addresses, pools, advertisements);
        let endpoints = Endpoints::of(service, slices);
        let by_service = |at: &&u16| {
            let advertisement = advertisements.get(usize::from(**at));
            advertisement.is_some_and(|ad| !ad.service_selectors.is_empty())
        };
        let blocked = if !endpoints.any {
            Some(Refusal::NoEndpoints)
        } else if service.annotation("allow-shared-ip").is_some()
            && applicable.iter().any(|at| by_service(&at))
        {
            // Presence of the annotation is enough, also when it is empty (2.8).
            Some(Refusal::SharedIpWithServiceSelector)
        } else {
            None
        };
        // A machine before the cluster has no endpoints: it sends to the nodes that have.
        let local = service.external_policy == TrafficPolicy::Local && options.outside.is_none();
        let local = local.then(|| {
            let mut local: Vec<u16> = endpoints
                .nodes
                .iter()
                .filter_map(|n| nodes.index(n))
                .collect();
            local.sort_unstable();
            local.dedup();
            local.into_boxed_slice()
        });
        let profile = profiles.of(service, pool_of(service, &addresses, pools));
        let withdraws = crate::forward::withdraws(service, profile);
        (!addresses.is_empty()).then(|| Self {
            service: Arc::clone(service),
            addresses: addresses.into(),
            advertisements: applicable.into(),
            blocked,
            local,
            withdraws,
        })
    }

    /// How a node stands, given how it stands for the advertisements.
    pub(super) fn standing(&self, base: &Base, node: u16) -> Standing {
        if let Some(why) = self.blocked {
            return Standing::Refused(why);
        }
        let standing = match base.standing(node) {
            Standing::Candidate(_) if self.withdraws && base.is_unwell(node) => {
                Standing::Refused(Refusal::Unhealthy)
            }
            standing => standing,
        };
        self.among_local(base, node, standing)
    }

    /// How a node would stand if its health were no question.
    pub(super) fn regardless(&self, base: &Base, node: u16) -> Standing {
        match self.blocked {
            Some(why) => Standing::Refused(why),
            None => self.among_local(base, node, base.regardless(node)),
        }
    }

    /// Under policy Local only nodes with endpoints count, also for who the last one is.
    fn among_local(&self, base: &Base, node: u16, standing: Standing) -> Standing {
        let unwell = standing == Standing::Refused(Refusal::Unhealthy);
        let interface = standing == Standing::Refused(Refusal::NoUsableInterface);
        let last = unwell || interface || matches!(standing, Standing::Candidate(_));
        let well = |node: &u16| matches!(base.standing(*node), Standing::Candidate(_));
        match &self.local {
            Some(local) if last && local.binary_search(&node).is_err() => {
                Standing::Refused(Refusal::NoLocalEndpoints)
            }
            Some(local) if unwell && !self.withdraws && !local.iter().any(well) => {
                base.regardless(node)
            }
            _ => standing,
        }
    }

    /// Whether nothing that is decided from it differs.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.service, &other.service)
            && self.blocked == other.blocked
            && self.local == other.local
            && self.advertisements == other.advertisements
    }
}

/// The advertisements of the pool that select the Service.
fn applicable(
    service: &Service,
    addresses: &[IpAddr],
    pools: &PoolSet,
    advertisements: &[Arc<Advertisement>],
) -> Vec<u16> {
    let Some(pool) = pool_of(service, addresses, pools) else {
        return Vec::new();
    };
    let applies = |ad: &Advertisement| ad.covers(pool) && ad.selects_service(&service.labels);
    let numbered = advertisements.iter().zip(0u16..);
    numbered
        .filter(|(ad, _)| applies(ad))
        .map(|(_, at)| at)
        .collect()
}

/// The pool of a Service's addresses; as in MetalLB all must be of one.
pub(crate) fn pool_of<'a>(
    service: &Service,
    addresses: &[IpAddr],
    pools: &'a PoolSet,
) -> Option<&'a str> {
    let mut names = addresses
        .iter()
        .map(|address| pools.name_for(service, *address));
    let pool = names.next()??;
    names.all(|other| other == Some(pool)).then_some(pool)
}

/// The distinct addresses of a status, in its order.
pub(crate) fn addresses_of(service: &Service) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in service.addresses().take(ADDRESSES_MAX) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// Who can serve: anybody at all, and on which nodes (one entry for each endpoint).
pub(crate) struct Endpoints<'a> {
    pub(crate) any: bool,
    pub(crate) nodes: Vec<&'a str>,
}

impl<'a> Endpoints<'a> {
    pub(crate) fn of(service: &'a Service, slices: &'a [Arc<EndpointSlice>]) -> Self {
        let mut found = Self {
            any: false,
            nodes: Vec::new(),
        };
        if slices.is_empty()
            && let Some(listed) = service.annotations.get(ENDPOINTS_ANNOTATION)
        {
            let nodes = listed.split(',').map(str::trim);
            found.nodes.extend(nodes.filter(|node| !node.is_empty()));
            found.any = !found.nodes.is_empty();
            return found;
        }
        let all = slices.iter().flat_map(|slice| &slice.endpoints);
        for endpoint in all.filter(|endpoint| Endpoint::can_serve(endpoint)) {
            found.any = true;
            // Under Local an endpoint without a node counts nowhere: kube-proxy drops.
            found.nodes.extend(endpoint.node.as_deref());
        }
        found
    }
}
