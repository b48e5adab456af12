//! `harbinger completions SHELL`: a script for the shell, on standard output.

use crate::output::{self, Verdict};

/// Which shell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell to complete in.
    pub shell: clap_complete::Shell,
}

/// Prints the script.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<Verdict> {
    output::print(&script(args.shell))?;
    Ok(Verdict::Good)
}

/// The script.
pub fn script(shell: clap_complete::Shell) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut super::command(), "harbinger", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
