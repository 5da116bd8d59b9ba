//! The command line.

use std::process::ExitCode;

use crate::embedded;

pub fn main() -> ExitCode {
    // First of all: this one has to block its signals before any thread exists.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|command| command == embedded::CLICKHOUSE_ENGINE_COMMAND) {
        return embedded::clickhouse_engine_main(arguments);
    }
    ExitCode::SUCCESS
}
