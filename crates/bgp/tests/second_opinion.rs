//! What we emit, read by two decoders that others wrote: both must see what we meant.
//!
//! Each side is put into the same words and compared. Their encoders are not used.

mod generate;

use std::net::{IpAddr, Ipv6Addr};

use bgp::message::{Origin, SegmentKind};
use bgp::{AsPath, Attributes, Message, NextHop, Open, Update, WireRules};
use bytes::Bytes;
use netgauze_bgp_pkt as netgauze;
use netgauze_parse_utils::reader::SliceReader;
use netgauze_parse_utils::traits::ParseFromWithOneInput;
use proptest::prelude::*;
use rustbgpd_wire as rustbgpd;

fn via(prefix: impl ToString, next_hop: IpAddr, link_local: Option<Ipv6Addr>) -> String {
    format!("{} via {next_hop} {link_local:?}", prefix.to_string())
}

fn path(segments: impl Iterator<Item = (bool, Vec<u32>)>) -> String {
    format!("path {:?}", segments.collect::<Vec<_>>())
}

fn our_path(as_path: &AsPath) -> String {
    path(as_path.segments.iter().map(|segment| {
        (
            segment.kind == SegmentKind::Set,
            segment.asns.iter().map(|asn| asn.0).collect(),
        )
    }))
}

/// What we mean. Extended communities are compared where a decoder shows their octets.
fn ours(update: &Update, extended: bool) -> Vec<String> {
    let mut words = Vec::new();
    match update {
        Update::EndOfRib(_) => {}
        Update::Withdrawn(prefixes) => {
            words.extend(prefixes.iter().map(|prefix| format!("{prefix} gone")))
        }
        Update::Announced {
            prefixes,
            next_hop,
            attributes,
        } => {
            let (next_hop, link_local) = match *next_hop {
                NextHop::V4(address) => (address.into(), None),
                NextHop::V6 { global, link_local } => (global.into(), link_local),
            };
            words.extend(
                prefixes
                    .iter()
                    .map(|prefix| via(prefix, next_hop, link_local)),
            );
            words.extend(our_attributes(attributes, extended));
        }
    }
    words.sort();
    words
}

fn our_attributes(attributes: &Attributes, extended: bool) -> Vec<String> {
    let origin = match attributes.origin {
        Origin::Igp => 0,
        Origin::Egp => 1,
        Origin::Incomplete => 2,
    };
    let mut words = vec![format!("origin {origin}"), our_path(&attributes.as_path)];
    words.extend(attributes.med.map(|med| format!("med {med}")));
    words.extend(
        attributes
            .local_pref
            .map(|pref| format!("local-pref {pref}")),
    );
    words.extend(attributes.atomic_aggregate.then(|| "atomic".to_owned()));
    words.extend(
        attributes
            .aggregator
            .map(|a| format!("aggregator {} {}", a.asn, a.router_id)),
    );
    words.extend(
        attributes
            .originator_id
            .map(|id| format!("originator {id}")),
    );
    words.extend(
        attributes
            .cluster_list
            .iter()
            .map(|id| format!("cluster {id}")),
    );
    words.extend(
        attributes
            .communities
            .iter()
            .map(|c| format!("community {}", c.0)),
    );
    words.extend(
        attributes
            .large_communities
            .iter()
            .map(|c| format!("large {c}")),
    );
    if extended {
        words.extend(
            attributes
                .extended_communities
                .iter()
                .map(|c| format!("extended {}", u64::from_be_bytes(c.0))),
        );
    }
    words
}

