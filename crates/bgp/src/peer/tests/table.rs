//! The table against RFC 4271 §8.2.2, every state with every event.

use super::super::fsm::{Act, Event, Notify, State, Transition, transition};

fn letter(state: State) -> char {
    match state {
        State::Idle => 'I',
        State::Connect => 'C',
        State::Active => 'A',
        State::OpenSent => 'S',
        State::OpenConfirm => 'O',
        State::Established => 'E',
    }
}

fn short(act: &Act) -> char {
    match act {
        Act::Dial => 'D',
        Act::StartConnectRetry => 'T',
        Act::StopConnectRetry => 't',
        Act::SendOpen => 'o',
        Act::StartOpenHold => 'H',
        Act::StartSessionTimers => 'S',
        Act::RestartHold => 'r',
        Act::SendKeepalive => 'k',
        Act::Notify(Notify::Given) => 'n',
        Act::Notify(Notify::HoldExpired) => 'h',
        Act::Notify(Notify::SendHoldExpired) => 's',
        Act::Notify(Notify::Fsm) => 'f',
        Act::Drop => 'x',
        Act::Damp => 'd',
        Act::ForgetFailures => 'z',
        Act::Establish => '+',
    }
}

fn cell(row: Transition) -> String {
    let acts: String = row.acts.iter().map(short).collect();
    format!("{}:{acts}", letter(row.next))
}

/// Next state and acts: D dial, T start and t stop the retry timer, o OPEN, H wait for theirs, k KEEPALIVE, S session
/// timers, r restart the hold timer, n the given NOTIFICATION, h 4/0, s 8/0, f 5/x, x drop, d back-off, z forget
/// failures, + established.
const TABLE: &str = "
    event                Idle  Connect Active  OpenSent OpenConfirm Established
    Start                C:TD  C:      A:      S:       O:          E:
    ManualStop           I:    I:txz   I:txz   I:nxz    I:nxz       I:nxz
    AutomaticStop        I:    I:txd   I:txd   I:nxd    I:nxd       I:nxd
    ConnectRetryExpires  I:    C:xTD   C:TD    I:fxd    I:fxd       I:fxd
    HoldExpires          I:    I:txd   I:txd   I:hxd    I:hxd       I:hxd
    KeepaliveExpires     I:    I:txd   I:txd   I:fxd    O:k         E:k
    IdleHoldExpires      C:TD  I:txd   I:txd   I:fxd    I:fxd       I:fxd
    SendHoldExpires      I:    I:txd   I:txd   I:fxd    I:sxd       I:sxd
    TcpConfirmed         I:x   S:toH   S:toH   S:       O:          E:
    TcpFails             I:    A:x     I:txd   I:xd     I:xd        I:xd
    Open                 I:    I:txd   I:txd   O:kS     I:fxd       I:fxd
    HeaderError          I:    I:txd   I:txd   I:nxd    I:nxd       I:nxd
    OpenError            I:    I:txd   I:txd   I:nxd    I:nxd       I:fxd
    CollisionDump        I:    I:tx    I:tx    I:nx     I:nx        I:nx
    NotificationVersion  I:    I:txd   I:txd   I:xd     I:xd        I:xd
    Notification         I:    I:txd   I:txd   I:xd     I:xd        I:xd
    Keepalive            I:    I:txd   I:txd   I:fxd    E:r+        E:r
    Update               I:    I:txd   I:txd   I:fxd    I:fxd       E:r
    UpdateError          I:    I:txd   I:txd   I:fxd    I:fxd       I:nxd
    RouteRefresh         I:    I:txd   I:txd   I:fxd    I:fxd       E:
";

// BGP-60
// BGP-61
#[test]
fn every_state_answers_every_event_as_the_rfc_says() {
    let mut rows = TABLE.lines().map(str::trim).filter(|line| !line.is_empty());
    let head: Vec<&str> = rows.next().unwrap().split_whitespace().skip(1).collect();
    let states: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
    assert_eq!(head, states);
    let mut seen = 0;
    for (event, row) in Event::ALL.into_iter().zip(rows.by_ref()) {
        let mut cells = row.split_whitespace();
        assert_eq!(cells.next(), Some(format!("{event:?}").as_str()));
        for (state, expected) in State::ALL.into_iter().zip(cells) {
            assert_eq!(
                cell(transition(state, event)),
                expected,
                "{state:?} and {event:?}"
            );
            seen += 1;
        }
    }
    assert_eq!(
        (seen, rows.next()),
        (Event::ALL.len() * State::ALL.len(), None)
    );
}

#[test]
fn a_session_is_reached_by_the_path_of_the_rfc_alone() {
    for state in State::ALL {
        for event in Event::ALL {
            let row = transition(state, event);
            let forward = row.next > state;
            let fine = matches!(
                (state, event, row.next),
                (
                    State::Idle,
                    Event::Start | Event::IdleHoldExpires,
                    State::Connect
                ) | (
                    State::Connect | State::Active,
                    Event::TcpConfirmed,
                    State::OpenSent
                ) | (State::Connect, Event::TcpFails, State::Active)
                    | (State::OpenSent, Event::Open, State::OpenConfirm)
                    | (State::OpenConfirm, Event::Keepalive, State::Established)
            );
            assert!(
                !forward || fine,
                "{state:?} and {event:?} lead to {:?}",
                row.next
            );
            // Whoever leaves a connection lets go of it, and only a stop or a collision costs no back-off.
            if state >= State::OpenSent && row.next == State::Idle {
                assert!(row.acts.contains(&Act::Drop));
                let free = matches!(event, Event::ManualStop | Event::CollisionDump);
                assert_eq!(
                    row.acts.contains(&Act::Damp),
                    !free,
                    "{state:?} and {event:?}"
                );
            }
        }
    }
}
