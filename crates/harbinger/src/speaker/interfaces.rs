//! The kernel's picture of the interfaces in the engine's words.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use engine::facts::Interface;
use ipnetwork::IpNetwork;
use linux::route::{Link, Snapshot};

/// ARPHRD_ETHER.
const ETHERNET: u16 = 1;

/// Every interface, with the two settings that matter for announcing.
pub fn interfaces(snapshot: &Snapshot) -> BTreeMap<u32, Interface> {
    snapshot
        .values()
        .map(|link| (link.index, interface(link, &setting)))
        .collect()
}

/// A numeric setting in effect on an interface; 0 when it cannot be read, as the kernel's default.
fn setting(interface: &str, name: &str) -> u8 {
    let value = linux::probe::interface_sysctl(interface, name)
        .ok()
        .flatten();
    value
        .and_then(|value| u8::try_from(value).ok())
        .unwrap_or(0)
}

fn interface(link: &Link, setting: &dyn Fn(&str, &str) -> u8) -> Interface {
    let ethernet = link.link_type == ETHERNET;
    // The settings of an interface that can never answer are read for nothing, thousands of times.
    let read = |name| {
        if ethernet {
            setting(&link.name, name)
        } else {
            0
        }
    };
    Interface {
        index: link.index,
        name: link.name.clone(),
        mac: link.mac,
        ethernet,
        up: link.flags.up,
        carrier: link.flags.carrier && link.flags.running,
        broadcast: link.flags.broadcast,
        loopback: link.flags.loopback,
        point_to_point: link.flags.pointopoint,
        no_arp: link.flags.noarp,
        master: link
            .master
            .map(|index| (index, link.master_kind.clone().unwrap_or_default())),
        ipv6: !link.ipv6_disabled,
        addresses: link
            .addresses
            .iter()
            .filter_map(|(address, prefix)| IpNetwork::new(*address, *prefix).ok())
            .collect(),
        arp_ignore: read("arp_ignore"),
        rp_filter: read("rp_filter"),
    }
}
