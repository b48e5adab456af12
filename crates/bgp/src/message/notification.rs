//! NOTIFICATION: error codes, subcodes and what their data says (RFC 4271 §4.5, §6; RFC 4486, 7313, 8538, 9003, 9384, 9687).
//!
//! When to send which is the machine's and the decoder's business.

use std::fmt;

use super::{AfiSafi, HEADER_LEN, MESSAGE_LEN_MAX, WireRules, begin, finish, kind};

/// LIMIT: octets of data kept of a received NOTIFICATION: a hard reset's two, a length and a communication of 255,
/// rounded up.
pub const DATA_KEPT_MAX: usize = 512;
/// LIMIT: octets of a shutdown communication (RFC 9003 §2).
pub const COMMUNICATION_MAX: usize = 255;

/// An enum of one octet with every value representable, its number and its words.
macro_rules! subcodes {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $value:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = $text] $variant,)*
            /// A number without a name here.
            Other(u8),
        }

        impl $name {
            /// The subcode's octet.
            #[must_use]
            pub fn value(self) -> u8 {
                match self {
                    $($name::$variant => $value,)*
                    $name::Other(value) => value,
                }
            }

            /// The subcode of an octet.
            #[must_use]
            pub fn from_value(value: u8) -> $name {
                match value {
                    $($value => $name::$variant,)*
                    other => $name::Other(other),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $($name::$variant => f.write_str($text),)*
                    $name::Other(value) => write!(f, "subcode {value}"),
                }
            }
        }
    };
}

subcodes! {
    /// Message header errors (code 1, RFC 4271 §6.1).
    HeaderError {
        Unspecific = 0 "unspecific",
        NotSynchronized = 1 "connection not synchronized",
        BadLength = 2 "bad message length",
        BadType = 3 "bad message type",
    }
}

subcodes! {
    /// OPEN errors (code 2, RFC 4271 §6.2, RFC 5492 §5).
    OpenError {
        Unspecific = 0 "unspecific",
        UnsupportedVersion = 1 "unsupported version",
        BadPeerAs = 2 "bad peer AS",
        BadIdentifier = 3 "bad BGP identifier",
        UnsupportedParameter = 4 "unsupported optional parameter",
        UnacceptableHoldTime = 6 "unacceptable hold time",
        UnsupportedCapability = 7 "unsupported capability",
        RoleMismatch = 11 "role mismatch",
    }
}

subcodes! {
    /// UPDATE errors (code 3, RFC 4271 §6.3).
    UpdateError {
        Unspecific = 0 "unspecific",
        MalformedAttributes = 1 "malformed attribute list",
        UnrecognizedWellKnown = 2 "unrecognized well-known attribute",
        MissingWellKnown = 3 "missing well-known attribute",
        AttributeFlags = 4 "attribute flags error",
        AttributeLength = 5 "attribute length error",
        InvalidOrigin = 6 "invalid ORIGIN",
        InvalidNextHop = 8 "invalid NEXT_HOP",
        OptionalAttribute = 9 "optional attribute error",
        InvalidNetwork = 10 "invalid network field",
        MalformedAsPath = 11 "malformed AS_PATH",
    }
}

subcodes! {
    /// State machine errors (code 5, RFC 6608).
    FsmError {
        Unspecific = 0 "unspecific",
        OpenSent = 1 "unexpected message in OpenSent",
        OpenConfirm = 2 "unexpected message in OpenConfirm",
        Established = 3 "unexpected message in Established",
    }
}

subcodes! {
    /// Cease (code 6, RFC 4486, 8538, 9384).
    Cease {
        Unspecific = 0 "unspecific",
        MaxPrefixes = 1 "maximum number of prefixes reached",
        AdministrativeShutdown = 2 "administrative shutdown",
        PeerDeconfigured = 3 "peer de-configured",
        AdministrativeReset = 4 "administrative reset",
        ConnectionRejected = 5 "connection rejected",
        OtherConfigurationChange = 6 "other configuration change",
        Collision = 7 "connection collision resolution",
        OutOfResources = 8 "out of resources",
        HardReset = 9 "hard reset",
        BfdDown = 10 "BFD down",
    }
}

subcodes! {
    /// ROUTE-REFRESH errors (code 7, RFC 7313 §5).
    RefreshError {
        Unspecific = 0 "unspecific",
        BadLength = 1 "invalid message length",
    }
}

