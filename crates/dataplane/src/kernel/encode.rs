//! Changes as messages of nf_tables (`linux/netfilter/nf_tables.h`): one message for each.
//!
//! Owns the numbers of the attributes on the way out. Deliberately knows no meaning of ours.

use linux::nftables::{Attributes, Batch, message};

use super::OWNED;
use crate::change::Change;
use crate::compile::fields;
use crate::ruleset::{
    CONCAT, ChainName, Expr, Family, Found, Hook, HookType, MAP, Octets, Register, SetName,
    SetSpec, TABLE, Value,
};

pub(super) const NF_DROP: u32 = 0;
pub(super) const NF_ACCEPT: u32 = 1;
/// `NFT_GOTO`, -4.
pub(super) const NFT_GOTO: u32 = 0xffff_fffc;

pub(super) fn family(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 2,
        Family::Ipv6 => 10,
    }
}

pub(super) fn change(batch: &mut Batch, change: &Change) {
    let of = change.family();
    let number = family(of);
    match change {
        Change::AddTable { owned, .. } => batch.add(message::NEWTABLE, number, true, |a| {
            a.text(1, TABLE).number(2, if *owned { OWNED } else { 0 });
        }),
        Change::DeleteTable { .. } => batch.add(message::DELTABLE, number, false, |a| {
            a.text(1, TABLE);
        }),
        Change::AddSet { name, spec, .. } => {
            // Any number that is the set's own within the batch.
            let id = batch.messages() + 1;
            batch.add(message::NEWSET, number, true, |a| {
                set(a, of, name, spec, id)
            });
        }
        Change::DeleteSet { name, .. } => batch.add(message::DELSET, number, false, |a| {
            a.text(1, TABLE).text(2, &name.to_string());
        }),
        Change::AddChain { name, hook, .. } => batch.add(message::NEWCHAIN, number, true, |a| {
            a.text(1, TABLE).text(3, &name.to_string());
            if let Some(hook) = hook {
                hooked(a, hook);
            }
        }),
        Change::DeleteChain { name, .. } => batch.add(message::DELCHAIN, number, false, |a| {
            a.text(1, TABLE).text(3, &name.to_string());
        }),
        // Without a handle: all rules of the chain.
        Change::FlushChain { name, .. } => batch.add(message::DELRULE, number, false, |a| {
            a.text(1, TABLE).text(2, &name.to_string());
        }),
        Change::AddRule { chain, rule, .. } => batch.add(message::NEWRULE, number, true, |a| {
            a.text(1, TABLE).text(2, &chain.to_string()).nest(4, |a| {
                for expr in rule {
                    expression(a, of, expr);
                }
            });
        }),
        Change::AddElements {
            set,
            interval,
            elements,
            ..
        } => batch.add(message::NEWSETELEM, number, true, |a| {
            a.text(1, TABLE).text(2, &set.to_string()).nest(3, |a| {
                for (key, value) in elements {
                    element(a, key, *interval, Some(value));
                }
            });
        }),
        Change::DeleteElements {
            set,
            interval,
            keys,
            ..
        } => batch.add(message::DELSETELEM, number, false, |a| {
            a.text(1, TABLE).text(2, &set.to_string()).nest(3, |a| {
                for key in keys {
                    element(a, key, *interval, None);
                }
            });
        }),
    }
}

fn set(a: &mut Attributes, family: Family, name: &SetName, spec: &SetSpec, id: u32) {
    a.text(1, TABLE).text(2, &name.to_string());
    a.number(3, spec.flags)
        .number(4, spec.key_type)
        .number(5, spec.key_octets);
    if spec.flags & MAP != 0 {
        a.number(6, spec.data_type).number(7, spec.data_octets);
    }
    if spec.flags & CONCAT != 0 {
        a.nest(9, |a| {
            a.nest(2, |a| {
                for octets in fields(family) {
                    a.nest(1, |a| {
                        a.number(1, octets);
                    });
                }
            });
        });
    } else if spec.size != 0 {
        a.nest(9, |a| {
            a.number(1, spec.size);
        });
    }
    a.number(10, id);
}

fn hooked(a: &mut Attributes, hook: &Hook) {
    a.nest(4, |a| {
        a.number(1, hook.number);
        a.octets(2, &hook.priority.to_be_bytes());
    });
    let kind = match hook.kind {
        HookType::Filter => "filter",
        HookType::Nat => "nat",
    };
    a.text(7, kind);
}

fn element(a: &mut Attributes, key: &Octets, interval: bool, value: Option<&Value>) {
    let octets = key.as_slice();
    let (first, last) = match interval {
        true => octets.split_at(octets.len() / 2),
        false => (octets, &[][..]),
    };
    a.nest(1, |a| {
        a.nest(1, |a| {
            a.octets(1, first);
        });
        match value {
            Some(Value::Data(octets)) => {
                a.nest(2, |a| {
                    a.octets(1, octets.as_slice());
                });
            }
            Some(Value::Goto(chain)) => {
                a.nest(2, |a| verdict(a, NFT_GOTO, Some(chain)));
            }
            Some(Value::Member | Value::Foreign) | None => {}
        }
        if interval {
            a.nest(10, |a| {
                a.octets(1, last);
            });
        }
    });
}

