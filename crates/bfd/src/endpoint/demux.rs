//! Which session a datagram belongs to, and every reason why to none.
//!
//! Owns the order of the checks (RFC 5880 §6.8.6, BFD-02 to BFD-06, BFD-12). Changes nothing.

use crate::config::{Meta, Mode, SessionKey};
use crate::counters::DropReason;
use crate::packet::{Packet, State};
use crate::session::Session;

use super::{Endpoint, SessionId};

/// The only TTL that a neighbour on the same link can make us see (RFC 5881 §5).
const TTL_SINGLE_HOP: u8 = 255;

impl Endpoint {
    /// The session between these addresses, the one that says most of our side first.
    pub(super) fn candidate(&self, meta: &Meta) -> Option<SessionId> {
        let locals = [meta.local, None];
        let interfaces = [Some(meta.interface), None];
        locals.into_iter().find_map(|local| {
            interfaces.into_iter().find_map(|interface| {
                self.keys
                    .get(&SessionKey {
                        peer: meta.remote,
                        local,
                        interface,
                        vrf: meta.vrf,
                        mode: meta.mode,
                    })
                    .copied()
            })
        })
    }

    /// The session and the packet, when every check passes.
    pub(super) fn accept(
        &self,
        datagram: &[u8],
        meta: &Meta,
        candidate: Option<SessionId>,
    ) -> Result<(SessionId, Packet), DropReason> {
        let neighbour = candidate.and_then(|id| self.sessions.get(&id));
        check_ttl(meta, neighbour)?;
        let packet = Packet::decode(datagram)?;
        let id = match packet.your_discriminator {
            Some(ours) => {
                let id = self.discriminators.get(&ours).copied();
                id.ok_or(DropReason::UnknownDiscriminator)?
            }
            None if !matches!(packet.state, State::Down | State::AdminDown) => {
                return Err(DropReason::NoDiscriminator);
            }
            None => candidate.ok_or_else(|| self.nobody(meta))?,
        };
        let session = self
            .sessions
            .get(&id)
            .ok_or(DropReason::UnknownDiscriminator)?;
        // DIFFERS: stricter than RFC 5880 §6.8.6, which asks for the discriminator alone (BFD-06).
        belongs(&session.key, meta)?;
        check_ttl(meta, Some(session))?;
        if packet.authenticated {
            return Err(DropReason::AuthUnexpected);
        }
        if packet.my_discriminator == session.discriminator {
            return Err(DropReason::Reflected);
        }
        let newcomer = packet.your_discriminator.is_none()
            && session
                .remote_discriminator()
                .is_some_and(|known| known != packet.my_discriminator);
        if session.state() == State::Up && newcomer {
            return Err(DropReason::ForeignDiscriminator);
        }
        Ok((id, packet))
    }

    /// Why there is no session: the peer may use the other mode.
    fn nobody(&self, meta: &Meta) -> DropReason {
        match self.other_mode(meta) {
            Some(_) => DropReason::WrongPort,
            None => DropReason::UnknownPeer,
        }
    }

    /// The session between these addresses that lives on the other port.
    pub(super) fn other_mode(&self, meta: &Meta) -> Option<SessionId> {
        self.candidate(&Meta {
            mode: meta.mode.other(),
            ..*meta
        })
    }
}

/// RFC 5881 §5 and RFC 5082, before anything else. The minimum of a multihop session is its profile's.
fn check_ttl(meta: &Meta, neighbour: Option<&Session>) -> Result<(), DropReason> {
    let ttl = meta.ttl.ok_or(DropReason::Ttl)?;
    let enough = match meta.mode {
        Mode::SingleHop => ttl == TTL_SINGLE_HOP,
        Mode::MultiHop => neighbour.is_none_or(|session| ttl >= session.minimum_ttl()),
    };
    enough.then_some(()).ok_or(DropReason::Ttl)
}

/// Whether a session found by its discriminator is the one of these addresses.
fn belongs(key: &SessionKey, meta: &Meta) -> Result<(), DropReason> {
    if key.peer != meta.remote || key.vrf != meta.vrf {
        return Err(DropReason::WrongAddress);
    }
    if key.mode != meta.mode {
        return Err(DropReason::WrongPort);
    }
    if key.local.is_some() && key.local != meta.local {
        return Err(DropReason::WrongAddress);
    }
    if key.interface.is_some_and(|index| index != meta.interface) {
        return Err(DropReason::WrongInterface);
    }
    Ok(())
}
