//! Rows that this node cannot read: a newer one's, in a rolling upgrade, or damaged ones.

use std::collections::HashMap;

use ricochet::domain::event::Event;
use ricochet::store::network;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{assert_each_told_once, told, until_logged, until_metric};
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
    let attempts = world.attempts(&server, SALES + SALES - 1).await;
    assert_each_told_once(&tracker, SALES);
    // All but the one whose event is unknown, which no log row can name.
    let interrupted: Vec<_> = attempts.iter().filter(|one| one["errorKind"] == "INTERRUPTED").collect();
    assert_eq!(interrupted.len(), SALES - 1, "{attempts:?}");
    assert!(interrupted.iter().all(|one| one["attempt"] == 1 && one["outcome"] == "RETRYING"));
    // Of one the history is lost, and with it all but the lead.
    assert!(interrupted.iter().all(|one| one["leadId"].is_string()), "{interrupted:?}");
    assert_eq!(interrupted.iter().filter(|one| one["txid"] == one["leadId"]).count(), 1, "{interrupted:?}");
    let of_partner = "SELECT countIf(error_kind = 'interrupted' AND partner_id = ?) FROM attempts";
    let log = world.databases.log.client();
    let count: u64 = log.query(of_partner).bind(world.partner.0).fetch_one().await.unwrap();
    assert_eq!(count, SALES as u64 - 1, "its owner sees each");
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

    assert!(server.stop().success());
}

/// As nodes of the version before do that are started again in the middle of an upgrade.
#[tokio::test]
async fn what_a_postback_hears_of_is_kept_by_a_node_that_has_never_read_it() {
    let world = World::new().await;
    let (strange, plain) = (Tracker::start(OK).await, Tracker::start(OK).await);
    for tracker in [&strange, &plain] {
        world.postback(&tracker.url, &[Event::Sale, Event::Click]).await;
    }
    let of_strange = world.postback_of(&strange).await;
    world.in_sql(&format!("{OF_TOMORROW}{of_strange}'")).await;
    let mut server = Server::start(&world.databases).await;
    until_logged(&server, "what it hears of is kept for it and not sent by this node").await;
    assert!(server.log().contains(&of_strange), "{}", server.log());
    let click = world.click(&server, world.fixed.1).await;
    world.takes_sales(&server, &click, "a", 3).await;
    plain.until_received(4).await;
    // Not even once it was started again, which claims what it finds.
    assert!(server.stop().success());
    server.restart().await;
    world.takes_sales(&server, &click, "b", 1).await;
    plain.until_received(5).await;
    assert_eq!(world.count("SELECT count(*) FROM deliveries WHERE attempt = 0 AND is_unjudged").await, 5);
    assert_eq!(strange.received().len(), 0);

    // A node that can read it comes; the condition is judged as if it had been at the time.
    world.in_sql("UPDATE postbacks SET condition = 'txid != \"a-1\"'").await;
    let attempts = world.attempts(&server, 10).await;
    let sent: HashMap<String, usize> = told(&strange);
    let wanted = ["", "a-0", "a-2", "b-0"].map(|txid| (txid.to_owned(), 1));
    assert_eq!(sent, HashMap::from(wanted));
    let kept_back: Vec<_> = attempts.iter().filter(|one| one["outcome"] == "SKIPPED").collect();
    let [kept_back] = kept_back[..] else { panic!("{attempts:?}") };
    assert_eq!((&kept_back["txid"], &kept_back["errorKind"]), (&json!("a-1"), &json!("CONDITION")));
}

/// Makes a rule that only a newer node understands.
const RULE_OF_TOMORROW: &str = "UPDATE postbacks SET success_rules = '[{\"check\": \"sings\"}]'";

