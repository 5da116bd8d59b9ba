//! What answers ask for: Retry-After, 410, and the number of attempts.

use std::time::{Duration, SystemTime};

use super::stage::{postback, report};
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

const FAST: &str = "retry: {scheduleMs: [50, 50, 50, 50, 50]}";

#[tokio::test]
async fn retry_after_holds_the_whole_destination_back() {
    let in_seconds = || "429 Slow down\r\nretry-after: 2".to_owned();
    // Two seconds at least: a date has no fractions.
    let as_date = || {
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3));
        format!("503 Busy\r\nretry-after: {date}")
    };
    for answer in [&in_seconds as &dyn Fn() -> String, &as_date] {
        let world = World::new().await;
        let tracker = Tracker::start(OK).await;
        let server = Server::start(&world.databases).await;
        postback(&world, &server, &tracker, FAST).await;
        let click = world.click(&server, world.fixed.1).await;
        let answer: &'static str = answer().leak();
        tracker.behave(Manner::Answer(answer));
        report(&world, &server, &click, 0..1).await;
        tracker.until_received(1).await;
        // Until the answer was heard, others may go; then nobody does.
        eventually("the wish was recorded", || async {
            let recorded = "SELECT count(*) FROM deliveries WHERE claimed_by IS NULL AND attempt = 1";
            (world.count(recorded).await == 1).then_some(())
        })
        .await;
        tracker.behave(OK);
        report(&world, &server, &click, 1..4).await;
        let received = tracker.until_received(5).await;
        let waited = received[1].at - received[0].at;
        assert!(waited >= Duration::from_millis(1_800), "{answer}: others went after {waited:?}");
        let attempts = world.attempts(&server, 5).await;
        assert_eq!(attempts.len(), 5);
    }
}

#[tokio::test]
async fn retry_after_is_heeded_up_to_its_cap() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("503 Busy\r\nretry-after: 86400")).await;
    let server = Server::start(&world.databases).await;
    postback(&world, &server, &tracker, "retry: {scheduleMs: [50], retryAfterCapMs: 1000}").await;
    let click = world.click(&server, world.fixed.1).await;
    report(&world, &server, &click, 0..1).await;
    tracker.until_received(1).await;
    tracker.behave(OK);
    let received = tracker.until_received(2).await;
    assert!(received[1].at - received[0].at >= Duration::from_millis(990));
}

#[tokio::test]
async fn a_410_pauses_the_postback_and_loses_nothing() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("410 Gone")).await;
    let server = Server::start(&world.databases).await;
    let id = postback(&world, &server, &tracker, FAST).await;
    let click = world.click(&server, world.fixed.1).await;
    report(&world, &server, &click, 0..1).await;
    let look = "{ postbacks { edges { node { isPaused pausedReason } } } }";
    eventually("the postback is paused", || async {
        let node = world.ask(&server, look).await["postbacks"]["edges"][0]["node"].clone();
        (node["isPaused"] == true).then(|| assert!(node["pausedReason"].as_str().unwrap().contains("410")))
    })
    .await;
    report(&world, &server, &click, 1..3).await;
    let audit = world.ask(&server, "{ auditLog { edges { node { actorRole action entityId } } } }").await;
    let latest = &audit["auditLog"]["edges"][0]["node"];
    assert_eq!(latest, &serde_json::json!({"actorRole": "system", "action": "pause", "entityId": id}));
    eventually("the attempt was recorded", || async {
        let waiting = "SELECT count(*) FROM deliveries WHERE claimed_by IS NULL";
        (world.count(waiting).await == 3).then_some(())
    })
    .await;
    assert_eq!(tracker.received().len(), 1, "nothing is sent to a paused postback");

    tracker.behave(OK);
    let resume = format!(r#"mutation {{ resumePostback(postbackId: "{id}") {{ isPaused pausedReason }} }}"#);
    let resumed = world.ask(&server, &resume).await;
    assert_eq!(resumed["resumePostback"], serde_json::json!({"isPaused": false, "pausedReason": null}));
    let attempts = world.attempts(&server, 4).await;
    let told: Vec<_> =
        attempts.iter().map(|attempt| (attempt["outcome"].as_str().unwrap(), &attempt["attempt"])).collect();
    assert_eq!(told[0], ("RETRYING", &1.into()));
    assert!(told[1..].iter().all(|(outcome, _)| *outcome == "DELIVERED"));
    assert!(told[1..].contains(&("DELIVERED", &2.into())), "the refused one was sent again");
}

#[tokio::test]
async fn the_number_of_attempts_is_the_postbacks_own() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("500 Oops")).await;
    let server = Server::start(&world.databases).await;
    postback(&world, &server, &tracker, "retry: {scheduleMs: [20], maxAttempts: 3}").await;
    let click = world.click(&server, world.fixed.1).await;
    report(&world, &server, &click, 0..1).await;
    let attempts = world.attempts(&server, 3).await;
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["RETRYING", "RETRYING", "FAILED"]);
}
