//! What one node hears of a destination, all heed.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use ricochet::domain::destination::share::Limits;
use ricochet::domain::ids::{NodeId, PostbackId};

use super::stage::{postback, report, until_acquainted, until_looked_again};
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

async fn until_logged(server: &Server, line: &str) {
    eventually(line, || async { server.log().contains(line).then_some(()) }).await;
}

/// Waits until a node knows that the destination is failing: by itself, or from the other.
async fn until_known_to_fail(node: &Server) {
    eventually("a node knows that the destination is failing", || async {
        let log = node.log();
        (log.contains("keeps failing") || log.contains("found a destination failing")).then_some(())
    })
    .await;
}

/// Two nodes that know of each other and of the postback.
async fn two_nodes(world: &World, tracker: &Tracker, settings: &str) -> ([Server; 2], String) {
    let first = Server::start(&world.databases).await;
    let postback = postback(world, &first, tracker, settings).await;
    let nodes = [first, Server::start(&world.databases).await];
    until_acquainted(&nodes).await;
    (nodes, postback)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_asks_one_node_to_be_left_alone_hears_from_none() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("429 Slow down\r\nretry-after: 8")).await;
    let (nodes, _) = two_nodes(&world, &tracker, "retry: {scheduleMs: [50, 50, 50]}").await;
    let click = world.click(&nodes[0], world.fixed.1).await;
    report(&world, &nodes[0], &click, 0..1).await;
    until_logged(&nodes[0], "asks to be left alone").await;
    until_logged(&nodes[1], "another node was asked (Retry-After) to leave a destination alone").await;
    assert_eq!(tracker.received().len(), 1);
    tracker.behave(OK);
    tokio::join!(
        report(&world, &nodes[0], &click, 10..20),
        report(&world, &nodes[1], &click, 20..30),
        until_looked_again(&nodes),
    );
    // One that comes only now heeds it from its start on.
    let late = Server::start(&world.databases).await;
    report(&world, &late, &click, 30..40).await;
    let received = tracker.until_received(31).await;
    let waited = received[1].at - received[0].at;
    assert!(waited >= Duration::from_millis(7_900), "the next one came after {waited:?}");
    let attempts = world.attempts(&nodes[0], 32).await;
    assert_eq!(attempts.len(), 32, "waiting is no attempt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_resumes_a_postback_does_not_wait_for_what_its_destination_asked() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("429 Slow down\r\nretry-after: 3600")).await;
    let (nodes, postback) = two_nodes(&world, &tracker, "").await;
    let click = world.click(&nodes[0], world.fixed.1).await;
    report(&world, &nodes[0], &click, 0..1).await;
    until_logged(&nodes[1], "another node was asked").await;
    tracker.behave(OK);
    tokio::join!(report(&world, &nodes[0], &click, 1..5), report(&world, &nodes[1], &click, 5..9));
    until_looked_again(&nodes).await;
    assert_eq!(tracker.received().len(), 1);
    let resume = format!(r#"mutation {{ resumePostback(postbackId: "{postback}") {{ postbackId }} }}"#);
    world.ask(&nodes[1], &resume).await;
    tracker.until_received(9).await;
    // The one that was answered so keeps its own time.
    let waiting = "SELECT count(*) FROM deliveries WHERE next_attempt_at > now() + interval '30 minutes'";
    assert_eq!(world.count(waiting).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_probes_for_all_and_another_in_its_place() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("500 Down")).await;
    let (nodes, postback) = two_nodes(&world, &tracker, "maxInFlight: 2").await;
    let click = world.click(&nodes[0], world.fixed.1).await;
    // One place each, so nothing is under way beside the last failure of a row.
    report(&world, &nodes[0], &click, 0..10).await;
    for node in &nodes {
        until_known_to_fail(node).await;
    }
    let open_since = Instant::now();
    report(&world, &nodes[1], &click, 10..20).await;
    until_looked_again(&nodes).await;

    let probes = || async {
        let probes: Vec<Instant> =
            tracker.received().iter().map(|one| one.at).filter(|at| *at > open_since).collect();
        probes
    };
    let first_three =
        eventually("three probes go", || async { Some(probes().await).filter(|probes| probes.len() >= 3) })
            .await;
    let pauses: Vec<Duration> = first_three.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().all(|pause| *pause >= Duration::from_millis(990)), "{pauses:?}");
    // The second opening of the breaker and the third: 2 s at least, then 4 s.
    assert!(pauses[1] >= Duration::from_millis(1_990), "{pauses:?}");

    // The one that probes dies.
    let destination = format!(
        r#"{{ destinations(filter: {{postbackIds: ["{postback}"]}}) {{ edges {{ node {{ nodes {{ nodeId }} }} }} }} }}"#
    );
    let shown = world.ask(&nodes[0], &destination).await;
    let states = shown["destinations"]["edges"][0]["node"]["nodes"].as_array().unwrap().clone();
    let ids: HashSet<NodeId> =
        states.iter().map(|state| NodeId(state["nodeId"].as_str().unwrap().parse().unwrap())).collect();
    let alive: Vec<NodeId> = ids.into_iter().collect();
    assert_eq!(alive.len(), 2);
    let limits = Limits { max_in_flight: 2, rate: None };
    let id = PostbackId(postback.parse().unwrap());
    let prober = alive.iter().find(|node| limits.share(**node, &alive, id).is_prober).unwrap();
    let (mut dying, mut other) = nodes.into();
    if !dying.log().contains(&format!("node={}", prober.0)) {
        std::mem::swap(&mut dying, &mut other);
    }
    dying.kill();
    let before = probes().await.len();
    eventually("the other one probes", || async { (probes().await.len() > before).then_some(()) }).await;
    tracker.behave(OK);
    world.until_settled().await;
    let delivered = "SELECT count(*) FROM deliveries_finished WHERE state = 'delivered'";
    assert_eq!(world.count(delivered).await, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_finds_well_all_go_on_with() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("503 Busy")).await;
    let (nodes, _) = two_nodes(&world, &tracker, "maxInFlight: 2, retry: {scheduleMs: [50, 50]}").await;
    let click = world.click(&nodes[0], world.fixed.1).await;
    tokio::join!(report(&world, &nodes[0], &click, 0..10), report(&world, &nodes[1], &click, 10..20));
    for node in &nodes {
        until_known_to_fail(node).await;
    }
    tracker.behave(OK);
    for node in &nodes {
        eventually("both know that it is closed", || async {
            let log = node.log();
            (log.contains("is well again") || log.contains("found a destination well")).then_some(())
        })
        .await;
    }
    world.until_settled().await;
}
