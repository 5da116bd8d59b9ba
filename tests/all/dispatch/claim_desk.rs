//! Claims of many queues in one transaction.

use futures_util::future::join_all;
use ricochet::domain::ids::PostbackId;
use ricochet::pipeline::claim_desk::claim_with_others;
use ricochet::store::deliveries::draw_fence;
use ricochet::store::queue_claims::QueueAsk;
use uuid::Uuid;

use super::node::{Node, waiting};
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

/// Two of them of one queue, as may be for a moment while its dispatcher is replaced.
#[actix::test]
async fn what_is_asked_for_together_is_claimed_together_and_once() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let (_server, postback) = waiting(&world, &tracker, 5).await;
    let db = world.databases.pool.get().await.unwrap();
    // So that the node itself claims nothing.
    db.execute("UPDATE postbacks SET is_paused = true", &[]).await.unwrap();
    let node = Node::start(&world, 0).await;
    let nobody = PostbackId(Uuid::now_v7());
    let ask = |postback, places| QueueAsk { postback, places, from: None, fence: draw_fence() };
    let asks = [ask(postback, 2), ask(nobody, 2), ask(postback, 2)];
    let claims = join_all(asks.iter().map(|ask| claim_with_others(&node.ward.desk, *ask))).await;
    let claims: Vec<_> = claims.into_iter().map(|claim| claim.unwrap()).collect();

    assert_eq!(claims[1].taken, 0, "nothing waits there");
    let mut claimed = Vec::new();
    for (ask, claim) in asks.iter().zip(&claims) {
        assert!(claim.taken <= ask.places, "{} claimed, where {} were asked for", claim.taken, ask.places);
        assert_eq!(claim.deliveries.len(), claim.taken);
        assert!(claim.deliveries.iter().all(|delivery| delivery.fence == ask.fence));
        claimed.extend(claim.deliveries.iter().map(|delivery| delivery.delivery_id));
    }
    let asked_for = claimed.len();
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), asked_for, "none is in two hands");
    assert!(asked_for >= 2);
    let standing = "SELECT count(*) FROM deliveries WHERE claimed_by IS NOT NULL";
    assert_eq!(world.count(standing).await, i64::try_from(asked_for).unwrap(), "none is in no hands");
    let transactions = "SELECT count(DISTINCT xmin::text) FROM deliveries WHERE claimed_by IS NOT NULL";
    assert_eq!(world.count(transactions).await, 1);
}

/// What cannot be claimed keeps others from being claimed only the first time.
#[actix::test]
async fn what_is_wrong_with_one_queue_does_not_stay_the_trouble_of_others() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let (_server, sound) = waiting(&world, &tracker, 2).await;
    world.in_sql("UPDATE postbacks SET is_paused = true").await;
    let broken = PostbackId(Uuid::now_v7());
    let copy = format!(
        "INSERT INTO deliveries (delivery_id, postback_id, change_id, event, attempt, next_attempt_at, fence, created_at)
         SELECT gen_random_uuid(), '{broken}', change_id, event, 0, next_attempt_at, 0, created_at FROM deliveries;
         CREATE FUNCTION break_down() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'broken'; END $$;
         CREATE TRIGGER break_down BEFORE UPDATE ON deliveries FOR EACH ROW
         WHEN (OLD.postback_id = '{broken}') EXECUTE FUNCTION break_down()"
    );
    world.in_sql(&copy).await;
    let node = Node::start(&world, 0).await;
    let both = async || {
        let asks =
            [broken, sound].map(|postback| QueueAsk { postback, places: 2, from: None, fence: draw_fence() });
        let claims = join_all(asks.iter().map(|ask| claim_with_others(&node.ward.desk, *ask))).await;
        claims.into_iter().map(|claim| claim.is_ok()).collect::<Vec<_>>()
    };
    assert_eq!(both().await, [false, false]);
    assert_eq!(both().await, [false, true]);
}
