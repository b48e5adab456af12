//! Settings of the kernel that a front cannot do without: looked at, said with the mend, changed only when asked.

use engine::forward::{ForwardTable, Traffic};

use linux::nftables::{Nftables, attributes, message};

use super::Options;

/// Where the kernel has its settings.
const SYSCTLS: &str = "/proc/sys";

/// Forwarding, by family.
const IPV4: &str = "net/ipv4/ip_forward";
const IPV6: &str = "net/ipv6/conf/all/forwarding";

/// Looks before the first table is applied. A machine of the cluster forwards already, or its pods could not work.
pub(super) fn look(options: Options, table: &ForwardTable) {
    let fronted = |v4: bool| {
        let mut ports = table.ports.iter();
        ports.any(|(front, port)| front.address.is_ipv4() == v4 && port.traffic == Traffic::Front)
    };
    for (v4, name) in [(true, IPV4), (false, IPV6)] {
        if fronted(v4) && is_off(name) {
            switch(name, options.set_sysctls);
        }
    }
    let dropping = dropping();
    if !dropping.is_empty() {
        tracing::warn!(
            event = "forwardPolicyDrop",
            "the policy of {} is drop: what is fronted arrives only where a rule there accepts it (Docker and ufw set such policies); let packets to the nodes' NodePorts and their answers through",
            dropping.join(", ")
        );
    }
}

/// Families of nf_tables that packets to pass on meet, by number.
const FAMILIES: [(u8, &str); 3] = [(1, "inet"), (2, "ip"), (10, "ip6")];

/// Base chains of other programs that drop what no rule of theirs accepts on its way through this machine, as
/// "ip filter FORWARD". Empty too where the rules may not be read.
pub(crate) fn dropping() -> Vec<String> {
    let mut found = Vec::new();
    let Ok(mut nftables) = Nftables::open() else {
        return found;
    };
    for (family, name) in FAMILIES {
        // What cannot be read cannot be told; applying the table says more.
        let _unread = nftables.dump(
            message::GETCHAIN,
            family,
            |_| {},
            |_, body| {
                if let Some(chain) = dropping_chain(body) {
                    found.push(format!("{name} {chain}"));
                }
            },
        );
    }
    found.sort();
    found
}

/// Table and chain, when it drops by policy what passes through.
fn dropping_chain(body: &[u8]) -> Option<String> {
    /// `NF_INET_FORWARD` and `NF_DROP`, as the kernel writes them.
    const FORWARD: [u8; 4] = 2_u32.to_be_bytes();
    const DROP: [u8; 4] = 0_u32.to_be_bytes();
    let text = |value: &[u8]| {
        String::from_utf8_lossy(value)
            .trim_end_matches('\0')
            .to_owned()
    };
    let (mut table, mut chain) = (String::new(), String::new());
    let (mut forward, mut drop) = (false, false);
    attributes(body, |kind, value| match kind {
        1 => table = text(value),
        3 => chain = text(value),
        4 => attributes(value, |kind, value| {
            forward |= kind == 1 && value == FORWARD
        }),
        5 => drop = value == DROP,
        _ => {}
    });
    (forward && drop && table != OUR_TABLE).then(|| format!("{table} {chain}"))
}

/// Name of our table, whose own chains are no news.
const OUR_TABLE: &str = "harbinger";

/// Whether a setting is 0; one that cannot be read is no news.
pub(crate) fn is_off(name: &str) -> bool {
    number(name) == Some(0)
}

/// A setting that is a number.
pub(super) fn number(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("{SYSCTLS}/{name}")).ok()?;
    text.trim().parse().ok()
}

fn switch(name: &str, set: bool) {
    let dotted = name.replace('/', ".");
    if !set {
        tracing::error!(
            event = "forwardingOff",
            sysctl = dotted,
            "{dotted} is 0: this machine does not pass packets on, so nothing that is fronted arrives; `sysctl -w {dotted}=1`, or start with --set-sysctls"
        );
        return;
    }
    match std::fs::write(format!("{SYSCTLS}/{name}"), "1") {
        Ok(()) => tracing::warn!(
            event = "forwardingOn",
            sysctl = dotted,
            "{dotted} was 0 and is 1 now"
        ),
        Err(error) => tracing::error!(
            event = "forwardingOff",
            sysctl = dotted,
            "{dotted} cannot be set to 1: {error}"
        ),
    }
}
