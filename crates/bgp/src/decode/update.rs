//! A received UPDATE: validated, counted, borrowed (RFC 4271 §6.3, RFC 4760 §7, RFC 7606).
//!
//! One pass over the message decides what becomes of it; prefixes are counted on the way and never kept. Whoever keeps
//! routes walks the view afterwards. What each attribute may hold is [`super::attributes`]'.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::attributes::{Raw, RawAttributes, Verdict, judge, values};
use crate::error::{Fault, Malformed};
use crate::message::attributes::code;
use crate::message::prefix::{Prefixes, count};
use crate::message::{
    AfiSafi, ErrorCode, Family, NextHop, Notification, Update, UpdateError, WireRules,
};

/// What a received UPDATE says, after validation. Nothing is copied: the prefixes can be walked, and attributes made
/// into values, as long as the message is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateView<'a> {
    /// Prefixes announced; 0 when the message is treated as a withdrawal.
    pub announced: u32,
    /// Prefixes withdrawn, those that are treated so included.
    pub withdrawn: u32,
    /// Why announced prefixes are treated as withdrawn (RFC 7606 §2): the first reason found.
    pub treated_as_withdraw: Option<Malformed>,
    /// The first attribute that was dropped while the rest counts.
    pub discarded: Option<Malformed>,
    /// The message is an End-of-RIB (RFC 4724 §2).
    pub end_of_rib: Option<Family>,
    rules: WireRules,
    fields: Fields<'a>,
    mp: Mp<'a>,
}

/// The three parts of an UPDATE's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fields<'a> {
    withdrawn: &'a [u8],
    attributes: &'a [u8],
    nlri: &'a [u8],
}

/// What the attributes say of next hops and of prefixes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mp<'a> {
    next_hop: Option<Ipv4Addr>,
    reach: Option<(Family, NextHop, &'a [u8])>,
    unreach: Option<(Family, &'a [u8])>,
}

impl<'a> UpdateView<'a> {
    /// Validates the body of an UPDATE.
    ///
    /// # Errors
    /// The NOTIFICATION to close with.
    pub fn read(body: &'a [u8], rules: &WireRules) -> Result<UpdateView<'a>, Notification> {
        let fields = Fields::read(body)?;
        let gone = count(fields.withdrawn, Family::Ipv4).map_err(|_| invalid_network())?;
        let come = count(fields.nlri, Family::Ipv4).map_err(|_| invalid_network())?;
        let mut walk = Walk {
            classic: !fields.nlri.is_empty(),
            ..Walk::new(rules)
        };
        for attribute in RawAttributes::new(fields.attributes) {
            match attribute {
                Ok(raw) => walk.attribute(&raw)?,
                // RFC 7606 §4: what follows cannot be told apart, but the NLRI stands at the end of the attributes.
                Err(code) => walk.withdraw(code, Fault::Overrun),
            }
        }
        walk.mandatory();
        walk.known_prefixes()?;
        let end_of_rib = walk.end_of_rib(&fields);
        let announced = come.saturating_add(walk.announced);
        let withdrawn = gone.saturating_add(walk.withdrawn);
        let (announced, withdrawn) = match walk.treated_as_withdraw {
            Some(_) => (0, withdrawn.saturating_add(announced)),
            None => (announced, withdrawn),
        };
        Ok(UpdateView {
            announced,
            withdrawn,
            treated_as_withdraw: walk.treated_as_withdraw,
            discarded: walk.discarded,
            end_of_rib,
            rules: *rules,
            fields,
            mp: walk.mp,
        })
    }

    /// Prefixes announced, in the order of the message.
    pub fn announced_prefixes(&self) -> impl Iterator<Item = IpNetwork> + use<'a> {
        let taken = self.treated_as_withdraw.is_none();
        self.reachable().filter(move |_| taken)
    }

    /// Prefixes withdrawn, those that are treated so included.
    pub fn withdrawn_prefixes(&self) -> impl Iterator<Item = IpNetwork> + use<'a> {
        let also = self.treated_as_withdraw.is_some();
        let classic = Prefixes::new(self.fields.withdrawn, Family::Ipv4);
        let (family, field) = self.mp.unreach.unwrap_or((Family::Ipv6, &[]));
        classic
            .chain(Prefixes::new(field, family))
            .chain(self.reachable().filter(move |_| also))
    }

    fn reachable(&self) -> impl Iterator<Item = IpNetwork> + use<'a> {
        let (family, field) = self
            .mp
            .reach
            .map_or((Family::Ipv6, &[][..]), |(family, _, field)| {
                (family, field)
            });
        Prefixes::new(self.fields.nlri, Family::Ipv4).chain(Prefixes::new(field, family))
    }

    /// The message as owned values, one for each kind it holds, withdrawals first; for those who keep routes.
    /// Allocates at most some times the message's length.
    #[must_use]
    pub fn to_updates(&self) -> Vec<Update> {
        if let Some(family) = self.end_of_rib {
            return vec![Update::EndOfRib(family)];
        }
        let mut updates = Vec::new();
        for family in Family::ALL {
            let gone: Vec<_> = self
                .withdrawn_prefixes()
                .filter(|p| Family::of(p) == family)
                .collect();
            if !gone.is_empty() {
                updates.push(Update::Withdrawn(gone));
            }
        }
        if self.treated_as_withdraw.is_some() {
            return updates;
        }
        let classic = self
            .mp
            .next_hop
            .map(|hop| (Family::Ipv4, NextHop::V4(hop), self.fields.nlri));
        for (family, next_hop, field) in classic.into_iter().chain(self.mp.reach) {
            let prefixes: Vec<_> = Prefixes::new(field, family).collect();
            if !prefixes.is_empty() {
                let attributes = values(self.fields.attributes, &self.rules);
                updates.push(Update::Announced {
                    prefixes,
                    next_hop,
                    attributes,
                });
            }
        }
        updates
    }
}

