//! What the kernel says of our tables, as the same values that are compiled.
//!
//! Owns the numbers of the attributes on the way in. What is none of ours becomes `Other` or `Foreign`, and is removed
//! by the next difference. Deliberately lenient: an attribute of a later kernel costs nothing.

use linux::nftables::{attributes, number, text, wide};

use super::encode::{NF_ACCEPT, NF_DROP, NFT_GOTO};
use crate::backend::Packets;
use crate::ruleset::{
    Chain, ChainName, Expr, Family, Found, Hook, HookType, INTERVAL, Octets, Register, Set,
    SetName, SetSpec, VERDICT, Value,
};

/// `NFT_SET_ANONYMOUS`: belongs to a rule and goes with it.
const ANONYMOUS: u32 = 0x1;

/// The values of attributes 0..16; later ones are not ours.
struct Values<'a>([&'a [u8]; 16]);

impl<'a> Values<'a> {
    fn of(body: &'a [u8]) -> Self {
        let mut values = [&[][..]; 16];
        let mut rest = body;
        // The walk itself: lengths with their padding, ended by the first that does not fit.
        while let (Some(len), Some(kind)) = (word(rest, 0), word(rest, 2)) {
            let Some(value) = rest.get(4..usize::from(len)) else {
                break;
            };
            if let Some(place) = values.get_mut(usize::from(kind & 0x3fff)) {
                *place = value;
            }
            rest = rest
                .get(usize::from(len).next_multiple_of(4)..)
                .unwrap_or_default();
        }
        Self(values)
    }

    fn get(&self, kind: usize) -> &'a [u8] {
        self.0.get(kind).copied().unwrap_or_default()
    }

    fn number(&self, kind: usize) -> Option<u32> {
        number(self.get(kind))
    }

    fn text(&self, kind: usize) -> Option<&'a str> {
        text(self.get(kind)).filter(|t| !t.is_empty())
    }

    fn nested(&self, kind: usize) -> Values<'a> {
        Values::of(self.get(kind))
    }

    fn register(&self, kind: usize) -> Option<Register> {
        let slot = match self.number(kind)? {
            n @ 1..=4 => (n - 1) * 4,
            n @ 8..=23 => n - 8,
            _ => return None,
        };
        Register::try_from(slot).ok()
    }
}

fn word(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(octets.get(at..at + 2)?.try_into().ok()?))
}

/// Flags and owner.
pub(super) fn table(body: &[u8]) -> (u32, u32) {
    let values = Values::of(body);
    (values.number(2).unwrap_or(0), values.number(7).unwrap_or(0))
}

/// Whether an object is of our table; before Linux 5.x dumps did not select.
fn ours(values: &Values<'_>) -> bool {
    values.text(1) == Some(crate::ruleset::TABLE)
}

pub(super) fn chain(body: &[u8]) -> Option<(ChainName, Chain)> {
    let values = Values::of(body);
    if !ours(&values) {
        return None;
    }
    let hook = values.nested(4);
    let kind = match values.text(7) {
        Some("nat") => HookType::Nat,
        _ => HookType::Filter,
    };
    let hook = hook.number(1).map(|number| Hook {
        kind,
        number,
        priority: hook.number(2).unwrap_or(0).cast_signed(),
    });
    let chain = Chain {
        hook,
        accepts: values.number(5).is_none_or(|policy| policy == NF_ACCEPT),
        rules: Vec::new(),
    };
    Some((values.text(3)?.into(), chain))
}

pub(super) fn rule(body: &[u8]) -> Option<(ChainName, Vec<Expr>)> {
    let values = Values::of(body);
    if !ours(&values) {
        return None;
    }
    let mut rule = Vec::new();
    attributes(values.get(4), |_, body| {
        let expr = Values::of(body);
        let name = expr.text(1).unwrap_or_default();
        let known = expression(name, &expr.nested(2));
        rule.push(known.unwrap_or_else(|| Expr::Foreign(name.to_owned())));
    });
    Some((values.text(2)?.into(), rule))
}

pub(super) fn packets(family: Family, body: &[u8]) -> Option<Packets> {
    let values = Values::of(body);
    if !ours(&values) {
        return None;
    }
    let mut packets = None;
    attributes(values.get(4), |_, body| {
        let expr = Values::of(body);
        if expr.text(1) == Some("counter") {
            let data = expr.nested(2);
            packets = Some((wide(data.get(2)), wide(data.get(1))));
        }
    });
    let (packets, octets) = packets?;
    Some(Packets {
        family,
        chain: values.text(2)?.into(),
        packets: packets?,
        octets: octets?,
    })
}

pub(super) fn set(body: &[u8]) -> Option<(SetName, SetSpec)> {
    let values = Values::of(body);
    let flags = values.number(3).unwrap_or(0);
    if !ours(&values) || flags & ANONYMOUS != 0 {
        return None;
    }
    let data_type = values.number(6).unwrap_or(0);
    let spec = SetSpec {
        flags,
        key_type: values.number(4).unwrap_or(0),
        key_octets: values.number(5).unwrap_or(0),
        data_type,
        data_octets: match data_type {
            VERDICT => 0,
            _ => values.number(7).unwrap_or(0),
        },
        size: values.nested(9).number(1).unwrap_or(0),
    };
    Some((values.text(2)?.into(), spec))
}

