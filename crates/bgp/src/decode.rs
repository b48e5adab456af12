//! Bytes of a connection in, messages out, or the NOTIFICATION they deserve (RFC 4271 §6).
//!
//! [`Decoder`] cuts the stream into [`Frame`]s whose headers are right; the machine looks at the kind (is it expected
//! in this state?) and then asks the frame for its [`Received`] message. At most one message is buffered, and only
//! when it did not arrive in one piece. What an UPDATE may hold is [`UpdateView`]'s.

mod attributes;
mod update;

pub use update::UpdateView;

use crate::error::{BAD_MESSAGE_OCTETS_MAX, DecodeError};
use crate::message::{
    EXTENDED_LEN_MAX, ErrorCode, HEADER_LEN, HeaderError, MESSAGE_LEN_MAX, Notification, Open,
    RefreshError, RefreshKind, RouteRefresh, WireRules, kind,
};

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageKind {
    /// OPEN.
    Open,
    /// UPDATE.
    Update,
    /// NOTIFICATION.
    Notification,
    /// KEEPALIVE.
    Keepalive,
    /// ROUTE-REFRESH.
    RouteRefresh,
}

impl MessageKind {
    /// All of them, in the order of their type octets.
    pub const ALL: [MessageKind; 5] = [
        MessageKind::Open,
        MessageKind::Update,
        MessageKind::Notification,
        MessageKind::Keepalive,
        MessageKind::RouteRefresh,
    ];

    /// The type octet.
    #[must_use]
    pub fn octet(self) -> u8 {
        match self {
            MessageKind::Open => kind::OPEN,
            MessageKind::Update => kind::UPDATE,
            MessageKind::Notification => kind::NOTIFICATION,
            MessageKind::Keepalive => kind::KEEPALIVE,
            MessageKind::RouteRefresh => kind::ROUTE_REFRESH,
        }
    }

    fn from_octet(octet: u8) -> Option<MessageKind> {
        MessageKind::ALL
            .into_iter()
            .find(|kind| kind.octet() == octet)
    }

    /// Octets of the shortest message of the kind (RFC 4271 §6.1, RFC 2918 §3).
    fn len_min(self) -> usize {
        match self {
            MessageKind::Open => 29,
            MessageKind::Update | MessageKind::RouteRefresh => 23,
            MessageKind::Notification => 21,
            MessageKind::Keepalive => HEADER_LEN,
        }
    }

    /// Octets of the longest, where `limit` is the session's. OPEN and KEEPALIVE never grow (RFC 8654 §4).
    fn len_max(self, limit: usize) -> usize {
        match self {
            MessageKind::Open => MESSAGE_LEN_MAX,
            MessageKind::Keepalive => HEADER_LEN,
            MessageKind::Update | MessageKind::Notification | MessageKind::RouteRefresh => limit,
        }
    }
}

/// A message from the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// OPEN: right in syntax, its numbers are still to be checked ([`Open::check`]).
    Open(Open),
    /// UPDATE: validated and counted, borrowed.
    Update(UpdateView<'a>),
    /// NOTIFICATION.
    Notification(Notification),
    /// KEEPALIVE.
    Keepalive,
    /// ROUTE-REFRESH.
    RouteRefresh(RouteRefresh),
}

/// A whole message with a sound header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its kind.
    pub kind: MessageKind,
    /// All of it, header included.
    pub octets: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the message.
    ///
    /// # Errors
    /// What ends the connection. The milder treatments of RFC 7606 are in the [`UpdateView`].
    pub fn read(&self, rules: &WireRules) -> Result<Received<'a>, DecodeError> {
        let body = self.octets.get(HEADER_LEN..).unwrap_or_default();
        let read = match self.kind {
            MessageKind::Open => Open::decode(body).map(Received::Open),
            MessageKind::Update => UpdateView::read(body, rules).map(Received::Update),
            MessageKind::Keepalive => Ok(Received::Keepalive),
            MessageKind::Notification => match Notification::decode(body) {
                Some(notification) => Ok(Received::Notification(notification)),
                None => return Err(bad(None, self.octets)),
            },
            MessageKind::RouteRefresh => self.refresh(body, rules).map(Received::RouteRefresh),
        };
        read.map_err(|notification| bad(Some(notification), self.octets))
    }

    /// RFC 7313 §5: the brackets of an enhanced refresh have no room for anything else; a request may carry route
    /// filters (RFC 5291), which are not read.
    fn refresh(&self, body: &[u8], rules: &WireRules) -> Result<RouteRefresh, Notification> {
        let length = || {
            let [.., high, low] = self.octets.get(16..18).unwrap_or_default() else {
                return Vec::new();
            };
            vec![*high, *low]
        };
        let refresh = RouteRefresh::decode(body).ok_or_else(|| {
            Notification::with_data(ErrorCode::Header(HeaderError::BadLength), length())
        })?;
        let bracket = matches!(refresh.kind, RefreshKind::Begin | RefreshKind::End);
        if bracket && rules.enhanced_refresh && body.len() != 4 {
            return Err(Notification::with_data(
                ErrorCode::RouteRefresh(RefreshError::BadLength),
                self.octets,
            ));
        }
        Ok(refresh)
    }
}

