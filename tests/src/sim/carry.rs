//! The way of frames and datagrams from one machine to the ports of others.

use super::node::{member_address, member_index};
use super::{Event, Sim};
use std::net::SocketAddr;
use std::rc::Rc;

impl Sim {
    pub(super) fn send_frame(&mut self, node: usize, ifindex: u32, bytes: Vec<u8>) {
        if !self.nodes[node].is_linked(ifindex) {
            return;
        }
        let segment = ifindex as usize - 2;
        if let Some(port) = self.lan.port_of(node, segment) {
            self.spread_frame(port, bytes);
        }
    }

    /// From a port to wherever the switches bring it.
    pub(super) fn spread_frame(&mut self, port: usize, bytes: Vec<u8>) {
        self.trace.fold_bytes(&bytes);
        let bytes: Rc<[u8]> = bytes.into();
        let mut ports = Vec::new();
        self.lan.forward(port, &bytes, self.now, &mut ports);
        let mut arrivals = Vec::new();
        for port in ports {
            arrivals.clear();
            self.lan.arrivals(&mut self.random, &mut arrivals);
            for wait in &arrivals {
                let bytes = Rc::clone(&bytes);
                self.queue
                    .push(self.now + *wait, Event::Frame { port, bytes });
            }
        }
    }

    pub(super) fn send_datagram(&mut self, node: usize, to: SocketAddr, bytes: Vec<u8>) {
        if bytes.len() > members::MAX_DATAGRAM_BYTES {
            self.fail(format!("a datagram of {} bytes", bytes.len()));
        }
        self.trace.fold_bytes(&bytes);
        let Some(target) = member_index(to).filter(|to| *to < self.nodes.len()) else {
            return;
        };
        let ifindex = self.lan.members as u32 + 2;
        let linked = self.nodes[node].is_linked(ifindex) && self.nodes[target].is_linked(ifindex);
        if !linked || !self.lan.carries(node, target) {
            return;
        }
        let mut arrivals = Vec::new();
        self.lan.arrivals(&mut self.random, &mut arrivals);
        let bytes: Rc<[u8]> = bytes.into();
        let from = member_address(node);
        for wait in arrivals {
            let bytes = Rc::clone(&bytes);
            let to = target;
            self.after(wait, Event::Datagram { to, from, bytes });
        }
    }
}