pub(super) fn elements(body: &[u8], set: &mut Set) {
    let interval = set.spec.flags & INTERVAL != 0;
    let verdicts = set.spec.data_type == VERDICT;
    attributes(Values::of(body).get(3), |_, body| {
        let element = Values::of(body);
        let first = element.nested(1).get(1);
        let data = element.nested(2);
        let key = match interval {
            true => Octets::Long([first, element.nested(10).get(1)].concat().into()),
            false => Octets::new(first),
        };
        let value = match element.get(2) {
            [] => Value::Member,
            _ if verdicts => goto(&data.nested(2)).map_or(Value::Foreign, Value::Goto),
            _ => Value::Data(Octets::new(data.get(1))),
        };
        set.elements.insert(key, value);
    });
}

fn goto(verdict: &Values<'_>) -> Option<ChainName> {
    match verdict.number(1)? {
        NFT_GOTO => Some(verdict.text(2)?.into()),
        _ => None,
    }
}

fn host(octets: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(octets.try_into().ok()?))
}

/// One expression of ours; none where it is another's.
fn expression(name: &str, values: &Values<'_>) -> Option<Expr> {
    let expr = match name {
        "meta" => Expr::Meta {
            to: values.register(1)?,
            key: values.number(2)?,
        },
        "payload" => Expr::Payload {
            to: values.register(1)?,
            base: values.number(2)?,
            offset: values.number(3)?,
            octets: values.number(4)?,
        },
        "ct" => connection(values)?,
        "bitwise" => Expr::Bits {
            on: values
                .register(1)
                .filter(|on| values.register(2) == Some(*on))?,
            mask: host(values.nested(4).get(1))?,
            flip: host(values.nested(5).get(1))?,
        },
        "cmp" => Expr::Compare {
            from: values.register(1)?,
            equal: match values.number(2)? {
                0 => true,
                1 => false,
                _ => return None,
            },
            value: Octets::new(values.nested(3).get(1)),
        },
        "lookup" => lookup(values)?,
        "hash" => Expr::Hash {
            from: values.register(1)?,
            octets: values.number(3)?,
            to: values.register(2)?,
            modulus: values.number(4)?,
            seed: values.number(5)?,
        },
        "nat" => translation(values)?,
        "masq" if flags(values, 1) == 0 => Expr::Masquerade,
        "redir" if flags(values, 3) == 0 => Expr::Redirect,
        "reject" => match values.number(1)? {
            0 => Expr::Unreachable {
                code: *values.get(2).first()?,
            },
            1 => Expr::Reset,
            _ => return None,
        },
        "limit" => limit(values)?,
        "counter" => Expr::Counter,
        "immediate" => immediate(values)?,
        _ => return None,
    };
    Some(expr)
}

/// Flags of a translation, without those that the kernel adds by itself.
fn flags(values: &Values<'_>, kind: usize) -> u32 {
    const MAP_IPS_AND_PORTS: u32 = 0x1 | 0x2;
    values.number(kind).unwrap_or(0) & !MAP_IPS_AND_PORTS
}

fn connection(values: &Values<'_>) -> Option<Expr> {
    const MARK: u32 = 3;
    let key = values.number(2)?;
    match (values.register(1), values.register(4)) {
        (Some(to), None) => Some(Expr::Connection {
            to,
            key,
            original: match values.get(3) {
                [] => false,
                [0, ..] => true,
                _ => return None,
            },
        }),
        (None, Some(from)) if key == MARK => Some(Expr::SetMark { from }),
        _ => None,
    }
}

fn lookup(values: &Values<'_>) -> Option<Expr> {
    let to = match values.number(3) {
        None => Found::Nothing,
        Some(0) => Found::Verdict,
        Some(_) => Found::Register(values.register(3)?),
    };
    Some(Expr::Lookup {
        set: values.text(1)?.into(),
        from: values.register(2)?,
        invert: values.number(5).unwrap_or(0) & 1 != 0,
        to,
    })
}

fn translation(values: &Values<'_>) -> Option<Expr> {
    let address = values.register(3)?;
    match (values.number(1)?, values.register(5), flags(values, 7)) {
        (1, Some(port), 0) => Some(Expr::Destination { address, port }),
        (0, None, 0) => Some(Expr::Source { address }),
        _ => None,
    }
}

fn limit(values: &Values<'_>) -> Option<Expr> {
    let plain = wide(values.get(2)) == Some(1)
        && values.number(4).unwrap_or(0) == 0
        && values.number(5).unwrap_or(0) == 0;
    Some(Expr::Limit {
        per_second: u32::try_from(wide(values.get(1)).filter(|_| plain)?).ok()?,
        burst: values.number(3)?,
    })
}

fn immediate(values: &Values<'_>) -> Option<Expr> {
    let verdict = values.nested(2).nested(2);
    match (values.number(1)?, verdict.number(1)?) {
        (0, NF_ACCEPT) => Some(Expr::Accept),
        (0, NF_DROP) => Some(Expr::Drop),
        (0, NFT_GOTO) => Some(Expr::Goto(goto(&verdict)?)),
        _ => None,
    }
}
