//! Tails that begin in the past: no gap and no repeat between what was and what comes.

use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta, Utc};
use ricochet::event_log::rows::AttemptRow;
use ricochet::graphql::scope::Grant;
use ricochet::store::tokens;

use super::record;
use super::socket::{Socket, each_once, txids};
use crate::graphql::rows::attempt;
use crate::support::databases::Databases;
use crate::support::server::Server;

fn since(ago: TimeDelta) -> String {
    format!("since: \"{}\"", (Utc::now() - ago).to_rfc3339_opts(SecondsFormat::Micros, true))
}

#[actix_web::test]
async fn whenever_one_joins_nothing_is_missing_and_nothing_comes_twice() {
    const BATCHES: usize = 120;
    let databases = Databases::shared().await;
    let token = tokens::create(&databases.pool, Grant::Owner, "").await.unwrap().secret;
    // Two nodes ship; each tail is on one of them.
    let nodes = [Server::start(&databases).await, Server::start(&databases).await];
    // Attempts that began long ago are recorded late, and out of the order of their times.
    let row = |number: usize| AttemptRow {
        ..attempt(&number.to_string(), Utc::now() - TimeDelta::seconds((number as i64 * 37) % 50))
    };
    let begin = Utc::now() - TimeDelta::minutes(5);
    let arguments = format!("since: \"{}\"", begin.to_rfc3339_opts(SecondsFormat::Micros, true));
    let pool = databases.pool.clone();
    let writing = actix_web::rt::spawn(async move {
        for batch in 0..BATCHES {
            record(&pool, (0..5).map(|number| row(batch * 5 + number))).await;
            // The pace of the work, not a wait for anything.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut sockets = Vec::new();
    while !writing.is_finished() {
        let mut socket = Socket::of(&nodes[sockets.len() % 2], &token).await;
        socket.tail("1", &arguments).await;
        sockets.push(socket);
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(sockets.len() < 19, "the writer is too slow for this test");
    }
    writing.await.unwrap();
    record(&databases.pool, [attempt("end", Utc::now())]).await;
    assert!(sockets.len() > 3);
    for socket in &mut sockets {
        let seen = each_once(&socket.attempts_until("end").await);
        assert_eq!(seen.len(), BATCHES * 5);
    }
}

#[actix_web::test]
async fn the_past_is_in_order_by_filter_and_of_its_length() {
    let databases = Databases::shared().await;
    let token = tokens::create(&databases.pool, Grant::Owner, "").await.unwrap().secret;
    let server = Server::start(&databases).await;
    let ago = |minutes| Utc::now() - TimeDelta::minutes(minutes);
    let old = AttemptRow { outcome: "failed", ..attempt("20 minutes", ago(20)) };
    let rows = [("9 minutes", 9), ("3 minutes", 3), ("6 minutes", 6)];
    let batches = databases.pool.clone();
    record(&batches, [old]).await;
    for (txid, minutes) in rows {
        record(&batches, [AttemptRow { outcome: "failed", ..attempt(txid, ago(minutes)) }]).await;
        record(&batches, [attempt("another outcome", ago(minutes))]).await;
    }
    crate::support::eventually("all is shipped", || async {
        let db = databases.pool.get().await.unwrap();
        let left: i64 = db.query_one("SELECT count(*) FROM log_batches", &[]).await.unwrap().get(0);
        (left == 0).then_some(())
    })
    .await;
    let mut socket = Socket::of(&server, &token).await;
    let arguments = format!("filter: {{outcomes: [FAILED]}}, {}", since(TimeDelta::minutes(10)));
    socket.tail("1", &arguments).await;
    record(&batches, [AttemptRow { outcome: "failed", ..attempt("end", Utc::now()) }]).await;
    assert_eq!(txids(&socket.attempts_until("end").await), ["9 minutes", "6 minutes", "3 minutes"]);

    socket.tail("2", &since(TimeDelta::days(2))).await;
    let refusal = socket.hear().await.unwrap();
    let error = &refusal["payload"]["errors"][0];
    assert_eq!(
        (&error["extensions"]["code"], &error["extensions"]["field"]),
        (&"BAD_INPUT".into(), &"since".into()),
        "{refusal}"
    );
}
