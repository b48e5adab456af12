//! What the things seen on a host mean, each with its mend.

use engine::facts::Interface;
use engine::interfaces::{Exclusion, Unusable, usability};
use linux::probe::{Announcer, Port};

use super::{Finding, Host, Level};

/// `rp_filter` = 1: strict.
const STRICT: u8 = 1;

/// Every finding, in a fixed order.
pub fn findings(host: &Host) -> Vec<Finding> {
    let mut all = vec![kernel(host)];
    all.push(sockets(host));
    all.push(fast_path(host));
    all.extend(host.ports.iter().map(|(wish, port, answer)| {
        let (level, seen, mend) = self::port(wish.what, wish.flag, *port, answer);
        finding(level, "port", seen, mend)
    }));
    all.extend(usable(host));
    all.extend(settings(host));
    all.extend(fronting(host));
    all.extend(others(host));
    all
}

/// What stands in the way of fronting NodePorts; of no matter where nothing is fronted.
fn fronting(host: &Host) -> Vec<Finding> {
    let mut all = Vec::new();
    if host.forwarding_off {
        all.push(finding(
            Level::Warning,
            "forwarding",
            "net.ipv4.ip_forward is 0: this host passes no packets on, so nothing can be fronted",
            Some("`sysctl -w net.ipv4.ip_forward=1`, or --set-sysctls, where NodePorts are to be fronted".to_owned()),
        ));
    }
    for chain in &host.dropping {
        all.push(finding(
            Level::Warning,
            "firewall",
            format!("the policy of chain {chain} is drop: what is fronted arrives only where a rule there accepts it"),
            Some("let packets to the nodes' NodePorts, and their answers, through; Docker and ufw set such policies".to_owned()),
        ));
    }
    all
}

fn finding(
    level: Level,
    subject: &'static str,
    seen: impl Into<String>,
    mend: Option<String>,
) -> Finding {
    Finding {
        level,
        subject,
        seen: seen.into(),
        mend,
    }
}

fn kernel(host: &Host) -> Finding {
    finding(Level::Ok, "kernel", host.kernel.clone(), None)
}

fn sockets(host: &Host) -> Finding {
    const SUBJECT: &str = "packet sockets";
    match &host.packet_socket {
        None => finding(Level::Ok, SUBJECT, "can be opened: ARP and NDP can be answered", None),
        Some(_) if !host.net_raw => finding(
            Level::Error,
            SUBJECT,
            "the capability CAP_NET_RAW is missing: no ARP, no NDP",
            Some("run as root, or `setcap cap_net_raw+ep` on the program, or add NET_RAW to the container's capabilities".to_owned()),
        ),
        Some(error) => finding(
            Level::Error,
            SUBJECT,
            error.clone(),
            Some("load the kernel module af_packet, or use a kernel with CONFIG_PACKET".to_owned()),
        ),
    }
}

/// Never a fault: the packet sockets answer without it.
fn fast_path(host: &Host) -> Finding {
    const SUBJECT: &str = "ARP fast path";
    match &host.fast_path {
        None => finding(Level::Ok, SUBJECT, "the kernel can answer plain ARP requests itself", None),
        Some(why) => finding(
            Level::Ok,
            SUBJECT,
            format!("not here, packet sockets answer: {why}"),
            Some("nothing, or for replies as fast as the kernel's own: Linux 6.6 and the capabilities BPF and NET_ADMIN".to_owned()),
        ),
    }
}

