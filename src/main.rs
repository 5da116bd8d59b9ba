//! The `ricochet` program: chooses a command and runs it.

/// Answers of ten thousand rows are built of many small pieces and dropped at once: glibc hands their
/// pages to the kernel each time, and takes them anew, cleared.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    ricochet::cli::main()
}
