//! Trackers that fail in every way, and what the log says of it.

use ricochet::domain::event::Event;

use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

struct Case {
    manner: Manner,
    error_kind: &'static str,
    response_code: Option<u16>,
    reason: &'static str,
}

#[tokio::test]
async fn a_tracker_that_fails_and_recovers_gets_its_postback() {
    for case in [
        Case {
            manner: Manner::Answer("500 Oops"),
            error_kind: "STATUS",
            response_code: Some(500),
            reason: "answered 500",
        },
        Case {
            manner: Manner::Answer("429 Slow down"),
            error_kind: "STATUS",
            response_code: Some(429),
            reason: "answered 429",
        },
        Case {
            manner: Manner::Hang,
            error_kind: "TIMEOUT",
            response_code: None,
            reason: "no answer within 300 ms",
        },
        Case { manner: Manner::Reset, error_kind: "RESET", response_code: None, reason: "" },
        Case {
            manner: Manner::CutShort,
            error_kind: "RESET",
            response_code: None,
            reason: "answered 200, then",
        },
    ] {
        let world = World::new().await;
        let tracker = Tracker::start(case.manner.clone()).await;
        world.postback_with(&tracker.url, &[Event::Sale], &[100; 20], 300).await;
        let server = Server::start(&world.databases).await;
        let click = world.click(&server, world.fixed.1).await;
        let report = format!("click_id={click}&request_id=r&action=sale&status=new");
        assert_eq!(world.report(&server, &report).await.0, 200);

        tracker.until_received(2).await;
        tracker.behave(OK);
        let attempts = world.attempts(&server, 3).await;
        let (last, failures) = attempts.split_last().unwrap();
        assert_eq!(last["outcome"], "DELIVERED", "{:?}", case.manner);
        for (number, failure) in failures.iter().enumerate() {
            assert_eq!(failure["outcome"], "RETRYING", "{:?}", case.manner);
            assert_eq!(failure["errorKind"], case.error_kind, "{failure:?}");
            assert_eq!(failure["attempt"], number + 1);
            assert_eq!(failure["responseCode"].as_u64(), case.response_code.map(u64::from));
            assert!(failure["reason"].as_str().unwrap().starts_with(case.reason), "{failure:?}");
            assert_eq!(failure["deliveryId"], last["deliveryId"]);
        }
        assert_eq!(tracker.received().len(), attempts.len(), "one log row a request");
    }
}

#[tokio::test]
async fn a_refusal_is_final_and_says_why() {
    for (manner, error_kind, reason) in [
        (Manner::Answer("404 Gone"), "STATUS", "answered 404, which another try would not change"),
        (
            Manner::Answer("302 Found\r\nlocation: https://elsewhere.example/"),
            "REDIRECT",
            "answered 302 to https://elsewhere.example/; redirects are not followed, set that URL instead",
        ),
    ] {
        let world = World::new().await;
        let tracker = Tracker::start(manner).await;
        world.postback(&tracker.url, &[Event::Sale]).await;
        let server = Server::start(&world.databases).await;
        let click = world.click(&server, world.fixed.1).await;
        world.report(&server, &format!("click_id={click}&request_id=r&action=sale&status=new")).await;
        let attempts = world.attempts(&server, 1).await;
        assert_eq!(attempts.len(), 1);
        assert_eq!(
            (&attempts[0]["outcome"], &attempts[0]["errorKind"]),
            (&"FAILED".into(), &error_kind.into())
        );
        assert_eq!(attempts[0]["reason"], reason);
        assert_eq!(world.count("SELECT count(*) FROM deliveries_finished WHERE state = 'failed'").await, 1);
    }
}

#[tokio::test]
async fn tries_end_when_the_schedule_does() {
    let world = World::new().await;
    // Nobody listens there.
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.postback_with(&format!("http://{unused}"), &[Event::Sale], &[50, 50], 1_000).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.report(&server, &format!("click_id={click}&request_id=r&action=sale&status=new")).await;
    let attempts = world.attempts(&server, 3).await;
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["RETRYING", "RETRYING", "FAILED"]);
    assert!(attempts.iter().all(|attempt| attempt["errorKind"] == "CONNECT"));
    assert!(attempts[2]["reason"].as_str().unwrap().ends_with("all 3 attempts are used up"));
}

#[tokio::test]
async fn a_dead_destination_costs_its_neighbour_nothing() {
    let world = World::new().await;
    let (hanging, healthy) = (Tracker::start(OK).await, Tracker::start(OK).await);
    world.postback_with(&hanging.url, &[Event::Sale], &[60_000], 60_000).await;
    world.postback(&healthy.url, &[Event::Sale]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    // Once it has answered it has all its places.
    world.report(&server, &format!("click_id={click}&request_id=first&action=sale&status=new")).await;
    world.until_settled().await;
    hanging.behave(Manner::Hang);
    // More than the hanging one has places for.
    for number in 0..100 {
        world.report(&server, &format!("click_id={click}&request_id={number}&action=sale&status=new")).await;
    }
    healthy.until_received(1 + 100).await;
    assert_eq!(hanging.until_received(1 + 32).await.len(), 1 + 32);
    assert_eq!(world.count("SELECT count(*) FROM deliveries WHERE claimed_by IS NULL").await, 68);
}
