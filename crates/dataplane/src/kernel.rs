//! The kernel itself: table `harbinger` of both families in the network namespace of the calling thread.
//!
//! Owns the sockets, the claim on the tables (`owner` and `persist`, Linux 6.9) and the reading of the kernel's
//! refusals. Deliberately decides nothing, and touches no table of another name.

mod decode;
mod encode;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::BorrowedFd;

use linux::conntrack::Conntrack;
use linux::nftables::{Batch, Events, Nftables, message};

use crate::backend::{Backend, Packets};
use crate::change::Change;
use crate::error::Error;
use crate::ruleset::{ChainName, Expr, Family, Ruleset, Set, SetName, TABLE, Table};

/// `NFT_TABLE_F_OWNER | NFT_TABLE_F_PERSIST`.
const OWNED: u32 = 0x2 | 0x4;

/// How often a dump is begun anew when somebody changes a ruleset meanwhile.
const READ_TRIES: u32 = 20;

const ENOENT: i32 = 2;
const EPERM: i32 = 1;

/// nf_tables and connection tracking of one network namespace.
#[derive(Debug)]
pub struct Kernel {
    nftables: Nftables,
    conntrack: Conntrack,
    /// None where the tables are owned: nobody else can change them.
    events: Option<Events>,
}

impl Kernel {
    /// Opens the sockets and finds out what the kernel can do; owns the tables where it can.
    ///
    /// # Errors
    /// No nf_tables, or no right to it.
    pub fn open() -> Result<Self, Error> {
        Self::new(true)
    }

    /// As [`open`](Self::open), on a kernel whose tables cannot be owned (before Linux 6.9), or as if.
    ///
    /// # Errors
    /// As there.
    pub fn open_shared() -> Result<Self, Error> {
        Self::new(false)
    }

    fn new(own: bool) -> Result<Self, Error> {
        let mut kernel = Self {
            nftables: Nftables::open()?,
            conntrack: Conntrack::open()?,
            events: None,
        };
        kernel
            .nftables
            .generation()
            .map_err(|source| reason("read the rulesets' generation".to_owned(), None, source))?;
        if !own || !kernel.can_own()? {
            kernel.events = Some(Events::open()?);
        }
        Ok(kernel)
    }

    /// Makes an owned table and removes it in one transaction that leaves nothing.
    fn can_own(&mut self) -> Result<bool, Error> {
        const PROBE: &str = "harbinger-probe";
        let mut batch = Batch::new();
        let family = encode::family(Family::Ipv4);
        batch.add(message::NEWTABLE, family, true, |a| {
            a.text(1, PROBE).number(2, OWNED);
        });
        batch.add(message::DELTABLE, family, false, |a| {
            a.text(1, PROBE);
        });
        match self.nftables.commit(batch) {
            Ok(()) => Ok(true),
            Err(refused) if refused.source.raw_os_error() == Some(EPERM) => {
                let what = "change nf_tables".to_owned();
                Err(Error::Permission { what })
            }
            Err(_) => Ok(false),
        }
    }

