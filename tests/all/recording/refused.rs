//! PostgreSQL refuses single records, each in its own way. What was sent is not sent again for it.

use std::time::Duration;

use ricochet::domain::event::Event;

use super::{assert_each_told_once, until_metric};
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

const SALES: usize = 3;
/// Refuses what a failed delivery came to.
const REFUSE: &str = "
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON deliveries_finished FOR EACH ROW WHEN";

/// A tracker that refuses everything, and one that takes it; the sales are reported.
async fn one_refuses_and_one_takes(world: &World, refusing: &str) -> (Tracker, Tracker, Server) {
    let (bad, good) = (Tracker::start(Manner::Answer("400 Bad Request")).await, Tracker::start(OK).await);
    for tracker in [&bad, &good] {
        world.postback(&tracker.url, &[Event::Sale]).await;
    }
    world.in_sql(&format!("{REFUSE} ({refusing}) EXECUTE FUNCTION refuse()")).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.takes_sales(&server, &click, "r", SALES).await;
    (bad, good, server)
}

#[tokio::test]
async fn what_cannot_be_recorded_in_full_is_recorded_without_its_texts() {
    let world = World::new().await;
    let refusing = "NEW.state = 'failed' AND NEW.reason LIKE '%400%'";
    let (bad, good, server) = one_refuses_and_one_takes(&world, refusing).await;
    let attempts = world.attempts(&server, 2 * SALES).await;
    assert_eq!(attempts.len(), 2 * SALES, "each attempt is in the log once");
    let failed: Vec<_> = attempts.iter().filter(|attempt| attempt["outcome"] == "FAILED").collect();
    assert_eq!(failed.len(), SALES);
    for attempt in failed {
        let reason = attempt["reason"].as_str().unwrap();
        assert!(reason.contains("the database refused to keep"), "{reason}");
        assert_eq!(attempt["responseCode"], 400);
    }
    assert_each_told_once(&bad, SALES);
    assert_each_told_once(&good, SALES);
}

#[tokio::test]
async fn what_cannot_be_recorded_at_all_is_kept_and_not_sent_again() {
    let world = World::new().await;
    let (bad, good, server) = one_refuses_and_one_takes(&world, "NEW.state = 'failed'").await;
    until_metric(&server, "ricochet_attempts_unrecorded", &SALES.to_string()).await;
    good.until_received(SALES).await;
    // Their claims are about to lapse, and do not.
    world.in_sql("UPDATE deliveries SET lease_until = now() + interval '10 s'").await;
    eventually("the claims are held", || async {
        let held = "SELECT count(*) FROM deliveries
                    WHERE claimed_by IS NOT NULL AND lease_until > now() + interval '1 minute'";
        (world.count(held).await == SALES as i64).then_some(())
    })
    .await;
    world.in_sql("DROP TRIGGER refuse ON deliveries_finished").await;

    let attempts = world.attempts(&server, 2 * SALES).await;
    assert_eq!(attempts.len(), 2 * SALES, "each attempt is in the log once");
    until_metric(&server, "ricochet_attempts_unrecorded", "0").await;
    assert_each_told_once(&bad, SALES);
    assert_each_told_once(&good, SALES);
}

/// A unique violation looks as if somebody had come first, and here it stays so.
#[tokio::test]
async fn one_that_is_there_already_does_not_keep_the_others_from_being_recorded() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Slow(Duration::from_secs(1), "200 OK")).await;
    world.postback(&tracker.url, &[Event::Sale]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.takes_sales(&server, &click, "r", SALES).await;
    world
        .in_sql(
            "INSERT INTO deliveries_finished (delivery_id, postback_id, change_id, event, state, reason, attempts,
                                              created_at, finished_at)
             SELECT delivery_id, postback_id, change_id, event, 'failed', 'in the way', 1, now(), now()
             FROM deliveries LIMIT 1",
        )
        .await;
    eventually("the others are recorded", || async {
        let delivered = "SELECT count(*) FROM deliveries_finished WHERE state = 'delivered'";
        (world.count(delivered).await == SALES as i64 - 1).then_some(())
    })
    .await;
    assert_eq!(world.count("SELECT count(*) FROM deliveries").await, 1);
    world.in_sql("DELETE FROM deliveries_finished WHERE reason = 'in the way'").await;
    assert_eq!(world.attempts(&server, SALES).await.len(), SALES);
    assert_each_told_once(&tracker, SALES);
}
