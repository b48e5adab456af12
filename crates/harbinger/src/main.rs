//! The program: hands its arguments to the library and its answer to the shell.

use std::process::ExitCode;

fn main() -> ExitCode {
    harbinger::cli::main(std::env::args_os())
}
