//! Tracked connections: forget those with a mark, count them, and how full the kernel's table is.
//!
//! Owns one netfilter socket. Deliberately dumps no flow to the caller: the kernel filters by mark.

use std::io;

use crate::Error;
use crate::netfilter::{Netfilter, number};
use crate::netlink::attributes;

const SUBSYSTEM: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8;

/// `enum cntl_msg_types`.
const GET: u16 = 1;
const DELETE: u16 = 2;
const GET_STATS_CPU: u16 = 4;
const GET_STATS: u16 = 5;

/// `enum ctattr_type`.
const MARK: u16 = 8;
const MARK_MASK: u16 = 21;

/// `enum ctattr_stats_global` and `enum ctattr_stats_cpu`.
const GLOBAL_ENTRIES: u16 = 1;
const GLOBAL_MAX: u16 = 2;
const CPU_INSERT_FAILED: u16 = 9;
const CPU_DROP: u16 = 10;
const CPU_EARLY_DROP: u16 = 11;

/// How full the table is, and what it could not take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Flows now.
    pub entries: u32,
    /// Most that fit; 0 where the kernel does not tell.
    pub max: u32,
    /// Flows that found no free source port or lost a race, since the namespace began.
    pub insert_failed: u64,
    /// Packets dropped because the table was full or memory short.
    pub drop: u64,
    /// Older flows thrown out to make room.
    pub early_drop: u64,
}

/// A socket for acts on tracked connections.
#[derive(Debug)]
pub struct Conntrack {
    netfilter: Netfilter,
}

impl Conntrack {
    /// Opens it in the network namespace of the calling thread.
    ///
    /// # Errors
    /// No netfilter, or no descriptor left.
    pub fn open() -> Result<Self, Error> {
        Ok(Self {
            netfilter: Netfilter::open()?,
        })
    }

    /// Forgets every flow of both families whose mark under `mask` is `mark`. One message; no table dump.
    ///
    /// # Errors
    /// A `mask` of zero (it would forget every flow of the machine), or the kernel's refusal.
    pub fn forget(&mut self, mark: u32, mask: u32) -> Result<(), Error> {
        let object = || format!("tracked connections with mark {mark:#x}/{mask:#x}");
        if mask == 0 {
            return Err(Error::Answer {
                operation: "forget",
                object: object(),
                reason: "without a mask these are all",
            });
        }
        self.netfilter.forget();
        self.netfilter
            .request(
                SUBSYSTEM | DELETE,
                libc::NLM_F_ACK,
                0,
                |a| {
                    a.number(MARK, mark).number(MARK_MASK, mask);
                },
                |_, _| {},
            )
            .map_err(Error::io("forget", object))?;
        Ok(())
    }

    /// How many flows have this mark under `mask`. It walks the kernel's table.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn count(&mut self, mark: u32, mask: u32) -> Result<u64, Error> {
        let object = || format!("tracked connections with mark {mark:#x}/{mask:#x}");
        let mut count = 0;
        self.netfilter.forget();
        self.netfilter
            .request(
                SUBSYSTEM | GET,
                libc::NLM_F_DUMP,
                0,
                |a| {
                    a.number(MARK, mark).number(MARK_MASK, mask);
                },
                |_, _| count += 1,
            )
            .map_err(Error::io("count", object))?;
        Ok(count)
    }

    /// How full the table is.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn usage(&mut self) -> Result<Usage, Error> {
        let object = || "statistics of connection tracking".to_owned();
        self.netfilter.forget();
        self.read_usage().map_err(Error::io("read", object))
    }

    fn read_usage(&mut self) -> io::Result<Usage> {
        let mut usage = Usage::default();
        self.netfilter.request(
            SUBSYSTEM | GET_STATS,
            libc::NLM_F_ACK,
            0,
            |_| {},
            |_, body| {
                attributes(body, |kind, value| match (kind, number(value)) {
                    (GLOBAL_ENTRIES, Some(n)) => usage.entries = n,
                    (GLOBAL_MAX, Some(n)) => usage.max = n,
                    _ => {}
                });
            },
        )?;
        self.netfilter.request(
            SUBSYSTEM | GET_STATS_CPU,
            libc::NLM_F_DUMP,
            0,
            |_| {},
            |_, body| {
                attributes(body, |kind, value| match (kind, number(value)) {
                    (CPU_INSERT_FAILED, Some(n)) => usage.insert_failed += u64::from(n),
                    (CPU_DROP, Some(n)) => usage.drop += u64::from(n),
                    (CPU_EARLY_DROP, Some(n)) => usage.early_drop += u64::from(n),
                    _ => {}
                });
            },
        )?;
        Ok(usage)
    }
}
