//! A transaction elsewhere that is hours old keeps PostgreSQL from clearing anything away. What is
//! read to claim deliveries, or to ship the log, does not grow with all that has passed through since.

use std::time::Duration;

use deadpool_postgres::Client;
use ricochet::domain::event::Event;
use ricochet::domain::ids::NodeId;
use ricochet::event_log::rows::Log;
use ricochet::store::log_batches;
use serde_json::json;
use uuid::Uuid;

use super::assert_each_told_once;
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

/// What has left the queue before. Reading over it takes too long for it to be passed over each time.
const DEAD: i64 = 200_000;
const SALES: usize = 2_000;
/// No claim takes more.
const MAX_IN_FLIGHT: usize = 8;
const LEASE: Duration = Duration::from_secs(60);

impl World {
    /// A transaction that sees everything as it is now, until the connection is dropped.
    async fn old_snapshot(&self) -> Client {
        let elsewhere = self.databases.pool.get().await.unwrap();
        // Which our own connections do not allow themselves.
        let begin = "SET idle_in_transaction_session_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ;
                     SELECT FROM deliveries LIMIT 1";
        elsewhere.batch_execute(begin).await.unwrap();
        elsewhere
    }

    /// How many entries were read of an index, or of all of a table; dead ones too.
    async fn entries_read(&self, relation: &str) -> i64 {
        // Each connection tells of what it has read by and by; ours at once.
        self.in_sql("SELECT pg_stat_force_next_flush()").await;
        let read = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE";
        self.count(&format!("{read} '{relation}' IN (relname, indexrelname)")).await
    }

    /// Without a look into the queue, which would read all that has left it.
    async fn until_finished(&self, deliveries: usize) {
        eventually("all is delivered", || async {
            let finished = self.count("SELECT count(*) FROM deliveries_finished").await;
            (usize::try_from(finished) == Ok(deliveries)).then_some(())
        })
        .await;
    }

