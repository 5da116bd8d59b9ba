//! Rows that this node cannot read: a newer one's, in a rolling upgrade, or damaged ones.

use ricochet::domain::event::Event;
use uuid::Uuid;

use super::{assert_each_told_once, told, until_logged};
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

const SALES: usize = 6;

/// Sales that wait behind a pause.
async fn waiting(world: &World, tracker: &Tracker) -> (Server, String) {
    world.postback(&tracker.url, &[Event::Sale]).await;
    let server = Server::start(&world.databases).await;
    let postback = world.postback_of(tracker).await;
    world.set(&server, "pausePostback", &postback).await;
    let click = world.click(&server, world.fixed.1).await;
    world.takes_sales(&server, &click, "r", SALES).await;
    (server, postback)
}

/// The first three that wait become unreadable, each for its own reason.
const DAMAGE: &str = "
    CREATE TABLE damaged AS
        SELECT row_number() OVER (ORDER BY next_attempt_at) AS number, delivery_id, change_id FROM deliveries
        ORDER BY next_attempt_at LIMIT 3;
    CREATE TABLE kept AS SELECT * FROM conversion_history WHERE change_id IN (SELECT change_id FROM damaged);
    UPDATE deliveries SET event = 'of_tomorrow'
        WHERE delivery_id = (SELECT delivery_id FROM damaged WHERE number = 1);
    UPDATE conversion_history SET facts = facts || '{\"status\": \"undecided\"}'
        WHERE change_id = (SELECT change_id FROM damaged WHERE number = 2);
    DELETE FROM conversion_history WHERE change_id = (SELECT change_id FROM damaged WHERE number = 3);";

/// As a node would find them that can read them.
const MEND: &str = "
    DELETE FROM conversion_history WHERE change_id IN (SELECT change_id FROM damaged);
    INSERT INTO conversion_history SELECT * FROM kept;
    UPDATE deliveries SET event = 'sale', next_attempt_at = now();";

#[tokio::test]
async fn deliveries_that_cannot_be_read_are_set_aside_and_the_others_are_sent() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let (server, postback) = waiting(&world, &tracker).await;
    world.in_sql(DAMAGE).await;
    world.set(&server, "resumePostback", &postback).await;
    eventually("the readable ones are delivered", || async {
        let delivered = "SELECT count(*) FROM deliveries_finished WHERE state = 'delivered'";
        (world.count(delivered).await == SALES as i64 - 3).then_some(())
    })
    .await;
    until_logged(&server, "a delivery cannot be read by this node and is set aside").await;
    eventually("the others are nobody's, and no attempt of theirs was made", || async {
        let aside = "SELECT count(*) FROM deliveries
                     WHERE claimed_by IS NULL AND attempt = 0 AND next_attempt_at > now()";
        (world.count(aside).await == 3).then_some(())
    })
    .await;

    world.in_sql(MEND).await;
    let attempts = world.attempts(&server, SALES).await;
    assert_eq!(attempts.len(), SALES);
    assert!(attempts.iter().all(|attempt| attempt["attempt"] == 1 && attempt["outcome"] == "DELIVERED"));
    assert_each_told_once(&tracker, SALES);
}

#[tokio::test]
async fn claims_of_a_dead_node_are_taken_back_whether_they_can_be_read_or_not() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let (server, postback) = waiting(&world, &tracker).await;
    world.in_sql(DAMAGE).await;
    let dead = Uuid::now_v7();
    world
        .in_sql(&format!(
            "INSERT INTO nodes (node_id, lease_until) VALUES ('{dead}', '-infinity');
             UPDATE deliveries SET claimed_by = '{dead}', lease_until = now(), attempt = 1, fence = 7;"
        ))
        .await;
    eventually("all are taken back", || async {
        (world.count("SELECT count(*) FROM deliveries WHERE claimed_by IS NOT NULL").await == 0).then_some(())
    })
    .await;
    world.set(&server, "resumePostback", &postback).await;
    eventually("the readable ones are delivered", || async {
        (told(&tracker).len() == SALES - 3).then_some(())
    })
    .await;
    world.in_sql(MEND).await;
    world.until_settled().await;
    assert_each_told_once(&tracker, SALES);
}

/// A condition that only a newer node understands.
const OF_TOMORROW: &str = "UPDATE postbacks SET condition = 'status haikus ((' WHERE postback_id = '";

#[tokio::test]
async fn a_postback_that_cannot_be_read_stays_as_it_was_but_for_its_pause() {
    let world = World::new().await;
    let (strange, plain) = (Tracker::start(OK).await, Tracker::start(OK).await);
    for tracker in [&strange, &plain] {
        world.postback(&tracker.url, &[Event::Sale]).await;
    }
    let mut server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let (of_strange, of_plain) = (world.postback_of(&strange).await, world.postback_of(&plain).await);
    world
        .in_sql(&format!(
            "BEGIN; {OF_TOMORROW}{of_strange}';
             UPDATE postbacks SET is_paused = true WHERE postback_id = '{of_plain}'; COMMIT"
        ))
        .await;
    until_logged(&server, "a row of the catalogue cannot be read by this node").await;
    until_logged(&server, "it stays as it was last read").await;
    // What else has changed is in force, and the strange one hears of sales as before.
    world.takes_sales(&server, &click, "a", 1).await;
    strange.until_received(1).await;
    assert_eq!(plain.received().len(), 0);
    world.set(&server, "pausePostback", &of_strange).await;
    world.takes_sales(&server, &click, "b", 1).await;
    eventually("what is paused waits", || async {
        (world.count("SELECT count(*) FROM deliveries").await == 3).then_some(())
    })
    .await;
    assert_eq!(strange.received().len(), 1);

    // A node that starts has never read it, and serves all the same.
    assert!(server.stop().success());
    server.restart().await;
    until_logged(&server, "it is left out").await;
    world.takes_sales(&server, &click, "c", 1).await;
    world.in_sql("UPDATE postbacks SET condition = NULL").await;
    eventually("the postback can be read again, and is resumed", || async {
        world.set(&server, "resumePostback", &of_strange).await;
        (strange.received().len() == 2).then_some(())
    })
    .await;
}