fn of_rustbgpd(octets: &[u8], rules: &WireRules) -> Vec<String> {
    use rustbgpd::attribute::{AsPathSegment, Origin, PathAttribute};
    let limit = u16::try_from(rules.send_len_max()).expect("65,535 at most");
    let message = rustbgpd::decode_message(&mut Bytes::copy_from_slice(octets), limit)
        .expect("rustbgpd reads it");
    let rustbgpd::Message::Update(update) = message else {
        panic!("an UPDATE")
    };
    let update = update
        .parse_revised(rules.four_octet_as, rules.internal, false, &[])
        .expect("rustbgpd parses it");
    assert!(update.malformed.is_empty(), "{:?}", update.malformed);
    let update = update.update;
    let mut words: Vec<String> = update
        .withdrawn
        .iter()
        .map(|entry| format!("{} gone", v4(&entry.prefix)))
        .collect();
    let mut classic = None;
    for attribute in &update.attributes {
        match attribute {
            PathAttribute::Origin(origin) => words.push(match origin {
                Origin::Igp => "origin 0".into(),
                Origin::Egp => "origin 1".into(),
                Origin::Incomplete => "origin 2".into(),
            }),
            PathAttribute::AsPath(as_path) => {
                words.push(path(as_path.segments.iter().map(|segment| match segment {
                    AsPathSegment::AsSet(asns) => (true, asns.clone()),
                    AsPathSegment::AsSequence(asns) => (false, asns.clone()),
                })))
            }
            PathAttribute::NextHop(hop) => classic = Some(IpAddr::from(*hop)),
            PathAttribute::Med(med) => words.push(format!("med {med}")),
            PathAttribute::LocalPref(pref) => words.push(format!("local-pref {pref}")),
            PathAttribute::AtomicAggregate => words.push("atomic".into()),
            PathAttribute::Aggregator(a) => {
                words.push(format!("aggregator {} {}", a.asn, a.router_id))
            }
            PathAttribute::OriginatorId(id) => words.push(format!("originator {id}")),
            PathAttribute::ClusterList(ids) => {
                words.extend(ids.iter().map(|id| format!("cluster {id}")))
            }
            PathAttribute::Communities(all) => {
                words.extend(all.iter().map(|c| format!("community {c}")))
            }
            PathAttribute::LargeCommunities(all) => words.extend(all.iter().map(|c| {
                format!(
                    "large {}:{}:{}",
                    c.global_admin, c.local_data1, c.local_data2
                )
            })),
            PathAttribute::ExtendedCommunities(all) => {
                words.extend(all.iter().map(|c| format!("extended {}", c.as_u64())));
            }
            PathAttribute::MpReachNlri(mp) => words.extend(mp.announced.iter().map(|entry| {
                via(
                    any_prefix(&entry.prefix),
                    mp.next_hop,
                    mp.link_local_next_hop,
                )
            })),
            PathAttribute::MpUnreachNlri(mp) => {
                words.extend(
                    mp.withdrawn
                        .iter()
                        .map(|entry| format!("{} gone", any_prefix(&entry.prefix))),
                );
            }
            other => panic!("rustbgpd sees {other:?}"),
        }
    }
    for entry in &update.announced {
        words.push(via(v4(&entry.prefix), classic.expect("a next hop"), None));
    }
    words.sort();
    words
}

fn v4(prefix: &rustbgpd::nlri::Ipv4Prefix) -> String {
    format!("{}/{}", prefix.addr, prefix.len)
}

fn any_prefix(prefix: &rustbgpd::nlri::Prefix) -> String {
    match prefix {
        rustbgpd::nlri::Prefix::V4(prefix) => v4(prefix),
        rustbgpd::nlri::Prefix::V6(prefix) => format!("{}/{}", prefix.addr, prefix.len),
    }
}

fn netgauze_message(octets: &[u8], four_octet_as: bool) -> netgauze::BgpMessage {
    use netgauze::wire::deserializer::BgpParsingContext;
    let mut context = BgpParsingContext::new(
        four_octet_as,
        Default::default(),
        Default::default(),
        true,
        true,
        true,
        true,
    );
    netgauze::BgpMessage::parse(&mut SliceReader::new(octets), &mut context)
        .expect("netgauze reads it")
}

