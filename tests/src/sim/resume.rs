//! How a stopped process goes on.

use super::Sim;
use super::node::Late;
use super::planted::Planted;
use engine::wire::Input;
use std::time::Duration;

impl Sim {
    /// A stopped process goes on: with what waited in its sockets first, as its loop does.
    pub(super) fn resume(&mut self, node: usize) {
        let now = self.now;
        let Some(process) = &mut self.nodes[node].process else {
            return;
        };
        if !process.paused {
            return;
        }
        process.paused = false;
        if let Some((_, until)) = &mut process.stopped {
            *until = now;
        }
        self.disturbed();
        let blind = self.settings.planted == Some(Planted::Blind);
        let inbox = std::mem::take(&mut self.nodes[node].process.as_mut().expect("seen").inbox);
        for late in inbox {
            let Some(process) = &mut self.nodes[node].process else {
                return;
            };
            match late {
                Late::Datagram(from, bytes, at) => {
                    let input = Input::Datagram {
                        from,
                        bytes: &bytes,
                    };
                    let at = if blind { at } else { now };
                    process.wire.handle_input(input, at);
                }
                Late::Frame(ifindex, bytes, at) => {
                    let meta = l2::FrameMeta {
                        ifindex,
                        outgoing: false,
                        vlan: None,
                    };
                    let input = Input::Frame {
                        ifindex,
                        bytes: &bytes,
                        meta,
                    };
                    let at = if blind { at } else { now };
                    process.wire.handle_input(input, at);
                    self.transmit(node);
                }
                Late::Change(change) => process.speaker.handle_change(change),
                Late::Outcome(ticket, outcome) => {
                    process.speaker.handle_outcome(ticket, outcome, now);
                }
            }
        }
        self.turn_wire(node);
        self.wake_brain(node, Duration::from_micros(50));
        self.answers_changed(node);
    }
}
