//! A transaction elsewhere that is hours old keeps PostgreSQL from clearing anything away. What a
//! claim reads does not grow with all that has passed through the queue since.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use ricochet::domain::event::Event;
use serde_json::json;
use tokio_postgres::IsolationLevel;

use super::assert_each_told_once;
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

/// Deliveries of one round; before the round that is measured there are some others.
const ROUND: usize = 1_500;
const ROUNDS_BEFORE: usize = 2;

/// Entries of the queue's index that were read: by claims, and by looks for what is due.
const READ: &str = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'deliveries_due'";
/// A connection tells of what it has read at once, or when it has been idle for 10 s.
const TOLD_AFTER: Duration = Duration::from_millis(10_500);

/// What has been read up to now, once all connections have told.
async fn entries_read(world: &World) -> i64 {
    let last = Mutex::new((-1, Instant::now()));
    eventually("the count of what was read stands still", || async {
        let now = world.count(READ).await;
        let mut last = last.lock().unwrap();
        if last.0 != now {
            *last = (now, Instant::now());
        }
        (last.1.elapsed() > TOLD_AFTER).then_some(now)
    })
    .await
}

/// A round of sales that are written waiting, so that each has to be claimed, and are delivered.
async fn round(world: &World, server: &Server, postback: &str, click: &str, number: usize) {
    world.set(server, "pausePostback", postback).await;
    let sale = |sale: usize| json!({ "click_id": click, "request_id": format!("{number}-{sale}"), "action": "sale", "status": "new" });
    let sales: Vec<_> = (0..ROUND).map(sale).collect();
    let request = world.client.post(server.url("/api/v1/conversions")).bearer_auth(&world.api_key);
    assert_eq!(request.json(&sales).send().await.unwrap().status(), 200);
    world.set(server, "resumePostback", postback).await;
    eventually("the round is delivered", || async {
        (world.count("SELECT count(*) FROM deliveries").await == 0).then_some(())
    })
    .await;
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
    // Which our own connections do not allow themselves.
    elsewhere.batch_execute("SET idle_in_transaction_session_timeout = 0").await.unwrap();
    let old =
        elsewhere.build_transaction().isolation_level(IsolationLevel::RepeatableRead).start().await.unwrap();
    old.query("SELECT count(*) FROM deliveries", &[]).await.unwrap();

    for number in 0..ROUNDS_BEFORE {
        round(&world, &server, &postback, &click, number).await;
    }
    let before = entries_read(&world).await;
    round(&world, &server, &postback, &click, ROUNDS_BEFORE).await;
    let after = entries_read(&world).await;
    // What one single claim would read that begins where the queue does.
    let from_the_beginning = format!(
        "SET enable_seqscan = off;
         SELECT FROM deliveries WHERE postback_id = '{postback}' AND claimed_by IS NULL AND next_attempt_at <= now()
         ORDER BY next_attempt_at, delivery_id LIMIT 1"
    );
    world.in_sql(&from_the_beginning).await;
    let passed_over = usize::try_from(entries_read(&world).await - after).unwrap();
    let read = usize::try_from(after - before).unwrap();
    println!(
        "{ROUND} deliveries were claimed by reading {read} entries of an index with {passed_over} dead ones"
    );
    assert!(
        passed_over >= ROUND * ROUNDS_BEFORE,
        "only {passed_over} entries were kept from being cleared away"
    );
    assert!(read < 20 * ROUND, "{read} entries were read to claim {ROUND} deliveries");
    old.commit().await.unwrap();
    assert_each_told_once(&tracker, ROUND * (ROUNDS_BEFORE + 1));
}
