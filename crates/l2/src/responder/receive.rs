//! What a received frame means for our addresses.
//!
//! Owns the order of the checks: the cheapest first, and each refusal under its own name. Does not build frames.

use std::net::{IpAddr, Ipv6Addr};

use super::{EVENTS_MAX, Event, FRAMES_PER_TURN, Responder, Transmit, TransmitKind};
use crate::config::FrameMeta;
use crate::counters::DropReason;
use crate::mac::MacAddr;
use crate::packet::arp::{self, Arp, Operation};
use crate::packet::nd::{self, Message, Options};
use crate::packet::{Ethernet, vlan_id};

impl Responder {
    /// Queues the reply to a frame, or says why there is none.
    pub(super) fn receive(&mut self, frame: &[u8], meta: FrameMeta) -> Result<(), DropReason> {
        if meta.outgoing {
            return Err(DropReason::Outgoing);
        }
        if meta.ifindex != self.interface.index {
            return Err(DropReason::OtherDevice);
        }
        if meta.vlan.is_some_and(|tag| vlan_id(tag) != 0) {
            return Err(DropReason::Vlan);
        }
        if !self.interface.can_send() {
            return Err(DropReason::InterfaceDown);
        }
        let frame = Ethernet::parse(frame)?;
        if frame.source == self.interface.mac {
            return Err(DropReason::OwnEcho);
        }
        if !frame.source.is_station() {
            return Err(DropReason::BadSender);
        }
        match frame.ethertype {
            arp::ETHERTYPE => self.receive_arp(&frame),
            nd::ETHERTYPE => self.receive_nd(&frame),
            _ => Err(DropReason::EtherType),
        }
    }

    fn receive_arp(&mut self, frame: &Ethernet<'_>) -> Result<(), DropReason> {
        let request = Arp::parse(frame.payload)?;
        if request.sender_mac == self.interface.mac {
            return Err(DropReason::OwnEcho);
        }
        if !request.sender_mac.is_station() {
            return Err(DropReason::BadSender);
        }
        let target = IpAddr::V4(request.target);
        self.inspect(IpAddr::V4(request.sender), request.sender_mac);
        if request.sender.is_unspecified() && request.operation == Operation::Request {
            self.contest(target, request.sender_mac);
        }
        if request.operation == Operation::Reply {
            return Err(DropReason::ArpReply);
        }
        if frame.destination != MacAddr::BROADCAST && frame.destination != self.interface.mac {
            return Err(DropReason::EthernetDestination);
        }
        self.find(target)?;
        if request.sender == request.target {
            return Err(DropReason::GratuitousRequest);
        }
        self.admit(target, frame.source, None)?;
        self.queue(request.reply(self.interface.mac), target);
        Ok(())
    }

    fn receive_nd(&mut self, frame: &Ethernet<'_>) -> Result<(), DropReason> {
        if !self.interface.ipv6 {
            return Err(DropReason::Ipv6Disabled);
        }
        match Message::parse(frame.payload)? {
            Message::Solicitation {
                source,
                destination,
                target,
                options,
            } => self.receive_solicitation(frame, source, destination, target, options),
            Message::Advertisement {
                target, options, ..
            } => {
                let mac = station_or(options.target_ll, frame.source);
                if mac == self.interface.mac {
                    return Err(DropReason::OwnEcho);
                }
                self.inspect(IpAddr::V6(target), mac);
                Err(DropReason::NeighborAdvertisement)
            }
        }
    }

    fn receive_solicitation(
        &mut self,
        frame: &Ethernet<'_>,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        target: Ipv6Addr,
        options: Options,
    ) -> Result<(), DropReason> {
        // A probe of reachability carries no option; an option that no station can have would make us spray (L2-72).
        let requester = station_or(options.source_ll, frame.source);
        if requester == self.interface.mac {
            return Err(DropReason::OwnEcho);
        }
        self.inspect(IpAddr::V6(source), requester);
        let to_us = frame.destination == self.interface.mac
            || frame.destination == nd::solicited_node_mac(target);
        if !to_us || destination != target && destination != nd::solicited_node(target) {
            return Err(DropReason::EthernetDestination);
        }
        let address = IpAddr::V6(target);
        if source.is_unspecified() {
            if options.nonce == Some(self.guard.nonce()) {
                return Err(DropReason::OwnEcho);
            }
            self.contest(address, requester);
        }
        self.find(address)?;
        if source == target {
            return Err(DropReason::GratuitousRequest);
        }
        let mac = self.interface.mac;
        if source.is_unspecified() {
            self.admit(address, frame.source, Some(target))?;
            self.queue(nd::multicast_advertisement(mac, target), address);
        } else {
            self.admit(address, frame.source, None)?;
            self.queue(
                nd::solicited_advertisement(mac, target, source, requester),
                address,
            );
        }
        Ok(())
    }

