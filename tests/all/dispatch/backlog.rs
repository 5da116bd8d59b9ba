//! A long queue is worked off as quickly as a short one.

use uuid::Uuid;

use super::stage::{postback, report};
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

const QUEUE: i32 = 20_000;

/// Pooled connections keep a plan for any number of deliveries to claim, and PostgreSQL then
/// expects a tenth of the queue to be asked for.
#[tokio::test]
async fn a_claim_reads_what_it_claims_and_not_the_whole_queue() {
    let world = World::new().await;
    let db = world.databases.pool.get().await.unwrap();
    let postback = Uuid::now_v7();
    let fill = "INSERT INTO deliveries
                    (delivery_id, postback_id, change_id, event, attempt, next_attempt_at, fence, created_at)
                SELECT gen_random_uuid(), $1, gen_random_uuid(), 'sale', 0,
                       now() - interval '1 hour' + number * interval '1 ms', 0, now()
                FROM generate_series(1, $2::integer) AS number";
    db.execute(fill, &[&postback, &QUEUE]).await.unwrap();
    let claim = include_str!("../../../src/store/queries/claim_deliveries.sql");
    db.batch_execute(&format!(
        "ANALYZE deliveries; SET plan_cache_mode = force_generic_plan;
         PREPARE claim (uuid[], bigint[], timestamptz[], uuid[], bigint[], uuid, float8) AS {claim}"
    ))
    .await
    .unwrap();
    // Of one queue, and of as many as are ever claimed from together.
    for queues in [1, 64] {
        let each = |value: &str| vec![value; queues].join(",");
        let explain = format!(
            "EXPLAIN EXECUTE claim('{{{}}}', '{{{}}}', '{{{}}}', '{{{}}}', '{{{}}}', '{postback}', 60)",
            each(&postback.to_string()),
            each("64"),
            each("NULL"),
            each(&Uuid::nil().to_string()),
            each("7")
        );
        let lines = db.query(&explain, &[]).await.unwrap();
        let plan: Vec<String> = lines.iter().map(|line| line.get(0)).collect();
        let update = plan.iter().find(|line| line.contains("Update on deliveries")).unwrap();
        let expected = update.split("rows=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        // From about a thousand on, a join over the whole table would seem cheaper.
        assert!(expected.parse::<u32>().unwrap() <= 64, "{}", plan.join("\n"));
        assert!(plan.iter().all(|line| !line.contains("Seq Scan on deliveries")), "{}", plan.join("\n"));
    }
}

/// No index leads to claims; what looks for them reads as much of the table as it is told to.
#[tokio::test]
async fn a_step_of_a_search_for_claims_reads_only_its_blocks() {
    let world = World::new().await;
    let db = world.databases.pool.get().await.unwrap();
    let find = include_str!("../../../src/store/queries/find_abandoned.sql");
    db.batch_execute(&format!(
        "SET plan_cache_mode = force_generic_plan; PREPARE find (bigint, bigint, uuid[], boolean) AS {find}"
    ))
    .await
    .unwrap();
    let lines = db.query("EXPLAIN EXECUTE find(0, 8192, '{}', false)", &[]).await.unwrap();
    let plan: Vec<String> = lines.iter().map(|line| line.get(0)).collect();
    assert!(plan[0].starts_with("Tid Range Scan on deliveries"), "{}", plan.join("\n"));
}

/// How docs/benchmarks.md makes one, of a few instead of a million.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backlog_of_the_benchmarks_goes_out() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    postback(&world, &server, &tracker, "").await;
    let click = world.click(&server, world.fixed.1).await;
    report(&world, &server, &click, 0..1).await;
    world.attempts(&server, 1).await;
    let document = include_str!("../../../docs/benchmarks.md");
    let statement = document.split("```sql").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let few = statement.replace("1000000", "100");
    assert_ne!(few, statement);
    world.databases.pool.get().await.unwrap().batch_execute(&few).await.unwrap();
    tracker.until_received(101).await;
    eventually("nothing waits any more", || async {
        (world.count("SELECT count(*) FROM deliveries").await == 0).then_some(())
    })
    .await;
    assert_eq!(world.count("SELECT max_in_flight::bigint FROM postbacks").await, 64);
}
