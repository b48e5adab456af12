//! A Service is created → its status is written, in an idle cluster, beside a bare client that writes the status
//! the moment its creation is answered: what is above that is ours.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Service;
use kube::Client;
use kube::api::{Api, WatchEvent, WatchParams};

use super::figure::number;
use super::{Bench, Figure, Samples, bare, runs, say};
use crate::lab;

const RUNS: usize = 300;
/// Of each kind, before the clock counts.
const WARM_UP: usize = 10;
const SOON: Duration = Duration::from_secs(10);
const P50_OVER_MS: f64 = 5.0;
const P99_OVER_MS: f64 = 20.0;
/// Services of this class are the bare client's.
const BARE: &str = "example.com/bare";

pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>> {
    let cluster = bench.cluster(0)?;
    cluster.serve(0)?;
    let measured = cluster
        .plane
        .block_on(async |client| measure(&client).await);
    // Others want a cluster without them.
    bench.cluster = None;
    let (ours, theirs) = measured?;
    let over = |percent| ours.percentile(percent) - theirs.percentile(percent);
    let (p50, p99) = (over(50), over(99));
    say(&format!(
        "ours {} / {} ms, bare {} / {} ms",
        number(ours.p50()),
        number(ours.p99()),
        number(theirs.p50()),
        number(theirs.p99())
    ));
    let reference = format!(
        "bare client p50 {}, p99 {} ms: over it p50 {}, p99 {} ms",
        number(theirs.p50()),
        number(theirs.p99()),
        number(p50),
        number(p99)
    );
    let figure = Figure::new(
        "Service created -> status written, idle cluster",
        "ms",
        ours,
    )
    .target(
        "over the bare client: p50 <= 5, p99 <= 20 ms",
        p50 <= P50_OVER_MS && p99 <= P99_OVER_MS,
    )
    .reference(reference)
    .how("from the creation's answer to the status at a third client's watch; interleaved");
    Ok(vec![figure])
}

async fn measure(client: &Client) -> Result<(Samples, Samples)> {
    let api: Api<Service> = Api::namespaced(client.clone(), bare::NAMESPACE);
    let version = api.list(&kube::api::ListParams::default()).await?;
    let version = version.metadata.resource_version.unwrap_or_default();
    let mut events = api.watch(&WatchParams::default(), &version).await?.boxed();
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    for n in 0..runs(RUNS) + WARM_UP {
        for is_bare in [false, true] {
            let name = format!("{}-{n}", if is_bare { "bare" } else { "ours" });
            let class = is_bare.then_some(BARE);
            let known = bare::create(client, &name, class).await?;
            let created = Instant::now();
            if is_bare {
                let address = bare::address(40_000 + n);
                bare::write_status(client, &known, Some(&address)).await?;
            }
            let seen = tokio::time::timeout(SOON, async {
                while let Some(event) = events.try_next().await? {
                    let (WatchEvent::Added(it) | WatchEvent::Modified(it)) = event else {
                        continue;
                    };
                    if it.metadata.name.as_deref() == Some(&name) && has_address(&it) {
                        return Ok(Instant::now());
                    }
                }
                bail!("the watch ended")
            });
            let seen = seen
                .await
                .with_context(|| format!("{name} gets no address"))??;
            let millis = (seen - created).as_secs_f64() * 1e3;
            if n >= WARM_UP {
                if is_bare {
                    theirs.push(millis)
                } else {
                    ours.push(millis)
                }
            }
            // Idle again: events are written, and no two runs fall on the same beat of a timer.
            lab::pause(Duration::from_millis(20 + (n as u64 * 7) % 13));
        }
    }
    Ok((ours, theirs))
}

/// Whether the status has an address.
pub(super) fn has_address(service: &Service) -> bool {
    let balancer = service
        .status
        .as_ref()
        .and_then(|s| s.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref());
    ingress.is_some_and(|ingress| !ingress.is_empty())
}
