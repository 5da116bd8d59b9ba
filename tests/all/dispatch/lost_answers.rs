//! PostgreSQL does what it was asked for, and the node does not hear of it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::stage::{HOLD_UP_CLAIMS, postback, report, until_looked_again};
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::wire::{Break, Wire};
use crate::support::world::World;

/// A part of the statement that claims.
const CLAIM: &str = "SET claimed_by = $6, lease_until";
/// Far below the lease of a claim, two minutes.
const SOON: Duration = Duration::from_secs(45);

/// Sales wait until their postback is resumed, and the answer of the first claim is lost on its way.
/// `answers`: so many requests were answered before.
async fn one_claim_is_lost(moment: Break, answers: usize) {
    const SALES: usize = 8;
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let wire = Wire::start(&world.databases).await;
    let settings = [("DATABASE_URL", wire.database_url.as_str())];
    let nodes = [Server::start_with(&world.databases, &settings).await];
    let [server] = &nodes;
    let postback = postback(&world, server, &tracker, "limits: {maxInFlight: 2}").await;
    let click = world.click(server, world.fixed.1).await;
    report(&world, server, &click, SALES..SALES + answers).await;
    world.attempts(server, answers).await;
    world
        .ask(server, &format!(r#"mutation {{ pausePostback(postbackId: "{postback}") {{ postbackId }} }}"#))
        .await;
    report(&world, server, &click, 0..SALES).await;

    let db = world.databases.pool.get().await.unwrap();
    if moment == Break::AfterTheQuestion {
        // The claim comes to its end only when the node has looked for it in vain.
        db.batch_execute(HOLD_UP_CLAIMS).await.unwrap();
    }
    wire.break_at(CLAIM, moment);
    let began = Instant::now();
    world
        .ask(server, &format!(r#"mutation {{ resumePostback(postbackId: "{postback}") {{ postbackId }} }}"#))
        .await;
    wire.until_broken(1).await;
    until_looked_again(&nodes).await;
    db.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    eventually("the claim is given back", || async {
        server.log().contains("gave back what was claimed without an answer").then_some(())
    })
    .await;

    let attempts = world.attempts(server, SALES + answers).await;
    assert!(began.elapsed() < SOON, "after {:?}", began.elapsed());
    assert_eq!(attempts.len(), SALES + answers, "each is recorded once");
    for attempt in &attempts {
        assert_eq!((&attempt["outcome"], &attempt["attempt"]), (&"DELIVERED".into(), &1.into()));
    }
    let mut received: HashMap<String, usize> = HashMap::new();
    for request in tracker.received() {
        *received.entry(request.parameter("txid").unwrap()).or_default() += 1;
    }
    assert_eq!(received.len(), SALES + answers);
    assert!(received.values().all(|times| *times == 1), "each is sent once: {received:?}");
}

#[tokio::test]
async fn a_claim_whose_answer_is_lost_is_given_back() {
    one_claim_is_lost(Break::BeforeTheAnswer, 0).await;
}

/// It is claimed for by itself, and not with others.
#[tokio::test]
async fn a_claim_for_who_is_well_is_given_back_too() {
    one_claim_is_lost(Break::BeforeTheAnswer, 1).await;
}

#[tokio::test]
async fn a_claim_that_ends_after_its_connection_is_given_back() {
    one_claim_is_lost(Break::AfterTheQuestion, 0).await;
}

/// The caller is told that nothing is sure, and asks again; the first commit stands.
#[tokio::test]
async fn a_commit_whose_answer_is_lost_has_its_delivery_sent() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let wire = Wire::start(&world.databases).await;
    let settings = [("DATABASE_URL", wire.database_url.as_str())];
    let server = Server::start_with(&world.databases, &settings).await;
    postback(&world, &server, &tracker, "").await;
    let click = world.click(&server, world.fixed.1).await;
    report(&world, &server, &click, 0..1).await;
    tracker.until_received(1).await;
    wire.break_at("INSERT INTO deliveries (", Break::BeforeTheCommitsAnswer);
    let began = Instant::now();
    let sale = format!("click_id={click}&request_id=again&action=sale&status=new");
    let (status, _) = world.report(&server, &sale).await;
    assert!(matches!(status, 200 | 503), "{status}");
    wire.until_broken(1).await;
    eventually("the sale is taken", || async { (world.report(&server, &sale).await.0 == 200).then_some(()) })
        .await;
    let attempts = world.attempts(&server, 2).await;
    assert!(began.elapsed() < SOON, "after {:?}", began.elapsed());
    assert_eq!((attempts.len(), tracker.received().len()), (2, 2));
}