    /// The table's flags and owner; none where there is no table.
    fn header(&mut self, family: Family) -> io::Result<Option<(u32, u32)>> {
        let mut header = (0, 0);
        let asked = self.nftables.one(
            message::GETTABLE,
            encode::family(family),
            |a| {
                a.text(1, TABLE);
            },
            |_, body| header = decode::table(body),
        );
        match asked {
            Ok(()) => Ok(Some(header)),
            Err(e) if e.raw_os_error() == Some(ENOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whether the table is there, and ours. An orphan that persisted is claimed.
    fn claim(&mut self, family: Family) -> Result<Option<bool>, Error> {
        let unreadable = |source| Error::Unreadable { source };
        let Some((flags, owner)) = self.header(family).map_err(unreadable)? else {
            return Ok(None);
        };
        let mine = self.nftables.port();
        match flags & OWNED {
            OWNED if owner == mine => Ok(Some(true)),
            flags if flags & 0x2 != 0 => Err(Error::Owned { family, owner }),
            0x4 => {
                let mut batch = Batch::new();
                batch.add(message::NEWTABLE, encode::family(family), true, |a| {
                    a.text(1, TABLE).number(2, OWNED);
                });
                self.nftables.commit(batch).map_err(|refused| {
                    reason("claim table harbinger".to_owned(), None, refused.source)
                })?;
                Ok(Some(true))
            }
            _ => Ok(Some(false)),
        }
    }

    /// One picture; none when somebody changed a ruleset meanwhile.
    fn picture(&mut self, owned: &BTreeMap<Family, bool>) -> io::Result<Option<Ruleset>> {
        let before = self.nftables.generation()?;
        let mut ruleset = Ruleset::default();
        for (family, owned) in owned {
            let Some(mut table) = self.table(*family)? else {
                return Ok(None);
            };
            table.owned = *owned;
            ruleset.tables.insert(*family, table);
        }
        Ok((self.nftables.generation()? == before).then_some(ruleset))
    }

    fn table(&mut self, family: Family) -> io::Result<Option<Table>> {
        let number = encode::family(family);
        let named = |a: &mut linux::nftables::Attributes| {
            a.text(1, TABLE);
        };
        let mut table = Table::default();
        let mut whole = true;
        let chains = &mut table.chains;
        whole &= self
            .nftables
            .dump(message::GETCHAIN, number, named, |_, body| {
                if let Some((name, chain)) = decode::chain(body) {
                    chains.insert(name, chain);
                }
            })?;
        whole &= self
            .nftables
            .dump(message::GETRULE, number, named, |_, body| {
                if let Some((chain, rule)) = decode::rule(body)
                    && let Some(chain) = chains.get_mut(&chain)
                {
                    chain.rules.push(rule);
                }
            })?;
        let mut specs = BTreeMap::new();
        whole &= self
            .nftables
            .dump(message::GETSET, number, named, |_, body| {
                specs.extend(decode::set(body));
            })?;
        for (name, spec) in specs {
            let mut set = Set {
                spec,
                elements: BTreeMap::new(),
            };
            let of_set = |a: &mut linux::nftables::Attributes| {
                a.text(1, TABLE).text(2, &name.to_string());
            };
            whole &= self
                .nftables
                .dump(message::GETSETELEM, number, of_set, |_, body| {
                    decode::elements(body, &mut set);
                })?;
            table.sets.insert(name, set);
        }
        Ok(whole.then_some(table))
    }
}

impl Backend for Kernel {
    fn owns(&self) -> bool {
        self.events.is_none()
    }

    fn read(&mut self) -> Result<Ruleset, Error> {
        for _ in 0..READ_TRIES {
            let mut owned = BTreeMap::new();
            for family in Family::ALL {
                if let Some(mine) = self.claim(family)? {
                    owned.insert(family, mine);
                }
            }
            match self.picture(&owned) {
                Ok(Some(ruleset)) => return Ok(ruleset),
                Ok(None) => {}
                // A set or the table went while it was read.
                Err(e) if e.raw_os_error() == Some(ENOENT) => {}
                Err(source) => return Err(Error::Unreadable { source }),
            }
        }
        Err(Error::Restless { tries: READ_TRIES })
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), Error> {
        let mut batch = Batch::new();
        // One message for each change, so that a refusal's number names it.
        for change in changes {
            encode::change(&mut batch, change);
        }
        self.nftables.commit(batch).map_err(|refused| {
            if refused.uncertain {
                let source = refused.source;
                return Error::Uncertain { source };
            }
            let place = refused.message.and_then(|n| usize::try_from(n).ok());
            let change = place.and_then(|n| changes.get(n.checked_sub(1)?));
            let what = match change {
                Some(change) => format!("{} ({:?})", change.describe(), change.family()),
                None => "change table harbinger".to_owned(),
            };
            reason(what, change, refused.source)
        })
    }

    fn forget(&mut self, mark: u32, mask: u32) -> Result<(), Error> {
        Ok(self.conntrack.forget(mark, mask)?)
    }

    fn count(&mut self, mark: u32, mask: u32) -> Result<u64, Error> {
        Ok(self.conntrack.count(mark, mask)?)
    }

    fn packets(&mut self) -> Result<Vec<Packets>, Error> {
        let mut packets = Vec::new();
        for family in Family::ALL {
            let number = encode::family(family);
            let asked = self.nftables.dump(
                message::GETRULE,
                number,
                |a| {
                    a.text(1, TABLE);
                },
                |_, body| packets.extend(decode::packets(family, body)),
            );
            match asked {
                Err(source) if source.raw_os_error() != Some(ENOENT) => {
                    return Err(Error::Unreadable { source });
                }
                _ => {}
            }
        }
        Ok(packets)
    }

    fn events(&self) -> Option<BorrowedFd<'_>> {
        self.events.as_ref().map(Events::as_fd)
    }

    fn foreign(&mut self) -> Result<bool, Error> {
        let own = BTreeSet::from([self.nftables.port()]);
        match &mut self.events {
            Some(events) => events
                .foreign(TABLE, &own)
                .map_err(|source| Error::Unreadable { source }),
            None => Ok(false),
        }
    }
}

/// What a refusal means: the kernel says `ENOENT` when a module is missing.
fn reason(what: String, change: Option<&Change>, source: io::Error) -> Error {
    const EOPNOTSUPP: i32 = 95;
    const EPROTONOSUPPORT: i32 = 93;
    let lacks = match (source.raw_os_error(), change) {
        (Some(EPERM), _) => return Error::Permission { what },
        (Some(EPROTONOSUPPORT), _) => Some((
            "nf_tables",
            "load module nf_tables (CONFIG_NF_TABLES, Linux 5.6 or later)",
        )),
        (
            Some(ENOENT | EOPNOTSUPP),
            Some(Change::AddChain {
                name,
                hook: Some(_),
                ..
            }),
        ) => match name {
            ChainName::Pre | ChainName::Out | ChainName::Post => Some((
                "NAT chains of nf_tables",
                "load module nft_chain_nat (CONFIG_NFT_NAT)",
            )),
            _ => Some((
                "filter chains of nf_tables",
                "CONFIG_NF_TABLES_IPV4 and CONFIG_NF_TABLES_IPV6",
            )),
        },
        (Some(ENOENT | EOPNOTSUPP), Some(Change::AddRule { rule, .. })) => {
            rule.iter().rev().find_map(module)
        }
        (
            Some(ENOENT | EOPNOTSUPP),
            Some(Change::AddSet {
                name: SetName::Ranges,
                ..
            }),
        ) => Some((
            "sets of intervals over several fields",
            "Linux 5.6 or later (nft_set_pipapo)",
        )),
        _ => None,
    };
    match lacks {
        Some((lacks, mend)) => Error::Lacks { what, lacks, mend },
        None => Error::Refused { what, source },
    }
}

/// The module behind an expression that is not built into nf_tables.
fn module(expr: &Expr) -> Option<(&'static str, &'static str)> {
    match expr {
        Expr::Hash { .. } => Some((
            "the hash of nf_tables",
            "load module nft_hash (CONFIG_NFT_HASH)",
        )),
        Expr::Destination { .. } | Expr::Source { .. } => Some((
            "address translation of nf_tables",
            "load module nft_nat (CONFIG_NFT_NAT)",
        )),
        Expr::Masquerade => Some((
            "masquerading of nf_tables",
            "load module nft_masq (CONFIG_NFT_MASQ)",
        )),
        Expr::Redirect => Some((
            "redirection of nf_tables",
            "load module nft_redir (CONFIG_NFT_REDIR)",
        )),
        Expr::Reset | Expr::Unreachable { .. } => Some((
            "refusals of nf_tables",
            "load modules nft_reject, nft_reject_ipv4 and nft_reject_ipv6 (CONFIG_NFT_REJECT)",
        )),
        Expr::Limit { .. } => Some((
            "rate limits of nf_tables",
            "load module nft_limit (CONFIG_NFT_LIMIT)",
        )),
        Expr::Connection { .. } | Expr::SetMark { .. } => Some((
            "connection tracking in nf_tables",
            "load module nft_ct (CONFIG_NFT_CT)",
        )),
        _ => None,
    }
}
