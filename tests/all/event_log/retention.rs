//! Rows leave ClickHouse when the settings say so.

use chrono::{Duration, Utc};
use ricochet::event_log::retention::LogRetention;
use ricochet::event_log::rows::{Log, decode, encode};
use uuid::Uuid;

use crate::graphql::rows::attempt;
use crate::support::databases::Databases;
use crate::support::eventually;
use crate::support::server::Server;

const DAYS: LogRetention = LogRetention {
    attempt_days: 100,
    inbound_days: 50,
    click_days: 60,
    conversion_days: 70,
    rollup_days: 400,
};

#[actix_web::test]
async fn rows_go_after_their_days_and_figures_stay_longer() {
    let databases = Databases::shared().await;
    let log = &databases.log;
    assert_eq!(DAYS.apply(log).await.unwrap().len(), 8);
    assert!(DAYS.apply(log).await.unwrap().is_empty(), "nothing is changed the second time");
    let shorter = LogRetention { attempt_days: 90, ..DAYS };
    assert_eq!(shorter.apply(log).await.unwrap(), ["attempts"]);

    let rows = [1, 200].map(|days| attempt("tx", Utc::now() - Duration::days(days)));
    let batch = encode(rows).unwrap();
    log.insert(Log::Attempts, Uuid::new_v4(), decode(&batch.payload).unwrap()).await.unwrap();
    log.define("OPTIMIZE TABLE attempts FINAL").await.unwrap();
    eventually("the old attempt goes", || async {
        let left: u64 = log.client().query("SELECT count() FROM attempts").fetch_one().await.unwrap();
        (left == 1).then_some(())
    })
    .await;
    let counted = "SELECT sum(attempts) FROM attempts_by_day";
    assert_eq!(log.client().query(counted).fetch_one::<u64>().await.unwrap(), 2);
}

#[actix_web::test]
async fn a_server_applies_its_settings() {
    let databases = Databases::shared().await;
    let _server = Server::start_with(&databases, &[("RICOCHET_LOG_INBOUND_RETENTION_DAYS", "77")]).await;
    eventually("the table keeps 77 days", || async {
        let engine = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = ?";
        let engine = databases.log.client().query(engine).bind("inbound_requests");
        let engine: String = engine.fetch_one().await.unwrap();
        engine.contains("toIntervalDay(77)").then_some(())
    })
    .await;
}