fn of_netgauze(octets: &[u8], rules: &WireRules) -> Vec<String> {
    use netgauze::path_attribute::{
        Aggregator, AsPath, AsPathSegmentType, MpReach, MpUnreach, PathAttributeValue,
    };
    let netgauze::BgpMessage::Update(update) = netgauze_message(octets, rules.four_octet_as) else {
        panic!("an UPDATE")
    };
    let is_set = |kind| kind == AsPathSegmentType::AsSet;
    let mut words: Vec<String> = update
        .withdraw_routes()
        .iter()
        .map(|route| format!("{} gone", route.network()))
        .collect();
    let (mut classic, mut as_path, mut as4_path, mut aggregators) = (None, None, None, Vec::new());
    for attribute in update.path_attributes() {
        match attribute.value() {
            PathAttributeValue::Origin(origin) => words.push(format!("origin {}", *origin as u8)),
            PathAttributeValue::AsPath(AsPath::As4PathSegments(all)) => {
                as_path =
                    Some(path(all.iter().map(|s| {
                        (is_set(s.segment_type()), s.as_numbers().to_vec())
                    })));
            }
            PathAttributeValue::AsPath(AsPath::As2PathSegments(all)) => {
                let wide = |asns: &[u16]| asns.iter().copied().map(u32::from).collect();
                as_path = Some(path(
                    all.iter()
                        .map(|s| (is_set(s.segment_type()), wide(s.as_numbers()))),
                ));
            }
            PathAttributeValue::As4Path(path4) => {
                let all = path4.segments();
                as4_path =
                    Some(path(all.iter().map(|s| {
                        (is_set(s.segment_type()), s.as_numbers().to_vec())
                    })));
            }
            PathAttributeValue::NextHop(hop) => classic = Some(IpAddr::from(hop.next_hop())),
            PathAttributeValue::MultiExitDiscriminator(med) => {
                words.push(format!("med {}", med.metric()))
            }
            PathAttributeValue::LocalPreference(pref) => {
                words.push(format!("local-pref {}", pref.metric()))
            }
            PathAttributeValue::AtomicAggregate(_) => words.push("atomic".into()),
            PathAttributeValue::Aggregator(Aggregator::As2Aggregator(a)) => {
                aggregators.push(format!("aggregator {} {}", a.asn(), a.origin()));
            }
            PathAttributeValue::Aggregator(Aggregator::As4Aggregator(a)) => {
                aggregators.push(format!("aggregator {} {}", a.asn(), a.origin()));
            }
            PathAttributeValue::Originator(id) => words.push(format!("originator {}", id.id())),
            PathAttributeValue::ClusterList(ids) => {
                words.extend(
                    ids.cluster_list()
                        .iter()
                        .map(|id| format!("cluster {}", id.id())),
                );
            }
            PathAttributeValue::Communities(all) => {
                words.extend(
                    all.communities()
                        .iter()
                        .map(|c| format!("community {}", c.value())),
                );
            }
            PathAttributeValue::LargeCommunities(all) => {
                words.extend(all.communities().iter().map(|c| {
                    format!(
                        "large {}:{}:{}",
                        c.global_admin(),
                        c.local_data1(),
                        c.local_data2()
                    )
                }))
            }
            PathAttributeValue::MpReach(MpReach::Ipv4Unicast {
                next_hop,
                next_hop_local,
                nlri,
            }) => {
                words.extend(
                    nlri.iter()
                        .map(|route| via(route.network(), *next_hop, *next_hop_local)),
                );
            }
            PathAttributeValue::MpReach(MpReach::Ipv6Unicast {
                next_hop_global,
                next_hop_local,
                nlri,
            }) => {
                words.extend(
                    nlri.iter().map(|route| {
                        via(route.network(), (*next_hop_global).into(), *next_hop_local)
                    }),
                );
            }
            PathAttributeValue::MpUnreach(MpUnreach::Ipv6Unicast { nlri }) => {
                words.extend(nlri.iter().map(|route| format!("{} gone", route.network())));
            }
            // Shown typed; the octets are the other decoder's to compare.
            PathAttributeValue::ExtendedCommunities(_) => {}
            PathAttributeValue::UnknownAttribute(raw) if raw.code() == 18 => {
                let value: [u8; 8] = raw
                    .value()
                    .try_into()
                    .expect("AS4_AGGREGATOR has eight octets");
                let asn = u32::from_be_bytes([value[0], value[1], value[2], value[3]]);
                let id = std::net::Ipv4Addr::new(value[4], value[5], value[6], value[7]);
                aggregators.push(format!("aggregator {asn} {id}"));
            }
            other => panic!("netgauze sees {other:?}"),
        }
    }
    // It shows both widths; the wider one is meant.
    words.extend(as4_path.or(as_path));
    words.extend(aggregators.pop());
    words.extend(
        update
            .nlri()
            .iter()
            .map(|route| via(route.network(), classic.expect("a next hop"), None)),
    );
    words.sort();
    words
}

