//! What on this host's interfaces stands in the way of an address: found and told, never
//! changed.

use super::{Exclusion, usability};
use crate::facts::Interface;
use crate::name::{Kind, NamespacedName};
use crate::problem::{Problem, Severity, reason};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The device on which kube-proxy in IPVS mode keeps every Service address.
const IPVS_DEVICE: &str = "kube-ipvs0";

/// `rp_filter` = 1: a packet whose way back leads over another interface is dropped.
const STRICT: u8 = 1;

/// Problems of this host with the addresses it may have to answer for, each with the
/// first Service on it: VipOnInterface and StrictArpOff (L2-48) for every address,
/// StrictReversePath (L2-49) and Ipv6Disabled (L2-63) for those announced here, by the
/// interface indexes they are announced on.
pub fn problems(
    node: &str,
    interfaces: &BTreeMap<u32, Interface>,
    exclusion: &Exclusion,
    addresses: &BTreeMap<IpAddr, (NamespacedName, Vec<u32>)>,
) -> Vec<Problem> {
    let mut problems = on_interfaces(node, interfaces, exclusion, addresses);
    for (address, (service, announced)) in addresses {
        for interface in announced.iter().filter_map(|index| interfaces.get(index)) {
            problems.extend(on_path(node, interface, *address, service));
        }
    }
    problems
}

fn on_interfaces(
    node: &str,
    interfaces: &BTreeMap<u32, Interface>,
    exclusion: &Exclusion,
    addresses: &BTreeMap<IpAddr, (NamespacedName, Vec<u32>)>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for interface in interfaces.values() {
        for network in &interface.addresses {
            let Some((service, _)) = addresses.get(&network.ip()) else {
                continue;
            };
            if interface.name != IPVS_DEVICE {
                problems.push(problem(
                    Severity::Error,
                    service,
                    reason::VIP_ON_INTERFACE,
                    format!(
                        "{} is an address of interface {:?} of node {node:?}: its kernel answers for it, whoever is elected; remove it there",
                        network.ip(),
                        interface.name
                    ),
                ));
            } else if let Some(open) = answering(interfaces, exclusion) {
                problems.push(problem(
                    Severity::Error,
                    service,
                    reason::STRICT_ARP_OFF,
                    format!(
                        "{} is on {IPVS_DEVICE} of node {node:?} and arp_ignore of {open:?} is 0: the kernel of every node answers; set ipvs.strictARP of kube-proxy",
                        network.ip()
                    ),
                ));
            }
        }
    }
    problems
}

/// A usable interface whose kernel answers for addresses of other interfaces.
fn answering<'a>(
    interfaces: &'a BTreeMap<u32, Interface>,
    exclusion: &Exclusion,
) -> Option<&'a str> {
    interfaces
        .values()
        .find(|interface| interface.arp_ignore < 1 && usability(interface, exclusion).is_ok())
        .map(|interface| interface.name.as_str())
}

fn on_path(
    node: &str,
    interface: &Interface,
    address: IpAddr,
    service: &NamespacedName,
) -> Option<Problem> {
    let name = &interface.name;
    if address.is_ipv6() {
        return (!interface.ipv6).then(|| {
            problem(
                Severity::Note,
                service,
                reason::IPV6_DISABLED,
                format!("IPv6 is off on interface {name:?} of node {node:?}: nobody answers for {address} there"),
            )
        });
    }
    let own_subnet = interface.addresses.iter().any(|net| net.contains(address));
    (interface.rp_filter == STRICT && !own_subnet).then(|| {
        problem(
            Severity::Note,
            service,
            reason::STRICT_REVERSE_PATH,
            format!(
                "{address} is in no subnet of interface {name:?} of node {node:?} and rp_filter there is strict: packets of clients may be dropped"
            ),
        )
    })
}

fn problem(
    severity: Severity,
    service: &NamespacedName,
    reason: &'static str,
    message: String,
) -> Problem {
    Problem::new(severity, Kind::Service, service, reason, message)
}
