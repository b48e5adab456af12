//! Transactions on nf_tables: one batch is applied whole or not at all, dumps read back what is there.
//!
//! Owns framing, sequence numbers and the meaning of answers. Deliberately knows no table of ours: what a message
//! says is the caller's business.
//!
//! All calls block, none for longer than the kernel works: its answers are there when a request has been sent.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

pub use crate::netfilter::{Attributes, number, text, wide};

use crate::Error;
use crate::netfilter::{Netfilter, append, refused_sequence};
use crate::netlink::{Messages, attributes as walk_attributes, code};

/// The messages of nf_tables that this crate knows by name (`enum nf_tables_msg_types`).
#[allow(missing_docs)]
pub mod message {
    pub const NEWTABLE: u16 = 0;
    pub const GETTABLE: u16 = 1;
    pub const DELTABLE: u16 = 2;
    pub const NEWCHAIN: u16 = 3;
    pub const GETCHAIN: u16 = 4;
    pub const DELCHAIN: u16 = 5;
    pub const NEWRULE: u16 = 6;
    pub const GETRULE: u16 = 7;
    pub const DELRULE: u16 = 8;
    pub const NEWSET: u16 = 9;
    pub const GETSET: u16 = 10;
    pub const DELSET: u16 = 11;
    pub const NEWSETELEM: u16 = 12;
    pub const GETSETELEM: u16 = 13;
    pub const DELSETELEM: u16 = 14;
    pub const NEWGEN: u16 = 15;
    pub const GETGEN: u16 = 16;
}

/// `NFTA_GEN_ID`.
const GEN_ID: u16 = 1;

/// The multicast group of changes (`NFNLGRP_NFTABLES`).
const GROUP_NFTABLES: u32 = 7;

/// Datagrams of events read in one turn, so that a flood of them cannot hold the thread.
const EVENTS_PER_TURN: usize = 1024;

/// Bytes of the events' receive buffer.
const EVENTS_BUFFER_BYTES: usize = 1 << 20;

const SUBSYSTEM: u16 = (libc::NFNL_SUBSYS_NFTABLES as u16) << 8;

/// Messages of one transaction, in order.
#[derive(Debug, Clone)]
pub struct Batch {
    bytes: Vec<u8>,
    messages: u32,
    last: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// A transaction that does nothing yet.
    pub fn new() -> Self {
        let mut batch = Self {
            bytes: Vec::with_capacity(4096),
            messages: 0,
            last: 0,
        };
        batch.bound(libc::NFNL_MSG_BATCH_BEGIN as u16);
        batch
    }

    /// How many messages it holds.
    pub fn messages(&self) -> u32 {
        self.messages
    }

    /// Octets so far.
    pub fn octets(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a message of one of the types in [`message`]; `create` sets the flags that adding wants.
    pub fn add(&mut self, kind: u16, family: u8, create: bool, body: impl FnOnce(&mut Attributes)) {
        self.last = self.bytes.len();
        let flags = match create {
            true => libc::NLM_F_REQUEST | libc::NLM_F_CREATE | libc::NLM_F_APPEND,
            false => libc::NLM_F_REQUEST,
        };
        let kind = SUBSYSTEM | kind;
        self.messages += 1;
        append(
            &mut self.bytes,
            kind,
            flags,
            self.messages,
            (family, 0),
            body,
        );
    }

    fn bound(&mut self, kind: u16) {
        let resource = libc::NFNL_SUBSYS_NFTABLES as u16;
        let flags = libc::NLM_F_REQUEST;
        append(&mut self.bytes, kind, flags, 0, (0, resource), |_| {});
    }

    /// Ends it. Before Linux 6.10 the end of a batch is not acknowledged, so the last inner message asks.
    fn close(mut self) -> Vec<u8> {
        let at = self.last + 6;
        if let Some(place) = self.bytes.get_mut(at..at + 2) {
            let flags = u16::from_ne_bytes([place[0], place[1]]) | libc::NLM_F_ACK as u16;
            place.copy_from_slice(&flags.to_ne_bytes());
        }
        self.bound(libc::NFNL_MSG_BATCH_END as u16);
        self.bytes
    }
}

/// Why a transaction did not happen. Nothing of it was applied, unless `uncertain`.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", match .message { Some(n) => format!("message {n} of the transaction was refused"), None => "the transaction failed".to_owned() })]
pub struct Refused {
    /// The first refused message, counted from 1; none when the whole was not taken.
    pub message: Option<u32>,
    /// The acknowledgement was lost: the change may have been applied.
    pub uncertain: bool,
    /// The kernel's answer.
    pub source: io::Error,
}

/// A socket for transactions and dumps.
#[derive(Debug)]
pub struct Nftables {
    netfilter: Netfilter,
}

impl Nftables {
    /// Opens it in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel has no netfilter, or no descriptor is left.
    pub fn open() -> Result<Self, Error> {
        Ok(Self {
            netfilter: Netfilter::open()?,
        })
    }

    /// The number by which the kernel knows the owner of a table.
    pub fn port(&self) -> u32 {
        self.netfilter.port()
    }