/// The capabilities both others know, in words.
fn our_open(open: &Open) -> Vec<String> {
    let all = &open.capabilities;
    let mut words = vec![format!(
        "{} {} {}",
        open.as_field, open.hold_time_secs, open.router_id
    )];
    words.extend(
        all.multiprotocol
            .iter()
            .map(|pair| format!("mp {} {}", pair.afi, pair.safi)),
    );
    words.extend(all.four_octet_as.map(|asn| format!("as4 {asn}")));
    words.extend(all.route_refresh.then(|| "refresh".into()));
    words.extend(all.enhanced_refresh.then(|| "enhanced".into()));
    words.extend(all.extended_messages.then(|| "extended".into()));
    words.extend(
        all.extended_next_hop
            .iter()
            .map(|_| "next-hop 1 1 2".into()),
    );
    if let Some(restart) = &all.graceful_restart {
        let (secs, r, n) = (
            restart.restart_time_secs,
            restart.restarting,
            restart.notification,
        );
        words.push(format!("restart {secs} {r} {n}"));
        words.extend(
            restart
                .families
                .iter()
                .map(|(pair, f)| format!("forwarding {} {} {f}", pair.afi, pair.safi)),
        );
    }
    words.sort();
    words
}

fn open_of_rustbgpd(octets: &[u8]) -> Vec<String> {
    use rustbgpd::Capability;
    let message = rustbgpd::decode_message(&mut Bytes::copy_from_slice(octets), 4_096)
        .expect("rustbgpd reads it");
    let rustbgpd::Message::Open(open) = message else {
        panic!("an OPEN")
    };
    let mut words = vec![format!(
        "{} {} {}",
        open.my_as, open.hold_time, open.bgp_identifier
    )];
    for capability in &open.capabilities {
        match capability {
            Capability::MultiProtocol { afi, safi } => {
                words.push(format!("mp {} {}", *afi as u16, *safi as u8))
            }
            Capability::FourOctetAs { asn } => words.push(format!("as4 {asn}")),
            Capability::RouteRefresh => words.push("refresh".into()),
            Capability::EnhancedRouteRefresh => words.push("enhanced".into()),
            Capability::ExtendedMessage => words.push("extended".into()),
            Capability::ExtendedNextHop(tuples) => words.extend(tuples.iter().map(|t| {
                format!(
                    "next-hop {} {} {}",
                    t.nlri_afi as u16, t.nlri_safi as u8, t.next_hop_afi as u16
                )
            })),
            Capability::GracefulRestart {
                restart_state,
                notification,
                restart_time,
                families,
            } => {
                words.push(format!(
                    "restart {restart_time} {restart_state} {notification}"
                ));
                words.extend(families.iter().map(|f| {
                    format!(
                        "forwarding {} {} {}",
                        f.afi as u16, f.safi as u8, f.forwarding_preserved
                    )
                }));
            }
            Capability::Unknown { code: 73, .. } => {}
            other => panic!("rustbgpd sees {other:?}"),
        }
    }
    words.sort();
    words
}

