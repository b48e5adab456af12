//! A table that a router sends, read from memory as it would come from a socket: routes per second on one core.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use bgp::message::encode_announcement;
use bgp::{AsPath, Asn, Attributes, Community, Decoder, Families, NextHop, Received, WireRules};
use ipnetwork::{IpNetwork, Ipv4Network};

use super::{Bench, Figure, Samples, runs, say};

/// Routes of one run.
const ROUTES: u32 = 1_000_000;
const RUNS: usize = 10;
/// What a socket hands over at a time.
const CHUNK: usize = 64 * 1024;
/// Routes per UPDATE, and the target in millions of routes a second.
const CASES: [(u32, f64); 2] = [(1, 5.0), (5, 15.0)];

pub(super) fn run(_: &mut Bench) -> Result<Vec<Figure>> {
    CASES
        .into_iter()
        .map(|(routes, target)| case(routes, target))
        .collect()
}

fn case(routes: u32, target: f64) -> Result<Figure> {
    let rules = WireRules {
        four_octet_as: true,
        families: Families::IPV4,
        ..WireRules::default()
    };
    let stream = table(routes, &rules)?;
    let mut samples = Samples::default();
    for _ in 0..runs(RUNS) {
        let begun = on_cpu_secs()?;
        let read = announced(&stream, &rules)?;
        samples.push(f64::from(read) / (on_cpu_secs()? - begun) / 1e6);
        ensure!(read == ROUTES, "{read} routes read");
    }
    let median = samples.p50();
    say(&format!("{routes} a message: {median:.1} M routes/s"));
    Ok(Figure::new(
        format!("decode rate of a received table, {routes} per UPDATE"),
        "M routes/s",
        samples,
    )
    .target(format!(">= {target} M routes/s (p50)"), median >= target)
    .how("bgp::Decoder in this process, 64 KiB at a time, validated and counted; time on the core"))
}

/// Time this thread has had a core: a busy machine delays the decoder, and that is not its rate.
fn on_cpu_secs() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text
        .split_whitespace()
        .next()
        .context("an empty schedstat")?;
    Ok(nanos.parse::<f64>()? / 1e9)
}

/// A table with the attributes of an ordinary route: a path of four, MED, two communities.
fn table(routes: u32, rules: &WireRules) -> Result<Vec<u8>> {
    let attributes = |n: u32| {
        let mut as_path = AsPath::repeated(Asn(64_513), 1);
        as_path.segments[0]
            .asns
            .extend([Asn(3_356), Asn(200_000 + n % 5_000), Asn(n + 1)]);
        Attributes {
            as_path,
            med: Some(n % 100),
            communities: vec![Community::new(3_356, 3), Community::new(3_356, 2_065)],
            ..Attributes::default()
        }
    };
    let next_hop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 1));
    let mut stream = Vec::new();
    for first in (0..ROUTES).step_by(routes as usize) {
        let prefixes = (first..first + routes).filter_map(|n| {
            let address = Ipv4Addr::from_bits(0x0100_0000 + (n << 8));
            Ipv4Network::new(address, 24).ok().map(IpNetwork::V4)
        });
        encode_announcement(rules, next_hop, &attributes(first), prefixes, &mut stream)?;
    }
    Ok(stream)
}

fn announced(stream: &[u8], rules: &WireRules) -> Result<u32> {
    let mut decoder = Decoder::new(false);
    let mut count = 0;
    for chunk in stream.chunks(CHUNK) {
        let mut at = 0;
        loop {
            let (used, frame) = decoder.next_frame(&chunk[at..]);
            at += used;
            let Some(frame) = frame else { break };
            if let Received::Update(view) = frame?.read(rules)? {
                count += view.announced;
            }
        }
    }
    Ok(count)
}
