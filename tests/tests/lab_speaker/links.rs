//! Interfaces that come, go and change while the speaker runs.

use std::time::Instant;

use tests::fleet::station::solicited_node;
use tests::fleet::{Fleet, WITHIN};
use tests::lab;
use tests::lab::{Capture, Frame, Host, Lan, Port, eventually};

use crate::kit::{
    SILENCE, STRANGER, answers, arp_question, both, exchange, in_group, ndp_question,
    nobody_answers, v4, v6, wait_answering,
};

/// A node that announces on eth0, and a second network with somebody on it who watches.
struct Second {
    fleet: Fleet,
    lan: Lan,
    far: Host,
    wire: Capture,
}

impl Second {
    fn new() -> Self {
        let (fleet, _first) = Fleet::alone().unwrap();
        let lan = Lan::new().unwrap();
        let far = Host::new("far").unwrap();
        lan.attach(&far, "eth0", &[]).unwrap();
        // The kernel tells of a carrier at once where the two ends of a cable have different indexes, and up to
        // a second later where they happen to be the same; one more port makes them differ.
        let spare = Host::new("spare").unwrap();
        lan.attach(&spare, "eth0", &[]).unwrap();
        let wire = Capture::start(&far, "eth0").unwrap();
        Self {
            fleet,
            lan,
            far,
            wire,
        }
    }

    fn node(&self) -> &Host {
        &self.fleet.lab.nodes[0]
    }

    /// Plugs the node in as eth1, without any address.
    fn plug(&self) -> Port {
        self.lan.attach(self.node(), "eth1", &[]).unwrap()
    }

    /// The same, and waits until both families are announced there.
    fn plugged(&self) -> Port {
        let before = Instant::now();
        let port = self.plug();
        self.announced(before, "as a new interface");
        port
    }

    /// Waits for both families' first announcement after a moment.
    fn announced(&self, after: Instant, what: &str) -> [Frame; 2] {
        both().map(|ip| {
            let frame = self.fleet.announced(&self.wire, ip, Some(after)).unwrap();
            println!("{what}: {ip} announced {:?} after", frame.at - after);
            frame
        })
    }

    fn both_are_answered(&self) {
        exchange(&self.far, &self.wire, arp_question());
        exchange(&self.far, &self.wire, ndp_question());
    }
}

// L2-36, L2-40, L2-50, L2-63, L2-66, L2-68
#[test]
fn a_new_interface_without_any_address_is_used_at_once() {
    if !lab::ready() {
        return;
    }
    let lab = Second::new();
    // No link-local address either.
    lab.node()
        .sysctl("net/ipv6/conf/default/addr_gen_mode", "1")
        .unwrap();
    lab.plugged();
    let own = lab.node().proc_net("if_inet6").unwrap();
    assert!(!own.contains("eth1"), "{own}");
    assert!(in_group(lab.node(), "eth1", v6()));
    // What a switch that snoops waits for.
    let group = solicited_node(v6());
    let report = lab.wire.wait(WITHIN, |f| f.mld_report_for(group));
    assert!(report.is_some());
    lab.both_are_answered();
}

// L2-40, L2-45, L2-68
#[test]
fn an_interface_that_is_made_again_under_its_name_starts_anew() {
    if !lab::ready() {
        return;
    }
    let lab = Second::new();
    lab.plugged();
    let index = lab.node().index("eth1").unwrap();
    lab.node().delete_link("eth1").unwrap();
    wait_answering(&lab.fleet, "eth1", false);
    let before = Instant::now();
    lab.plug();
    assert_ne!(lab.node().index("eth1").unwrap(), index);
    lab.announced(before, "again");
    lab.both_are_answered();
    assert!(in_group(lab.node(), "eth1", v6()));
}

// L2-45
#[test]
fn a_name_decides_also_when_it_changes() {
    if !lab::ready() {
        return;
    }
    let lab = Second::new();
    lab.plugged();
    lab.node().rename("eth1", "veth-excluded").unwrap();
    wait_answering(&lab.fleet, "eth1", false);
    wait_answering(&lab.fleet, "veth-excluded", false);
    nobody_answers(&lab.far, &lab.wire, arp_question());
    nobody_answers(&lab.far, &lab.wire, ndp_question());
    let before = Instant::now();
    lab.node().rename("veth-excluded", "lan1").unwrap();
    lab.announced(before, "as lan1");
    lab.both_are_answered();
}

