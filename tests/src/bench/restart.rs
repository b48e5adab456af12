//! The controller stops and starts with ten thousand Services assigned: when a new one is served, and what is
//! written that need not be.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Service;
use kube::Client;
use kube::api::{Api, WatchEvent, WatchParams};

use super::cluster::{Cluster, name};
use super::status::has_address;
use super::{Bench, Figure, Samples, bare, runs, say};

const SERVICES: usize = 10_000;
const STOPS: usize = 20;
const KILLS: usize = 5;
const TARGET_S: f64 = 1.0;
/// After a kill the standing Lease has to end first.
const LEASE_S: f64 = 2.0;
const SOON: Duration = Duration::from_secs(60);

/// What one restart did.
struct Restart {
    time: Duration,
    /// Writes of Services' statuses beyond the new one's, and of anything else but the pool's status and the Lease.
    writes: f64,
    /// Events about Services beside the new one.
    events: f64,
}

pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>> {
    let cluster = bench.cluster(SERVICES)?;
    cluster.stop_speakers();
    cluster.serve(SERVICES)?;
    let (mut stopped, mut killed, mut writes, mut events) = Default::default();
    let stops = runs(STOPS);
    for n in 0..stops + runs(KILLS) {
        let kill = n >= stops;
        let Restart {
            time,
            writes: w,
            events: e,
        } = restart(cluster, kill)?;
        say(&format!(
            "{} {n}: {:.2} s, {w} writes, {e} events",
            if kill { "kill" } else { "stop" },
            time.as_secs_f64()
        ));
        let times: &mut Samples = if kill { &mut killed } else { &mut stopped };
        times.push(time.as_secs_f64());
        Samples::push(&mut writes, w);
        Samples::push(&mut events, e);
    }
    let (met, met_killed) = (
        stopped.worst() <= TARGET_S,
        killed.worst() <= TARGET_S + LEASE_S,
    );
    let how = "real API server, from the process's start to the new Service's status at another client's watch";
    let what = "controller started with 10,000 assigned -> a new Service served";
    let (no_writes, no_events) = (writes.worst() == 0.0, events.worst() == 0.0);
    Ok(vec![
        Figure::new(format!("{what}, after a stop"), "s", stopped)
            .target("<= 1 s", met)
            .reference("MetalLB 48 s (record)")
            .how(how),
        Figure::new(format!("{what}, after a kill"), "s", killed)
            .target("<= 1 s + the lease (2 s)", met_killed)
            .how(how),
        Figure::new(
            "of that, writes but the Lease and for the new Service",
            "",
            writes,
        )
        .target("0", no_writes)
        .reference("MetalLB 20,002 (record)")
        .how("audit log"),
        Figure::new("of that, events repeated", "", events)
            .target("0", no_events)
            .reference("MetalLB 20,002 with the statuses (record)")
            .how("audit log"),
    ])
}

fn restart(cluster: &mut Cluster, kill: bool) -> Result<Restart> {
    cluster.wait_for_quiet()?;
    cluster.stop_controller(kill);
    let n = cluster.services();
    // The watch begins before the Service is there.
    let version = cluster.plane.block_on(async |c| newest(&c).await)?;
    cluster.create_until(n + 1)?;
    let wanted = name(n);
    let begun = Instant::now();
    cluster.start_controller()?;
    let served = cluster
        .plane
        .block_on(async |c| served(&c, &version, &wanted).await)?;
    // Its own status and event, then whatever else comes.
    let mut writes = cluster.wait_for_quiet()?;
    let mut take = |what: &str| writes.remove(what).unwrap_or(0) as f64;
    let statuses = take("patch services/status");
    let events = take("create events");
    // The new Service changes its pool's counters.
    take("patch ipaddresspools/status");
    let other: usize = writes.values().sum();
    if other > 0 {
        say(&format!("also written: {writes:?}"));
    }
    Ok(Restart {
        time: served - begun,
        writes: statuses - 1.0 + other as f64,
        events: events - 1.0,
    })
}

/// The version of the newest Service, without reading them all.
async fn newest(client: &Client) -> Result<String> {
    let api: Api<Service> = Api::namespaced(client.clone(), bare::NAMESPACE);
    let some = api.list(&kube::api::ListParams::default().limit(1)).await?;
    some.metadata
        .resource_version
        .context("a list has a version")
}

/// When a Service got its address.
async fn served(client: &Client, version: &str, name: &str) -> Result<Instant> {
    let api: Api<Service> = Api::namespaced(client.clone(), bare::NAMESPACE);
    let only = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = api.watch(&only, version).await?.boxed();
    let seen = tokio::time::timeout(SOON, async {
        while let Some(event) = events.try_next().await? {
            if let WatchEvent::Added(it) | WatchEvent::Modified(it) = event
                && has_address(&it)
            {
                return Ok(Instant::now());
            }
        }
        bail!("the watch ended")
    });
    seen.await
        .with_context(|| format!("{name} gets no address"))?
}
