//! A node that stops finishes what it has begun, and nobody else begins it.

use std::time::Duration;

use super::stage::{metric, postback, report, until_acquainted};
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{Manner, Tracker};
use crate::support::world::World;

/// Longer than a node's lease, which is 6 s, and shorter than the grace period.
const SLOW: Duration = Duration::from_secs(8);

// Several threads: the tracker answers while the test waits for the process to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_at_a_stop_is_sent_by_nobody_else() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Slow(SLOW, "200 OK")).await;
    let first = Server::start(&world.databases).await;
    postback(&world, &first, &tracker, "timeoutMs: 30000").await;
    let nodes = [first, Server::start(&world.databases).await];
    until_acquainted(&nodes).await;
    let click = world.click(&nodes[0], world.fixed.1).await;
    report(&world, &nodes[0], &click, 0..1).await;
    tracker.until_received(1).await;
    let [mut stopping, other] = nodes;
    let stopped = tokio::task::spawn_blocking(move || stopping.stop());
    // The others share the destinations without it at once, and leave it what it has.
    eventually("the other node knows that it is leaving", || async {
        (metric(&other, "ricochet_live_nodes").await < 2.0).then_some(())
    })
    .await;
    let unfinished = "SELECT count(*) FROM deliveries WHERE claimed_by IS NOT NULL";
    assert_eq!(world.count(unfinished).await, 1, "it is known to be leaving while its request is under way");
    assert!(stopped.await.unwrap().success());

    let attempts = world.attempts(&other, 1).await;
    let told: Vec<_> = attempts.iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(told, ["DELIVERED"]);
    assert_eq!(tracker.received().len(), 1, "it was sent once");
    assert_eq!(world.count("SELECT count(*) FROM nodes").await, 1);
}
