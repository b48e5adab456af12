//! The conversion of stamps; the sockets themselves are shown in the labs.

use super::*;

fn clock() -> Clock {
    let now = Instant::now();
    Clock {
        previous: now - Duration::from_millis(100),
        now,
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
    }
}

// BFD-50
#[test]
fn a_stamp_becomes_monotonic_by_its_age_and_stays_within_the_turn() {
    let clock = clock();
    let ms = Duration::from_millis;
    let at = |stamp: SystemTime| clock.monotonic(stamp);
    assert_eq!(at(clock.wall - ms(40)), clock.now - ms(40));
    assert_eq!(at(clock.wall), clock.now);
    assert_eq!(
        at(clock.wall + ms(5)),
        clock.now,
        "came after the clocks were read"
    );
    assert_eq!(
        at(clock.wall - ms(5_000)),
        clock.previous,
        "read empty in the turn before"
    );
    assert_eq!(
        at(clock.wall - ms(3_600_000)),
        clock.now,
        "clock set an hour on"
    );
    assert_eq!(
        at(clock.wall + ms(3_600_000)),
        clock.now,
        "clock set an hour back"
    );
}
