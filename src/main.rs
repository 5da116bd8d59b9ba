//! The `ricochet` program: chooses a command and runs it.

fn main() -> std::process::ExitCode {
    ricochet::cli::main()
}
