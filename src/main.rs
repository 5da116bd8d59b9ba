//! The `ricochet` program: chooses a command and runs it.

/// Answers of ten thousand rows are built of many small pieces and dropped at once: glibc hands their
/// pages to the kernel each time, and takes them anew, cleared.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    without_huge_pages();
    ricochet::cli::main()
}

/// The allocator asks the kernel for pages of 2 MiB. To be given one, cleared, takes milliseconds on a
/// virtual machine, in the middle of whatever first writes to it: longer than the whole way of a
/// postback. Where the kernel does not know of them there is nothing to do.
fn without_huge_pages() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
}
