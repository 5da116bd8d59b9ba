//! Figures by minute and day equal those of the rows, whatever went wrong on the way.

use chrono::{DateTime, Duration, Utc};
use ricochet::event_log::EventLog;
use ricochet::event_log::rows::{AttemptRow, Log, decode, encode};
use ricochet::store::migrations;
use uuid::Uuid;

use crate::graphql::rows::{attempt, id};
use crate::support::databases::Databases;

/// The last second of a day, so that a few rows fall on two days and many minutes.
fn midnight() -> DateTime<Utc> {
    "2026-03-01T23:59:59Z".parse().unwrap()
}

fn rows(count: u64) -> Vec<AttemptRow> {
    (0..count)
        .map(|number| {
            let step = i64::try_from(number).unwrap();
            AttemptRow {
                partner_id: id(u128::from(number % 3)),
                offer_id: id(u128::from(number % 5)),
                outcome: ["delivered", "failed", "retrying", "skipped"]
                    [usize::try_from(number / 2 % 4).unwrap()],
                attempt: u32::try_from(number % 4 + 1).unwrap(),
                first_byte_us: if number % 7 == 0 { 0 } else { 900 + number },
                total_us: 1_000 + number * number,
                queued_us: number,
                is_test: number % 11 == 0,
                ..attempt(&format!("tx-{number}"), midnight() + Duration::seconds(step * 20))
            }
        })
        .collect()
}

async fn insert(log: &EventLog, token: Uuid, rows: Vec<AttemptRow>) -> Result<(), clickhouse::error::Error> {
    let batch = encode(rows).unwrap();
    log.insert(Log::Attempts, token, decode(&batch.payload).unwrap()).await
}

/// Every figure of every rollup, recomputed from the rows.
pub async fn assert_equal(log: &EventLog, expected_rows: u64) {
    let counted: u64 = log.client().query("SELECT count() FROM attempts").fetch_one().await.unwrap();
    assert_eq!(counted, expected_rows);
    let of_rows = "count() AS a, countIf(attempt = 1) AS f, countIf(first_byte_us > 0) AS w, sum(total_us) AS t, \
                   max(total_us) AS tm, sum(queued_us) AS q, max(queued_us) AS qm, sum(first_byte_us) AS b, \
                   max(first_byte_us) AS bm";
    let of_rollup = "sum(attempts) AS a, sum(first_attempts) AS f, sum(answered) AS w, sum(total_us_sum) AS t, \
                     max(total_us_max) AS tm, sum(queued_us_sum) AS q, max(queued_us_max) AS qm, \
                     sum(first_byte_us_sum) AS b, max(first_byte_us_max) AS bm";
    let all = "owner, partner_id, advertiser_id, offer_id, postback_id, event, status, outcome, error_kind, is_test";
    let questions = [
        (
            format!(
                "SELECT toStartOfMinute(started_at) AS bucket, outcome, error_kind, is_test, {of_rows} FROM attempts GROUP BY ALL"
            ),
            format!(
                "SELECT bucket, outcome, error_kind, is_test, {of_rollup} FROM attempts_by_minute GROUP BY ALL"
            ),
        ),
        (
            format!("SELECT toStartOfDay(started_at) AS bucket, {all}, {of_rows} FROM attempts GROUP BY ALL"),
            format!("SELECT bucket, {all}, {of_rollup} FROM attempts_by_day GROUP BY ALL"),
        ),
        (
            format!(
                "SELECT toStartOfDay(started_at) AS bucket, toUUID(partner_id) AS id, outcome, is_test, {of_rows} FROM attempts GROUP BY ALL"
            ),
            format!(
                "SELECT bucket, group_id AS id, outcome, is_test, {of_rollup} FROM attempt_timings_by_day WHERE grouped_by = 'partner' GROUP BY ALL"
            ),
        ),
        (
            format!(
                "SELECT toStartOfDay(started_at) AS bucket, toUUID(offer_id) AS id, outcome, is_test, {of_rows} FROM attempts GROUP BY ALL"
            ),
            format!(
                "SELECT bucket, group_id AS id, outcome, is_test, {of_rollup} FROM attempt_timings_by_day WHERE grouped_by = 'offer' GROUP BY ALL"
            ),
        ),
    ];
    let sent = "outcome != 'skipped'";
    let of_sent_rows = format!(
        "count() AS a, countIf({sent}) AS s, countIf(first_byte_us > 0) AS w, sumIf(total_us, {sent}) AS t, \
         maxIf(total_us, {sent}) AS tm, sumIf(queued_us, {sent}) AS q, maxIf(queued_us, {sent}) AS qm, \
         sum(first_byte_us) AS b, max(first_byte_us) AS bm"
    );
    let of_sent = "sum(attempts) AS a, sum(sent) AS s, sum(answered) AS w, sum(total_us_sum) AS t, \
                   max(total_us_max) AS tm, sum(queued_us_sum) AS q, max(queued_us_max) AS qm, \
                   sum(first_byte_us_sum) AS b, max(first_byte_us_max) AS bm";
    let no_id = "toUUID('00000000-0000-0000-0000-000000000000')";
    let sent_questions = [
        ("minute", "toStartOfMinute", no_id),
        ("partner", "toStartOfDay", "toUUID(partner_id)"),
        ("advertiser", "toStartOfDay", "toUUID(advertiser_id)"),
        ("offer", "toStartOfDay", "toUUID(offer_id)"),
        ("postback", "toStartOfDay", "toUUID(postback_id)"),
    ]
    .map(|(grouped_by, start, id)| {
        (
            format!("SELECT {start}(started_at) AS bucket, {id} AS id, is_test, {of_sent_rows} FROM attempts GROUP BY ALL"),
            format!(
                "SELECT bucket, group_id AS id, is_test, {of_sent} FROM sent_timings \
                 WHERE grouped_by = '{grouped_by}' GROUP BY ALL"
            ),
        )
    });
    for (of_rows, of_rollup) in questions.into_iter().chain(sent_questions) {
        for (one, other) in [(&of_rows, &of_rollup), (&of_rollup, &of_rows)] {
            let surplus = format!("SELECT count() FROM ({one} EXCEPT {other})");
            let surplus: u64 = log.client().query(&surplus).fetch_one().await.unwrap();
            assert_eq!(surplus, 0, "{one}");
        }
    }
    if expected_rows == 0 {
        return;
    }
    // Merged states are the sketch of all rows, and that is within 1 % of what stands at its rank or
    // next to it.
    for (column, table, of, rows) in [
        ("total_us", "attempts_by_minute", "", "attempts"),
        ("queued_us", "attempt_timings_by_day", "postback", "attempts"),
        ("total_us", "sent_timings", "minute", "attempts WHERE outcome != 'skipped'"),
        ("queued_us", "sent_timings", "offer", "attempts WHERE outcome != 'skipped'"),
    ] {
        let only = if of.is_empty() { String::new() } else { format!(" WHERE grouped_by = '{of}'") };
        let wrong = format!(
            "WITH (SELECT quantilesDDMerge(0.01, 0.5, 0.9, 0.98)({column}_quantiles) FROM {table}{only}) AS merged, \
             (SELECT quantilesDD(0.01, 0.5, 0.9, 0.98)({column}) FROM {rows}) AS of_rows, \
             (SELECT quantilesExactLow(0.48, 0.88, 0.96)({column}) FROM {rows}) AS low, \
             (SELECT quantilesExactHigh(0.52, 0.92, 1)({column}) FROM {rows}) AS high \
             SELECT arrayCount((m, r, l, h) -> abs(m - r) > 1e-6 * r OR m < 0.99 * l OR m > 1.01 * h, \
             merged, of_rows, low, high)"
        );
        let wrong: u32 = log.client().query(&wrong).fetch_one().await.unwrap();
        assert_eq!(wrong, 0, "{table}.{column}");
    }
}

