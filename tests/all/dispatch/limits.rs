//! Rates and places, of one node and shared by two.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::stage::{postback, report, until_acquainted, until_looked_again};
use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

/// The most requests of any sliding second.
fn most_in_a_second(mut times: Vec<Instant>) -> usize {
    times.sort_unstable();
    let within = |from: &Instant, to: &Instant| *to - *from < Duration::from_secs(1);
    (0..times.len())
        .map(|first| times[first..].iter().take_while(|time| within(&times[first], time)).count())
        .max()
        .unwrap_or(0)
}

/// Two servers that know the postback, and each other.
async fn two_nodes(world: &World, tracker: &Tracker, settings: &str) -> [Server; 2] {
    let first = Server::start(&world.databases).await;
    postback(world, &first, tracker, settings).await;
    let second = Server::start(&world.databases).await;
    let nodes = [first, second];
    until_acquainted(&nodes).await;
    nodes
}

fn times(tracker: &Tracker) -> Vec<Instant> {
    tracker.received().iter().map(|received| received.at).collect()
}

#[tokio::test]
async fn a_rate_is_kept_and_used_by_both_ways_of_sending() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    postback(&world, &server, &tracker, "limits: {ratePerSecond: 40, burst: 4}").await;
    let click = world.click(&server, world.fixed.1).await;
    let started = Instant::now();
    report(&world, &server, &click, 0..120).await;
    let received = tracker.until_received(120).await;
    // 116 of them had to wait for a token, 25 ms each.
    assert!(started.elapsed() >= Duration::from_millis(2_800), "{:?}", started.elapsed());
    let distinct: HashSet<_> = received.iter().map(|request| request.parameter("txid")).collect();
    assert_eq!(distinct.len(), 120);
    let most = most_in_a_second(times(&tracker));
    assert!(most <= 40 + 4 + 2, "{most} requests in a second");
    let attempts = world.attempts(&server, 120).await;
    assert!(attempts.iter().all(|attempt| attempt["attempt"] == 1), "waiting for a token is no attempt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_share_a_rate() {
    const RATE: usize = 40;
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let nodes = two_nodes(&world, &tracker, "limits: {ratePerSecond: 40, burst: 4}").await;
    let click = world.click(&nodes[0], world.fixed.1).await;
    tokio::join!(report(&world, &nodes[0], &click, 0..100), report(&world, &nodes[1], &click, 100..200),);
    let received = tracker.until_received(200).await;
    let distinct: HashSet<_> = received.iter().map(|request| request.parameter("txid")).collect();
    assert_eq!(distinct.len(), 200);
    let most = most_in_a_second(times(&tracker));
    // What stands in docs/delivery.md: a tenth for the time between a token and the wire.
    assert!(most <= RATE + RATE / 10 + 4, "{most} requests in a second");
    let attempts = world.attempts(&nodes[0], 200).await;
    assert_eq!(attempts.len(), 200);
}

#[tokio::test]
async fn two_nodes_share_the_places() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let nodes = two_nodes(&world, &tracker, "timeoutMs: 60000, limits: {maxInFlight: 5}").await;
    let click = world.click(&nodes[0], world.fixed.1).await;
    // Each node has had an answer, which gives it all its places.
    tokio::join!(report(&world, &nodes[0], &click, 0..1), report(&world, &nodes[1], &click, 100..101));
    world.attempts(&nodes[0], 2).await;
    tracker.behave(Manner::Hang);
    tokio::join!(report(&world, &nodes[0], &click, 1..21), report(&world, &nodes[1], &click, 101..121));
    tracker.until_received(2 + 5).await;
    until_looked_again(&nodes).await;
    assert_eq!(tracker.received().len(), 2 + 5);
    assert_eq!(world.count("SELECT count(*) FROM deliveries WHERE claimed_by IS NOT NULL").await, 5);
    assert_eq!(world.count("SELECT count(*) FROM deliveries WHERE attempt > 0").await, 5);
}

#[tokio::test]
async fn limits_are_set_changed_and_refused_with_their_names() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let settings = "limits: {ratePerSecond: 2.5, burst: 3, maxInFlight: 7}, \
                    retry: {scheduleMs: [1000, 2000], maxAttempts: 9, retryAfterCapMs: 60000}";
    let id = postback(&world, &server, &tracker, settings).await;
    let fields = "limits { maxInFlight ratePerSecond burst } retry { scheduleMs maxAttempts retryAfterCapMs } \
                  maxInFlight retryScheduleMs pausedReason";
    let change = async |changes: &str| {
        let query = format!(
            r#"mutation {{ updatePostback(input: {{postbackId: "{id}", {changes}}}) {{ {fields} }} }}"#
        );
        world.ask(&server, &query).await["updatePostback"].clone()
    };
    let mut expected = serde_json::json!({
        "limits": {"maxInFlight": 7, "ratePerSecond": 2.5, "burst": 3},
        "retry": {"scheduleMs": [1000, 2000], "maxAttempts": 9, "retryAfterCapMs": 60000},
        "maxInFlight": 7, "retryScheduleMs": [1000, 2000], "pausedReason": null,
    });
    assert_eq!(change("timeoutMs: 500").await, expected, "what is left out stays");
    expected["limits"] = serde_json::json!({"maxInFlight": 8, "ratePerSecond": null, "burst": null});
    expected["maxInFlight"] = 8.into();
    expected["retry"]["maxAttempts"] = serde_json::Value::Null;
    assert_eq!(
        change("maxInFlight: 8, limits: {ratePerSecond: null}, retry: {maxAttempts: null}").await,
        expected
    );

    for (changes, field) in [
        ("limits: {ratePerSecond: 0}", "input.limits.ratePerSecond"),
        ("limits: {burst: 5}", "input.limits.burst"),
        ("limits: {ratePerSecond: 5, burst: 0}", "input.limits.burst"),
        ("maxInFlight: 5, limits: {maxInFlight: 5}", "input.limits.maxInFlight"),
        ("retry: {scheduleMs: [0]}", "input.retry.scheduleMs"),
        ("retryScheduleMs: [5], retry: {scheduleMs: [5]}", "input.retry.scheduleMs"),
        ("retry: {scheduleMs: [], maxAttempts: 2}", "input.retry.maxAttempts"),
        ("retry: {maxAttempts: 0}", "input.retry.maxAttempts"),
        ("retry: {retryAfterCapMs: -1}", "input.retry.retryAfterCapMs"),
    ] {
        let query = format!(
            r#"mutation {{ updatePostback(input: {{postbackId: "{id}", {changes}}}) {{ postbackId }} }}"#
        );
        let request = world.client.post(server.url("/graphql")).bearer_auth(&world.owner_token);
        let answer: serde_json::Value =
            request.json(&serde_json::json!({ "query": query })).send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["errors"][0]["extensions"]["field"], field, "{changes}: {answer}");
    }
}
