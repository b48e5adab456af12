//! The arithmetic of what came of many connections.

use super::*;

#[test]
fn a_tally_counts_and_finds_the_longest_silence() {
    let base = Instant::now();
    let ms = Duration::from_millis;
    let it = |at, took, outcome| Asked {
        at: base + ms(at),
        took: ms(took),
        outcome,
    };
    let all = [
        it(20, 900, Outcome::Lost),
        it(0, 3, Outcome::Answered),
        it(10, 2, Outcome::Answered),
        it(30, 5, Outcome::Cut),
        it(50, 7, Outcome::Answered),
        it(55, 900, Outcome::Lost),
    ];
    let expected = Tally {
        asked: 6,
        lost: 2,
        cut: 1,
        slowest: ms(7),
        silence: ms(40),
    };
    assert_eq!(tally(&all), expected);
    assert_eq!(tally(&[]), Tally::default());
    let silent = [it(0, 900, Outcome::Lost), it(70, 900, Outcome::Lost)];
    assert_eq!(
        tally(&silent).silence,
        ms(70),
        "from the first question to the last"
    );
}
