//! The state machine of one connection as a table: (state, event) to (next state, acts). RFC 4271 §8.2.2.
//!
//! Owns which state follows and what is to be done, one function per state, each naming every event: another state or
//! event does not compile until each has its row. It does nothing itself; the peer carries the acts out in their order.
//!
//! `DIFFERS:` from §8.2.2, besides the optional events that are not there (DelayOpen, passive start; 4 to 7, 12, 20):
//! - Connect and a failed attempt: Active with the retry timer running, not Idle, so that a router that is away costs
//!   one dial per ConnectRetryTime and no back-off (BGP-62).
//! - OpenSent and a lost connection: Idle with back-off, not Active (BGP-62).
//! - A NOTIFICATION is never answered with one, also not in OpenSent (BGP-72); each starts the back-off.
//! - A bad header in Established is told with its own code, not as an FSM error.
//! - A second OPEN on one connection is an FSM error in OpenConfirm too (BGP-69); a collision is an event of its own.
//! - A lost collision starts no back-off.

/// The state of one connection of the peer, or of the attempt to get one (RFC 4271 §8.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing is tried: stopped, held back after an error, or something needed is missing.
    Idle,
    /// A TCP connection is being opened.
    Connect,
    /// No connection; the next attempt waits for its timer.
    Active,
    /// TCP is up, our OPEN is sent, theirs is awaited.
    OpenSent,
    /// Both OPENs are seen, their KEEPALIVE is awaited.
    OpenConfirm,
    /// Routes are announced.
    Established,
}

impl State {
    /// Every state, in the order a session takes.
    pub const ALL: [State; 6] = [
        State::Idle,
        State::Connect,
        State::Active,
        State::OpenSent,
        State::OpenConfirm,
        State::Established,
    ];

    /// The name as RFC 4271 and every router print it.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Idle => "Idle",
            State::Connect => "Connect",
            State::Active => "Active",
            State::OpenSent => "OpenSent",
            State::OpenConfirm => "OpenConfirm",
            State::Established => "Established",
        }
    }
}

/// What can happen to a connection. Numbers are those of RFC 4271 §8.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// 1, 3: the session is wanted.
    Start,
    /// 2: told to stop, with the Cease that goes along.
    ManualStop,
    /// 8: stopped by ourselves for a cause that may pass (BFD down, configuration), with the Cease that goes along.
    AutomaticStop,
    /// 9: time for the next attempt.
    ConnectRetryExpires,
    /// 10: nothing was heard for the hold time.
    HoldExpires,
    /// 11: time to say something.
    KeepaliveExpires,
    /// 13: held back for long enough.
    IdleHoldExpires,
    /// 29 (RFC 9687): nothing could be sent for the send-hold time.
    SendHoldExpires,
    /// 16, 17: TCP is up.
    TcpConfirmed,
    /// 18: the attempt failed, or the connection is gone.
    TcpFails,
    /// 19: a valid OPEN that we agree with.
    Open,
    /// 21: a message whose header is wrong.
    HeaderError,
    /// 22: an OPEN that is malformed or that we do not agree with.
    OpenError,
    /// 23: this connection lost the comparison (§6.8).
    CollisionDump,
    /// 24: a NOTIFICATION that says: unsupported version.
    NotificationVersion,
    /// 25: any other NOTIFICATION.
    Notification,
    /// 26: a KEEPALIVE.
    Keepalive,
    /// 27: an UPDATE, also one that is treated as withdraw.
    Update,
    /// 28: an UPDATE, or another message of an open session, that asks for a reset.
    UpdateError,
    /// A ROUTE-REFRESH (RFC 2918).
    RouteRefresh,
}

impl Event {
    /// Every event.
    pub const ALL: [Event; 20] = [
        Event::Start,
        Event::ManualStop,
        Event::AutomaticStop,
        Event::ConnectRetryExpires,
        Event::HoldExpires,
        Event::KeepaliveExpires,
        Event::IdleHoldExpires,
        Event::SendHoldExpires,
        Event::TcpConfirmed,
        Event::TcpFails,
        Event::Open,
        Event::HeaderError,
        Event::OpenError,
        Event::CollisionDump,
        Event::NotificationVersion,
        Event::Notification,
        Event::Keepalive,
        Event::Update,
        Event::UpdateError,
        Event::RouteRefresh,
    ];
}

