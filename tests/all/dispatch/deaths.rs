//! Nodes that die, or seem to, and what becomes of their claims.

use std::time::{Duration, Instant};

use ricochet::domain::background::Background;
use ricochet::domain::destination::Wait;
use ricochet::domain::ids::NodeId;
use ricochet::outbound::attempt;
use ricochet::store::claims::{self, Lapsed, Sought};
use ricochet::store::deliveries::Abandoned;
use uuid::Uuid;

use super::node::{services, waiting};
use super::stage::{postback, report, until_acquainted};
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::wire::{Break, Wire};
use crate::support::world::World;

/// Far below the lease of a claim, two minutes, after which it would be rescued in any case.
const SOON: Duration = Duration::from_secs(45);

/// Two nodes, the first of which has a request under way that is not answered.
async fn one_under_way(world: &World, tracker: &Tracker) -> [Server; 2] {
    let first = Server::start(&world.databases).await;
    postback(world, &first, tracker, "timeoutMs: 60000").await;
    let nodes = [first, Server::start(&world.databases).await];
    until_acquainted(&nodes).await;
    let click = world.click(&nodes[0], world.fixed.1).await;
    report(world, &nodes[0], &click, 0..1).await;
    tracker.until_received(1).await;
    nodes
}

async fn outcomes(world: &World, server: &Server, count: usize) -> Vec<(String, String)> {
    let attempts = world.attempts(server, count).await;
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    attempts.iter().map(|attempt| (text(&attempt["outcome"]), text(&attempt["errorKind"]))).collect()
}

fn pairs(told: &[(String, String)]) -> Vec<(&str, &str)> {
    told.iter().map(|(outcome, kind)| (outcome.as_str(), kind.as_str())).collect()
}

const INTERRUPTED_THEN_DELIVERED: [(&str, &str); 2] = [("RETRYING", "INTERRUPTED"), ("DELIVERED", "NONE")];

/// It does not know that it was taken for dead, and hears the answer to its own request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stood_still_records_nothing_that_was_taken_from_it() {
    let world = World::new().await;
    // Answered while it stands still.
    let tracker = Tracker::start(Manner::Slow(Duration::from_secs(4), "200 OK")).await;
    let [still, other] = one_under_way(&world, &tracker).await;
    still.stand_still();
    tracker.behave(OK);
    tracker.until_received(2).await;
    eventually("the other node has recorded its attempt", || async {
        (world.count("SELECT count(*) FROM deliveries_finished").await == 1).then_some(())
    })
    .await;
    still.go_on();
    eventually("its own attempt is superseded", || async {
        still.log().contains("attempts came back after their claims had lapsed").then_some(())
    })
    .await;
    assert_eq!(pairs(&outcomes(&world, &other, 2).await), INTERRUPTED_THEN_DELIVERED);
    assert_eq!(tracker.received().len(), 2, "only what was under way was sent twice");
    // It goes on as if nothing had been.
    let click = world.click(&still, world.fixed.1).await;
    report(&world, &still, &click, 7..8).await;
    tracker.until_received(3).await;
}

/// What it claimed would be taken from it, and told as an attempt that may have been sent.
#[actix::test]
async fn without_its_lease_a_node_claims_nothing() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let (_server, postback) = waiting(&world, &tracker, 1).await;
    let services = services(&world).await;
    let settings = services.catalogue().postbacks[&postback].clone();
    let destination = services.slots.of(postback);
    assert_eq!(services.slots.refusal(&destination, &settings), Some(Wait::Elsewhere));
    assert_eq!(services.slots.admit(&destination, &settings).err(), Some(Wait::Elsewhere));
    assert!(services.slots.try_take(&settings).is_none(), "nor with what it records");
    services.lease.renew(&services.pool, services.node).await.unwrap();
    assert_eq!(services.slots.refusal(&destination, &settings), None);
    assert!(services.slots.admit(&destination, &settings).is_ok());
}

