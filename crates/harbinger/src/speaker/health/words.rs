//! The same for a person.

use std::fmt::Write as _;

use comfy_table::{Table, presets};

use super::Shown;

/// The table, and the history of `of`, if one is named.
pub fn text(shown: &Shown, of: Option<&str>) -> String {
    let mut out = String::new();
    if !shown.probing {
        let _infallible = writeln!(
            out,
            "{} probes nothing: nothing is fronted from there (--probes on probes all the same)",
            shown.node
        );
        return out;
    }
    let observer = &shown.observer;
    let frozen = if observer.frozen {
        "; too few to be believed, so silence takes no node down"
    } else {
        ""
    };
    let _infallible = writeln!(
        out,
        "Seen from {}, which reaches {} of {} others{frozen}. {} probes a second.\n",
        shown.node, observer.reaches, observer.of, shown.probes_per_second
    );
    let mut table = headed(&[
        "NODE", "FAMILY", "ADDRESS", "STATE", "FOR", "SHARE", "PROBE", "WHY",
    ]);
    for node in shown
        .nodes
        .iter()
        .filter(|n| of.is_none_or(|of| of == n.node))
    {
        let state = match node.drains_for_seconds {
            Some(left) if left > 0.0 => format!("{}, {} left", node.state, span(left)),
            _ if node.confirmed_dead => format!("{}, dead", node.state),
            _ => node.state.clone(),
        };
        table.add_row([
            node.node.clone(),
            node.family.clone(),
            node.address.clone(),
            state,
            span(node.since_seconds),
            format!("{} %", node.weight),
            node.probe.clone().unwrap_or_else(|| "-".to_owned()),
            node.reason.clone(),
        ]);
    }
    let _infallible = writeln!(out, "{}", table.trim_fmt());
    services(&mut out, shown, of);
    if let Some(of) = of {
        history(&mut out, shown, of);
    }
    out
}

fn services(out: &mut String, shown: &Shown, of: Option<&str>) {
    let mut table = headed(&["SERVICE", "NODE", "STATE", "FOR", "ENDPOINTS", "WHY"]);
    for row in shown
        .services
        .iter()
        .filter(|s| of.is_none_or(|of| of == s.node))
    {
        table.add_row([
            row.service.clone(),
            row.node.clone(),
            row.state.clone(),
            span(row.since_seconds),
            row.endpoints.to_string(),
            row.reason.clone(),
        ]);
    }
    if table.row_count() > 0 {
        let _infallible = writeln!(out, "\n{}", table.trim_fmt());
    }
}

fn history(out: &mut String, shown: &Shown, of: &str) {
    let mut table = headed(&["AGO", "OF", "FROM", "TO", "WHY"]);
    for line in shown.history.get(of).into_iter().flatten() {
        table.add_row([
            span(line.ago_seconds),
            line.of.clone(),
            line.from.clone(),
            line.to.clone(),
            line.reason.clone(),
        ]);
    }
    if table.row_count() > 0 {
        let _infallible = writeln!(out, "\n{}", table.trim_fmt());
    }
}

fn headed(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

/// A time in two figures or three.
fn span(seconds: f64) -> String {
    if seconds < 10.0 {
        format!("{seconds:.1}s")
    } else if seconds < 120.0 {
        format!("{seconds:.0}s")
    } else if seconds < 7200.0 {
        format!("{:.0}m", seconds / 60.0)
    } else {
        format!("{:.0}h", seconds / 3600.0)
    }
}