/// Error code and subcode together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// Code 1.
    Header(HeaderError),
    /// Code 2.
    Open(OpenError),
    /// Code 3.
    Update(UpdateError),
    /// Code 4, subcode 0.
    HoldTimerExpired,
    /// Code 5.
    Fsm(FsmError),
    /// Code 6.
    Cease(Cease),
    /// Code 7.
    RouteRefresh(RefreshError),
    /// Code 8, subcode 0 (RFC 9687).
    SendHoldTimerExpired,
    /// Anything else.
    Other(u8, u8),
}

impl ErrorCode {
    /// Code and subcode octets.
    #[must_use]
    pub fn octets(self) -> (u8, u8) {
        match self {
            ErrorCode::Header(sub) => (1, sub.value()),
            ErrorCode::Open(sub) => (2, sub.value()),
            ErrorCode::Update(sub) => (3, sub.value()),
            ErrorCode::HoldTimerExpired => (4, 0),
            ErrorCode::Fsm(sub) => (5, sub.value()),
            ErrorCode::Cease(sub) => (6, sub.value()),
            ErrorCode::RouteRefresh(sub) => (7, sub.value()),
            ErrorCode::SendHoldTimerExpired => (8, 0),
            ErrorCode::Other(code, sub) => (code, sub),
        }
    }

    /// The meaning of code and subcode octets.
    #[must_use]
    pub fn from_octets(code: u8, subcode: u8) -> ErrorCode {
        match (code, subcode) {
            (1, sub) => ErrorCode::Header(HeaderError::from_value(sub)),
            (2, sub) => ErrorCode::Open(OpenError::from_value(sub)),
            (3, sub) => ErrorCode::Update(UpdateError::from_value(sub)),
            (4, 0) => ErrorCode::HoldTimerExpired,
            (5, sub) => ErrorCode::Fsm(FsmError::from_value(sub)),
            (6, sub) => ErrorCode::Cease(Cease::from_value(sub)),
            (7, sub) => ErrorCode::RouteRefresh(RefreshError::from_value(sub)),
            (8, 0) => ErrorCode::SendHoldTimerExpired,
            (code, sub) => ErrorCode::Other(code, sub),
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, subcode) = self.octets();
        write!(f, "{code}/{subcode} ")?;
        match self {
            ErrorCode::Header(sub) => write!(f, "message header error: {sub}"),
            ErrorCode::Open(sub) => write!(f, "OPEN error: {sub}"),
            ErrorCode::Update(sub) => write!(f, "UPDATE error: {sub}"),
            ErrorCode::HoldTimerExpired => f.write_str("hold timer expired"),
            ErrorCode::Fsm(sub) => write!(f, "state machine error: {sub}"),
            ErrorCode::Cease(sub) => write!(f, "cease: {sub}"),
            ErrorCode::RouteRefresh(sub) => write!(f, "ROUTE-REFRESH error: {sub}"),
            ErrorCode::SendHoldTimerExpired => f.write_str("send hold timer expired"),
            ErrorCode::Other(..) => f.write_str("unknown error"),
        }
    }
}

/// A NOTIFICATION.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Code and subcode.
    pub error: ErrorCode,
    /// Data; of a received one the first [`DATA_KEPT_MAX`] octets.
    pub data: Vec<u8>,
}

/// What a shutdown communication holds (RFC 9003 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Communication {
    /// UTF-8, with control characters escaped.
    Text(String),
    /// Not UTF-8, or a length that does not fit: the data in hex.
    Hex(String),
}

impl Notification {
    /// One without data.
    #[must_use]
    pub fn new(error: ErrorCode) -> Notification {
        Notification {
            error,
            data: Vec::new(),
        }
    }

    /// One with data.
    #[must_use]
    pub fn with_data(error: ErrorCode, data: impl Into<Vec<u8>>) -> Notification {
        Notification {
            error,
            data: data.into(),
        }
    }

    /// A Cease without data.
    #[must_use]
    pub fn cease(cease: Cease) -> Notification {
        Notification::new(ErrorCode::Cease(cease))
    }

