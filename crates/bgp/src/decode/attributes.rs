//! Received path attributes: the walk over a block of them, the verdict on each (RFC 7606 §7), and their values.
//!
//! MP_REACH and MP_UNREACH are judged here by their flags alone; what they hold is the UPDATE's.

use std::net::Ipv4Addr;

use crate::error::Fault;
use crate::message::as_path::{AS_TRANS, validate};
use crate::message::attributes::{code, flag};
use crate::message::{
    Aggregator, AsPath, Asn, Attributes, Community, ExtendedCommunity, LargeCommunity, Origin,
    Segment, SegmentKind, WireRules,
};

/// One attribute as it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'a> {
    pub(super) flags: u8,
    pub(super) code: u8,
    pub(super) value: &'a [u8],
    /// With its header.
    pub(super) whole: &'a [u8],
}

/// The attributes of a block. Yields `Err` once, with the type code or 0, where the block ends too early.
pub(super) struct RawAttributes<'a> {
    rest: &'a [u8],
}

impl<'a> RawAttributes<'a> {
    pub(super) fn new(block: &'a [u8]) -> RawAttributes<'a> {
        RawAttributes { rest: block }
    }
}

impl<'a> Iterator for RawAttributes<'a> {
    type Item = Result<Raw<'a>, u8>;

    #[inline]
    fn next(&mut self) -> Option<Result<Raw<'a>, u8>> {
        let block = std::mem::take(&mut self.rest);
        let (flags, code, header, length) = match *block {
            [] => return None,
            [flags, code, high, low, ..] if flags & flag::EXTENDED_LENGTH != 0 => {
                (flags, code, 4, usize::from(u16::from_be_bytes([high, low])))
            }
            [flags, code, length, ..] if flags & flag::EXTENDED_LENGTH == 0 => {
                (flags, code, 3, usize::from(length))
            }
            [_, code, ..] => return Some(Err(code)),
            [_] => return Some(Err(0)),
        };
        let Some((whole, rest)) = block.split_at_checked(header + length) else {
            return Some(Err(code));
        };
        self.rest = rest;
        Some(Ok(Raw {
            flags,
            code,
            value: whole.get(header..).unwrap_or_default(),
            whole,
        }))
    }
}

/// What becomes of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// The rest of the UPDATE counts without it.
    Discard(Fault),
    /// The prefixes of the UPDATE are withdrawn.
    Withdraw(Fault),
    /// Well-known, but not to us: the one case that RFC 7606 leaves to RFC 4271 §6.3.
    Unrecognized,
}

/// The verdict on one attribute, seen alone.
#[inline]
pub(super) fn judge(raw: &Raw<'_>, rules: &WireRules) -> Verdict {
    let Some(flags) = flags_of(raw.code) else {
        // BGP-123: nothing is passed on, so an optional one needs no care.
        return if raw.flags & flag::OPTIONAL == 0 {
            Verdict::Unrecognized
        } else {
            Verdict::Fine
        };
    };
    // RFC 7606 §7.5, §7.9, §7.10: what only iBGP may carry is dropped from others, right or wrong.
    if !rules.internal
        && matches!(
            raw.code,
            code::LOCAL_PREF | code::ORIGINATOR_ID | code::CLUSTER_LIST
        )
    {
        return Verdict::Discard(Fault::Unexpected);
    }
    // RFC 7606 §3 c.
    if (raw.flags ^ flags) & (flag::OPTIONAL | flag::TRANSITIVE) != 0 {
        return Verdict::Withdraw(Fault::Flags);
    }
    judge_value(raw, rules)
}

fn judge_value(raw: &Raw<'_>, rules: &WireRules) -> Verdict {
    let length = raw.value.len();
    let withdraw_unless = |right: bool, fault| {
        if right {
            Verdict::Fine
        } else {
            Verdict::Withdraw(fault)
        }
    };
    let items =
        |octets: usize| withdraw_unless(length > 0 && length.is_multiple_of(octets), Fault::Length);
    match raw.code {
        code::ORIGIN => match *raw.value {
            [value] => withdraw_unless(value <= 2, Fault::Value),
            _ => Verdict::Withdraw(Fault::Length),
        },
        code::AS_PATH => match validate(raw.value, rules.four_octet_as) {
            Ok(()) => Verdict::Fine,
            Err(fault) => Verdict::Withdraw(fault),
        },
        code::NEXT_HOP | code::MED | code::LOCAL_PREF | code::ORIGINATOR_ID => {
            withdraw_unless(length == 4, Fault::Length)
        }
        code::ATOMIC_AGGREGATE if length != 0 => Verdict::Discard(Fault::Length),
        code::AGGREGATOR => aggregator_verdict(raw.value, rules.four_octet_as),
        // RFC 6793 §4.1, §6.
        code::AS4_PATH | code::AS4_AGGREGATOR if rules.four_octet_as => {
            Verdict::Discard(Fault::Unexpected)
        }
        code::AS4_PATH => match validate(raw.value, true) {
            Ok(()) => Verdict::Fine,
            Err(fault) => Verdict::Discard(fault),
        },
        code::AS4_AGGREGATOR => aggregator_verdict(raw.value, true),
        code::COMMUNITIES | code::CLUSTER_LIST => items(4),
        code::EXTENDED_COMMUNITIES => items(8),
        code::LARGE_COMMUNITIES => items(12),
        code::IPV6_COMMUNITIES => items(20),
        _ => Verdict::Fine,
    }
}

/// RFC 7606 §7.7, RFC 7607 §2.
fn aggregator_verdict(value: &[u8], four_octets: bool) -> Verdict {
    let (asn, length) = if four_octets {
        (value.get(..4), 8)
    } else {
        (value.get(..2), 6)
    };
    if value.len() != length {
        Verdict::Discard(Fault::Length)
    } else if asn.is_some_and(|asn| asn.iter().all(|octet| *octet == 0)) {
        Verdict::Discard(Fault::Value)
    } else {
        Verdict::Fine
    }
}