// L2-36, L2-46, L2-47, L2-68
#[test]
fn down_and_up_again_tells_everybody_anew() {
    if !lab::ready() {
        return;
    }
    let lab = Second::new();
    let port = lab.plugged();
    lab.node().link_down("eth1").unwrap();
    wait_answering(&lab.fleet, "eth1", false);
    // The other interface goes on.
    wait_answering(&lab.fleet, "eth0", true);
    let before = Instant::now();
    lab.node().link_up("eth1").unwrap();
    lab.announced(before, "up again");
    lab.both_are_answered();
    assert!(in_group(lab.node(), "eth1", v6()));

    port.cut().unwrap();
    wait_answering(&lab.fleet, "eth1", false);
    let before = Instant::now();
    port.mend().unwrap();
    lab.announced(before, "cable in again");
    lab.both_are_answered();
}

// L2-63, L2-68
#[test]
fn ipv6_that_is_enabled_later_is_used_from_then() {
    if !lab::ready() {
        return;
    }
    let lab = Second::new();
    let setting = |name: &str, value| {
        let path = format!("net/ipv6/conf/{name}/disable_ipv6");
        lab.node().sysctl(&path, value).unwrap();
    };
    setting("default", "1");
    let before = Instant::now();
    lab.plug();
    let first = lab.fleet.announced(&lab.wire, v4().into(), Some(before));
    first.unwrap();
    exchange(&lab.far, &lab.wire, arp_question());
    nobody_answers(&lab.far, &lab.wire, ndp_question());
    assert!(!in_group(lab.node(), "eth1", v6()));
    let before = Instant::now();
    setting("eth1", "0");
    let frame = lab.fleet.announced(&lab.wire, v6().into(), Some(before));
    println!("announced {:?} after IPv6 came", frame.unwrap().at - before);
    exchange(&lab.far, &lab.wire, ndp_question());
    assert!(in_group(lab.node(), "eth1", v6()));
}

// L2-22
#[test]
fn a_new_hardware_address_is_told_at_once() {
    if !lab::ready() {
        return;
    }
    let lab = Second::new();
    lab.plugged();
    let mac = [2, 0, 0, 0, 0, 0x42];
    let before = Instant::now();
    lab.node().set_mac("eth1", mac).unwrap();
    for ip in both() {
        let frame = lab
            .wire
            .wait_after(before, WITHIN, |f| f.gratuitous(ip) && f.source() == mac);
        let frame = frame.unwrap_or_else(|| panic!("{ip}\n{}", lab.fleet.logs()));
        println!("{ip} announced {:?} after the change", frame.at - before);
    }
    let reply = exchange(&lab.far, &lab.wire, arp_question());
    assert_eq!(reply.arp().unwrap().sender_mac, mac);
    let reply = exchange(&lab.far, &lab.wire, ndp_question());
    assert_eq!(reply.neighbor().unwrap().mac, Some(mac));
}

// L2-10, L2-41
#[test]
fn a_bridge_answers_once_and_its_port_does_not() {
    if !lab::ready() {
        return;
    }
    let lab = Second::new();
    lab.plugged();
    let node = lab.node();
    let bridge = [2, 0, 0, 0, 0, 0xb9];
    node.add_bridge("br9").unwrap();
    node.set_mac("br9", bridge).unwrap();
    node.set_master("eth1", Some("br9")).unwrap();
    wait_answering(&lab.fleet, "eth1", false);
    wait_answering(&lab.fleet, "br9", true);
    for (question, v4_too) in [(arp_question(), true), (ndp_question(), false)] {
        let reply = exchange(&lab.far, &lab.wire, question);
        assert_eq!((reply.source(), reply.destination()), (bridge, STRANGER));
        let second = lab
            .wire
            .wait(SILENCE, |f| f.at > reply.at && answers(f, v4_too));
        assert!(second.is_none(), "{second:?}");
    }
}

// L2-42
#[test]
fn excluded_names_are_never_used_and_the_list_can_be_changed() {
    if !lab::ready() {
        return;
    }
    let lab = Second::new();
    let pod = Capture::start(&lab.fleet.pods[0], "eth0").unwrap();
    lab.plugged();
    let list = |patterns: &str| {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: metallb-excludel2, namespace: metallb-system}}\n\
             data:\n  excludel2.yaml: |\n    announcedInterfacesToExclude: {patterns}\n"
        );
        lab.fleet.write("exclude.yaml", &text).unwrap();
    };
    list("['^eth1$', '^veth']");
    wait_answering(&lab.fleet, "eth1", false);
    // A list that cannot be read leaves the old one in force.
    list("['(']");
    let severity = "severity=\"error\"";
    eventually(WITHIN, "a problem is told", || {
        let count = lab.fleet.metric(0, "harbinger_problems", severity).ok()?;
        (count > 0.0).then_some(())
    });
    nobody_answers(&lab.far, &lab.wire, arp_question());
    let before = Instant::now();
    list("['^veth']");
    lab.announced(before, "eth1 again");
    assert_eq!(pod.count(|f| both().iter().any(|ip| f.announces(*ip))), 0);
}
