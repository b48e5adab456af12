//! The answer for a person: tables and what is wrong.

use std::fmt::Write as _;

use comfy_table::{Table, presets};

use super::Report;

/// Candidates and refusals shown for one address; the JSON has all.
const SHOWN_MAX: usize = 4;

pub(super) fn text(report: &Report) -> String {
    let mut out = String::new();
    section(&mut out, "SERVICES", &services(report));
    section(&mut out, "ANNOUNCED ON THE LOCAL NETWORK", &l2(report));
    if !report.bgp.is_empty() {
        section(&mut out, "TOLD TO ROUTERS", &bgp(report));
    }
    if !report.front.is_empty() {
        section(&mut out, "FRONTED", &front(report));
    }
    section(&mut out, "POOLS", &pools(report));
    let _infallible = writeln!(out, "CONFIGURATION  {}", report.config.result);
    for problem in &report.config.problems {
        let source = problem.source.as_deref().map(|s| format!(" ({s})"));
        let object = if problem.namespace.is_empty() {
            problem.name.clone()
        } else {
            format!("{}/{}", problem.namespace, problem.name)
        };
        let _infallible = writeln!(
            out,
            "  {}: {} {object}{}: {}: {}",
            problem.severity,
            problem.kind,
            source.unwrap_or_default(),
            problem.reason,
            problem.message
        );
    }
    out
}

fn section(out: &mut String, title: &str, table: &Table) {
    let _infallible = if table.row_count() == 0 {
        writeln!(out, "{title}  none\n")
    } else {
        writeln!(out, "{title}\n{}\n", table.trim_fmt())
    };
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn services(report: &Report) -> Table {
    let mut table = table(&["SERVICE", "CHANGE", "ADDRESSES", "BEFORE", "POOL", "WHY"]);
    for service in report.services.iter().filter(|s| s.change != "none") {
        table.add_row([
            format!("{}/{}", service.namespace, service.name),
            service.change.to_owned(),
            list(service.addresses.iter()),
            list(service.previous.iter()),
            service.pool.clone().unwrap_or_else(|| "-".to_owned()),
            service.message.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn l2(report: &Report) -> Table {
    let mut table = table(&[
        "ADDRESS",
        "SERVICES",
        "NODE",
        "INTERFACES",
        "NEXT",
        "REFUSED",
    ]);
    for line in &report.l2 {
        let next = line
            .candidates
            .iter()
            .filter(|node| Some(*node) != line.owner.as_ref());
        let refused = line
            .refusals
            .iter()
            .map(|refusal| format!("{}: {}", refusal.node, refusal.reason));
        table.add_row([
            line.address.to_string(),
            line.services.join(", "),
            line.owner.clone().unwrap_or_else(|| "nobody".to_owned()),
            line.interfaces.join(", "),
            list(next),
            list(refused),
        ]);
    }
    table
}

fn bgp(report: &Report) -> Table {
    let mut table = table(&["NODE", "PEER", "ROUTES", "NOT TOLD"]);
    for line in &report.bgp {
        let refused = line
            .refusals
            .iter()
            .map(|refusal| format!("{}: {}", refusal.service, refusal.reason));
        table.add_row([
            line.node.clone(),
            line.peer.clone(),
            list(line.prefixes.iter().map(|prefix| &prefix.prefix)),
            list(refused),
        ]);
    }
    table
}

fn front(report: &Report) -> Table {
    let mut table = table(&[
        "ADDRESS",
        "PORT",
        "SERVICE",
        "NODEPORT",
        "NODES",
        "ONLY FROM",
    ]);
    for line in &report.front {
        let node_port = line.node_port.map(|port| port.to_string());
        table.add_row([
            line.address.clone(),
            format!("{}/{}", line.port, line.protocol),
            line.service.clone(),
            node_port.unwrap_or_else(|| "-".to_owned()),
            list(line.targets.iter().map(|target| &target.node)),
            list(line.source_ranges.iter()),
        ]);
    }
    table
}

fn pools(report: &Report) -> Table {
    let mut table = table(&["POOL", "IPV4 USED", "IPV4 FREE", "IPV6 USED", "IPV6 FREE"]);
    for pool in &report.pools {
        table.add_row([
            pool.name.clone(),
            pool.assigned_ipv4.to_string(),
            pool.available_ipv4.to_string(),
            pool.assigned_ipv6.to_string(),
            many(pool.available_ipv6),
        ]);
    }
    table
}

fn many(count: i64) -> String {
    if count == i64::MAX {
        "endless".to_owned()
    } else {
        count.to_string()
    }
}

fn list(items: impl Iterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    match items.len() {
        0 => "-".to_owned(),
        n if n > SHOWN_MAX => {
            let shown = items.get(..SHOWN_MAX).unwrap_or_default().join(", ");
            format!("{shown} and {} more", n - SHOWN_MAX)
        }
        _ => items.join(", "),
    }
}
