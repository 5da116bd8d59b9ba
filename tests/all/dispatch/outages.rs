//! Nodes that live are not taken for dead because PostgreSQL could not be reached or was busy.

use std::time::Duration;

use super::stage::{postback, report, until_acquainted, until_looked_again};
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::wire::Wire;
use crate::support::world::World;

/// Longer than a node's lease, which is 6 s.
const OUTAGE: Duration = Duration::from_secs(8);

/// PostgreSQL runs on all the while: the network is what breaks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_to_be_back_leaves_the_others_time_to_come_back() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let wires = [Wire::start(&world.databases).await, Wire::start(&world.databases).await];
    let start = async |wire: &Wire| {
        Server::start_with(&world.databases, &[("DATABASE_URL", wire.database_url.as_str())]).await
    };
    let first = start(&wires[0]).await;
    postback(&world, &first, &tracker, "timeoutMs: 60000").await;
    let nodes = [first, start(&wires[1]).await];
    until_acquainted(&nodes).await;
    let click = world.click(&nodes[0], world.fixed.1).await;
    // One is answered during the outage and waits to be recorded, one is under way longer than that.
    tracker.behave(Manner::Slow(OUTAGE / 2, "200 OK"));
    report(&world, &nodes[0], &click, 0..1).await;
    tracker.until_received(1).await;
    tracker.behave(Manner::Slow(OUTAGE * 2, "200 OK"));
    report(&world, &nodes[0], &click, 1..2).await;
    tracker.until_received(2).await;

    wires.iter().for_each(Wire::cut);
    tokio::time::sleep(OUTAGE).await;
    wires[1].mend();
    until_looked_again(&nodes[1..]).await;
    let lapsed = "SELECT count(*) FROM nodes WHERE lease_until < now()";
    assert!(world.count(lapsed).await >= 1, "the lease of the one that is still away has lapsed");
    wires[0].mend();

    let attempts = world.attempts(&nodes[1], 2).await;
    let told: Vec<_> = attempts.iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(told, ["DELIVERED", "DELIVERED"]);
    assert_eq!(tracker.received().len(), 2, "each was sent once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_cannot_be_read_costs_no_node_its_lease() {
    let world = World::new().await;
    let nodes = [Server::start(&world.databases).await, Server::start(&world.databases).await];
    until_acquainted(&nodes).await;
    let mut db = world.databases.pool.get().await.unwrap();
    let transaction = db.transaction().await.unwrap();
    transaction.batch_execute("LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE").await.unwrap();
    tokio::time::sleep(OUTAGE).await;
    let live = "SELECT count(*) FROM nodes WHERE lease_until > now()";
    assert_eq!(world.count(live).await, 2);
    transaction.rollback().await.unwrap();
}

/// Whatever is wrong with the claims of a dead node, the living go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rescue_that_fails_holds_up_nothing_else() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Hang).await;
    let first = Server::start(&world.databases).await;
    let id = postback(&world, &first, &tracker, "").await;
    let nodes = [first, Server::start(&world.databases).await];
    until_acquainted(&nodes).await;
    let click = world.click(&nodes[0], world.fixed.1).await;
    report(&world, &nodes[0], &click, 0..1).await;
    tracker.until_received(1).await;
    let db = world.databases.pool.get().await.unwrap();
    db.batch_execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON deliveries FOR EACH ROW
         WHEN (OLD.claimed_by IS NOT NULL AND NEW.fence > OLD.fence) EXECUTE FUNCTION refuse();",
    )
    .await
    .unwrap();
    let [mut dying, survivor] = nodes;
    dying.kill();
    tracker.behave(OK);
    eventually("a rescue fails", || async { survivor.log().contains("a rescue failed").then_some(()) }).await;
    // What waits in PostgreSQL is found by the looks for what is due, and by nothing else.
    for mutation in ["pausePostback", "resumePostback"] {
        world
            .ask(&survivor, &format!(r#"mutation {{ {mutation}(postbackId: "{id}") {{ postbackId }} }}"#))
            .await;
        report(&world, &survivor, &click, if mutation == "pausePostback" { 1..3 } else { 3..4 }).await;
    }
    tracker.until_received(4).await;
    db.batch_execute("DROP TRIGGER refuse ON deliveries").await.unwrap();
    let attempts = world.attempts(&survivor, 5).await;
    let delivered = attempts.iter().filter(|attempt| attempt["outcome"] == "DELIVERED").count();
    assert_eq!((attempts.len(), delivered), (5, 4));
}
