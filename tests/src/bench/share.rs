//! How evenly fresh addresses are placed: the order and the share that the election uses, on random clusters.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Result;
use engine::elect::order::ordered;
use engine::elect::share::Shares;

use super::{Bench, Figure, Samples};

const CLUSTERS: u32 = 400;
const NODES: usize = 10;
const ADDRESSES: usize = 50;
const MEAN: f64 = ADDRESSES as f64 / NODES as f64;
const TARGET: f64 = 1.25;

pub(super) fn run(_: &mut Bench) -> Result<Vec<Figure>> {
    let (mut bounded, mut plain) = <[Samples; 2]>::default().into();
    for cluster in 0..CLUSTERS {
        let names: Vec<String> = (0..NODES)
            .map(|n| format!("c{cluster}-worker-{n}"))
            .collect();
        let mut shares = Shares::new(ADDRESSES, NODES);
        let (mut ours, mut hash) = (
            BTreeMap::<&str, usize>::new(),
            BTreeMap::<&str, usize>::new(),
        );
        for n in 0..ADDRESSES {
            let [.., high, low] = cluster.to_be_bytes();
            let address = IpAddr::from([10, high, low, n as u8]);
            let order = ordered(names.iter().map(|name| (name.as_str(), 0)), address);
            if let Some(first) = order.first() {
                *hash.entry(first).or_default() += 1;
            }
            if let Some(node) = shares.place(&order) {
                *ours.entry(node).or_default() += 1;
            }
        }
        let busiest =
            |of: &BTreeMap<&str, usize>| of.values().max().copied().unwrap_or(0) as f64 / MEAN;
        bounded.push(busiest(&ours));
        plain.push(busiest(&hash));
    }
    let met = bounded.worst() <= TARGET;
    let mean = plain.values().iter().sum::<f64>() / f64::from(CLUSTERS);
    Ok(vec![
        Figure::new(
            "busiest node's share, 50 addresses on 10 nodes, 400 random clusters",
            "x mean",
            bounded,
        )
        .target("<= 1.25 in each", met)
        .reference(format!(
            "plain hash: {mean:.2} on average, {:.2} at worst",
            plain.worst()
        ))
        .how("engine::elect::{order, share}, as the election folds them"),
    ])
}
