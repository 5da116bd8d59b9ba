//! A transaction elsewhere that is hours old keeps PostgreSQL from clearing anything away. What a
//! claim reads does not grow with all that has passed through the queue since.

use ricochet::domain::event::Event;
use tokio_postgres::IsolationLevel;

use super::assert_each_told_once;
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

/// Deliveries of one round.
const ROUND: usize = 1_500;
const ROUNDS: usize = 4;

/// Entries of the queue's index that were read, by claims and by looks for what is due.
const READ: &str = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'deliveries_due'";

/// What has been read up to now; a connection tells of it within a second or, where it has nothing to do,
/// within ten.
async fn entries_read(world: &World) -> i64 {
    let last = std::sync::Mutex::new((-1, 0));
    eventually("the count of what was read stands still", || async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let now = world.count(READ).await;
        let mut last = last.lock().unwrap();
        let still = if last.0 == now { last.1 + 1 } else { 0 };
        *last = (now, still);
        (still >= 4).then_some(now)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_read_no_more_for_a_long_transaction_elsewhere() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Sale]).await;
    let server = Server::start(&world.databases).await;
    let postback = world.postback_of(&tracker).await;
    let click = world.click(&server, world.fixed.1).await;
    let mut elsewhere = world.databases.pool.get().await.unwrap();
    let old =
        elsewhere.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await.unwrap();
    old.query("SELECT count(*) FROM deliveries", &[]).await.unwrap();

    let mut read_by_round = Vec::new();
    for round in 0..ROUNDS {
        let before = entries_read(&world).await;
        // They are written waiting, so that each is claimed.
        world.set(&server, "pausePostback", &postback).await;
        let batch: Vec<_> = (0..ROUND)
            .map(|number| {
                serde_json::json!({ "click_id": click, "request_id": format!("{round}-{number}"),
                                    "action": "sale", "status": "new" })
            })
            .collect();
        let request = world.client.post(server.url("/api/v1/conversions")).bearer_auth(&world.api_key);
        assert_eq!(request.json(&batch).send().await.unwrap().status(), 200);
        world.set(&server, "resumePostback", &postback).await;
        eventually("the round is delivered", || async {
            (world.count("SELECT count(*) FROM deliveries").await == 0).then_some(())
        })
        .await;
        read_by_round.push(entries_read(&world).await - before);
    }
    println!("index entries read by rounds of {ROUND}: {read_by_round:?}");
    let dead: i64 =
        world.count("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'deliveries'").await;
    assert!(dead > (ROUND * (ROUNDS - 1)) as i64, "nothing was kept from being cleared away: {dead}");
    let (first, last) = (read_by_round[0], read_by_round[ROUNDS - 1]);
    assert!(last < 3 * first, "a claim reads more with all that has passed: {read_by_round:?}");
    old.commit().await.unwrap();
    assert_each_told_once(&tracker, ROUND * ROUNDS);
}
