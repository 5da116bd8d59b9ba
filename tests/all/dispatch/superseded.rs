//! An attempt whose claim has passed to another.

use ricochet::outbound::attempt;
use ricochet::store::deliveries::ClaimedDelivery;
use ricochet::store::outcomes;

use super::node::{Node, logged, plain, until_finished, waiting};
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

/// A node that stood still hears the answer to a request when its delivery was taken over, tried again
/// by another node, and has come back to it: the records of both attempts may be written together.
#[actix::test]
async fn it_is_not_logged_beside_the_one_that_has_the_claim() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let (mut server, postback) = waiting(&world, &tracker, 1).await;
    let node = Node::start(&world, 0).await;
    let held = node.claim(postback, 1).await.remove(0);
    let lost = held.delivery.clone();
    let db = world.databases.pool.get().await.unwrap();
    db.execute("UPDATE deliveries SET fence = fence + 1, attempt = 2", &[]).await.unwrap();
    let regained = ClaimedDelivery { fence: lost.fence + 1, attempt: 2, ..lost.clone() };
    let postback = node.services.catalogue().postbacks[&postback].clone();
    let records =
        [&lost, &regained].map(|delivery| attempt::panicked(&postback, delivery, node.services.node));
    let now = node.services.now();
    let superseded = outcomes::record(&node.services.pool, node.services.node, now, &records).await.unwrap();
    assert_eq!(superseded, 1);
    drop(held);
    until_finished(&world, 1).await;
    let mut told = logged(&world, &mut server, 2).await;
    told.sort_by_key(|(.., number)| *number);
    assert_eq!(plain(&told), [("RETRYING", "INTERNAL", 2), ("DELIVERED", "NONE", 3)]);
}
