//! What one destination does is no other's business, nor does a stop cost anybody anything.

use std::time::Duration;

use ricochet::domain::event::Event;
use ricochet::domain::postback::{Owner, Scope};
use ricochet::store::network::{self, NewPostback};
use serde_json::json;

use super::stage::{postback, report};
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_that_hang_leave_the_healthy_one_alone() {
    const HANGING: usize = 1_000;
    const CONVERSIONS: usize = 40;
    let world = World::new().await;
    let (hanging, healthy) = (Tracker::start(Manner::Hang).await, Tracker::start(OK).await);
    let mut db = world.databases.pool.get().await.unwrap();
    let transaction = db.transaction().await.unwrap();
    for number in 0..HANGING {
        let url = format!("{}/{number}?txid={{txid}}", hanging.url);
        let postback = NewPostback {
            owner: Owner::Partner(world.partner),
            scope: Scope::Global,
            events: &[Event::Sale],
            url_template: &url,
            retry_schedule_ms: None,
            timeout_ms: 60_000,
            max_in_flight: 32,
        };
        network::add_postback(&transaction, &postback).await.unwrap();
    }
    transaction.commit().await.unwrap();
    drop(db);
    world.postback(&healthy.url, &[Event::Sale]).await;
    // Room for one request to each and half as many more: those that hang would take it all.
    let server = Server::start_with(&world.databases, &[("RICOCHET_OUTBOUND_REQUESTS", "2000")]).await;
    let click = world.click(&server, world.fixed.1).await;
    report(&world, &server, &click, 0..CONVERSIONS).await;
    healthy.until_received(CONVERSIONS).await;
    // All of it while the others hang: none of them has finished anything.
    eventually("the healthy one's deliveries are recorded", || async {
        let finished = "SELECT count(*) FROM deliveries_finished";
        (world.count(finished).await == CONVERSIONS as i64).then_some(())
    })
    .await;
    let held =
        eventually("hundreds hang", || async { Some(hanging.received().len()).filter(|held| *held >= 500) })
            .await;
    assert!(held <= 1_500, "{held} requests hang");
    assert_eq!(
        world.count("SELECT count(*) FROM deliveries").await,
        (HANGING * CONVERSIONS) as i64,
        "each delivery of the hanging ones is still there"
    );
}

#[tokio::test]
async fn what_very_many_hear_of_holds_up_nothing_else_and_keeps_its_order() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let mut db = world.databases.pool.get().await.unwrap();
    let transaction = db.transaction().await.unwrap();
    for number in 0..70 {
        let url = format!("{}/{number}?status={{status}}", tracker.url);
        let postback = NewPostback {
            owner: Owner::Partner(world.partner),
            scope: Scope::Link(world.fixed.1),
            events: &[Event::Sale, Event::Reject],
            url_template: &url,
            retry_schedule_ms: None,
            timeout_ms: 10_000,
            max_in_flight: 32,
        };
        network::add_postback(&transaction, &postback).await.unwrap();
    }
    transaction.commit().await.unwrap();
    let server = Server::start_with(&world.databases, &[("RICOCHET_LANES", "1")]).await;
    let (wide, narrow) =
        (world.click(&server, world.fixed.1).await, world.click(&server, world.percent.1).await);

    // While this is held, no delivery is written.
    let held = db.transaction().await.unwrap();
    held.batch_execute("LOCK TABLE deliveries IN SHARE MODE").await.unwrap();
    let of_wide = |status: &str| format!("click_id={wide}&request_id=1&action=sale&status={status}");
    let (first, second) = (of_wide("new"), of_wide("rejected"));
    let both = async {
        let first = world.report(&server, &first);
        let second = async {
            eventually("the first one waits", || async {
                let waits =
                    "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'deliveries'::regclass";
                (world.count(waits).await == 1).then_some(())
            })
            .await;
            let second = world.report(&server, &second);
            let other = async {
                let other = format!("click_id={narrow}&request_id=2&action=deposit&status=new&price=10");
                let (status, answer) = world.report(&server, &other).await;
                assert_eq!((status, &answer["status"]), (200, &json!("success")), "{answer}");
                held.rollback().await.unwrap();
            };
            tokio::join!(second, other).0
        };
        tokio::join!(first, second)
    };
    let ((first, _), (second, answer)) = both.await;
    assert_eq!((first, second), (200, 200), "{answer}");
    tracker.until_received(140).await;
    assert_eq!(world.count("SELECT count(*) FROM conversions WHERE status = 'rejected'").await, 1);
    assert_eq!(world.count("SELECT count(*) FROM conversion_history").await, 3);
}

// Several threads: the tracker answers while the test waits for the process to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_gives_back_what_was_not_sent() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Slow(Duration::from_millis(300), "200 OK")).await;
    let mut server = Server::start(&world.databases).await;
    postback(&world, &server, &tracker, "limits: {maxInFlight: 3}").await;
    let click = world.click(&server, world.fixed.1).await;
    report(&world, &server, &click, 0..30).await;
    tracker.until_received(4).await;
    assert!(server.stop().success());
    assert_eq!(world.count("SELECT count(*) FROM deliveries WHERE claimed_by IS NOT NULL").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM nodes").await, 0);
    let sent = tracker.received().len() as i64;
    assert_eq!(world.count("SELECT count(*) FROM deliveries_finished").await, sent);
    assert_eq!(world.count("SELECT count(*) FROM deliveries WHERE attempt = 0").await, 30 - sent);
    tracker.behave(OK);
    server.restart().await;
    let attempts = world.attempts(&server, 30).await;
    assert_eq!(attempts.len(), 30, "one attempt each, and none interrupted");
}