impl<'a> Fields<'a> {
    /// RFC 7606 §3 b: lengths that do not fit the message leave nothing to trust.
    fn read(body: &'a [u8]) -> Result<Fields<'a>, Notification> {
        let part = |rest: &'a [u8]| {
            let (&[high, low], rest) = rest.split_first_chunk()?;
            rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))
        };
        let malformed = || reset(UpdateError::MalformedAttributes, []);
        let (withdrawn, rest) = part(body).ok_or_else(malformed)?;
        let (attributes, nlri) = part(rest).ok_or_else(malformed)?;
        Ok(Fields {
            withdrawn,
            attributes,
            nlri,
        })
    }
}

/// The pass over the attributes.
struct Walk<'a, 'r> {
    rules: &'r WireRules,
    /// There is classic NLRI.
    classic: bool,
    /// Type codes below 64 that were seen.
    seen: u64,
    /// How many attributes there were, repetitions included.
    attributes: u32,
    announced: u32,
    withdrawn: u32,
    treated_as_withdraw: Option<Malformed>,
    discarded: Option<Malformed>,
    mp: Mp<'a>,
}

impl<'a, 'r> Walk<'a, 'r> {
    fn new(rules: &'r WireRules) -> Walk<'a, 'r> {
        Walk {
            rules,
            classic: false,
            seen: 0,
            attributes: 0,
            announced: 0,
            withdrawn: 0,
            treated_as_withdraw: None,
            discarded: None,
            mp: Mp::default(),
        }
    }

    fn attribute(&mut self, raw: &Raw<'a>) -> Result<(), Notification> {
        self.attributes += 1;
        if self.saw(raw.code) {
            // RFC 7606 §3 g.
            if matches!(raw.code, code::MP_REACH | code::MP_UNREACH) {
                return Err(reset(UpdateError::MalformedAttributes, []));
            }
            self.discard(raw.code, Fault::Duplicate);
            return Ok(());
        }
        self.seen |= 1_u64.checked_shl(u32::from(raw.code)).unwrap_or(0);
        match judge(raw, self.rules) {
            Verdict::Fine => {}
            Verdict::Discard(fault) => self.discard(raw.code, fault),
            Verdict::Withdraw(fault) => self.withdraw(raw.code, fault),
            // RFC 4271 §6.3: told with the whole attribute.
            Verdict::Unrecognized => {
                return Err(reset(UpdateError::UnrecognizedWellKnown, raw.whole));
            }
        }
        match raw.code {
            code::NEXT_HOP => self.next_hop(raw),
            code::MP_REACH => self.reach(raw)?,
            code::MP_UNREACH => self.unreach(raw)?,
            _ => {}
        }
        Ok(())
    }

    fn saw(&self, code: u8) -> bool {
        self.seen & 1_u64.checked_shl(u32::from(code)).unwrap_or(0) != 0
    }

    fn withdraw(&mut self, attribute: u8, fault: Fault) {
        self.treated_as_withdraw
            .get_or_insert(Malformed { attribute, fault });
    }

    fn discard(&mut self, attribute: u8, fault: Fault) {
        self.discarded.get_or_insert(Malformed { attribute, fault });
    }

    /// The value matters only beside classic NLRI (RFC 4760 §3, RFC 4271 §6.3): it must be a host's address.
    fn next_hop(&mut self, raw: &Raw<'a>) {
        let &[a, b, c, d] = raw.value else { return };
        let address = Ipv4Addr::new(a, b, c, d);
        if self.classic && (address.is_unspecified() || address.is_loopback() || a >= 224) {
            self.withdraw(raw.code, Fault::Value);
        }
        self.mp.next_hop = Some(address);
    }

