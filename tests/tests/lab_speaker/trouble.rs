//! Bad input and lost cluster, while the speaker runs.

use tests::fleet::{self, Fleet, V4, WITHIN};
use tests::lab::{self, eventually};

use crate::kit::{arp_question, exchange, ndp_question, texts};

/// Waits until the ConfigurationStates speak of something.
fn wait_state(fleet: &Fleet, wanted: &str) {
    let folder = fleet.state().join("status").join("ConfigurationState");
    let what = format!("{wanted} in {}", folder.display());
    eventually(WITHIN, &what, || {
        texts(&folder).contains(wanted).then_some(())
    });
}

// L2-48
#[test]
fn an_address_that_is_on_an_interface_is_a_problem() {
    if !lab::ready() {
        return;
    }
    let (fleet, wire) = Fleet::alone().unwrap();
    let node = &fleet.lab.nodes[0];
    node.add_address("eth0", &format!("{V4}/32")).unwrap();
    let told = "reason=\"VipOnInterface\"";
    let count = || fleet.metric(0, "harbinger_problems", told).ok();
    eventually(WITHIN, "VipOnInterface", || (count()? > 0.0).then_some(()));
    exchange(&fleet.lab.client, &wire, ndp_question());
    node.delete_address("eth0", &format!("{V4}/32")).unwrap();
    eventually(WITHIN, "it is mended", || (count()? == 0.0).then_some(()));
}

// L2-48
#[test]
fn an_address_on_the_ipvs_interface_asks_for_strict_arp() {
    if !lab::ready() {
        return;
    }
    let (fleet, _wire) = Fleet::alone().unwrap();
    let node = &fleet.lab.nodes[0];
    node.add_veth("kube-ipvs0", "peer").unwrap();
    node.add_address("kube-ipvs0", &format!("{V4}/32")).unwrap();
    let count = |reason: &str| {
        let label = format!("reason=\"{reason}\"");
        fleet.metric(0, "harbinger_problems", &label).ok()
    };
    eventually(WITHIN, "StrictArpOff", || {
        (count("StrictArpOff")? > 0.0).then_some(())
    });
    assert_eq!(count("VipOnInterface"), Some(0.0));
}

#[test]
fn bad_manifests_are_told_and_the_good_ones_work() {
    if !lab::ready() {
        return;
    }
    let (fleet, wire) = Fleet::alone().unwrap();
    let metallb = |kind: &str, name: &str, spec: &str| {
        format!(
            "---\napiVersion: metallb.io/v1beta1\nkind: {kind}\n\
             metadata: {{name: {name}, namespace: metallb-system}}\nspec: {spec}\n"
        )
    };
    fleet
        .write("torn.yaml", "kind: Service\nmetadata: {name: [\n")
        .unwrap();
    let objects = [
        metallb(
            "IPAddressPool",
            "range",
            "{addresses: [192.0.2.9-192.0.2.1]}",
        ),
        metallb(
            "IPAddressPool",
            "overlap",
            "{addresses: [192.0.2.210-192.0.2.230]}",
        ),
        metallb("L2Advertisement", "unknown", "{ipAddressPools: [nowhere]}"),
    ];
    fleet.write("bad.yaml", &objects.concat()).unwrap();
    fleet
        .write("more.yaml", &fleet::service("more", false, 1))
        .unwrap();
    let more = "192.0.2.201".parse().unwrap();
    fleet.announced(&wire, more, None).unwrap();
    for wanted in [
        "torn.yaml",
        "IPAddressPool metallb-system/range",
        "IPAddressPool metallb-system/overlap",
    ] {
        wait_state(&fleet, wanted);
    }
    exchange(&fleet.lab.client, &wire, arp_question());
    // And it is no news once mended.
    fleet.remove("bad.yaml").unwrap();
    fleet.remove("torn.yaml").unwrap();
    eventually(WITHIN, "no problem is left", || {
        let count = fleet
            .metric(0, "harbinger_problems", "severity=\"error\"")
            .ok()?;
        (count == 0.0).then_some(())
    });
}

#[test]
fn with_the_folder_gone_what_is_announced_goes_on() {
    if !lab::ready() {
        return;
    }
    let (mut fleet, wire) = Fleet::alone().unwrap();
    let away = fleet.path().join("away");
    std::fs::rename(fleet.manifests(), &away).unwrap();
    // It has noticed once it says so.
    let log = fleet.log(0);
    let before = std::fs::read_to_string(&log).unwrap().len();
    eventually(WITHIN, "the loss is told", || {
        let text = std::fs::read_to_string(&log).unwrap();
        (text.len() > before).then_some(())
    });
    exchange(&fleet.lab.client, &wire, arp_question());
    exchange(&fleet.lab.client, &wire, ndp_question());
    assert!(fleet.process(0).unwrap().try_wait().is_none());
    std::fs::rename(&away, fleet.manifests()).unwrap();
    fleet
        .write("more.yaml", &fleet::service("more", false, 1))
        .unwrap();
    fleet
        .announced(&wire, "192.0.2.201".parse().unwrap(), None)
        .unwrap();
    exchange(&fleet.lab.client, &wire, arp_question());
}
