//! What a Service asks for, parsed once.

use super::Options;
use crate::name::NamespacedName;
use crate::world::{Family, FamilyPolicy, Protocol, Service, TrafficPolicy};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// Services by creation, then name; no creation time sorts after every one.
pub(super) type Rank = (i64, NamespacedName);

/// (sharing key, backend key) of compat/metallb.md 3.3.
pub(super) type Key = (String, String);

/// What decides whether two Services may be on one address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) name: NamespacedName,
    /// None: not shareable.
    pub(super) key: Option<Key>,
    pub(super) ports: BTreeSet<(Protocol, u16)>,
}

/// Whose the Service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Of type LoadBalancer and our class.
    Ours,
    /// Another class: left untouched.
    Foreign,
    /// Not of type LoadBalancer: cleared.
    Plain,
}

/// Families a Service needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Families {
    One(Family),
    /// Both; the first is the preferred one.
    Two(Family),
}

impl Families {
    pub(super) fn wants(self, family: Family) -> bool {
        match self {
            Self::One(one) => one == family,
            Self::Two(_) => true,
        }
    }

    pub(super) fn count(self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Two(_) => 2,
        }
    }
}

/// An event reason and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) reason: &'static str,
    pub(super) warning: bool,
    pub(super) text: String,
}

impl Complaint {
    pub(super) fn warning(reason: &'static str, text: impl Into<String>) -> Self {
        Self {
            reason,
            warning: true,
            text: text.into(),
        }
    }
}

/// Everything a Service asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) terms: Arc<Terms>,
    pub(super) created: i64,
    pub(super) standing: Standing,
    pub(super) policy: FamilyPolicy,
    pub(super) families: Result<Families, Complaint>,
    /// Empty: none in particular.
    pub(super) requested: Result<Vec<IpAddr>, String>,
    pub(super) pool: Option<String>,
}

impl Wish {
    /// `only_ipv6`: every pool there is holds IPv6 alone (for families that are derived).
    pub(super) fn parse(service: &Service, options: &Options, only_ipv6: bool) -> Self {
        let standing = if !options.handles(service) {
            Standing::Foreign
        } else if service.load_balancer {
            Standing::Ours
        } else {
            Standing::Plain
        };
        let pool = service.annotation("address-pool").unwrap_or_default();
        Self {
            terms: Arc::new(terms(service)),
            created: service.created.unwrap_or(i64::MAX),
            standing,
            policy: service.family_policy,
            families: families(service, options.derive_families, only_ipv6),
            requested: requested(service),
            pool: (!pool.is_empty()).then(|| pool.to_owned()),
        }
    }

    pub(super) fn rank(&self) -> Rank {
        (self.created, self.terms.name.clone())
    }
}

pub(super) fn terms(service: &Service) -> Terms {
    let sharing = service.annotation("allow-shared-ip").unwrap_or_default();
    let ports = service.ports.iter().map(|port| (port.protocol, port.port));
    Terms {
        name: service.name.clone(),
        key: (!sharing.is_empty()).then(|| (sharing.to_owned(), backend(service))),
        ports: ports.collect(),
    }
}

/// With policy Local the nodes that serve depend on the selector, so it is part of the key.
fn backend(service: &Service) -> String {
    if service.external_policy == TrafficPolicy::Cluster {
        return String::new();
    }
    let pairs = service.selector.iter();
    let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

/// The families of a Service are those of its clusterIPs (compat/metallb.md 2.8).
fn families(service: &Service, derive: bool, only_ipv6: bool) -> Result<Families, Complaint> {
    let found: Vec<Family> = if service.cluster_ips.is_empty() && derive {
        derived(service, only_ipv6)
    } else {
        service
            .cluster_ips
            .iter()
            .copied()
            .map(Family::of)
            .collect()
    };
    if service.family_policy == FamilyPolicy::RequireDualStack && found.len() < 2 {
        let text = format!(
            "Service requires dual-stack and has {} clusterIP(s), two are needed",
            found.len()
        );
        return Err(Complaint::warning("not enough clusterips", text));
    }
    match found.as_slice() {
        [one] => Ok(Families::One(*one)),
        [first, second] if first != second => Ok(Families::Two(
            service.families.first().copied().unwrap_or(Family::V4),
        )),
        other => Err(Complaint::warning(
            "noclusterIPsIPFamily",
            format!(
                "Failed to retrieve clusterIPs family: {} clusterIPs, {} of them IPv4",
                other.len(),
                other.iter().filter(|f| **f == Family::V4).count()
            ),
        )),
    }
}

fn derived(service: &Service, only_ipv6: bool) -> Vec<Family> {
    let usual = if only_ipv6 { Family::V6 } else { Family::V4 };
    let first = service.families.first().copied().unwrap_or(usual);
    let other = match first {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    };
    // The server refuses SingleStack with two families; two families written without a
    // policy are read as written.
    let two = service.families.len() > 1 || service.family_policy != FamilyPolicy::SingleStack;
    if two { vec![first, other] } else { vec![first] }
}

/// `spec.loadBalancerIP` or the annotation; both is an error, so is what cannot be parsed.
fn requested(service: &Service) -> Result<Vec<IpAddr>, String> {
    let field = service.load_balancer_ip.as_deref().unwrap_or_default();
    let list = service.annotation("loadBalancerIPs").unwrap_or_default();
    if !field.is_empty() && !list.is_empty() {
        return Err(
            "service can not have both metallb.io/loadBalancerIPs and svc.Spec.LoadBalancerIP"
                .to_owned(),
        );
    }
    if list.is_empty() {
        if field.is_empty() {
            return Ok(Vec::new());
        }
        let one = field
            .parse()
            .map_err(|_| format!("invalid spec.loadBalancerIP {field:?}"))?;
        return Ok(vec![one]);
    }
    let mut all: Vec<IpAddr> = Vec::new();
    for part in list.split(',') {
        let part = part.trim();
        let one = part
            .parse()
            .map_err(|_| format!("invalid metallb.io/loadBalancerIPs {part:?} in {list:?}"))?;
        all.push(one);
    }
    match all.as_slice() {
        [_] => Ok(all),
        [first, second] if first.is_ipv4() != second.is_ipv4() => Ok(all),
        _ => Err(format!(
            "invalid metallb.io/loadBalancerIPs {list:?}: one address, or two of different families"
        )),
    }
}