    fn reach(&mut self, raw: &Raw<'a>) -> Result<(), Notification> {
        let broken = || reset(UpdateError::OptionalAttribute, raw.whole);
        let (&[a, b, safi, hop_len], rest) = raw.value.split_first_chunk().ok_or_else(broken)?;
        let Some(family) = self.family([a, b], safi) else {
            self.discard(raw.code, Fault::Family);
            return Ok(());
        };
        let (hop, rest) = rest
            .split_at_checked(usize::from(hop_len))
            .ok_or_else(broken)?;
        let next_hop = self.mp_next_hop(family, hop).ok_or_else(broken)?;
        // RFC 4760 §3: a reserved octet, whose value does not matter.
        let (_, field) = rest.split_first().ok_or_else(broken)?;
        self.announced = count(field, family).map_err(|_| broken())?;
        self.mp.reach = Some((family, next_hop, field));
        Ok(())
    }

    fn unreach(&mut self, raw: &Raw<'a>) -> Result<(), Notification> {
        let broken = || reset(UpdateError::OptionalAttribute, raw.whole);
        let (&[a, b, safi], field) = raw.value.split_first_chunk().ok_or_else(broken)?;
        let Some(family) = self.family([a, b], safi) else {
            self.discard(raw.code, Fault::Family);
            return Ok(());
        };
        self.withdrawn = count(field, family).map_err(|_| broken())?;
        self.mp.unreach = Some((family, field));
        Ok(())
    }

    fn family(&self, afi: [u8; 2], safi: u8) -> Option<Family> {
        let family = AfiSafi {
            afi: u16::from_be_bytes(afi),
            safi,
        }
        .family()?;
        self.rules.families.contains(family).then_some(family)
    }

    /// RFC 2545 §3 for IPv6; RFC 8950 §3 for IPv4, whose IPv6 next hops need the capability.
    fn mp_next_hop(&self, family: Family, hop: &[u8]) -> Option<NextHop> {
        if let (Family::Ipv4, &[a, b, c, d]) = (family, hop) {
            return Some(NextHop::V4(Ipv4Addr::new(a, b, c, d)));
        }
        if family == Family::Ipv4 && !self.rules.extended_next_hop {
            return None;
        }
        let (global, rest) = hop.split_first_chunk::<16>()?;
        let link_local = match rest {
            [] => None,
            rest => Some(Ipv6Addr::from(<[u8; 16]>::try_from(rest).ok()?)),
        };
        Some(NextHop::V6 {
            global: Ipv6Addr::from(*global),
            link_local,
        })
    }

    /// RFC 7606 §3 d: what every announcement must carry.
    fn mandatory(&mut self) {
        if !self.classic && self.mp.reach.is_none() {
            return;
        }
        let wanted = [
            (code::ORIGIN, true),
            (code::AS_PATH, true),
            (code::NEXT_HOP, self.classic),
            (code::LOCAL_PREF, self.rules.internal),
        ];
        for (code, is) in wanted {
            if is && !self.saw(code) {
                self.withdraw(code, Fault::Missing);
            }
        }
    }

    /// RFC 7606 §5.2: a withdrawal of prefixes that cannot be known is no remedy. A MP_UNREACH alone withdraws what it
    /// names, whatever its flags.
    fn known_prefixes(&self) -> Result<(), Notification> {
        let known = self.classic || self.saw(code::MP_REACH);
        let only_unreach = self.attributes == 1 && self.saw(code::MP_UNREACH);
        match self.treated_as_withdraw {
            Some(Malformed { fault, .. })
                if !known && (!only_unreach || fault == Fault::Overrun) =>
            {
                Err(reset(UpdateError::MalformedAttributes, []))
            }
            _ => Ok(()),
        }
    }

    fn end_of_rib(&self, fields: &Fields<'_>) -> Option<Family> {
        if !fields.withdrawn.is_empty() || self.classic {
            return None;
        }
        match self.mp.unreach {
            None if fields.attributes.is_empty() => Some(Family::Ipv4),
            Some((family, [])) if self.attributes == 1 => Some(family),
            _ => None,
        }
        .filter(|family| self.rules.families.contains(*family))
    }
}

fn invalid_network() -> Notification {
    reset(UpdateError::InvalidNetwork, [])
}

fn reset(error: UpdateError, data: impl Into<Vec<u8>>) -> Notification {
    Notification::with_data(ErrorCode::Update(error), data)
}

#[cfg(test)]
mod tests;