/// A job that tells of the past, at work on a node that cannot read its postback.
#[tokio::test]
async fn what_is_told_late_is_judged_by_a_node_that_can_read_the_postback() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let mut server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.takes_sales(&server, &click, "l", 3).await;
    assert!(server.stop().success());
    world.postback(&tracker.url, &[Event::Sale]).await;
    let postback = world.postback_of(&tracker).await;
    world.in_sql(&format!("{RULE_OF_TOMORROW}; {OF_TOMORROW}{postback}'")).await;
    server.restart().await;
    until_logged(&server, "what it hears of is kept for it and not sent by this node").await;
    let send = format!(
        r#"mutation {{ sendPast(input: {{postbackId: "{postback}", ratePerSecond: 500}}) {{ job {{ jobId }} }} }}"#
    );
    let (code, message) = world.refusal(&server, &world.owner_token, &send).await;
    assert_eq!(code, "STORE_UNAVAILABLE");
    assert!(message.contains("ask a node of that version"), "{message}");

    // Its condition is of today, and its rules are not.
    world.in_sql("UPDATE postbacks SET condition = 'txid != \"l-1\"'").await;
    let started = world.ask(&server, &send).await["sendPast"]["job"].clone();
    assert_eq!(world.until_job(&server, &started["jobId"], "DONE").await["made"], 3);
    assert_eq!(world.count("SELECT count(*) FROM deliveries WHERE attempt = 0 AND is_unjudged").await, 3);
    assert_eq!(tracker.received().len(), 0);

    world.in_sql("UPDATE postbacks SET success_rules = '[]'").await;
    let attempts = world.attempts(&server, 3).await;
    let wanted = ["l-0", "l-2"].map(|txid| (txid.to_owned(), 1));
    assert_eq!(told(&tracker), HashMap::from(wanted));
    let kept_back: Vec<_> = attempts.iter().filter(|one| one["outcome"] == "SKIPPED").collect();
    let [kept_back] = kept_back[..] else { panic!("{attempts:?}") };
    assert_eq!((&kept_back["txid"], &kept_back["errorKind"]), (&json!("l-1"), &json!("CONDITION")));
}

/// Something that panics over one delivery: it has no event, which no node ever writes.
#[tokio::test]
async fn a_delivery_whose_reading_panics_keeps_none_of_the_others() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let (server, postback) = waiting(&world, &tracker).await;
    world
        .in_sql(
            "ALTER TABLE deliveries ALTER COLUMN event DROP NOT NULL;
             UPDATE deliveries SET event = NULL
             WHERE delivery_id = (SELECT delivery_id FROM deliveries ORDER BY next_attempt_at LIMIT 1)",
        )
        .await;
    world.set(&server, "resumePostback", &postback).await;
    tracker.until_received(SALES - 1).await;
    until_logged(&server, "a panic, which is a fault in Ricochet").await;
    until_metric(&server, "ricochet_panics_total", "1").await;
    world.in_sql("UPDATE deliveries SET event = 'sale', next_attempt_at = now()").await;
    let attempts = world.attempts(&server, SALES).await;
    assert!(attempts.iter().all(|attempt| attempt["attempt"] == 1 && attempt["outcome"] == "DELIVERED"));
    assert_each_told_once(&tracker, SALES);
}

/// What is kept of a lead has no comment, which no node ever writes, and its reading panics.
#[tokio::test]
async fn a_request_whose_judging_panics_costs_the_others_nothing() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.takes_sales(&server, &click, "s", 1).await;
    world
        .in_sql("ALTER TABLE conversions ALTER COLUMN comment DROP NOT NULL; UPDATE conversions SET comment = NULL")
        .await;
    let sale = |number| json!({ "click_id": click, "request_id": format!("s-{number}"), "action": "sale", "status": "new" });
    let request = world.client.post(server.url("/api/v1/conversions")).bearer_auth(&world.api_key);
    let answer = request.json(&[1, 0, 2, 3, 4].map(sale)).send().await.unwrap();
    let results: Vec<Value> = answer.json().await.unwrap();
    let statuses: Vec<_> = results.iter().map(|result| result["http_status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 500, 200, 200, 200], "{results:?}");
    assert_eq!(world.count("SELECT count(*) FROM conversions").await, 5);
}

/// What every second's chore reads has another type, and it panics until that is mended.
#[tokio::test]
async fn a_chore_that_panics_goes_on() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    world.in_sql("ALTER TABLE catalogue_version ALTER COLUMN version TYPE text USING version::text").await;
    until_logged(&server, "the catalogue is not refreshed").await;
    world
        .in_sql("ALTER TABLE catalogue_version ALTER COLUMN version TYPE bigint USING version::bigint")
        .await;
    let db = world.databases.pool.get().await.unwrap();
    let link = network::add_link(&db, world.fixed.0, world.partner).await.unwrap();
    world.click_once_known(&server, link).await;
}
