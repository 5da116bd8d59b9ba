//! What the tests share: engines, databases, servers as processes of their own, trackers.

pub mod clickhouse;
pub mod closing_proxy;
pub mod databases;
pub mod dns;
pub mod forward_proxy;
pub mod mmdb;
pub mod server;
pub mod tracker;
pub mod wire;
pub mod world;

use std::time::{Duration, Instant};

/// How long a test waits for something that has to happen; far longer than it takes.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// Looks until there is something to see. Not a wait for luck: what never comes fails the test.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