fn port(
    what: &str,
    flag: &str,
    port: u16,
    answer: &Result<Port, String>,
) -> (Level, String, Option<String>) {
    match answer {
        Ok(Port::Free) => (Level::Ok, format!("{port} ({what}) is free"), None),
        Ok(Port::InUse) => (
            Level::Error,
            format!("{port} ({what}) is in use"),
            Some(format!(
                "stop what holds it (`ss -lnptu 'sport = :{port}'`), MetalLB's speaker perhaps, or choose another with {flag}"
            )),
        ),
        Ok(Port::Denied) => (
            Level::Error,
            format!("{port} ({what}) may not be bound: ports below 1024 need CAP_NET_BIND_SERVICE"),
            Some(format!("choose another with {flag}")),
        ),
        Ok(Port::NoAddress) => (
            Level::Error,
            format!("{port} ({what}): this host has no loopback address"),
            Some("`ip link set lo up`".to_owned()),
        ),
        Err(error) => (Level::Error, format!("{port} ({what}): {error}"), None),
    }
}

fn usable(host: &Host) -> Vec<Finding> {
    const SUBJECT: &str = "interface";
    let exclusion = Exclusion::default();
    let mut all = Vec::new();
    let mut any = false;
    for interface in host.interfaces.values() {
        let name = &interface.name;
        match usability(interface, &exclusion) {
            Ok(()) => {
                any = true;
                all.push(finding(
                    Level::Ok,
                    SUBJECT,
                    format!("{name} can carry addresses"),
                    None,
                ));
            }
            // What is never meant to carry one is no news.
            Err(Unusable::Excluded | Unusable::Loopback | Unusable::NotEthernet) => {}
            Err(why) => {
                all.push(finding(
                    Level::Ok,
                    SUBJECT,
                    format!("{name} is not used: {why}"),
                    None,
                ));
            }
        }
    }
    if !any {
        all.push(finding(
            Level::Error,
            SUBJECT,
            "no interface can carry an address",
            Some("bring an Ethernet interface up (`ip link set NAME up`); names of the ConfigMap metallb-excludel2 are left out".to_owned()),
        ));
    }
    all
}

fn settings(host: &Host) -> Vec<Finding> {
    let exclusion = Exclusion::default();
    let usable = |interface: &&Interface| usability(interface, &exclusion).is_ok();
    let mut all = Vec::new();
    for interface in host.interfaces.values().filter(usable) {
        let name = &interface.name;
        if interface.rp_filter == STRICT {
            all.push(finding(
                Level::Warning,
                "rp_filter",
                format!("strict on {name}: packets for an address outside its subnets may be dropped"),
                Some(format!("`sysctl -w net.ipv4.conf.{name}.rp_filter=2` where clients come by another way than the way back")),
            ));
        }
        if !interface.ipv6 {
            all.push(finding(
                Level::Warning,
                "IPv6",
                format!("off on {name}: no IPv6 address can be announced there"),
                Some(format!(
                    "`sysctl -w net.ipv6.conf.{name}.disable_ipv6=0` if you want IPv6"
                )),
            ));
        }
        if host.ipvs && interface.arp_ignore == 0 {
            all.push(finding(
                Level::Error,
                "kube-proxy",
                format!("IPVS mode keeps every address on {}, and arp_ignore of {name} is 0: this kernel answers for all of them", linux::probe::IPVS_INTERFACE),
                Some("set ipvs.strictARP: true in kube-proxy's configuration".to_owned()),
            ));
        }
    }
    all
}

fn others(host: &Host) -> Vec<Finding> {
    host.announcers
        .iter()
        .map(|(pid, name, kind)| {
            let (level, what, mend) = match kind {
                Announcer::MetallbSpeaker => (
                    Level::Error,
                    "MetalLB's speaker: both would answer for the same addresses",
                    "remove its DaemonSet before this speaker starts (see \"coming from MetalLB\")",
                ),
                Announcer::KubeVip => (
                    Level::Warning,
                    "kube-vip: it answers for addresses of Services too when its Service mode is on",
                    "switch its Service mode off (svc_enable=false), or give the two different loadBalancerClasses",
                ),
                Announcer::Keepalived => (
                    Level::Warning,
                    "keepalived: it answers for its own virtual addresses",
                    "keep its addresses out of the pools",
                ),
            };
            let seen = format!("process {pid} ({name}) is {what}");
            finding(level, "other daemons", seen, Some(mend.to_owned()))
        })
        .collect()
}
