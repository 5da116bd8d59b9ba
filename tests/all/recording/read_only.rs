//! PostgreSQL takes no changes for a while: a failover to a standby, a full disk of a managed one.

use std::time::Duration;

use ricochet::domain::event::Event;

use super::{assert_each_told_once, until_logged};
use crate::support::databases::Databases;
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

const SALES: usize = 12;

#[tokio::test]
async fn what_was_sent_before_postgres_became_read_only_is_not_sent_again() {
    let world = World::on(Databases::own().await).await;
    let tracker = Tracker::start(Manner::Slow(Duration::from_secs(2), "200 OK")).await;
    world.postback(&tracker.url, &[Event::Sale]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.takes_sales(&server, &click, "before", SALES).await;
    tracker.until_received(SALES).await;

    let db = world.databases.pool.get().await.unwrap();
    let set = async |change: &str, expected: &str| {
        db.batch_execute(&format!("ALTER SYSTEM {change}")).await.unwrap();
        db.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        eventually("the setting is in force", || async {
            let row = db.query_one("SHOW default_transaction_read_only", &[]).await.unwrap();
            (row.get::<_, &str>(0) == expected).then_some(())
        })
        .await;
    };
    set("SET default_transaction_read_only = on", "on").await;
    // The answers come in, and cannot be recorded.
    until_logged(&server, "attempts wait to be recorded").await;
    let sale = format!("click_id={click}&request_id=meanwhile&action=sale&status=new");
    let (status, answer) = world.report(&server, &sale).await;
    assert_eq!((status, answer["errors"][0]["code"].as_str()), (503, Some("store_unavailable")), "{answer}");
    let link = server.url(&format!("/click/{}", world.fixed.1));
    assert_eq!(world.client.get(link).send().await.unwrap().status(), 503);
    set("RESET default_transaction_read_only", "off").await;

    tracker.behave(OK);
    eventually("the sale is taken", || async { (world.report(&server, &sale).await.0 == 200).then_some(()) })
        .await;
    let attempts = world.attempts(&server, SALES + 1).await;
    assert_eq!(attempts.len(), SALES + 1, "each attempt is in the log once");
    assert!(attempts.iter().all(|attempt| attempt["outcome"] == "DELIVERED"), "{attempts:?}");
    assert_each_told_once(&tracker, SALES + 1);
}
