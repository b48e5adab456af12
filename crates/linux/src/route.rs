//! The host's interfaces and their addresses as snapshots that follow the kernel.
//!
//! Owns two netlink sockets: one for dumps, one that hears link and address events. An event is only a sign
//! that something changed: the answer is a new dump, so that no event can be misread, lost or applied in the
//! wrong order, and an overrun of the event buffer costs nothing but a dump (L2-40). Dumps are paced by what
//! they cost, so a storm of changes on a host with thousands of interfaces takes at most a fifth of a core.
//!
//! Deliberately absent: which interface is usable, and any change to the host.

mod decode;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::Error;
use crate::netlink::{Dump, Netlink};

/// A full picture is taken this often although no event came, which repairs whatever was lost (L2-40).
pub const RESYNC_INTERVAL: Duration = Duration::from_secs(60);

/// Dumps that were torn by a change are repeated this often before the last one is used as it is; the change
/// that tore it has sent an event, so another dump follows.
const DUMP_ATTEMPTS: usize = 4;

/// Pause after a dump, as a multiple of the time it took: a dump at most takes a fifth of the time.
const PAUSE_FACTOR: u32 = 4;

/// The longest pause, so that the reaction to a change stays within 100 ms.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// A failed dump is tried again after this.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Interfaces by index.
pub type Snapshot = BTreeMap<u32, Link>;

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index: its identity for as long as it exists.
    pub index: u32,
    /// Its name, which may change.
    pub name: String,
    /// Its hardware address, if it has one of 6 octets.
    pub mac: Option<[u8; 6]>,
    /// ARP hardware type (`ARPHRD_*`): 1 is Ethernet, 772 loopback.
    pub link_type: u16,
    /// State and properties.
    pub flags: Flags,
    /// The interface this one is a member of: bridge, bond, VRF device, Open vSwitch datapath.
    pub master: Option<u32>,
    /// Driver kind: "bridge", "veth", "vrf", "bond"; `None` for plain hardware and loopback.
    pub kind: Option<String>,
    /// The master's kind, as the kernel says it on the member.
    pub master_kind: Option<String>,
    /// Local addresses with their prefix length, sorted.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Largest packet, in octets.
    pub mtu: u32,
    /// IPv6 is off here, by setting or because the kernel runs none on such an interface.
    pub ipv6_disabled: bool,
}

/// Flags of an interface (`IFF_*`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// Switched on by the administrator.
    pub up: bool,
    /// Up and with carrier, as far as the kernel knows (`IFF_RUNNING`).
    pub running: bool,
    /// The lower layer is up (`IFF_LOWER_UP`): the cable is in.
    pub carrier: bool,
    /// Can broadcast.
    pub broadcast: bool,
    /// The loopback interface.
    pub loopback: bool,
    /// Has one peer and no segment.
    pub pointopoint: bool,
    /// Speaks no ARP.
    pub noarp: bool,
}

/// Settings of [`Links::open`].
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Receive buffer of the event socket in bytes; `None` leaves the host's default.
    pub event_buffer_bytes: Option<usize>,
    /// See [`RESYNC_INTERVAL`].
    pub resync_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            event_buffer_bytes: None,
            resync_interval: RESYNC_INTERVAL,
        }
    }
}

/// What [`Links`] has done so far.
#[derive(Debug, Default)]
pub struct Counters {
    dumps: AtomicU64,
    events: AtomicU64,
    overruns: AtomicU64,
    failures: AtomicU64,
}

impl Counters {
    /// Pictures taken.
    pub fn dumps(&self) -> u64 {
        self.dumps.load(Ordering::Relaxed)
    }

    /// Datagrams of events heard.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Times the kernel dropped events because the buffer was full.
    pub fn overruns(&self) -> u64 {
        self.overruns.load(Ordering::Relaxed)
    }

    /// Dumps or reads that failed and were tried again.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// Follows the interfaces of the network namespace it was opened in.
#[derive(Debug)]
pub struct Links {
    events: Netlink,
    dumps: Netlink,
    snapshot: watch::Sender<Arc<Snapshot>>,
    options: Options,
    counters: Arc<Counters>,
}

impl Links {
    /// Subscribes to events, then takes the first picture; needs no privilege. Nothing follows before
    /// [`run`](Self::run) is polled.
    ///
    /// # Errors
    /// A netlink call that failed.
    pub async fn open(options: Options) -> Result<(Self, watch::Receiver<Arc<Snapshot>>), Error> {
        let groups = [
            libc::RTNLGRP_LINK,
            libc::RTNLGRP_IPV4_IFADDR,
            libc::RTNLGRP_IPV6_IFADDR,
            // IPv6 switched on or off for an interface.
            libc::RTNLGRP_IPV6_IFINFO,
        ];
        let events = Netlink::open(libc::NETLINK_ROUTE, &groups, options.event_buffer_bytes)?;
        let mut dumps = Netlink::open(libc::NETLINK_ROUTE, &[], None)?;
        let first = take(&mut dumps).await?;
        let (snapshot, receiver) = watch::channel(Arc::new(first));
        let counters = Arc::new(Counters::default());
        counters.dumps.fetch_add(1, Ordering::Relaxed);
        let links = Self {
            events,
            dumps,
            snapshot,
            options,
            counters,
        };
        Ok((links, receiver))
    }