fn verdict(a: &mut Attributes, code: u32, chain: Option<&ChainName>) {
    a.nest(2, |a| {
        a.number(1, code);
        if let Some(chain) = chain {
            a.text(2, &chain.to_string());
        }
    });
}

/// The number of a register: of 16 octets where it begins one, so that the kernel says it back alike.
fn register(slot: Register) -> u32 {
    match slot % 4 {
        0 => 1 + u32::from(slot) / 4,
        _ => 8 + u32::from(slot),
    }
}

fn expression(a: &mut Attributes, family: Family, expr: &Expr) {
    let mut named = |name: &str, inner: &dyn Fn(&mut Attributes)| {
        a.nest(1, |a| {
            a.text(1, name).nest(2, |a| inner(a));
        });
    };
    match expr {
        Expr::Meta { to, key } => named("meta", &|a| {
            a.number(1, register(*to)).number(2, *key);
        }),
        Expr::Payload {
            to,
            base,
            offset,
            octets,
        } => named("payload", &|a| {
            a.number(1, register(*to)).number(2, *base);
            a.number(3, *offset).number(4, *octets);
        }),
        Expr::Connection { to, key, original } => named("ct", &|a| {
            a.number(1, register(*to)).number(2, *key);
            if *original {
                a.octets(3, &[0]);
            }
        }),
        Expr::SetMark { from } => named("ct", &|a| {
            a.number(2, 3).number(4, register(*from));
        }),
        Expr::Bits { on, mask, flip } => named("bitwise", &|a| {
            a.number(1, register(*on)).number(2, register(*on));
            a.number(3, 4);
            for (kind, value) in [(4, mask), (5, flip)] {
                a.nest(kind, |a| {
                    a.octets(1, &value.to_ne_bytes());
                });
            }
        }),
        Expr::Compare { from, equal, value } => named("cmp", &|a| {
            a.number(1, register(*from)).number(2, u32::from(!equal));
            a.nest(3, |a| {
                a.octets(1, value.as_slice());
            });
        }),
        _ => choose(&mut named, family, expr),
    }
}

/// Writes one expression: its name, and what fills its attributes.
type Named<'a> = dyn FnMut(&str, &dyn Fn(&mut Attributes)) + 'a;

/// The expressions that find and rewrite.
fn choose(named: &mut Named<'_>, family: Family, expr: &Expr) {
    let number = u32::from(self::family(family));
    match expr {
        Expr::Lookup {
            set,
            from,
            invert,
            to,
        } => named("lookup", &|a| {
            a.text(1, &set.to_string()).number(2, register(*from));
            match to {
                Found::Nothing => {}
                Found::Register(to) => {
                    a.number(3, register(*to));
                }
                Found::Verdict => {
                    a.number(3, 0);
                }
            }
            if *invert {
                a.number(5, 1);
            }
        }),
        Expr::Hash {
            from,
            octets,
            to,
            modulus,
            seed,
        } => named("hash", &|a| {
            a.number(1, register(*from)).number(2, register(*to));
            a.number(3, *octets).number(4, *modulus);
            a.number(5, *seed).number(7, 0);
        }),
        Expr::Destination { address, port } => named("nat", &|a| {
            a.number(1, 1).number(2, number);
            a.number(3, register(*address)).number(5, register(*port));
        }),
        Expr::Source { address } => named("nat", &|a| {
            a.number(1, 0).number(2, number);
            a.number(3, register(*address));
        }),
        _ => act(named, expr),
    }
}

/// The expressions that do something and load nothing.
fn act(named: &mut Named<'_>, expr: &Expr) {
    let immediate = |code, chain: Option<&ChainName>, a: &mut Attributes| {
        a.number(1, 0).nest(2, |a| verdict(a, code, chain));
    };
    match expr {
        Expr::Masquerade => named("masq", &|_| {}),
        Expr::Redirect => named("redir", &|_| {}),
        Expr::Reset => named("reject", &|a| {
            a.number(1, 1);
        }),
        Expr::Unreachable { code } => named("reject", &|a| {
            a.number(1, 0).octets(2, &[*code]);
        }),
        Expr::Limit { per_second, burst } => named("limit", &|a| {
            a.wide(1, u64::from(*per_second)).wide(2, 1);
            a.number(3, *burst).number(4, 0).number(5, 0);
        }),
        Expr::Counter => named("counter", &|_| {}),
        Expr::Accept => named("immediate", &|a| immediate(NF_ACCEPT, None, a)),
        Expr::Drop => named("immediate", &|a| immediate(NF_DROP, None, a)),
        Expr::Goto(chain) => named("immediate", &|a| immediate(NFT_GOTO, Some(chain), a)),
        // Read back only; never compiled.
        _ => {}
    }
}