    /// Applies a transaction; all of it or nothing.
    ///
    /// # Errors
    /// The first refusal.
    pub fn commit(&mut self, batch: Batch) -> Result<(), Refused> {
        let last = batch.messages;
        if last == 0 {
            return Ok(());
        }
        let whole = |uncertain| {
            move |source| Refused {
                message: None,
                uncertain,
                source,
            }
        };
        self.netfilter.forget();
        self.netfilter.send(&batch.close()).map_err(whole(false))?;
        loop {
            let Some(datagram) = self.netfilter.receive().map_err(whole(true))? else {
                return Err(whole(true)(io::ErrorKind::TimedOut.into()));
            };
            for (header, payload) in Messages(datagram) {
                if i32::from(header.kind) != libc::NLMSG_ERROR {
                    continue;
                }
                let errno = -code(payload);
                if errno != 0 {
                    let message = refused_sequence(payload).filter(|n| *n > 0);
                    return Err(Refused {
                        message,
                        uncertain: false,
                        source: io::Error::from_raw_os_error(errno),
                    });
                }
                if header.sequence == last {
                    return Ok(());
                }
            }
        }
    }

    /// Dumps what `kind` (a `GET…` of [`message`]) lists for `family`, restricted by `body`; hands each object's
    /// attributes to `each`. False when something changed meanwhile, so that the picture is not one of any moment.
    ///
    /// # Errors
    /// The kernel's refusal; `ENOENT` where the table is not there.
    pub fn dump(
        &mut self,
        kind: u16,
        family: u8,
        body: impl FnOnce(&mut Attributes),
        each: impl FnMut(u16, &[u8]),
    ) -> io::Result<bool> {
        self.netfilter
            .request(SUBSYSTEM | kind, libc::NLM_F_DUMP, family, body, each)
    }

    /// Asks for one object.
    ///
    /// # Errors
    /// `ENOENT` where there is none.
    pub fn one(
        &mut self,
        kind: u16,
        family: u8,
        body: impl FnOnce(&mut Attributes),
        each: impl FnMut(u16, &[u8]),
    ) -> io::Result<()> {
        self.netfilter
            .request(SUBSYSTEM | kind, libc::NLM_F_ACK, family, body, each)
            .map(|_| ())
    }

    /// The generation of the namespace's whole ruleset: it grows with every transaction of anybody.
    ///
    /// # Errors
    /// The kernel has no nf_tables.
    pub fn generation(&mut self) -> io::Result<u32> {
        let mut generation = None;
        self.one(
            message::GETGEN,
            0,
            |_| {},
            |_, body| {
                attributes(body, |kind, value| {
                    if kind == GEN_ID {
                        generation = number(value);
                    }
                });
            },
        )?;
        generation.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// A socket that hears of changes by anybody.
#[derive(Debug)]
pub struct Events {
    netfilter: Netfilter,
}

impl Events {
    /// Opens it in the network namespace of the calling thread; what changes from now on is heard.
    ///
    /// # Errors
    /// No netfilter, or no descriptor left.
    pub fn open() -> Result<Self, Error> {
        let mut netfilter = Netfilter::open()?;
        let object = || "socket for changes of nf_tables".to_owned();
        netfilter
            .socket()
            .set_rx_buf_sz(i32::try_from(EVENTS_BUFFER_BYTES).unwrap_or(i32::MAX))
            .map_err(Error::io("set the receive buffer of", object))?;
        netfilter
            .socket_mut()
            .add_membership(GROUP_NFTABLES)
            .map_err(Error::io("join a multicast group with", object))?;
        Ok(Self { netfilter })
    }

    /// To wait on for reading.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.netfilter.socket().as_fd()
    }

    /// Reads what waits. True when somebody whose port is not among `own` changed a table of this name, or when
    /// events were lost, so that nobody can tell.
    ///
    /// # Errors
    /// The socket failed.
    pub fn foreign(&mut self, table: &str, own: &BTreeSet<u32>) -> io::Result<bool> {
        let mut foreign = false;
        for _ in 0..EVENTS_PER_TURN {
            match self.netfilter.receive() {
                Ok(None) => return Ok(foreign),
                Ok(Some(datagram)) => {
                    for (header, payload) in Messages(datagram) {
                        if own.contains(&header.port) || header.kind == SUBSYSTEM | message::NEWGEN
                        {
                            continue;
                        }
                        foreign |= touches(payload.get(4..).unwrap_or_default(), table);
                    }
                }
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => foreign = true,
                Err(e) => return Err(e),
            }
        }
        Ok(foreign)
    }
}

/// Attribute 1 of every object is the name of its table.
fn touches(body: &[u8], table: &str) -> bool {
    let mut found = false;
    attributes(body, |kind, value| {
        found |= kind == 1 && text(value) == Some(table);
    });
    found
}

/// Calls `each` with the type and value of every attribute of `body`; ends at the first that does not fit.
pub fn attributes(body: &[u8], each: impl FnMut(u16, &[u8])) {
    walk_attributes(body, each);
}

#[cfg(test)]
mod tests;