/// One thing to do, in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Begin a TCP connection.
    Dial,
    /// Start the timer of the next attempt.
    StartConnectRetry,
    /// Stop it.
    StopConnectRetry,
    /// Send our OPEN.
    SendOpen,
    /// Wait for their OPEN no longer than [`super::timers::OPEN_HOLD`] (BGP-66).
    StartOpenHold,
    /// Start hold and keepalive timers with the negotiated values.
    StartSessionTimers,
    /// Something was heard: the hold timer begins again.
    RestartHold,
    /// Send a KEEPALIVE.
    SendKeepalive,
    /// Send this NOTIFICATION, the last message of the connection (BGP-73).
    Notify(Notify),
    /// Let go of the connection: after the NOTIFICATION where there is one, at once otherwise.
    Drop,
    /// A failed session: hold back before the next attempt (§8.1.1, DampPeerOscillations).
    Damp,
    /// Told to stop: forget the failures.
    ForgetFailures,
    /// The session is up: announce.
    Establish,
}

/// Which NOTIFICATION.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notify {
    /// The one that came with the event.
    Given,
    /// 4/0, the hold timer.
    HoldExpired,
    /// 8/0, the send-hold timer (RFC 9687).
    SendHoldExpired,
    /// 5/1, 5/2 or 5/3 by the state (RFC 6608), the type of the message as data.
    Fsm,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state after it.
    pub next: State,
    /// What is to be done, in order.
    pub acts: &'static [Act],
}

const fn to(next: State, acts: &'static [Act]) -> Transition {
    Transition { next, acts }
}

/// The row for this state and this event.
pub fn transition(state: State, event: Event) -> Transition {
    match state {
        State::Idle => idle(event),
        State::Connect => connect(event),
        State::Active => active(event),
        State::OpenSent => open_sent(event),
        State::OpenConfirm => open_confirm(event),
        State::Established => established(event),
    }
}

const DIAL: &[Act] = &[Act::StartConnectRetry, Act::Dial];
const REDIAL: &[Act] = &[Act::Drop, Act::StartConnectRetry, Act::Dial];
const OPENED: &[Act] = &[Act::StopConnectRetry, Act::SendOpen, Act::StartOpenHold];
const LET_GO: &[Act] = &[Act::StopConnectRetry, Act::Drop, Act::ForgetFailures];
const GONE: &[Act] = &[Act::StopConnectRetry, Act::Drop, Act::Damp];
const STOP: &[Act] = &[Act::Notify(Notify::Given), Act::Drop, Act::ForgetFailures];
const FAIL: &[Act] = &[Act::Notify(Notify::Given), Act::Drop, Act::Damp];
const DUMP: &[Act] = &[Act::Notify(Notify::Given), Act::Drop];
const HOLD: &[Act] = &[Act::Notify(Notify::HoldExpired), Act::Drop, Act::Damp];
const SEND_HOLD: &[Act] = &[Act::Notify(Notify::SendHoldExpired), Act::Drop, Act::Damp];
const FSM: &[Act] = &[Act::Notify(Notify::Fsm), Act::Drop, Act::Damp];
const CLOSED: &[Act] = &[Act::Drop, Act::Damp];
const CONFIRM: &[Act] = &[Act::SendKeepalive, Act::StartSessionTimers];

fn idle(event: Event) -> Transition {
    match event {
        Event::Start | Event::IdleHoldExpires => to(State::Connect, DIAL),
        // A connection that arrives now is refused without a word.
        Event::TcpConfirmed => to(State::Idle, &[Act::Drop]),
        Event::ManualStop
        | Event::AutomaticStop
        | Event::ConnectRetryExpires
        | Event::HoldExpires
        | Event::KeepaliveExpires
        | Event::SendHoldExpires
        | Event::TcpFails
        | Event::Open
        | Event::HeaderError
        | Event::OpenError
        | Event::CollisionDump
        | Event::NotificationVersion
        | Event::Notification
        | Event::Keepalive
        | Event::Update
        | Event::UpdateError
        | Event::RouteRefresh => to(State::Idle, &[]),
    }
}

fn connect(event: Event) -> Transition {
    match event {
        Event::Start => to(State::Connect, &[]),
        Event::ManualStop => to(State::Idle, LET_GO),
        Event::ConnectRetryExpires => to(State::Connect, REDIAL),
        Event::TcpConfirmed => to(State::OpenSent, OPENED),
        Event::TcpFails => to(State::Active, &[Act::Drop]),
        // An accepted connection is further: this attempt is not needed.
        Event::CollisionDump => to(State::Idle, &[Act::StopConnectRetry, Act::Drop]),
        Event::AutomaticStop
        | Event::HoldExpires
        | Event::KeepaliveExpires
        | Event::IdleHoldExpires
        | Event::SendHoldExpires
        | Event::Open
        | Event::HeaderError
        | Event::OpenError
        | Event::NotificationVersion
        | Event::Notification
        | Event::Keepalive
        | Event::Update
        | Event::UpdateError
        | Event::RouteRefresh => to(State::Idle, GONE),
    }
}

