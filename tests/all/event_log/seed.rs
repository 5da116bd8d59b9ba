//! `ricochet seed`: both databases tell the same past, and nobody hears of it.

use std::process::{Command, Output};

use super::rollups;
use crate::support::databases::Databases;

fn seed(databases: &Databases, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ricochet"))
        .arg("seed")
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", &databases.database_url)
        .env("CLICKHOUSE_URL", &databases.clickhouse_url)
        .output()
        .unwrap()
}

const SMALL: [&str; 10] =
    ["--clicks", "3000", "--days", "70", "--partners", "20", "--advertisers", "4", "--offers", "9"];

fn refusal(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[actix_web::test]
async fn both_databases_tell_the_same_past() {
    let databases = Databases::shared().await;
    let output = seed(&databases, &SMALL);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let client = databases.pool.get().await.unwrap();
    let state =
        async |query: &str| client.query_one(query, &[]).await.unwrap().get::<_, i64>(0).unsigned_abs();
    let log = async |query: &str| databases.log.client().query(query).fetch_one::<u64>().await.unwrap();
    for (of_state, of_log) in [
        ("SELECT count(*) FROM clicks", "SELECT count() FROM clicks"),
        ("SELECT count(*) FROM clicks", "SELECT uniqExact(click_id) FROM clicks"),
        ("SELECT count(*) FROM conversions", "SELECT uniqExact(lead_id) FROM conversion_events"),
        ("SELECT sum(cardinality(events)) FROM conversion_history", "SELECT count() FROM conversion_events"),
        (
            "SELECT count(*) FROM conversions WHERE status = 'approved'",
            "SELECT count() FROM (SELECT argMax(status, recorded_at) AS now FROM conversion_events GROUP BY lead_id) \
             WHERE now = 'approved'",
        ),
        (
            "SELECT count(*) FROM conversion_history",
            "SELECT count() FROM inbound_requests WHERE verdict = 'accepted'",
        ),
        (
            "SELECT (SELECT coalesce(sum(attempts), 0) FROM deliveries_finished) + (SELECT coalesce(sum(attempt), 0) FROM deliveries)",
            "SELECT count() FROM attempts",
        ),
        (
            "SELECT count(*) FROM deliveries_finished WHERE state = 'delivered'",
            "SELECT count() FROM attempts WHERE outcome = 'delivered'",
        ),
        (
            "SELECT count(*) FROM conversions JOIN clicks USING (click_id)",
            "SELECT uniqExact(lead_id) FROM attempts",
        ),
    ] {
        assert_eq!(state(of_state).await, log(of_log).await, "{of_state} and {of_log}");
    }
    assert_eq!(log("SELECT uniqExact(outcome) FROM attempts").await, 4);
    assert_eq!(log("SELECT uniqExact(verdict) FROM inbound_requests").await, 3);
    assert!(log("SELECT uniqExact(toDate(clicked_at)) FROM clicks").await >= 70);
    rollups::assert_equal(&databases.log, log("SELECT count() FROM attempts").await).await;

    // Nothing can be sent: every postback is paused, and no resolver knows its host.
    let open =
        "SELECT count(*) FROM postbacks WHERE NOT is_paused OR url_template NOT LIKE 'https://%.invalid/%'";
    assert_eq!(state(open).await, 0);

    let again = refusal(&seed(&databases, &SMALL));
    assert!(again.contains("take another --seed"), "{again}");
    let more = seed(&databases, &[SMALL.as_slice(), &["--seed", "2", "--log-only"]].concat());
    assert!(more.status.success(), "{}", String::from_utf8_lossy(&more.stderr));
    assert_eq!(state("SELECT count(*) FROM clicks").await, 3_000);
    assert_eq!(log("SELECT count() FROM clicks").await, 6_000);
}

#[actix_web::test]
async fn a_network_in_use_is_left_alone() {
    let databases = Databases::shared().await;
    let client = databases.pool.get().await.unwrap();
    client
        .execute("INSERT INTO advertisers (advertiser_id, name) VALUES (gen_random_uuid(), 'Shop')", &[])
        .await
        .unwrap();
    let refused = refusal(&seed(&databases, &SMALL));
    assert!(refused.contains("--beside-others"), "{refused}");
    let count: i64 = client.query_one("SELECT count(*) FROM advertisers", &[]).await.unwrap().get(0);
    assert_eq!(count, 1);
    for (wrong, remedy) in
        [(["--clicks", "0"], "1.."), (["--days", "9000"], "1..=365"), (["--offers", "x"], "invalid")]
    {
        let refused = refusal(&seed(&databases, &wrong));
        assert!(refused.contains(wrong[0]) && refused.contains(remedy), "{refused}");
    }
}
