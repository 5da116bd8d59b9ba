//! What one destination does is no other's business, nor does a stop cost anybody anything.

use std::time::Duration;

use ricochet::domain::event::Event;
use ricochet::domain::postback::{Owner, Scope};
use ricochet::store::network::{self, NewPostback};

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
