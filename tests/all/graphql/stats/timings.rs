//! `timings` against the rows it measures.

use ricochet::event_log::rows::AttemptRow;
use serde_json::{Value, json};

use super::super::stage::Stage;
use super::oracle::{Question, hold, seed};
use super::postbacks::{DIMENSIONS, any_attempt, any_conditions, started_at};
use crate::chaos::dice::Dice;

const STEP: &str = "{ samples avgUs maxUs p50Us p90Us p95Us p99Us }";

fn step(rows: &[&AttemptRow], of: fn(&AttemptRow) -> Option<u64>) -> Value {
    let mut times: Vec<u64> = rows.iter().filter_map(|row| of(row)).collect();
    times.sort_unstable();
    // Between its two neighbours, and off by 1 % at most.
    let quantile = |level: f64| {
        let place = level * (times.len().checked_sub(1)? as f64);
        let (below, above) = (times[place.floor() as usize] as f64, times[place.ceil() as usize] as f64);
        Some(json!({ "within": [below * 0.99 - 0.001, above * 1.01 + 0.001] }))
    };
    json!({
        "samples": times.len(),
        "avgUs": (!times.is_empty()).then(|| times.iter().sum::<u64>() as f64 / times.len() as f64),
        "maxUs": times.last(),
        "p50Us": quantile(0.5),
        "p90Us": quantile(0.9),
        "p95Us": quantile(0.95),
        "p99Us": quantile(0.99),
    })
}

fn count(rows: &[&AttemptRow]) -> Value {
    json!({
        "attempts": rows.len(),
        "queued": step(rows, |row| (row.outcome != "skipped").then_some(row.queued_us)),
        "dns": step(rows, |row| Some(row.dns_us).filter(|time| *time > 0)),
        "connect": step(rows, |row| Some(row.connect_us).filter(|time| *time > 0)),
        "tls": step(rows, |row| Some(row.tls_us).filter(|time| *time > 0)),
        "firstByte": step(rows, |row| Some(row.first_byte_us).filter(|time| *time > 0)),
        "total": step(rows, |row| (row.outcome != "skipped").then_some(row.total_us)),
    })
}

#[actix_web::test]
async fn every_time_is_that_of_its_rows() {
    let mut dice = Dice::of(seed());
    let stage = Stage::set().await;
    let rows: Vec<AttemptRow> = (0..1_500).map(|_| any_attempt(&mut dice)).collect();
    stage.log_rows(rows.clone()).await;
    let figures =
        format!("attempts queued {STEP} dns {STEP} connect {STEP} tls {STEP} firstByte {STEP} total {STEP}");
    for _ in 0..60 {
        let conditions = any_conditions(&mut dice);
        let question = Question::throw(&mut dice, &DIMENSIONS, started_at, conditions);
        hold(&stage, "timings", "", &question, &rows, started_at, &figures, count).await;
    }
}
