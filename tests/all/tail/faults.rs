//! ClickHouse gone and back, PostgreSQL gone and back, while somebody follows.

use chrono::{SecondsFormat, TimeDelta, Utc};
use ricochet::graphql::scope::Grant;
use ricochet::store::tokens;

use super::record;
use super::socket::{Socket, each_once, txids, until_followed};
use crate::graphql::rows::attempt;
use crate::support::databases::Databases;
use crate::support::eventually;
use crate::support::server::Server;

#[actix_web::test]
async fn the_tail_goes_on_while_clickhouse_is_away() {
    let databases = Databases::own().await;
    let token = tokens::create(&databases.pool, Grant::Owner, "").await.unwrap().secret;
    let server = Server::start(&databases).await;
    let since = (Utc::now() - TimeDelta::minutes(1)).to_rfc3339_opts(SecondsFormat::Micros, true);
    let past = format!("since: \"{since}\"");
    let mut socket = Socket::of(&server, &token).await;
    socket.tail("1", &past).await;
    record(&databases.pool, [attempt("before", Utc::now())]).await;
    assert_eq!(socket.attempt().await["txid"], "before");
    eventually("it is shipped", || async {
        let db = databases.pool.get().await.unwrap();
        let left: i64 = db.query_one("SELECT count(*) FROM log_batches", &[]).await.unwrap().get(0);
        (left == 0).then_some(())
    })
    .await;

    databases.pair.engines.stop_clickhouse().unwrap();
    record(&databases.pool, [attempt("meanwhile", Utc::now())]).await;
    assert_eq!(socket.attempt().await["txid"], "meanwhile");
    // Who comes now is told that the past is not all there, and sees what waits for ClickHouse.
    let mut late = Socket::of(&server, &token).await;
    late.tail("1", &past).await;
    record(&databases.pool, [attempt("end", Utc::now())]).await;
    let seen = late.attempts_until("end").await;
    assert!(txids(&seen).contains(&"meanwhile".to_owned()), "{seen:?}");
    assert_eq!(seen[0]["pastLeftOut"], true);
    assert!(seen[1..].iter().all(|attempt| attempt["pastLeftOut"] == false));

    databases.pair.engines.start_clickhouse().unwrap();
    let mut later = Socket::of(&server, &token).await;
    later.tail("1", &past).await;
    record(&databases.pool, [attempt("end again", Utc::now())]).await;
    let seen = each_once(&later.attempts_until("end again").await);
    assert_eq!(seen, ["before", "meanwhile", "end"].map(str::to_owned).into());
    assert_eq!(txids(&socket.attempts_until("end again").await), ["end"]);
}

#[actix_web::test]
async fn the_tail_goes_on_after_postgresql_was_away() {
    let databases = Databases::own().await;
    let token = tokens::create(&databases.pool, Grant::Owner, "").await.unwrap().secret;
    let server = Server::start(&databases).await;
    let mut socket = Socket::of(&server, &token).await;
    socket.tail("1", "").await;
    until_followed(&server, 1).await;
    record(&databases.pool, [attempt("before", Utc::now())]).await;
    assert_eq!(socket.attempt().await["txid"], "before");
    databases.pair.engines.kill_postgres().unwrap();
    databases.pair.engines.start_postgres().unwrap();
    eventually("PostgreSQL takes connections again", || async {
        databases.pool.get().await.ok()?.simple_query("SELECT 1").await.ok()
    })
    .await;
    record(&databases.pool, [attempt("after", Utc::now())]).await;
    assert_eq!(socket.attempt().await["txid"], "after", "on the same connection");
}
