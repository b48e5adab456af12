//! Serving one wish from the books: requested addresses, the second family, a fresh choice.

use super::books::{Books, Clash};
use super::claim::Origin;
use super::decision::Served;
use super::text::{cut, joined, listed, quoted_list};
use super::wish::{Complaint, Families, Wish};
use crate::config::Pool;
use crate::selector::Labels;
use crate::world::{Family, FamilyPolicy, Service};
use crate::write::EVENT_NOTE_BYTES_MAX;
use std::net::IpAddr;

/// One Service that wants something.
pub(super) struct Asker<'a> {
    pub(super) wish: &'a Wish,
    pub(super) service: &'a Service,
    pub(super) namespace: Option<&'a Labels>,
}

/// What serving did beside its answer.
#[derive(Debug, Default)]
pub(super) struct Effect {
    /// Addresses given back. They leave the books when everybody has been asked, so that
    /// the answer does not depend on who was asked in this turn.
    pub(super) returned: Vec<IpAddr>,
    /// The Service still wants something.
    pub(super) unsatisfied: bool,
}

impl Effect {
    fn satisfied() -> Self {
        Self::default()
    }

    fn unsatisfied() -> Self {
        Self {
            returned: Vec::new(),
            unsatisfied: true,
        }
    }
}

impl Asker<'_> {
    /// Serves the Service; `served` holds what the first phase left it and is already in
    /// the books.
    pub(super) fn serve(&self, books: &mut Books, served: &mut Served) -> Effect {
        served.complaint = None;
        let families = match &self.wish.families {
            Ok(families) => *families,
            Err(complaint) => {
                served.complaint = Some(complaint.clone());
                return fail(served);
            }
        };
        match &self.wish.requested {
            Err(text) if served.addresses.is_empty() => {
                served.complaint = Some(self.failed(text));
                fail(served)
            }
            Err(text) => {
                // What is there stays until the request can be read.
                let text = format!("Invalid request for IPs: {text}");
                served.complaint = Some(Complaint::warning("LoadBalancerFailed", text));
                Effect::unsatisfied()
            }
            Ok(requested) if !requested.is_empty() => {
                self.serve_requested(books, served, requested, families)
            }
            Ok(_) => self.serve_any(books, served, families),
        }
    }

    fn serve_requested(
        &self,
        books: &mut Books,
        served: &mut Served,
        requested: &[IpAddr],
        families: Families,
    ) -> Effect {
        if requested.iter().all(|a| served.addresses.contains(a)) {
            return Effect::satisfied();
        }
        match self.requested_origin(books, requested, families) {
            Ok(pool) => {
                let missing = requested.iter().filter(|a| !served.addresses.contains(a));
                for address in missing {
                    books.take(*address, Some(pool), &self.wish.terms);
                }
                served.addresses = requested.to_vec();
                served.origin = Some(Origin::Pool(pool));
                Effect::satisfied()
            }
            Err(text) => {
                served.complaint = Some(self.failed(&text));
                // One of two that it asks for and holds is better than none.
                if !served.addresses.is_empty()
                    && self.wish.policy != FamilyPolicy::RequireDualStack
                {
                    return Effect::unsatisfied();
                }
                fail(served)
            }
        }
    }

    /// The pool that may give all requested addresses, or why none may.
    fn requested_origin(
        &self,
        books: &Books,
        requested: &[IpAddr],
        families: Families,
    ) -> Result<usize, String> {
        let list = quoted_list(requested);
        let fits = requested.len() == families.count()
            && requested.iter().all(|a| families.wants(Family::of(*a)));
        if !fits {
            return Err(format!(
                "requested loadBalancer IP(s) {list} does not match the ipFamily of the service"
            ));
        }
        let pools = books.pools();
        let first = requested.first().and_then(|a| pools.owner(*a));
        let pool = first
            .filter(|pool| requested.iter().all(|a| pool.owns(*a)))
            .ok_or_else(|| format!("{list} is not allowed in config"))?;
        if let Some(wanted) = &self.wish.pool
            && *wanted != pool.name
        {
            return Err(format!(
                "requested loadBalancer IP(s) {list} is not compatible with requested address pool {wanted}"
            ));
        }
        self.compatible(pool)?;
        for address in requested {
            books
                .check(*address, &self.wish.terms)
                .map_err(|clash| self.clash(*address, &clash))?;
        }
        pools
            .index_of(&pool.name)
            .ok_or_else(|| format!("unknown pool {:?}", pool.name))
    }

    fn compatible(&self, pool: &Pool) -> Result<(), String> {
        if pool.serves(self.service, self.namespace) {
            Ok(())
        } else {
            Err(format!(
                "pool {:?} not compatible for ip assignment",
                pool.name
            ))
        }
    }

    fn serve_any(&self, books: &mut Books, served: &mut Served, families: Families) -> Effect {
        if served.addresses.len() >= families.count() {
            return Effect::satisfied();
        }
        if !served.addresses.is_empty() {
            if self.add_second(books, served) {
                return Effect::satisfied();
            }
            let frozen = matches!(served.origin, Some(Origin::Refused(_)));
            if frozen || self.wish.policy != FamilyPolicy::RequireDualStack {
                served.complaint = Some(self.not_added(books, served));
                return Effect::unsatisfied();
            }
        }
        // RequireDualStack with one address whose pool cannot give the other: both anew.
        if let Some(Origin::Pool(pool)) = &served.origin {
            let name = &books.pools().at(*pool).name;
            let text = format!("two addresses are required and pool {name:?} has no second");
            served.lost.push(text);
        }
        let returned = give_back(served);
        match self.choose(books, families) {
            Ok((pool, addresses)) => {
                for address in &addresses {
                    books.take(*address, Some(pool), &self.wish.terms);
                }
                let unsatisfied = addresses.len() < families.count();
                served.addresses = addresses;
                served.origin = Some(Origin::Pool(pool));
                if unsatisfied {
                    served.complaint = Some(self.not_added(books, served));
                }
                Effect {
                    returned,
                    unsatisfied,
                }
            }
            Err(text) => {
                served.complaint = Some(self.failed(&text));
                Effect {
                    returned,
                    unsatisfied: true,
                }
            }
        }
    }

    /// Adds the missing family from the pool of the address that is there.
    fn add_second(&self, books: &mut Books, served: &mut Served) -> bool {
        let (Some(held), Some(Origin::Pool(pool))) = (served.addresses.first(), &served.origin)
        else {
            return false;
        };
        let pool = *pool;
        match books.pick(pool, other(Family::of(*held)), &self.wish.terms) {
            Some(address) => {
                books.take(address, Some(pool), &self.wish.terms);
                served.addresses.push(address);
                true
            }
            None => false,
        }
    }

    fn not_added(&self, books: &Books, served: &Served) -> Complaint {
        let family = served
            .addresses
            .first()
            .map_or(Family::V6, |a| other(Family::of(*a)));
        let name = served.origin.as_ref().map_or("", |o| o.name(books.pools()));
        Complaint {
            reason: "AdditionalAssignFailed",
            warning: false,
            text: format!(
                "Failed to assign additional {} IP for {:?}: no available IPs in pool {name:?}",
                family.as_str(),
                self.service.name.to_string()
            ),
        }
    }

    /// A fresh choice: the requested pool, else pinned pools by priority, else the others
    /// by name (compat/metallb.md 3.2).
    fn choose(&self, books: &Books, families: Families) -> Result<(usize, Vec<IpAddr>), String> {
        let pools = books.pools();
        if let Some(wanted) = &self.wish.pool {
            let index = pools
                .index_of(wanted)
                .ok_or_else(|| self.unknown(books, wanted))?;
            self.compatible(pools.at(index))?;
            return self.first_of(books, &[index], families).ok_or_else(|| {
                let why = lacking(pools.at(index), self.families_wanted(families));
                format!("no available IPs in pool {wanted:?}: {why}")
            });
        }
        let mut pinned = Vec::new();
        let mut general = Vec::new();
        for (index, pool) in pools
            .iter()
            .enumerate()
            .filter(|(_, pool)| pool.auto_assign)
        {
            match &pool.audience {
                None => general.push(index),
                Some(_) if pool.serves(self.service, self.namespace) => pinned.push(index),
                Some(_) => {}
            }
        }
        // Stable: ties stay in the order of names.
        pinned.sort_by_key(|index| pools.at(*index).precedence());
        self.first_of(books, &pinned, families)
            .or_else(|| self.first_of(books, &general, families))
            .ok_or_else(|| self.exhausted(books, families))
    }

    /// The first pool that can serve; both addresses of a pair come from one.
    fn first_of(
        &self,
        books: &Books,
        pools: &[usize],
        families: Families,
    ) -> Option<(usize, Vec<IpAddr>)> {
        let terms = &self.wish.terms;
        let single = |family| {
            let mut found = pools
                .iter()
                .map(|pool| (*pool, books.pick(*pool, family, terms)));
            found.find_map(|(pool, address)| Some((pool, vec![address?])))
        };
        let primary = match families {
            Families::One(family) => return single(family),
            Families::Two(primary) => primary,
        };
        let pair = pools.iter().find_map(|pool| {
            let v4 = books.pick(*pool, Family::V4, terms)?;
            let v6 = books.pick(*pool, Family::V6, terms)?;
            Some((*pool, vec![v4, v6]))
        });
        if pair.is_some() || self.wish.policy == FamilyPolicy::RequireDualStack {
            return pair;
        }
        single(primary).or_else(|| single(other(primary)))
    }

    fn families_wanted(&self, families: Families) -> Wanted {
        match families {
            Families::One(family) => Wanted::One(family),
            Families::Two(_) if self.wish.policy == FamilyPolicy::RequireDualStack => Wanted::Both,
            Families::Two(_) => Wanted::Either,
        }
    }

    fn unknown(&self, books: &Books, wanted: &str) -> String {
        if books.pools().is_refused(wanted) {
            format!("pool {wanted:?} is refused: see its problem in ConfigurationState")
        } else {
            format!("unknown pool {wanted:?}")
        }
    }

    /// Names each pool and why it refused. No numbers: the text is an event, and must be
    /// the same as long as the reason is.
    fn exhausted(&self, books: &Books, families: Families) -> String {
        let wanted = self.families_wanted(families);
        if books.pools().is_empty() {
            return "no available IPs: there is no usable pool".to_owned();
        }
        let why = books.pools().iter().map(|pool| {
            let why = if !pool.auto_assign {
                "autoAssign is false".to_owned()
            } else if !pool.serves(self.service, self.namespace) {
                "serviceAllocation does not admit the Service".to_owned()
            } else {
                lacking(pool, wanted)
            };
            format!("pool {:?}: {why}", pool.name)
        });
        listed(&self.failed("no available IPs").text, why)
    }

    fn clash(&self, address: IpAddr, clash: &Clash) -> String {
        match clash {
            Clash::Key(holders) => {
                let head = self.failed(&format!(
                    "can't change sharing key for {:?}, address {address} also in use by",
                    self.service.name.to_string()
                ));
                let mut names: Vec<String> = holders.iter().map(|h| h.name.to_string()).collect();
                names.sort();
                joined(&head.text, [" ", ","], names.into_iter())
            }
            Clash::Port(protocol, port) => format!(
                "port {}/{port} is already in use on \"{address}\"",
                protocol.as_str()
            ),
        }
    }

    fn failed(&self, text: &str) -> Complaint {
        let prefix = format!(
            "Failed to allocate IP for {:?}: ",
            self.service.name.to_string()
        );
        let text = if text.starts_with(&prefix) {
            text.to_owned()
        } else {
            format!("{prefix}{text}")
        };
        Complaint::warning("AllocationFailed", cut(&text, EVENT_NOTE_BYTES_MAX))
    }
}

fn give_back(served: &mut Served) -> Vec<IpAddr> {
    served.origin = None;
    std::mem::take(&mut served.addresses)
}

fn fail(served: &mut Served) -> Effect {
    Effect {
        returned: give_back(served),
        unsatisfied: true,
    }
}

#[derive(Clone, Copy)]
enum Wanted {
    One(Family),
    Either,
    Both,
}

fn lacking(pool: &Pool, wanted: Wanted) -> String {
    let one = |family: Family| {
        if pool.has_family(family) {
            format!("no free {} address", family.as_str())
        } else {
            format!("has no {} addresses", family.as_str())
        }
    };
    match wanted {
        Wanted::One(family) => one(family),
        Wanted::Either => format!("{}, {}", one(Family::V4), one(Family::V6)),
        Wanted::Both => match (pool.has_family(Family::V4), pool.has_family(Family::V6)) {
            (true, true) => "no free IPv4 or no free IPv6 address".to_owned(),
            (true, false) => one(Family::V6),
            (false, true) => one(Family::V4),
            (false, false) => "has no addresses".to_owned(),
        },
    }
}

pub(super) fn other(family: Family) -> Family {
    match family {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    }
}
