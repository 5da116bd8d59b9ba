//! Reading a list to its end, while it grows.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use ricochet::graphql::scope::Grant;
use serde_json::Value;

use super::rows::{at, attempt, click, conversion, inbound, store};
use super::stage::Stage;

/// Few different times, so that most neighbours differ by id alone.
fn time(number: i64) -> DateTime<Utc> {
    at(number % 3)
}

async fn page(stage: &Stage, list: &str, node: &str, first: usize, after: Option<&str>) -> Value {
    let after = after.map(|cursor| format!(", after: \"{cursor}\"")).unwrap_or_default();
    let query = format!(
        "{{ list: {list}(first: {first}{after}) {{ totalCount pageInfo {{ hasNextPage endCursor }}
            edges {{ cursor node {{ {node} }} }} }} }}"
    );
    stage.data(Grant::Owner, &query).await["list"].take()
}

/// Reads a list page by page, and lets it grow after each; returns the labels in order.
pub(super) async fn read_all(
    stage: &Stage,
    list: &str,
    label: &str,
    first: usize,
    grow: impl AsyncFn(usize),
) -> Vec<String> {
    let mut labels = Vec::new();
    let mut after: Option<String> = None;
    for number in 0.. {
        let page = page(stage, list, label, first, after.as_deref()).await;
        let edges = page["edges"].as_array().unwrap();
        labels.extend(edges.iter().map(|edge| edge["node"][label].as_str().unwrap().to_owned()));
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        assert_eq!(edges.len(), first);
        assert_eq!(page["pageInfo"]["endCursor"], edges[first - 1]["cursor"]);
        after = Some(page["pageInfo"]["endCursor"].as_str().unwrap().to_owned());
        grow(number).await;
    }
    labels
}

pub(super) fn assert_each_once(labels: &[String], rows: i64) {
    let found: HashSet<&str> = labels.iter().map(String::as_str).collect();
    assert_eq!(found.len(), labels.len(), "a row came twice");
    let expected: Vec<String> = (0..rows).map(|number| format!("row {number}")).collect();
    assert_eq!(found, expected.iter().map(String::as_str).collect::<HashSet<_>>());
    // Newest first: 2, 1, 0.
    let seconds: Vec<i64> = labels.iter().map(|label| label[4..].parse::<i64>().unwrap() % 3).collect();
    assert!(seconds.is_sorted_by(|a, b| a >= b), "{seconds:?}");
}

#[actix_web::test]
async fn the_postback_log_gives_every_row_once_while_it_grows() {
    let stage = Stage::set().await;
    // Two parts, so that the order does not come from one insert.
    for half in 0..2 {
        let rows = (0..400).filter(|number| number % 2 == half);
        stage.log_rows(rows.map(|number| attempt(&format!("row {number}"), time(number)))).await;
    }
    let grow = async |number: usize| stage.log_rows([attempt(&format!("new {number}"), at(60))]).await;
    for first in [7, 100, 399] {
        let labels = read_all(&stage, "postbackLog", "txid", first, grow).await;
        let old: Vec<String> = labels.into_iter().filter(|label| !label.starts_with("new")).collect();
        assert_each_once(&old, 400);
    }
}

#[actix_web::test]
async fn the_inbound_log_gives_every_row_once() {
    let stage = Stage::set().await;
    stage.log_rows((0..100).map(|number| inbound(&format!("row {number}"), time(number)))).await;
    let labels = read_all(&stage, "inboundLog", "requestId", 9, async |_| ()).await;
    assert_each_once(&labels, 100);
}

#[actix_web::test]
async fn clicks_give_every_row_once_while_they_grow() {
    let stage = Stage::set().await;
    let labels: Vec<String> = (0..120).map(|number| format!("row {number}")).collect();
    stage.log_rows((0..).zip(&labels).map(|(number, label)| click(label, time(number)))).await;
    let grow = async |number: usize| stage.log_rows([click(&format!("new {number}"), at(60))]).await;
    for first in [7, 100] {
        let labels = read_all(&stage, "clicks", "userAgent", first, grow).await;
        let old: Vec<String> = labels.into_iter().filter(|label| !label.starts_with("new")).collect();
        assert_each_once(&old, 120);
    }
}

#[actix_web::test]
async fn conversions_give_every_row_once_while_they_grow() {
    let stage = Stage::set().await;
    store(&stage.pool, (0..200).map(|number| conversion(&format!("row {number}"), time(number)))).await;
    let grow = async |number: usize| store(&stage.pool, [conversion(&format!("new {number}"), at(60))]).await;
    for first in [7, 100] {
        let labels = read_all(&stage, "conversions", "requestId", first, grow).await;
        let old: Vec<String> = labels.into_iter().filter(|label| !label.starts_with("new")).collect();
        assert_each_once(&old, 200);
    }
}

#[actix_web::test]
async fn the_total_counts_all_pages_and_the_last_page_says_so() {
    let stage = Stage::set().await;
    stage.log_rows((0..5).map(|number| attempt(&format!("row {number}"), at(number)))).await;
    let first = page(&stage, "postbackLog", "txid", 5, None).await;
    assert_eq!((&first["totalCount"], &first["pageInfo"]["hasNextPage"]), (&5.into(), &false.into()));
    let cursor = first["edges"][1]["cursor"].as_str().unwrap();
    let rest = page(&stage, "postbackLog", "txid", 2, Some(cursor)).await;
    assert_eq!((&rest["totalCount"], &rest["pageInfo"]["hasNextPage"]), (&5.into(), &true.into()));
    assert_eq!(rest["edges"][0]["node"]["txid"], "row 2");
    // Behind an alias and a fragment it is still counted.
    let query = "{ list: postbackLog(first: 1) { ...Total } } fragment Total on PostbackAttemptConnection { n: totalCount }";
    assert_eq!(stage.data(Grant::Owner, query).await["list"]["n"], 5);
    let empty = page(&stage, "conversions", "requestId", 5, None).await;
    assert_eq!((&empty["totalCount"], &empty["pageInfo"]["endCursor"]), (&0.into(), &Value::Null));
}