/// Cuts the bytes of one connection into messages.
///
/// ```
/// let mut decoder = bgp::Decoder::new(false);
/// let mut chunk = Vec::new();
/// bgp::message::encode_keepalive(&mut chunk);
/// let mut at = 0;
/// loop {
///     let (used, frame) = decoder.next_frame(&chunk[at..]);
///     at += used;
///     let Some(frame) = frame else { break };
///     let message = frame.and_then(|frame| frame.read(&bgp::WireRules::default()));
///     assert_eq!(message, Ok(bgp::Received::Keepalive));
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    /// A message that is not whole yet, or one that was just handed out. At most the session's limit.
    partial: Vec<u8>,
    /// The buffered message was handed out: forget it.
    handed_out: bool,
    /// A message was wrong: nothing behind it can be trusted.
    failed: bool,
    /// Whether more than 4,096 octets are accepted.
    extended: bool,
}

impl Decoder {
    /// For a new connection; `extended` when our OPEN offers extended messages (BGP-50).
    #[must_use]
    pub fn new(extended: bool) -> Decoder {
        Decoder {
            extended,
            ..Decoder::default()
        }
    }

    /// Octets held of a message that is not whole yet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        if self.handed_out {
            0
        } else {
            self.partial.len()
        }
    }

    /// Takes bytes from the front of `input` and answers how many, with the next message if there is one. Call again
    /// with the rest until there is none; then all of `input` is used. After an error all input is dropped.
    ///
    /// # Errors
    /// A header that is wrong (RFC 4271 §6.1), judged before any of the body is buffered.
    pub fn next_frame<'a>(
        &'a mut self,
        input: &'a [u8],
    ) -> (usize, Option<Result<Frame<'a>, DecodeError>>) {
        if self.handed_out {
            self.partial.clear();
            self.handed_out = false;
        }
        if self.failed {
            return (input.len(), None);
        }
        if self.partial.is_empty() {
            return self.in_place(input);
        }
        let mut used = self.fill(HEADER_LEN, input);
        let (kind, length) = match self.check(&self.partial) {
            None => return (used, None),
            Some(Ok(header)) => header,
            Some(Err(error)) => {
                self.failed = true;
                return (input.len(), Some(Err(error)));
            }
        };
        used += self.fill(length, input.get(used..).unwrap_or_default());
        if self.partial.len() < length {
            return (used, None);
        }
        self.handed_out = true;
        (
            used,
            Some(Ok(Frame {
                kind,
                octets: &self.partial,
            })),
        )
    }

    /// Nothing is buffered: a whole message is handed out where it stands.
    fn in_place<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Result<Frame<'a>, DecodeError>>) {
        match self.check(input) {
            Some(Err(error)) => {
                self.failed = true;
                (input.len(), Some(Err(error)))
            }
            Some(Ok((kind, length))) => match input.get(..length) {
                Some(octets) => (length, Some(Ok(Frame { kind, octets }))),
                None => {
                    self.partial.extend_from_slice(input);
                    (input.len(), None)
                }
            },
            None => {
                self.partial.extend_from_slice(input);
                (input.len(), None)
            }
        }
    }

    /// Buffers input until `length` octets are there.
    fn fill(&mut self, length: usize, input: &[u8]) -> usize {
        let wanted = length.saturating_sub(self.partial.len()).min(input.len());
        self.partial
            .extend_from_slice(input.get(..wanted).unwrap_or_default());
        wanted
    }

    /// Kind and length of the message that begins here; `None` while its header is not whole.
    fn check(&self, octets: &[u8]) -> Option<Result<(MessageKind, usize), DecodeError>> {
        let (header, _) = octets.split_first_chunk::<HEADER_LEN>()?;
        let [marker @ .., high, low, octet] = header;
        let error = |error, data: &[u8]| {
            // A NOTIFICATION is never answered with one (RFC 4271 §6.4); a bad marker says that the type is unknown.
            let answer = *octet != kind::NOTIFICATION || error == HeaderError::NotSynchronized;
            let notification =
                answer.then(|| Notification::with_data(ErrorCode::Header(error), data));
            Some(Err(bad(notification, octets)))
        };
        if *marker != [0xff; 16] {
            return error(HeaderError::NotSynchronized, &[]);
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let limit = if self.extended {
            EXTENDED_LEN_MAX
        } else {
            MESSAGE_LEN_MAX
        };
        if length < HEADER_LEN || length > limit {
            return error(HeaderError::BadLength, &[*high, *low]);
        }
        let Some(kind) = MessageKind::from_octet(*octet) else {
            return error(HeaderError::BadType, &[*octet]);
        };
        if length < kind.len_min() || length > kind.len_max(limit) {
            return error(HeaderError::BadLength, &[*high, *low]);
        }
        Some(Ok((kind, length)))
    }
}

fn bad(notification: Option<Notification>, message: &[u8]) -> DecodeError {
    DecodeError {
        notification,
        message: message
            .get(..BAD_MESSAGE_OCTETS_MAX)
            .unwrap_or(message)
            .to_vec(),
    }
}

#[cfg(test)]
mod tests;
