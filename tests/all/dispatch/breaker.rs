//! A destination that is down: parked, probed, and caught up with in order.

use std::collections::HashMap;

use super::stage::{postback, report, until_acquainted};
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Received, Tracker};
use crate::support::world::World;

#[tokio::test]
async fn a_destination_that_is_down_is_parked_probed_and_caught_up_with() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("500 Down")).await;
    let server = Server::start(&world.databases).await;
    // A delivery is tried three times at most: without the breaker all would be used up at once.
    let settings = "maxInFlight: 2, retry: {scheduleMs: [3000, 3000]}";
    postback(&world, &server, &tracker, settings).await;
    let click = world.click(&server, world.fixed.1).await;
    report(&world, &server, &click, 0..60).await;
    tracker.until_received(5).await;
    eventually("the breaker opens", || async { server.log().contains("keeps failing").then_some(()) }).await;
    // Two were under way at the fifth failure; the rest was not tried, but for probes that may have
    // gone by now.
    let untried =
        world.count("SELECT count(*) FROM deliveries WHERE attempt = 0 AND claimed_by IS NULL").await;
    let received = tracker.received();
    let is_pause = |pair: &[Received]| (pair[1].at - pair[0].at).as_millis() >= 900;
    let burst = received.windows(2).position(is_pause).map_or(received.len(), |last| last + 1);
    assert!(burst <= 7, "{burst} before the first probe");
    assert!(untried >= 60 - received.len() as i64, "{untried} are untouched");
    let pushed = "SELECT count(*) FROM deliveries WHERE attempt = 0 AND next_attempt_at > now()";
    assert_eq!(world.count(pushed).await, 0, "what waits stays due");

    // Probes go one at a time, after longer and longer waits.
    let probed = tracker.until_received(tracker.received().len() + 2).await;
    let [.., last_but_one, last] = probed.as_slice() else { unreachable!() };
    assert!((last.at - last_but_one.at).as_millis() >= 990);

    tracker.behave(OK);
    let attempts = world.attempts(&server, 60).await;
    assert!(server.log().contains("well again"));
    let mut numbers: HashMap<&str, Vec<u64>> = HashMap::new();
    for attempt in &attempts {
        let delivery = attempt["deliveryId"].as_str().unwrap();
        numbers.entry(delivery).or_default().push(attempt["attempt"].as_u64().unwrap());
    }
    assert_eq!(numbers.len(), 60);
    for of_one in numbers.values_mut() {
        of_one.sort_unstable();
        assert_eq!(*of_one, (1..=of_one.len() as u64).collect::<Vec<_>>());
    }
    let delivered = "SELECT count(*) FROM deliveries_finished WHERE state = 'delivered'";
    assert_eq!(world.count(delivered).await, 60, "no delivery has used up its tries");

    // Caught up oldest first: of those never tried before, numbers go up, but for the two places.
    let received = tracker.received();
    let first_tries: Vec<i64> = received[probed.len()..]
        .iter()
        .map(|request| request.parameter("txid").unwrap().parse().unwrap())
        .filter(|number: &i64| !probed.iter().any(|p| p.parameter("txid") == Some(number.to_string())))
        .collect();
    assert!(first_tries.len() > 40);
    assert!(first_tries.is_sorted_by(|a, b| *a < *b + 3), "{first_tries:?}");
}

#[tokio::test]
async fn refusals_of_single_requests_open_nothing() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("422 No such click")).await;
    let server = Server::start(&world.databases).await;
    postback(&world, &server, &tracker, "maxInFlight: 4").await;
    let click = world.click(&server, world.fixed.1).await;
    report(&world, &server, &click, 0..40).await;
    let attempts = world.attempts(&server, 40).await;
    assert!(attempts.iter().all(|attempt| attempt["outcome"] == "FAILED"));
    assert_eq!(attempts.len(), 40);
    assert!(!server.log().contains("keeps failing"));
}

#[tokio::test]
async fn every_node_shows_the_state_of_all() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("500 Down")).await;
    let nodes = [Server::start(&world.databases).await, Server::start(&world.databases).await];
    until_acquainted(&nodes).await;
    let settings = "limits: {maxInFlight: 1}, retry: {scheduleMs: [600000]}";
    let id = postback(&world, &nodes[0], &tracker, settings).await;
    let click = world.click(&nodes[0], world.fixed.1).await;
    report(&world, &nodes[0], &click, 0..20).await;
    let query = format!(
        r#"{{ destinations(filter: {{postbackIds: ["{id}"], breakers: [OPEN, HALF_OPEN]}}) {{ edges {{ node {{
            postbackId breaker probeAt backlog oldestDueAt consecutiveFailures lastFailureAt lastSuccessAt
            isPaused limits {{ maxInFlight }} nodes {{ nodeId breaker maxInFlight }}
        }} }} }} }}"#
    );
    for node in &nodes {
        let shown = eventually("the breaker is shown open", || async {
            let answer = world.ask(node, &query).await;
            let shown = answer["destinations"]["edges"].get(0)?["node"].clone();
            // A node that was told of it reports it too, perhaps before the one that has counted.
            (shown["consecutiveFailures"].as_i64()? >= 5).then_some(shown)
        })
        .await;
        assert!(["OPEN", "HALF_OPEN"].contains(&shown["breaker"].as_str().unwrap()), "{shown}");
        assert!(shown["backlog"].as_i64().unwrap() >= 19, "all but the probe wait: {shown}");
        assert_eq!((&shown["lastSuccessAt"], &shown["isPaused"]), (&serde_json::Value::Null, &false.into()));
        assert!(shown["lastFailureAt"].is_string() && shown["oldestDueAt"].is_string(), "{shown}");
        // One place, so one node sends.
        let shares: i64 =
            shown["nodes"].as_array().unwrap().iter().map(|node| node["maxInFlight"].as_i64().unwrap()).sum();
        assert_eq!(shares, 1, "{shown}");
    }
    let scraped = eventually("Prometheus is told", || async {
        let mut scraped = String::new();
        for node in &nodes {
            scraped += &world.client.get(node.url("/metrics")).send().await.ok()?.text().await.ok()?;
        }
        scraped.contains("ricochet_destination_changes_total{to=\"open\"}").then_some(scraped)
    })
    .await;
    assert!(!scraped.contains(&id), "no series a postback");
    tracker.behave(OK);
    let closed = format!(
        r#"{{ destinations(filter: {{postbackIds: ["{id}"]}}) {{ edges {{ node {{ breaker backlog lastSuccessAt }} }} }} }}"#
    );
    for node in &nodes {
        eventually("the breaker is shown closed", || async {
            let answer = world.ask(node, &closed).await;
            let shown = &answer["destinations"]["edges"][0]["node"];
            (shown["breaker"] == "CLOSED" && shown["lastSuccessAt"].is_string()).then_some(())
        })
        .await;
    }
}