/// It has claimed a delivery and is cut off before it could send it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_claimed_too_long_ago_is_not_sent() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let wire = Wire::start(&world.databases).await;
    let settings = [("DATABASE_URL", wire.database_url.as_str())];
    let cut_off = Server::start_with(&world.databases, &settings).await;
    let id = postback(&world, &cut_off, &tracker, "").await;
    let click = world.click(&cut_off, world.fixed.1).await;
    report(&world, &cut_off, &click, 0..1).await;
    world.attempts(&cut_off, 1).await;
    let update = format!(
        r#"mutation {{ updatePostback(input: {{postbackId: "{id}", urlTemplate: "{}/new"}}) {{ postbackId }} }}"#,
        tracker.url
    );
    world.ask(&cut_off, &update).await;
    let db = world.databases.pool.get().await.unwrap();
    let sent: Uuid = db.query_one("SELECT delivery_id FROM deliveries_finished", &[]).await.unwrap().get(0);
    // The request that was asked for is that of an earlier revision, which has to be read.
    wire.break_at("JOIN postback_revisions", Break::BeforeTheQuestion);
    let resend = format!(
        r#"mutation {{ resendDeliveries(deliveryIds: ["{sent}"], request: ORIGINAL) {{ job {{ made }} }} }}"#
    );
    // Its answer may get lost with the wire.
    let asking = world.client.post(cut_off.url("/graphql")).bearer_auth(&world.owner_token);
    let _ = asking.json(&serde_json::json!({ "query": resend })).send().await;
    wire.until_cut().await;

    let other = Server::start(&world.databases).await;
    tracker.until_received(2).await;
    wire.mend();
    eventually("it is given back instead of being sent", || async {
        cut_off.log().contains("gave back claims that were not sent").then_some(())
    })
    .await;
    let told = outcomes(&world, &other, 3).await;
    assert_eq!(pairs(&told[1..]), INTERRUPTED_THEN_DELIVERED);
    assert_eq!(tracker.received().len(), 2, "the resend was sent once");
}

/// Somebody who rescues them has them locked, and then dies as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_is_not_forgotten_while_it_has_claims() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Hang).await;
    let [mut dying, survivor] = one_under_way(&world, &tracker).await;
    let mut db = world.databases.pool.get().await.unwrap();
    let rescuer = db.transaction().await.unwrap();
    rescuer.execute("SELECT FROM deliveries FOR UPDATE", &[]).await.unwrap();
    dying.kill();
    tracker.behave(OK);
    eventually("its lease lapses", || async {
        (world.count("SELECT count(*) FROM nodes WHERE lease_until < now() - interval '3 seconds'").await
            == 1)
            .then_some(())
    })
    .await;
    let began = Instant::now();
    rescuer.rollback().await.unwrap();
    assert_eq!(pairs(&outcomes(&world, &survivor, 2).await), INTERRUPTED_THEN_DELIVERED);
    assert!(began.elapsed() < SOON, "after {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_came_back_meanwhile_keeps_its_claims() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Hang).await;
    let server = Server::start(&world.databases).await;
    postback(&world, &server, &tracker, "timeoutMs: 60000").await;
    let click = world.click(&server, world.fixed.1).await;
    report(&world, &server, &click, 0..1).await;
    tracker.until_received(1).await;
    let pool = &world.databases.pool;
    let row = pool.get().await.unwrap().query_one("SELECT node_id FROM nodes", &[]).await.unwrap();
    let dead = [NodeId(row.get(0))];
    let sought = Sought { dead: &dead, lapsed: Lapsed::No };
    let step = claims::Sweep::begin(pool).await.unwrap().next().unwrap();
    let found = claims::find_abandoned(pool, step, sought).await.unwrap();
    assert_eq!(found.len(), 1);
    let mut describe =
        async |abandoned: &Abandoned| attempt::interrupted(abandoned, None, &Background::default(), dead[0]);
    let taken = claims::take_over(pool, &found, sought, &mut describe).await.unwrap();
    assert_eq!(taken.len(), 0, "its lease holds");
    server.stand_still();
    eventually("its lease lapses", || async {
        (world.count("SELECT count(*) FROM nodes WHERE lease_until < now()").await == 1).then_some(())
    })
    .await;
    let taken = claims::take_over(pool, &found, sought, &mut describe).await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(world.count("SELECT count(rescued_at) FROM nodes").await, 1, "the others are told");
}