    /// Is this address answered here? It is refused under MetalLB's names if not.
    fn find(&self, target: IpAddr) -> Result<(), DropReason> {
        if self.counters.addresses.contains_key(&target) {
            if !self.guard.holds_back(target) {
                Ok(())
            } else if self.guard.user(target).is_some() {
                Err(DropReason::AddressInUse)
            } else {
                Err(DropReason::Probing)
            }
        } else if self.elsewhere.contains(&target) {
            Err(DropReason::NotMatchInterface)
        } else {
            Err(DropReason::AnnounceIp)
        }
    }

    /// Counts a request for one of our addresses and takes its reply from the budgets, the narrowest first: what one
    /// sender or one address may not have must not cost the others. `dad` is the address whose budget of answers to
    /// duplicate address detection is to be used, too.
    fn admit(
        &mut self,
        target: IpAddr,
        sender: MacAddr,
        dad: Option<Ipv6Addr>,
    ) -> Result<(), DropReason> {
        if let Some(counters) = self.counters.addresses.get_mut(&target) {
            counters.requests_received += 1;
        }
        if self.replies.len() >= FRAMES_PER_TURN {
            return Err(DropReason::Backlog);
        }
        if !self.senders.take(sender, &self.sender_rate, self.now) {
            return Err(DropReason::RateLimited);
        }
        if dad.is_some_and(|address| !self.dad.entry(address).or_default().take(self.now)) {
            return Err(DropReason::DadRateLimited);
        }
        if !self.interface_bucket.take(&self.interface_rate, self.now) {
            return Err(DropReason::RateLimited);
        }
        Ok(())
    }

    fn queue(&mut self, bytes: Vec<u8>, address: IpAddr) {
        self.replies.push_back(Transmit {
            bytes,
            kind: TransmitKind::Reply(address),
        });
    }

    /// Looks for a station that claims one of our addresses.
    fn inspect(&mut self, address: IpAddr, mac: MacAddr) {
        let Some(counters) = self.counters.addresses.get_mut(&address) else {
            return;
        };
        if self.own_macs.contains(&mac) {
            return;
        }
        if self.speaker_macs.contains(&mac) {
            counters.speaker_claims += 1;
            if self.speakers_told.note(address, mac, self.now) {
                self.tell(Event::SpeakerClaim { address, mac });
            }
            return;
        }
        counters.foreign_claims += 1;
        if self.guard.holds_back(address) {
            self.found_in_use(address, mac);
            return;
        }
        if self.guard.defend(address, self.now) {
            counters.defences += 1;
            self.schedule.defend(address, self.now);
        }
        if self.foreign_told.note(address, mac, self.now) {
            self.tell(Event::ForeignClaim { address, mac });
        }
    }

    /// Another station probes for one of our addresses. While we do, too, neither may have it (RFC 5227 §2.1.1,
    /// RFC 4862 §5.4.3); later it is answered like any request.
    fn contest(&mut self, address: IpAddr, mac: MacAddr) {
        let friend = self.own_macs.contains(&mac) || self.speaker_macs.contains(&mac);
        if !friend && self.guard.is_asking(address) {
            if let Some(counters) = self.counters.addresses.get_mut(&address) {
                counters.foreign_claims += 1;
            }
            self.found_in_use(address, mac);
        }
    }

    fn found_in_use(&mut self, address: IpAddr, mac: MacAddr) {
        if self.guard.user(address) != Some(mac) {
            self.announced_changed = true;
        }
        self.guard.in_use_by(address, mac, self.now);
        if self.in_use_told.note(address, mac, self.now) {
            self.tell(Event::InUse { address, mac });
        }
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        } else {
            self.counters.events_lost += 1;
        }
    }
}

fn station_or(option: Option<MacAddr>, otherwise: MacAddr) -> MacAddr {
    option.filter(|mac| mac.is_station()).unwrap_or(otherwise)
}