/// Optional and transitive bits of the attributes we know.
#[inline]
fn flags_of(code: u8) -> Option<u8> {
    Some(match code {
        code::ORIGIN
        | code::AS_PATH
        | code::NEXT_HOP
        | code::LOCAL_PREF
        | code::ATOMIC_AGGREGATE => flag::TRANSITIVE,
        code::MED
        | code::ORIGINATOR_ID
        | code::CLUSTER_LIST
        | code::MP_REACH
        | code::MP_UNREACH => flag::OPTIONAL,
        code::AGGREGATOR
        | code::COMMUNITIES
        | code::EXTENDED_COMMUNITIES
        | code::AS4_PATH
        | code::AS4_AGGREGATOR
        | code::IPV6_COMMUNITIES
        | code::LARGE_COMMUNITIES => flag::OPTIONAL | flag::TRANSITIVE,
        _ => return None,
    })
}

/// The attributes of a block as values: each that is fine, at its first occurrence, with the true path of a peer that
/// speaks 2-octet numbers (RFC 6793 §4.2.3).
pub(super) fn values(block: &[u8], rules: &WireRules) -> Attributes {
    let mut all = Attributes::default();
    let (mut as4_path, mut as4_aggregator) = (None, None);
    let mut seen = [false; 256];
    for raw in RawAttributes::new(block).map_while(Result::ok) {
        let first = !std::mem::replace(&mut seen[usize::from(raw.code)], true);
        if !first || judge(&raw, rules) != Verdict::Fine {
            continue;
        }
        match raw.code {
            code::AS4_PATH => as4_path = AsPath::decode(raw.value, true).ok(),
            code::AS4_AGGREGATOR => as4_aggregator = aggregator(raw.value, true),
            _ => take(&mut all, &raw, rules.four_octet_as),
        }
    }
    // RFC 6793 §4.2.3: beside a number of its own the other attribute is a leftover, and so is the path.
    if let Some(true) = as4_aggregator
        .and(all.aggregator)
        .map(|a| a.asn != Asn(u32::from(AS_TRANS)))
    {
        return all;
    }
    all.aggregator = as4_aggregator.or(all.aggregator);
    if let Some(path) = as4_path {
        all.as_path = merged(all.as_path, path);
    }
    all
}

fn take(all: &mut Attributes, raw: &Raw<'_>, four_octets: bool) {
    let value = raw.value;
    let number = || value.try_into().map(u32::from_be_bytes).ok();
    match raw.code {
        code::ORIGIN => {
            all.origin = match value {
                [0] => Origin::Igp,
                [1] => Origin::Egp,
                _ => Origin::Incomplete,
            }
        }
        code::AS_PATH => all.as_path = AsPath::decode(value, four_octets).unwrap_or_default(),
        code::MED => all.med = number(),
        code::LOCAL_PREF => all.local_pref = number(),
        code::ATOMIC_AGGREGATE => all.atomic_aggregate = true,
        code::AGGREGATOR => all.aggregator = aggregator(value, four_octets),
        code::COMMUNITIES => {
            all.communities = list(value, |octets| Community(u32::from_be_bytes(octets)))
        }
        code::ORIGINATOR_ID => all.originator_id = number().map(Ipv4Addr::from_bits),
        code::CLUSTER_LIST => {
            all.cluster_list = list(value, |octets: [u8; 4]| Ipv4Addr::from(octets))
        }
        code::EXTENDED_COMMUNITIES => all.extended_communities = list(value, ExtendedCommunity),
        code::LARGE_COMMUNITIES => all.large_communities = list(value, LargeCommunity::from_octets),
        _ => {}
    }
}

fn list<T, const N: usize>(value: &[u8], item: impl Fn([u8; N]) -> T) -> Vec<T> {
    value
        .as_chunks()
        .0
        .iter()
        .map(|octets| item(*octets))
        .collect()
}

fn aggregator(value: &[u8], four_octets: bool) -> Option<Aggregator> {
    match (four_octets, value) {
        (true, &[a, b, c, d, ref rest @ ..]) => Some((u32::from_be_bytes([a, b, c, d]), rest)),
        (false, &[a, b, ref rest @ ..]) => Some((u32::from(u16::from_be_bytes([a, b])), rest)),
        _ => None,
    }
    .and_then(|(asn, rest)| {
        Some(Aggregator {
            asn: Asn(asn),
            router_id: <[u8; 4]>::try_from(rest).ok()?.into(),
        })
    })
}

/// The 4-octet path behind the numbers that only the 2-octet one has, those nearest to us.
fn merged(path: AsPath, as4: AsPath) -> AsPath {
    let Some(mut ahead) = hops(&path).checked_sub(hops(&as4)) else {
        return path;
    };
    let mut segments: Vec<Segment> = Vec::new();
    for mut segment in path.segments {
        if ahead == 0 {
            break;
        }
        if segment.kind == SegmentKind::Sequence {
            segment.asns.truncate(ahead);
        }
        ahead = ahead.saturating_sub(segment_hops(&segment));
        segments.push(segment);
    }
    segments.extend(as4.segments);
    AsPath { segments }
}

fn hops(path: &AsPath) -> usize {
    path.segments.iter().map(segment_hops).sum()
}

/// RFC 4271 §9.1.2.2: a set counts as one.
fn segment_hops(segment: &Segment) -> usize {
    match segment.kind {
        SegmentKind::Set => 1,
        SegmentKind::Sequence => segment.asns.len(),
    }
}
