//! The answer for a person.

use std::fmt::Write as _;

use super::{Explanation, State};

pub(super) fn text(explanation: &Explanation) -> String {
    let mut out = format!("{}\n", explanation.service);
    for hop in &explanation.hops {
        let mark = match hop.state {
            State::Ok => "ok     ",
            State::Broken => "BROKEN ",
            State::Unknown => "?      ",
        };
        let _infallible = writeln!(out, "  {mark} {}", hop.hop);
        for line in &hop.evidence {
            let _infallible = writeln!(out, "            {line}");
        }
        if let Some(mend) = &hop.mend {
            let _infallible = writeln!(out, "          → {mend}");
        }
    }
    let end = match explanation.broken {
        Some(hop) => format!("first broken hop: {hop}"),
        None => "no broken hop in the objects".to_owned(),
    };
    let _infallible = writeln!(out, "{end}");
    out
}
