//! A BGP-4 speaker that announces and does not route, as bytes in and bytes out.
//!
//! | module | what |
//! |---|---|
//! | [`message`] | the five messages, capabilities and path attributes as values, and their bytes |
//! | [`decode`] | bytes of a connection in, messages or the NOTIFICATION they deserve out (RFC 4271 §6, RFC 7606) |
//! | [`error`] | what can go wrong while encoding and decoding |
//! | [`config`] | one peer as it is configured, and what cannot be |
//! | [`routes`] | what is to be announced |
//! | [`peer`] | the machine of one peer: sessions, collisions, timers, what is announced |
//!
//! The crate does no I/O, knows no time and starts nothing. Nothing received is kept: an UPDATE is validated, counted
//! and forgotten. There is no route selection, no policy and no re-announcement.

pub mod config;
pub mod decode;
pub mod error;
pub mod message;
pub mod peer;
pub mod routes;

pub use config::{Config, ConfigError, ConfigNote, DynamicAsn, RestartSettings, Settings};
pub use decode::{Decoder, Frame, MessageKind, Received, UpdateView};
pub use error::{DecodeError, EncodeError, Fault, Malformed};
pub use message::{
    AfiSafi, AsPath, Asn, Attributes, Capabilities, Community, ErrorCode, ExtendedCommunity,
    Families, Family, LargeCommunity, Message, NextHop, Notification, Open, RouteRefresh, Update,
    WireRules,
};
pub use peer::{
    Action, Bfd, Close, Closed, ConnId, ConnectFailure, Endpoints, Obstacle, Peer, PeerEvent,
    Reason, State, View,
};
pub use routes::{RouteAttributes, RouteError, RouteSet};
