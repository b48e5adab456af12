//! Solicited-node group memberships of one interface.
//!
//! Owns the sockets that hold them: an ordinary IPv6 socket's join lets the kernel program the NIC and speak
//! MLD, which snooping switches need (L2-66). Deliberately absent: knowledge of when an interface returns
//! (the caller calls [`Memberships::rejoin`]) and retries (the caller calls [`Memberships::set`] again).

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::Error;

/// Groups per socket. The kernel charges each to the socket's option memory (`net.core.optmem_max`, 20 KiB
/// by default on older kernels), which holds somewhat more than 200 (L2-67).
pub const GROUPS_PER_SOCKET_MAX: usize = 200;

/// The group ff02::1:ffXX:XXXX of an address (RFC 4291 §2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let o = address.octets();
    let [.., a, b, c] = o;
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The groups joined on one interface.
#[derive(Debug)]
pub struct Memberships {
    ifindex: u32,
    /// Invariant: each holds at most [`GROUPS_PER_SOCKET_MAX`] groups, and `joined` says which.
    sockets: Vec<Holder>,
    /// Group to position in `sockets`.
    joined: BTreeMap<Ipv6Addr, usize>,
}

#[derive(Debug)]
struct Holder {
    socket: Socket,
    groups: usize,
}

impl Memberships {
    /// No memberships yet on interface `ifindex`. Makes no system call.
    pub fn new(ifindex: u32) -> Self {
        Self {
            ifindex,
            sockets: Vec::new(),
            joined: BTreeMap::new(),
        }
    }

    /// The interface.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// The groups joined now.
    pub fn groups(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.joined.keys().copied()
    }

    /// How many sockets hold the memberships.
    pub fn sockets(&self) -> usize {
        self.sockets.len()
    }

    /// Makes the joined groups those of `addresses`: joins what is missing, leaves what no address needs
    /// any more. Addresses with equal low 24 bits share a group.
    ///
    /// # Errors
    /// The first join that failed; the others have been tried, and a later call tries the missing ones
    /// again. A failed leave is no error: the kernel has forgotten the group (L2-69).
    pub fn set<'a>(
        &mut self,
        addresses: impl IntoIterator<Item = &'a Ipv6Addr>,
    ) -> Result<(), Error> {
        self.set_some(addresses, usize::MAX).map(drop)
    }

    /// As [`set`](Self::set), with at most `max` joins and leaves in this call; whether all is done. The
    /// kernel searches its list at each join: the 5,000th on one interface takes about 0.2 ms.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_some<'a>(
        &mut self,
        addresses: impl IntoIterator<Item = &'a Ipv6Addr>,
        max: usize,
    ) -> Result<bool, Error> {
        let wanted: BTreeSet<Ipv6Addr> =
            addresses.into_iter().map(|a| solicited_node(*a)).collect();
        let gone: Vec<Ipv6Addr> = self
            .joined
            .keys()
            .filter(|g| !wanted.contains(g))
            .copied()
            .collect();
        let new: Vec<Ipv6Addr> = wanted
            .into_iter()
            .filter(|g| !self.joined.contains_key(g))
            .collect();
        let all = gone.len() + new.len() <= max;
        let leaves = gone.len().min(max);
        for group in gone.into_iter().take(leaves) {
            self.leave(group);
        }
        let mut first_error = None;
        for group in new.into_iter().take(max - leaves) {
            if let Err(e) = self.join(group) {
                first_error.get_or_insert(e);
            }
        }
        first_error.map_or(Ok(all), Err)
    }

    /// Joins everything again on fresh sockets: for an interface that returned, or whose IPv6 did, after
    /// which the kernel may have forgotten the groups (L2-68).
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn rejoin(&mut self) -> Result<(), Error> {
        let groups: Vec<Ipv6Addr> = self.joined.keys().copied().collect();
        self.joined.clear();
        // Before the new joins, not after: a socket counts its group down when it closes, and if the kernel
        // has forgotten the group meanwhile, that count would be the new socket's.
        self.sockets.clear();
        let mut first_error = None;
        for group in groups {
            if let Err(e) = self.join(group) {
                first_error.get_or_insert(e);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    fn join(&mut self, group: Ipv6Addr) -> Result<(), Error> {
        let object = || format!("group {group} on interface {}", self.ifindex);
        let at = self
            .sockets
            .iter()
            .position(|h| h.groups < GROUPS_PER_SOCKET_MAX);
        let at = match at {
            Some(at) => at,
            None => {
                let socket = new_socket().map_err(Error::io("open a socket for", object))?;
                self.sockets.push(Holder { socket, groups: 0 });
                self.sockets.len() - 1
            }
        };
        let holder = &mut self.sockets[at];
        holder
            .socket
            .join_multicast_v6(&group, self.ifindex)
            .map_err(Error::io("join", object))?;
        holder.groups += 1;
        self.joined.insert(group, at);
        Ok(())
    }

    fn leave(&mut self, group: Ipv6Addr) {
        let Some(at) = self.joined.remove(&group) else {
            return;
        };
        let holder = &mut self.sockets[at];
        // Not an error by contract: the kernel may have forgotten the group with its interface.
        let _ = holder.socket.leave_multicast_v6(&group, self.ifindex);
        holder.groups -= 1;
    }
}

/// A socket that only holds memberships. It is never bound, so no datagram is ever queued on it.
fn new_socket() -> std::io::Result<Socket> {
    Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))
}

#[cfg(test)]
mod tests;
