//! MetalLB's file is read, anything else is told.

use super::parse;

#[test]
fn the_list_of_metallb_is_read() {
    let text = "announcedInterfacesToExclude: [\"^docker.*\", \"^lo$\"]\n";
    assert_eq!(parse(text).unwrap(), ["^docker.*", "^lo$"]);
    assert_eq!(parse("").unwrap(), [""; 0]);
    assert_eq!(parse("announcedInterfacesToExclude:\n").unwrap(), [""; 0]);
}

#[test]
fn what_is_no_list_is_told() {
    for bad in [
        "announcedInterfacesToExclude: {a: b}",
        "[",
        "- a",
        &"#".repeat(2 << 20),
    ] {
        assert!(
            parse(bad).is_err(),
            "{}",
            bad.chars().take(40).collect::<String>()
        );
    }
}