fn open_of_netgauze(octets: &[u8]) -> (Vec<String>, Option<(String, String)>) {
    use netgauze::capabilities::BgpCapability;
    let netgauze::BgpMessage::Open(open) = netgauze_message(octets, true) else {
        panic!("an OPEN")
    };
    let mut words = vec![format!(
        "{} {} {}",
        open.my_as(),
        open.hold_time(),
        open.bgp_id()
    )];
    let mut fqdn = None;
    // Its type of families is of a crate that is none of ours.
    macro_rules! numbers {
        ($kind:expr) => {
            format!(
                "{} {}",
                $kind.address_family() as u16,
                $kind.subsequent_address_family() as u8
            )
        };
    }
    for capability in open.capabilities() {
        match capability {
            BgpCapability::MultiProtocolExtensions(mp) => {
                words.push(format!("mp {}", numbers!(mp.address_type())))
            }
            BgpCapability::FourOctetAs(asn) => words.push(format!("as4 {}", asn.asn4())),
            BgpCapability::RouteRefresh => words.push("refresh".into()),
            BgpCapability::EnhancedRouteRefresh => words.push("enhanced".into()),
            BgpCapability::ExtendedMessage => words.push("extended".into()),
            BgpCapability::ExtendedNextHopEncoding(all) => {
                words.extend(all.encodings().iter().map(|t| {
                    format!(
                        "next-hop {} {}",
                        numbers!(t.address_type()),
                        t.next_hop_afi() as u16
                    )
                }))
            }
            BgpCapability::GracefulRestartCapability(restart) => {
                let (secs, r, n) = (
                    restart.time(),
                    restart.restart(),
                    restart.graceful_notification(),
                );
                words.push(format!("restart {secs} {r} {n}"));
                words.extend(restart.address_families().iter().map(|f| {
                    format!(
                        "forwarding {} {}",
                        numbers!(f.address_type()),
                        f.forwarding_state()
                    )
                }));
            }
            BgpCapability::Fqdn(names) => {
                fqdn = Some((names.hostname().to_owned(), names.domain_name().to_owned()))
            }
            other => panic!("netgauze sees {other:?}"),
        }
    }
    words.sort();
    (words, fqdn)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // BGP-102
    #[test]
    fn two_other_decoders_see_the_update_we_meant((rules, update) in generate::update(false)) {
        let mut octets = Vec::new();
        Message::Update(update.clone()).encode(&rules, &mut octets).expect("generated to fit");
        prop_assert_eq!(of_rustbgpd(&octets, &rules), ours(&update, true));
        prop_assert_eq!(of_netgauze(&octets, &rules), ours(&update, false));
    }

    // BGP-102
    #[test]
    fn two_other_decoders_see_the_open_we_meant(open in generate::open()) {
        let mut octets = Vec::new();
        open.encode(&mut octets);
        prop_assert_eq!(open_of_rustbgpd(&octets), our_open(&open));
        let (words, fqdn) = open_of_netgauze(&octets);
        prop_assert_eq!(words, our_open(&open));
        prop_assert_eq!(fqdn, open.capabilities.fqdn.map(|names| (names.host, names.domain)));
    }

    // BGP-102
    #[test]
    fn another_decoder_sees_the_notification_we_meant(notification in generate::notification()) {
        let mut octets = Vec::new();
        notification.encode(&WireRules::default(), &mut octets);
        let message = rustbgpd::decode_message(&mut Bytes::copy_from_slice(&octets), 4_096).expect("rustbgpd reads it");
        let rustbgpd::Message::Notification(seen) = message else { panic!("a NOTIFICATION") };
        let (code, subcode) = notification.error.octets();
        prop_assert_eq!((seen.code.as_u8(), seen.subcode, &seen.data[..]), (code, subcode, &notification.data[..]));
    }
}