    /// A Cease with a shutdown communication, cut to 255 octets on a character boundary (RFC 9003 §2). An empty text
    /// makes a Cease without data.
    #[must_use]
    pub fn cease_with_text(cease: Cease, text: &str) -> Notification {
        let mut end = text.len().min(COMMUNICATION_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = &text[..end];
        let mut data = Vec::with_capacity(1 + end);
        if let Ok(length @ 1..) = u8::try_from(end) {
            data.push(length);
            data.extend_from_slice(text.as_bytes());
        }
        Notification {
            error: ErrorCode::Cease(cease),
            data,
        }
    }

    /// This one as the reason of a hard reset: Cease/9 with code, subcode and data inside (RFC 8538 §3).
    #[must_use]
    pub fn into_hard_reset(self) -> Notification {
        let (code, subcode) = self.error.octets();
        let mut data = vec![code, subcode];
        data.extend_from_slice(&self.data);
        Notification {
            error: ErrorCode::Cease(Cease::HardReset),
            data,
        }
    }

    /// What a hard reset carries, if this is one and it carries something.
    #[must_use]
    pub fn hard_reset_reason(&self) -> Option<Notification> {
        match (self.error, self.data.as_slice()) {
            (ErrorCode::Cease(Cease::HardReset), [code, subcode, rest @ ..]) => Some(
                Notification::with_data(ErrorCode::from_octets(*code, *subcode), rest),
            ),
            _ => None,
        }
    }

    /// The shutdown communication of a Cease/2 or Cease/4 that has data.
    #[must_use]
    pub fn communication(&self) -> Option<Communication> {
        let (
            ErrorCode::Cease(Cease::AdministrativeShutdown | Cease::AdministrativeReset),
            [length, text @ ..],
        ) = (self.error, self.data.as_slice())
        else {
            return None;
        };
        if *length == 0 && text.is_empty() {
            return None;
        }
        if text.len() == usize::from(*length)
            && let Ok(text) = std::str::from_utf8(text)
        {
            return Some(Communication::Text(escaped(text)));
        }
        Some(Communication::Hex(hex(&self.data)))
    }

    /// Family and limit of a Cease/1 that names them (RFC 4486 §4).
    #[must_use]
    pub fn prefix_limit(&self) -> Option<(AfiSafi, u32)> {
        match (self.error, self.data.as_slice()) {
            (ErrorCode::Cease(Cease::MaxPrefixes), &[a, b, safi, c, d, e, f]) => Some((
                AfiSafi {
                    afi: u16::from_be_bytes([a, b]),
                    safi,
                },
                u32::from_be_bytes([c, d, e, f]),
            )),
            _ => None,
        }
    }

    /// Appends the message; data beyond the limit of a message is cut.
    pub fn encode(&self, rules: &WireRules, out: &mut Vec<u8>) {
        // OPENs may not have been exchanged: then the peer accepts 4,096 octets.
        let limit = rules.send_len_max().max(MESSAGE_LEN_MAX) - HEADER_LEN - 2;
        let start = begin(kind::NOTIFICATION, out);
        let (code, subcode) = self.error.octets();
        out.extend_from_slice(&[code, subcode]);
        out.extend_from_slice(self.data.get(..limit).unwrap_or(&self.data));
        finish(start, out);
    }

    /// Reads the body of a message; `None` when code or subcode is missing.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Notification> {
        let [code, subcode, data @ ..] = body else {
            return None;
        };
        let kept = data.get(..DATA_KEPT_MAX).unwrap_or(data);
        Some(Notification::with_data(
            ErrorCode::from_octets(*code, *subcode),
            kept,
        ))
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        if let Some(inner) = self.hard_reset_reason() {
            return write!(f, " ({inner})");
        }
        if let Some((family, limit)) = self.prefix_limit() {
            return write!(f, " ({limit} of {family})");
        }
        match self.communication() {
            Some(Communication::Text(text)) => write!(f, " \"{text}\""),
            Some(Communication::Hex(hex)) => write!(f, " [{hex}]"),
            None if self.data.is_empty() => Ok(()),
            None => write!(
                f,
                " [{}]",
                hex(self.data.get(..SHOWN_MAX).unwrap_or(&self.data))
            ),
        }
    }
}

/// LIMIT: data octets shown in words (BGP-72).
const SHOWN_MAX: usize = 128;

/// Text of a stranger, safe for terminals and logs: control characters and directional marks are escaped.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let directional = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || directional || c == '"' || c == '\\' {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Octets as lower-case hex.
#[must_use]
pub fn hex(octets: &[u8]) -> String {
    use fmt::Write;
    octets.iter().fold(
        String::with_capacity(octets.len() * 2),
        |mut text, octet| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{octet:02x}");
            text
        },
    )
}

#[cfg(test)]
mod tests;