    /// Counters that go on counting while [`run`](Self::run) owns the rest.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Follows the kernel until every receiver is gone. Publishes only pictures that differ from the last
    /// one. A failed dump is counted and tried again a second later. May be stopped at any await.
    pub async fn run(mut self) {
        let mut resync_at = Instant::now() + self.options.resync_interval;
        loop {
            tokio::select! {
                () = self.snapshot.closed() => return,
                () = sleep_until(resync_at) => {}
                heard = self.events.readable() => {
                    // Registration with the runtime failed: it is shutting down.
                    if heard.is_err() {
                        return;
                    }
                    if !self.drain() {
                        continue;
                    }
                }
            }
            let began = Instant::now();
            let pause = match take(&mut self.dumps).await {
                Ok(picture) => {
                    self.counters.dumps.fetch_add(1, Ordering::Relaxed);
                    self.publish(picture);
                    (began.elapsed() * PAUSE_FACTOR).min(PAUSE_MAX)
                }
                Err(_) => {
                    self.counters.failures.fetch_add(1, Ordering::Relaxed);
                    resync_at = began + RETRY_PAUSE;
                    sleep_until(began + PAUSE_MAX).await;
                    continue;
                }
            };
            resync_at = began + self.options.resync_interval;
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads the pending events away; whether there is a reason for a dump.
    fn drain(&mut self) -> bool {
        match self.events.drain() {
            Ok(drained) => {
                let events = drained.datagrams as u64;
                self.counters.events.fetch_add(events, Ordering::Relaxed);
                if drained.overrun {
                    self.counters.overruns.fetch_add(1, Ordering::Relaxed);
                }
                drained.overrun || events > 0
            }
            Err(_) => {
                self.counters.failures.fetch_add(1, Ordering::Relaxed);
                true
            }
        }
    }

    fn publish(&self, picture: Snapshot) {
        self.snapshot.send_if_modified(|last| {
            let changed = **last != picture;
            if changed {
                *last = Arc::new(picture);
            }
            changed
        });
    }
}

/// A way out of the host for addresses of no other route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gateway {
    /// The router; `None` for a default route straight onto the interface.
    pub address: Option<IpAddr>,
    /// The interface it goes out of.
    pub ifindex: u32,
    /// Priority of the route; the least wins.
    pub metric: u32,
    /// Whether it is an IPv6 route.
    pub ipv6: bool,
}

/// The default routes of the main table, each next hop of a multipath route by itself, sorted.
///
/// # Errors
/// A netlink call that failed.
pub async fn default_gateways() -> Result<Vec<Gateway>, Error> {
    let mut netlink = Netlink::open(libc::NETLINK_ROUTE, &[], None)?;
    let mut gateways = Vec::new();
    netlink
        .dump(libc::RTM_GETROUTE, &[0; 12], |kind, payload| {
            if kind == libc::RTM_NEWROUTE {
                decode::gateways(payload, &mut gateways);
            }
        })
        .await?;
    gateways.sort_unstable();
    gateways.dedup();
    Ok(gateways)
}

/// One picture of links and addresses, repeated while changes tear it.
async fn take(netlink: &mut Netlink) -> Result<Snapshot, Error> {
    let mut picture = Snapshot::new();
    for _ in 0..DUMP_ATTEMPTS {
        picture.clear();
        let links = netlink
            .dump(
                libc::RTM_GETLINK,
                &decode::link_request(),
                |kind, payload| {
                    if kind == libc::RTM_NEWLINK {
                        picture.extend(decode::link(payload).map(|l| (l.index, l)));
                    }
                },
            )
            .await?;
        let addresses = netlink
            .dump(libc::RTM_GETADDR, &[0; 8], |kind, payload| {
                if kind == libc::RTM_NEWADDR
                    && let Some((index, address)) = decode::address(payload)
                    && let Some(link) = picture.get_mut(&index)
                {
                    link.addresses.push(address);
                }
            })
            .await?;
        if links == Dump::Complete && addresses == Dump::Complete {
            break;
        }
    }
    for link in picture.values_mut() {
        link.addresses.sort_unstable();
        link.addresses.dedup();
    }
    Ok(picture)
}
