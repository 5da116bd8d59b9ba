//! Destinations that have failed take turns to be claimed for; the others do not wait for them.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use ricochet::domain::destination::signal::Signal;
use ricochet::pipeline::dispatcher_supervisor::Due;

use super::node::{Node, until_finished, waiting};
use crate::support::eventually;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

/// Turns of others: 100 s of them.
const OTHERS: usize = 100_000;
const SOON: Duration = Duration::from_secs(20);

#[actix::test]
async fn who_gets_well_waits_for_no_turn() {
    const SALES: usize = 3;
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("500 Broken")).await;
    let (_server, postback) = waiting(&world, &tracker, SALES).await;
    let node = Node::start(&world, 0).await;
    for _ in 0..OTHERS {
        // Its turn is settled as it asks.
        let _ = node.ward.turn_to_claim().now_or_never();
    }
    // All places of one that was never heard of, which are claimed for at once.
    tracker.until_received(2).await;
    eventually("both have failed", || async { (node.services.slots.taken() == 0).then_some(()) }).await;
    tracker.behave(OK);
    node.supervisor.send(Due(vec![postback])).await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(tracker.received().len(), 2, "it waits for its turn");

    let destination = node.services.slots.of(postback);
    let settings = node.services.catalogue().postbacks[&postback].clone();
    let mut slot = node.services.slots.admit(&destination, &settings).ok().unwrap();
    slot.begin_in_time().await.unwrap();
    slot.heard(Signal::Well);
    drop(slot);
    let began = Instant::now();
    node.supervisor.send(Due(vec![postback])).await.unwrap();
    until_finished(&world, SALES).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}
