//! Durations as Go writes them: `90s`, `1m30s`, `1.5h`.

use std::time::Duration;

/// Reads a duration. `None` when Go's `time.ParseDuration` would refuse it, when it is
/// negative or when it does not fit; what is below a nanosecond is cut off.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" || text == "-0" {
        return Some(Duration::ZERO);
    }
    let mut nanos: u128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, tail) = rest.split_at(number);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, tail) = tail.split_at(unit.unwrap_or(tail.len()));
        nanos = nanos.checked_add(scaled(digits, scale(unit)?)?)?;
        rest = tail;
    }
    let nanos = u64::try_from(nanos).ok()?;
    // Go's durations are signed 64 bit.
    i64::try_from(nanos).ok()?;
    Some(Duration::from_nanos(nanos))
}

/// Nanoseconds of a unit.
fn scale(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn scaled(digits: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u128 = match whole {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    let mut nanos = whole.checked_mul(scale)?;
    // LIMIT: digits after the point that count; an hour has 3.6e12 nanoseconds.
    let mut place = scale;
    for digit in fraction.bytes().take(15) {
        place /= 10;
        nanos = nanos.checked_add(u128::from(digit - b'0').checked_mul(place)?)?;
    }
    Some(nanos)
}
