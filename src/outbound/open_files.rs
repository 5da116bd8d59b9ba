//! File descriptors: each connection takes one, and thousands of destinations many.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Connections that wait, at most, however many descriptors there are.
const MOST_IDLE: usize = 4_096;

/// Raises this process's limit as far as it may go, and says what it is then.
pub fn raise_limit() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    let limit = if raised { hard } else { soft };
    tracing::info!(limit, was = soft, "open files");
    if limit < 4_096 {
        tracing::warn!(
            limit,
            "few open files are allowed, and each connection takes one; raise the hard limit (ulimit -Hn, \
             LimitNOFILE=, --ulimit nofile=)"
        );
    }
}

/// A quarter of what may be open: the rest is for connections in use, the doors and the stores.
pub fn idle_connections() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(soft, _)| soft);
    usize::try_from(limit / 4).unwrap_or(usize::MAX).clamp(16, MOST_IDLE)
}