fn active(event: Event) -> Transition {
    match event {
        Event::Start => to(State::Active, &[]),
        Event::ManualStop => to(State::Idle, LET_GO),
        Event::ConnectRetryExpires => to(State::Connect, DIAL),
        Event::TcpConfirmed => to(State::OpenSent, OPENED),
        Event::CollisionDump => to(State::Idle, &[Act::StopConnectRetry, Act::Drop]),
        Event::AutomaticStop
        | Event::HoldExpires
        | Event::KeepaliveExpires
        | Event::IdleHoldExpires
        | Event::SendHoldExpires
        | Event::TcpFails
        | Event::Open
        | Event::HeaderError
        | Event::OpenError
        | Event::NotificationVersion
        | Event::Notification
        | Event::Keepalive
        | Event::Update
        | Event::UpdateError
        | Event::RouteRefresh => to(State::Idle, GONE),
    }
}

fn open_sent(event: Event) -> Transition {
    match event {
        // Events 16 and 17 tell of the other connection here; it has a machine of its own.
        Event::Start | Event::TcpConfirmed => to(State::OpenSent, &[]),
        Event::ManualStop => to(State::Idle, STOP),
        Event::AutomaticStop | Event::HeaderError | Event::OpenError => to(State::Idle, FAIL),
        Event::HoldExpires => to(State::Idle, HOLD),
        Event::Open => to(State::OpenConfirm, CONFIRM),
        Event::CollisionDump => to(State::Idle, DUMP),
        Event::TcpFails | Event::NotificationVersion | Event::Notification => {
            to(State::Idle, CLOSED)
        }
        Event::ConnectRetryExpires
        | Event::KeepaliveExpires
        | Event::IdleHoldExpires
        | Event::SendHoldExpires
        | Event::Keepalive
        | Event::Update
        | Event::UpdateError
        | Event::RouteRefresh => to(State::Idle, FSM),
    }
}

fn open_confirm(event: Event) -> Transition {
    match event {
        Event::Start | Event::TcpConfirmed => to(State::OpenConfirm, &[]),
        Event::ManualStop => to(State::Idle, STOP),
        Event::AutomaticStop | Event::HeaderError | Event::OpenError => to(State::Idle, FAIL),
        Event::HoldExpires => to(State::Idle, HOLD),
        Event::SendHoldExpires => to(State::Idle, SEND_HOLD),
        Event::KeepaliveExpires => to(State::OpenConfirm, &[Act::SendKeepalive]),
        Event::CollisionDump => to(State::Idle, DUMP),
        Event::Keepalive => to(State::Established, &[Act::RestartHold, Act::Establish]),
        Event::TcpFails | Event::NotificationVersion | Event::Notification => {
            to(State::Idle, CLOSED)
        }
        Event::ConnectRetryExpires
        | Event::IdleHoldExpires
        | Event::Open
        | Event::Update
        | Event::UpdateError
        | Event::RouteRefresh => to(State::Idle, FSM),
    }
}

fn established(event: Event) -> Transition {
    match event {
        Event::Start | Event::TcpConfirmed => to(State::Established, &[]),
        Event::ManualStop => to(State::Idle, STOP),
        Event::AutomaticStop | Event::HeaderError | Event::UpdateError => to(State::Idle, FAIL),
        Event::HoldExpires => to(State::Idle, HOLD),
        Event::SendHoldExpires => to(State::Idle, SEND_HOLD),
        Event::KeepaliveExpires => to(State::Established, &[Act::SendKeepalive]),
        Event::CollisionDump => to(State::Idle, DUMP),
        Event::Keepalive | Event::Update => to(State::Established, &[Act::RestartHold]),
        // RFC 4271 §6.5 names KEEPALIVE and UPDATE only.
        Event::RouteRefresh => to(State::Established, &[]),
        Event::TcpFails | Event::NotificationVersion | Event::Notification => {
            to(State::Idle, CLOSED)
        }
        Event::ConnectRetryExpires | Event::IdleHoldExpires | Event::Open | Event::OpenError => {
            to(State::Idle, FSM)
        }
    }
}
