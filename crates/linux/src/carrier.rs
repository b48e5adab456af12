//! Whether an interface has a carrier at this moment.
//!
//! The kernel holds the news of a lost carrier back from netlink, by up to a second and more (`net/core/link_watch.c`
//! gathers what is not urgent); the flag itself changes at once. Owns the one question that reads it. Deliberately
//! absent: when to ask. The answer may wait for the kernel's RTNL lock, so it is no question for a thread that
//! answers packets.

use std::io;
use std::os::fd::AsFd;

use socket2::{Domain, Socket, Type};

use crate::Error;
use crate::sys;

/// Asks for carriers, in the network namespace of the thread that opened it.
pub struct Carrier {
    socket: Socket,
}

impl Carrier {
    /// Needs no privilege.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn open() -> Result<Self, Error> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)
            .map_err(Error::io("open", || "a socket for carriers".to_owned()))?;
        Ok(Self { socket })
    }

    /// Whether the interface of this name is up and has a carrier. 1 µs; more when the RTNL lock is taken.
    ///
    /// # Errors
    /// No such interface; its driver does not tell.
    pub fn is_lit(&self, name: &str) -> io::Result<bool> {
        sys::link_detected(self.socket.as_fd(), name)
    }
}