    /// Once no connection to the database is open but those of this test: all have told what they read.
    async fn until_alone(&self) {
        let others = "SELECT count(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND backend_type = 'client backend'";
        eventually("the server's connections are closed", || async {
            let own = i64::try_from(self.databases.pool.status().size).unwrap();
            (self.count(others).await <= own).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_pass_over_what_has_left_the_queue_a_few_times_and_not_each_time() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Sale]).await;
    let postback = world.postback_of(&tracker).await;
    world.in_sql(&format!("UPDATE postbacks SET max_in_flight = {MAX_IN_FLIGHT}")).await;
    let elsewhere = world.old_snapshot().await;
    let fill = format!(
        "INSERT INTO deliveries (delivery_id, postback_id, change_id, event, attempt, next_attempt_at, fence, created_at)
         SELECT gen_random_uuid(), '{postback}', gen_random_uuid(), 'sale', 0,
                now() - interval '1 hour' + number * interval '1 ms', 0, now()
         FROM generate_series(1, {DEAD}) AS number"
    );
    world.in_sql(&fill).await;
    world.in_sql("DELETE FROM deliveries").await;
    // Which cannot clear away, and tells the planner that there is next to nothing to read.
    world.in_sql("VACUUM (ANALYZE) deliveries").await;

    let mut server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    // Written waiting, so that each has to be claimed.
    world.set(&server, "pausePostback", &postback).await;
    let sale = |sale: usize| json!({ "click_id": click, "request_id": format!("{sale}"), "action": "sale", "status": "new" });
    for some in (0..SALES).collect::<Vec<_>>().chunks(1_000) {
        let request = world.client.post(server.url("/api/v1/conversions")).bearer_auth(&world.api_key);
        let sales: Vec<_> = some.iter().copied().map(sale).collect();
        assert_eq!(request.json(&sales).send().await.unwrap().status(), 200);
    }
    world.set(&server, "resumePostback", &postback).await;
    world.until_finished(SALES).await;

    // What comes to lie behind where the queue is read from by now, such as what somebody wrote in a
    // transaction that took long, is found all the same.
    world.set(&server, "pausePostback", &postback).await;
    world.takes_sales(&server, &click, "late", 1).await;
    world.in_sql("UPDATE deliveries SET next_attempt_at = now() - interval '30 minutes'").await;
    world.set(&server, "resumePostback", &postback).await;
    world.until_finished(SALES + 1).await;
    assert_each_told_once(&tracker, SALES + 1);

    assert!(server.stop().success());
    world.until_alone().await;
    let read = world.entries_read("deliveries_due").await;
    let read_by_key = world.entries_read("deliveries_pkey").await;
    // What one single claim would read that begins where the queue does.
    let from_the_beginning = format!(
        "SET enable_seqscan = off;
         SELECT FROM deliveries WHERE postback_id = '{postback}' AND claimed_by IS NULL AND next_attempt_at <= now()
         ORDER BY next_attempt_at, delivery_id LIMIT 1"
    );
    world.in_sql(&from_the_beginning).await;
    let passed_over = world.entries_read("deliveries_due").await - read;
    assert!(passed_over >= DEAD, "only {passed_over} entries were kept from being cleared away");
    // Claims, and as many times what they came to was recorded.
    let claims = SALES.div_ceil(MAX_IN_FLIGHT) as i64;
    println!(
        "{claims} claims or more read {read} entries of the queue and {read_by_key} keys, where {passed_over} have left it"
    );
    // Sweeps and first looks do pass over them, a few times.
    assert!(read < claims * DEAD / 2, "{read} entries were read by {claims} claims or more");
    assert!(read_by_key < 5 * DEAD, "{read_by_key} keys were read to record {SALES} outcomes");
    drop(elsewhere);
}

#[tokio::test]
async fn shipments_that_have_gone_are_not_passed_over_for_each_new_one() {
    let world = World::new().await;
    let elsewhere = world.old_snapshot().await;
    let node = NodeId(Uuid::now_v7());
    let gone = 20_000;
    let fill = format!(
        "INSERT INTO log_batches (log, row_count, payload)
         SELECT 'attempts', 1, '' FROM generate_series(1, {gone} + 1);
         INSERT INTO log_shipments (shipment_id, log, shipped_by, lease_until, batch_ids)
         SELECT gen_random_uuid(), 'attempts', gen_random_uuid(), now(), ARRAY[batch_id]
         FROM log_batches WHERE batch_id <= {gone};
         DELETE FROM log_batches WHERE batch_id <= {gone}"
    );
    world.in_sql(&fill).await;
    world.in_sql("DELETE FROM log_shipments").await;
    let scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'log_shipments'";
    world.in_sql("SELECT pg_stat_force_next_flush()").await;
    let scans_before = world.count(scans).await;
    let claim = async |from: Option<i64>| {
        let before = world.entries_read("log_shipments").await;
        let claimed = log_batches::claim_shipment(&world.databases.pool, node, Log::Attempts, LEASE, from);
        let batches = claimed.await.unwrap().map(|shipment| shipment.batch_ids);
        (batches, world.entries_read("log_shipments").await - before)
    };
    let (batches, read) = claim(Some(gone)).await;
    assert_eq!(batches, Some(vec![gone + 1]));
    assert!(read < 10, "{read} entries were read");
    // The same shipment, which has been given up since: it is found from before its end, and nothing
    // of it is shipped twice.
    let (batches, read) = claim(Some(gone)).await;
    assert_eq!(batches, Some(vec![gone + 1]));
    assert!(read < 10, "{read} entries were read");
    let (batches, _) = claim(Some(gone + 1)).await;
    assert_eq!(batches, None);
    let (batches, read) = claim(None).await;
    assert_eq!(batches, Some(vec![gone + 1]));
    assert!(read >= gone, "only {read} entries were kept from being cleared away");
    assert_eq!(world.count(scans).await, scans_before, "and the table is not read from end to end");
    drop(elsewhere);
}
