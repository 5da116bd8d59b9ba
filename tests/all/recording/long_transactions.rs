//! Somebody reads for long (a dump, a report) while partitions are due: nobody waits for it.

use std::time::{Duration, Instant};

use chrono::{Months, Utc};
use ricochet::domain::event::Event;
use ricochet::store::partitions::{self, Retention};

use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

/// Far below the 30 s after which PostgreSQL ends a statement that waits.
const AT_ONCE: Duration = Duration::from_secs(10);
const TABLES: [&str; 3] = ["clicks", "conversion_history", "deliveries_finished"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversions_go_on_while_partitions_are_due_and_somebody_reads_them() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Sale]).await;
    let mut server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.takes_sales(&server, &click, "before", 1).await;
    world.until_settled().await;

    // What pg_dump holds, on the tables and all their partitions.
    let mut dump = world.databases.pool.get().await.unwrap();
    // Which our own connections do not allow themselves.
    dump.batch_execute("SET idle_in_transaction_session_timeout = 0").await.unwrap();
    let dump = dump.transaction().await.unwrap();
    for table in TABLES {
        dump.query(&format!("SELECT FROM {table}"), &[]).await.unwrap();
    }
    // This month has passed its retention, and those of the future are to be made.
    let pool = world.databases.pool.clone();
    let later = Utc::now() + Months::new(4);
    let retention = Retention { clicks_days: 1, history_days: 1 };
    let keeping = tokio::spawn(async move {
        let mut rounds = 0;
        let deadline = Instant::now() + Duration::from_secs(8);
        while Instant::now() < deadline {
            let dropped = partitions::keep(&pool, retention, later).await.unwrap();
            let used = TABLES.map(|table| format!("{table}_{}", Utc::now().format("%Y_%m")));
            assert!(!dropped.iter().any(|name| used.contains(name)), "{dropped:?} are being read");
            rounds += 1;
        }
        rounds
    });
    let mut taken = 0;
    while !keeping.is_finished() {
        let began = Instant::now();
        world.takes_sales(&server, &click, &format!("during-{taken}"), 1).await;
        taken += 1;
        tracker.until_received(1 + taken).await;
        assert!(began.elapsed() < AT_ONCE, "sale {taken} was delivered after {:?}", began.elapsed());
    }
    assert!(keeping.await.unwrap() > 0 && taken > 0);
    let made = format!("SELECT count(*) FROM pg_class WHERE relname = 'clicks_{}'", later.format("%Y_%m"));
    assert_eq!(world.count(&made).await, 1, "what is due is made all the same");

    // A node that starts does not wait either.
    assert!(server.stop().success());
    let began = Instant::now();
    server.restart().await;
    assert!(began.elapsed() < Duration::from_secs(20), "it was ready after {:?}", began.elapsed());
    world.until_settled().await;

    dump.commit().await.unwrap();
    eventually("what has passed its retention is dropped", || async {
        let dropped = partitions::keep(&world.databases.pool, retention, later).await.unwrap();
        dropped.contains(&format!("clicks_{}", Utc::now().format("%Y_%m"))).then_some(())
    })
    .await;
}

/// What is made ahead is the same as what is made by `PARTITION OF`: keys, indexes, checks.
#[tokio::test]
async fn a_partition_made_ahead_has_all_that_its_table_has() {
    let world = World::new().await;
    let now = Utc::now();
    partitions::keep(&world.databases.pool, Retention { clicks_days: 365, history_days: 365 }, now)
        .await
        .unwrap();
    for table in TABLES {
        let name = format!("{table}_{}", now.format("%Y_%m"));
        world.in_sql(&format!("CREATE TABLE {table}_model PARTITION OF {table} FOR VALUES FROM ('00000000-0000-0000-0000-000000000000') TO ('00000000-0000-0000-0000-000000000001')")).await;
        let db = world.databases.pool.get().await.unwrap();
        let described = async |name: &str| -> Vec<String> {
            let rows = db
                .query(
                    "SELECT 'index ' || replace(pg_get_indexdef(indexrelid), $1, '') || ' ' || indisprimary
                            || ' ' || EXISTS (SELECT FROM pg_inherits WHERE inhrelid = indexrelid) AS what, 1
                     FROM pg_index WHERE indrelid = $1::text::regclass
                     UNION ALL
                     SELECT 'constraint ' || contype::text || ' ' || replace(pg_get_constraintdef(oid), $1, ''), 2
                     FROM pg_constraint WHERE conrelid = $1::text::regclass
                     UNION ALL
                     SELECT 'trigger ' || replace(pg_get_triggerdef(oid), $1, ''), 3
                     FROM pg_trigger WHERE tgrelid = $1::text::regclass
                     UNION ALL
                     SELECT 'column ' || attname || ' ' || atttypid::regtype || ' ' || attnotnull || ' ' || attstorage::text
                            || ' ' || coalesce((SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef
                                                WHERE adrelid = attrelid AND adnum = attnum), ''), 4
                     FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped
                     ORDER BY 2, 1",
                    &[&name],
                )
                .await
                .unwrap();
            rows.iter().map(|row| without_name(row.get(0))).collect()
        };
        let mut made = described(&name).await;
        let mut model = described(&format!("{table}_model")).await;
        made.sort();
        model.sort();
        assert_eq!(made, model, "{table}");
    }
}

/// An index is named by what it was made for.
fn without_name(definition: String) -> String {
    match definition.split_once(" ON ") {
        Some((start, rest)) if start.starts_with("index ") => {
            format!("{} ON {rest}", start.contains("UNIQUE"))
        }
        _ => definition,
    }
}
