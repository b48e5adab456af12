//! The sessions with routers as families: MetalLB's names, with the labels of its native mode (`peer` is
//! `address:port`) and of its FRR mode (`vrf`), so that dashboards of both find their series.

use engine::wire::routers::Routers;

use crate::metrics::{Family, Labels, Name, count};

pub(super) fn families(routers: &Routers) -> Vec<Family> {
    let mut all = bgp(routers);
    all.extend(bfd(routers));
    all
}

fn size(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn labels(name: &str, session: &engine::routes::Session) -> Labels {
    let peer = &session.peer;
    let at = match &peer.endpoint {
        engine::config::bgp::Endpoint::Address(address) => {
            std::net::SocketAddr::new(*address, peer.port).to_string()
        }
        engine::config::bgp::Endpoint::Interface(interface) => interface.clone(),
    };
    vec![
        ("peer", at),
        (
            "vrf",
            peer.vrf.clone().unwrap_or_else(|| "default".to_owned()),
        ),
        ("name", name.to_owned()),
    ]
}

fn bgp(routers: &Routers) -> Vec<Family> {
    type Pick = fn(&bgp::Peer) -> i64;
    let family = |name, pick: Pick| {
        let samples = routers
            .views()
            .map(|(peer, session, machine)| (labels(peer, session), pick(machine)));
        Family::new(name, samples.collect())
    };
    vec![
        family(Name::BgpSessionUp, |peer| {
            i64::from(peer.state() == bgp::State::Established)
        }),
        family(Name::BgpAnnouncedPrefixes, |peer| {
            size(peer.view().routes_sent)
        }),
        family(Name::BgpPendingPrefixes, |peer| {
            size(peer.view().routes_wanted)
        }),
        family(Name::BgpUpdates, |peer| count(peer.counters().sent.update)),
        family(Name::BgpOpensSent, |peer| count(peer.counters().sent.open)),
        family(Name::BgpOpensReceived, |peer| {
            count(peer.counters().received.open)
        }),
        family(Name::BgpNotificationsSent, |peer| {
            count(peer.counters().sent.notification)
        }),
        family(Name::BgpUpdatesReceived, |peer| {
            count(peer.counters().received.update)
        }),
        family(Name::BgpKeepalivesSent, |peer| {
            count(peer.counters().sent.keepalive)
        }),
        family(Name::BgpKeepalivesReceived, |peer| {
            count(peer.counters().received.keepalive)
        }),
        family(Name::BgpRouteRefreshSent, |peer| {
            count(peer.counters().sent.route_refresh)
        }),
        family(Name::BgpTotalSent, |peer| {
            count(peer.counters().sent.total())
        }),
        family(Name::BgpTotalReceived, |peer| {
            count(peer.counters().received.total())
        }),
    ]
}

fn bfd(routers: &Routers) -> Vec<Family> {
    type Pick = fn(&bfd::Status) -> i64;
    let family = |name, pick: Pick| {
        let samples = routers.views().filter_map(|(peer, session, _)| {
            let status = routers.bfd_status(peer)?;
            let labels: Labels = vec![
                ("peer", status.key.peer.to_string()),
                (
                    "vrf",
                    session
                        .peer
                        .vrf
                        .clone()
                        .unwrap_or_else(|| "default".to_owned()),
                ),
                ("name", peer.to_owned()),
            ];
            Some((labels, pick(&status)))
        });
        Family::new(name, samples.collect())
    };
    vec![
        family(Name::BfdSessionUp, |status| {
            i64::from(status.state == bfd::State::Up)
        }),
        family(Name::BfdControlInput, |status| count(status.received)),
        family(Name::BfdControlOutput, |status| count(status.sent)),
        family(Name::BfdUpEvents, |status| count(status.ups)),
        family(Name::BfdDownEvents, |status| count(status.downs)),
    ]
}
