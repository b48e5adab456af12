//! A BGP-4 speaker that announces and does not route, as bytes in and bytes out.
//!
//! | module | what |
//! |---|---|
//! | [`message`] | the five messages, capabilities and path attributes as values, and their bytes |
//! | [`decode`] | bytes of a connection in, messages or the NOTIFICATION they deserve out (RFC 4271 §6, RFC 7606) |
//! | [`error`] | what can go wrong while encoding and decoding |
//!
//! The crate does no I/O, knows no time and starts nothing. Nothing received is kept: an UPDATE is validated, counted
//! and forgotten. There is no route selection, no policy and no re-announcement.

pub mod decode;
pub mod error;
pub mod message;

pub use decode::{Decoder, Frame, MessageKind, Received, UpdateView};
pub use error::{DecodeError, EncodeError, Fault, Malformed};
pub use message::{
    AfiSafi, AsPath, Asn, Attributes, Capabilities, Community, ErrorCode, ExtendedCommunity,
    Families, Family, LargeCommunity, Message, NextHop, Notification, Open, RouteRefresh, Update,
    WireRules,
};