#[actix_web::test]
async fn a_shipment_sent_again_changes_no_figure() {
    let databases = Databases::shared().await;
    let log = &databases.log;
    for (number, chunk) in rows(200).chunks(40).enumerate() {
        let token = Uuid::from_u128(number as u128);
        for _ in 0..3 {
            insert(log, token, chunk.to_vec()).await.unwrap();
        }
    }
    assert_equal(log, 200).await;
}

/// A server that dies between a table and its views: the first try reaches some of them.
#[actix_web::test]
async fn a_shipment_that_reached_half_of_the_views_reaches_the_rest_once() {
    let databases = Databases::shared().await;
    let log = &databases.log;
    insert(log, Uuid::from_u128(1), rows(30)).await.unwrap();
    for view in ["a_first", "z_last"] {
        let nowhere = format!("CREATE TABLE {view}_target (n UInt8) ENGINE = Null");
        let breaking = format!(
            "CREATE MATERIALIZED VIEW {view} TO {view}_target AS SELECT throwIf(count() > 0) AS n FROM attempts"
        );
        log.define(&nowhere).await.unwrap();
        log.define(&breaking).await.unwrap();
        let shipment: Vec<AttemptRow> = rows(90).split_off(30);
        let token = Uuid::new_v4();
        for _ in 0..2 {
            assert!(insert(log, token, shipment.clone()).await.is_err());
        }
        log.define(&format!("DROP VIEW {view}")).await.unwrap();
        for _ in 0..2 {
            insert(log, token, shipment.clone()).await.unwrap();
        }
    }
    assert_equal(log, 150).await;
}

#[actix_web::test]
async fn what_was_there_before_a_view_is_filled_in_once() {
    let databases = Databases::shared().await;
    let log = &databases.log;
    let views =
        ["attempts_to_minutes", "attempts_to_days", "attempts_to_timings", "attempts_to_sent_timings"];
    insert(log, Uuid::from_u128(1), rows(100)).await.unwrap();
    // As an older version left it, with one view half made.
    for view in views {
        log.define(&format!("DROP VIEW {view}")).await.unwrap();
    }
    log.define("TRUNCATE TABLE attempts_by_day").await.unwrap();
    insert(log, Uuid::from_u128(2), rows(300).split_off(100)).await.unwrap();
    for _ in 0..2 {
        migrations::run(&databases.database_url, log).await.unwrap();
        assert_equal(log, 300).await;
    }
    insert(log, Uuid::from_u128(3), rows(320).split_off(300)).await.unwrap();
    assert_equal(log, 320).await;
}
