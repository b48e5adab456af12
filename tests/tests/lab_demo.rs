//! The demo comes to its end and shows each of its acts.

use std::process::Command;

use tests::fleet;
use tests::lab;

tests::enter_lab_at_start!();

#[test]
fn the_demo_shows_all_its_acts() {
    if !lab::ready() {
        return;
    }
    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"));
    demo.env("HARBINGER_BIN", fleet::binary().unwrap());
    let output = demo.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
    let acts = [
        "announced it after",
        "GET http://192.0.2.200:80/ -> pod-",
        "GET http://[2001:db8:2::200]:80/ -> pod-",
        "A person moves it",
        "announced 192.0.2.200",
        ": 0 lost",
        "is paused",
        "it answered 0;",
        "is silent",
        "the client's next answer came",
        "and over IPv6: pod-",
        "is back",
        "it has announced 192.0.2.200 0 times",
        "Done.",
    ];
    let mut rest = text.as_ref();
    for act in acts {
        let (_, after) = rest
            .split_once(act)
            .unwrap_or_else(|| panic!("{act:?} is missing"));
        rest = after;
    }
}
