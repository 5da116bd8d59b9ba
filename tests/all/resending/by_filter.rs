//! Whatever a filter of the log finds, as a job.

use std::collections::HashSet;

use ricochet::domain::event::Event;
use serde_json::{Value, json};

use super::refused_sales;
use crate::support::databases::Databases;
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

fn start(rate: u32, more: &str) -> String {
    format!(
        "mutation {{ startResend(input: {{ filter: {{ outcomes: [FAILED] }}, ratePerSecond: {rate}{more} }}) {{
             jobId state expected }} }}"
    )
}

fn txids(tracker: &Tracker) -> Vec<String> {
    tracker.received().iter().map(|request| request.parameter("txid").unwrap()).collect()
}

#[actix_web::test]
async fn a_dry_run_counts_and_the_job_sends_each_once() {
    let (world, tracker, server) = refused_sales(12).await;
    let preview = "{ resendPreview(filter: { outcomes: [FAILED] }) { deliveries forgotten notYetInLog
        byPostback { postbackId deliveries } byOutcome { outcome deliveries } byEvent { event deliveries }
        sample { deliveryId outcome } } }";
    let found = world.ask(&server, preview).await["resendPreview"].clone();
    assert_eq!(
        (&found["deliveries"], &found["forgotten"], &found["notYetInLog"]),
        (&json!(12), &json!(0), &json!(0))
    );
    let postback = world.only_postback().await;
    assert_eq!(found["byPostback"], json!([{ "postbackId": postback, "deliveries": 12 }]));
    assert_eq!(found["byOutcome"], json!([{ "outcome": "FAILED", "deliveries": 12 }]));
    assert_eq!(found["byEvent"], json!([{ "event": "SALE", "deliveries": 12 }]));
    assert_eq!(found["sample"].as_array().unwrap().len(), 10);
    assert_eq!(world.count("SELECT count(*) FROM delivery_jobs").await, 0, "nothing was made");

    // One is gone from PostgreSQL, as after its retention, and is told of.
    let db = world.databases.pool.get().await.unwrap();
    let forget = "DELETE FROM deliveries_finished WHERE delivery_id = (SELECT delivery_id FROM deliveries_finished LIMIT 1)";
    db.execute(forget, &[]).await.unwrap();
    drop(db);
    // Still refused: the job's own failures match the filter too, and must not feed it.
    let id = "0198d5f0-0000-7000-8000-00000000000b";
    let started =
        world.ask(&server, &start(1_000, &format!(", jobId: \"{id}\""))).await["startResend"].clone();
    assert_eq!((&started["jobId"], &started["expected"]), (&json!(id), &json!(12)));
    let job = world.until_job(&server, &started["jobId"], "DONE").await;
    assert_eq!((&job["matched"], &job["made"], &job["hastened"]), (&json!(12), &json!(11), &json!(0)));
    assert_eq!(job["skipped"], json!([{ "reason": "FORGOTTEN", "count": 1 }]));
    world.until_settled().await;
    assert_eq!(tracker.received().len(), 12 + 11);
    let again = world.ask(&server, &start(1_000, &format!(", jobId: \"{id}\""))).await["startResend"].clone();
    assert_eq!((&again["jobId"], &again["state"]), (&json!(id), &json!("DONE")));
    assert_eq!(tracker.received().len(), 12 + 11);

    // A second job finds deliveries and resends of the same events: each event goes out once.
    tracker.behave(OK);
    let started = world.ask(&server, &start(1_000, "")).await["startResend"].clone();
    assert_eq!(started["expected"], 12 + 11);
    let job = world.until_job(&server, &started["jobId"], "DONE").await;
    assert_eq!(job["made"], 11, "{job}");
    world.until_settled().await;
    assert_eq!(tracker.received().len(), 12 + 11 + 11);
}

#[actix_web::test]
async fn a_killed_server_goes_on_with_its_job_and_makes_nothing_twice() {
    const TOTAL: usize = 240;
    let (world, tracker, mut server) = refused_sales(TOTAL).await;
    tracker.behave(OK);
    let begun = std::time::Instant::now();
    let started = world.ask(&server, &start(80, "")).await["startResend"].clone();
    for share in [4, 2] {
        let enough = i64::try_from(TOTAL / share).unwrap();
        eventually("a part is made", || async {
            (world.count("SELECT coalesce(sum(made), 0)::bigint FROM delivery_jobs").await >= enough)
                .then_some(())
        })
        .await;
        server.kill();
        server.restart().await;
    }
    let job = world.until_job(&server, &started["jobId"], "DONE").await;
    assert_eq!((&job["matched"], &job["made"]), (&json!(TOTAL), &json!(TOTAL)), "{job}");
    // 240 at 80 a second.
    assert!(begun.elapsed().as_secs_f64() >= 2.9, "faster than its rate: {:?}", begun.elapsed());
    world.until_settled().await;
    let resends = "SELECT count(DISTINCT resent_from) FROM deliveries_finished WHERE job_id IS NOT NULL";
    assert_eq!(world.count(resends).await, i64::try_from(TOTAL).unwrap());
    let all = "SELECT count(*) FROM deliveries_finished";
    assert_eq!(world.count(all).await, i64::try_from(2 * TOTAL).unwrap());
    let arrived: HashSet<String> = txids(&tracker).split_off(TOTAL).into_iter().collect();
    assert_eq!(arrived.len(), TOTAL);
}

#[actix_web::test]
async fn a_job_rests_goes_on_and_ends_when_it_is_told_to() {
    let (world, tracker, server) = refused_sales(30).await;
    tracker.behave(OK);
    let started = world.ask(&server, &start(4, "")).await["startResend"].clone();
    let id = &started["jobId"];
    tracker.until_received(30 + 2).await;
    let order = async |order: &str| -> Value {
        world.ask(&server, &format!("mutation {{ {order}(jobId: {id}) {{ state made }} }}")).await[order]
            .clone()
    };
    let paused = order("pauseJob").await;
    assert_eq!(paused["state"], "PAUSED");
    let made = paused["made"].as_u64().unwrap();
    assert!((2..30).contains(&made), "{paused}");
    world.until_settled().await;
    assert_eq!(tracker.received().len() as u64, 30 + made, "no more than what was made");
    assert_eq!(order("resumeJob").await["state"], "RUNNING");
    tracker.until_received(30 + usize::try_from(made).unwrap() + 1).await;
    let cancelled = order("cancelJob").await;
    assert_eq!(cancelled["state"], "CANCELLED");
    world.until_settled().await;
    assert_eq!(tracker.received().len() as u64, 30 + cancelled["made"].as_u64().unwrap());
    let resume = format!("mutation {{ resumeJob(jobId: {id}) {{ state }} }}");
    let (code, message) = world.refusal(&server, &world.owner_token, &resume).await;
    assert_eq!(code, "BAD_INPUT");
    assert!(message.contains("the job is cancelled and stays so"), "{message}");
    let log = "{ auditLog(filter: {entities: [DELIVERY_JOB]}) { edges { node { action } } } }";
    let audited = world.ask(&server, log).await["auditLog"]["edges"].clone();
    let actions: Vec<_> = audited
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|edge| edge["node"]["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["resend", "pause", "resume", "cancel"]);
}

#[actix_web::test]
async fn a_job_waits_for_clickhouse_and_says_so() {
    let world = World::on(Databases::own().await).await;
    let tracker = Tracker::start(Manner::Answer("404 Not Found")).await;
    world.postback(&tracker.url, &[Event::Sale]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.sales(&server, &click, 2).await;
    world.attempts(&server, 2).await;
    let pair = world.databases.pair.clone();
    tokio::task::spawn_blocking(move || pair.engines.kill_clickhouse().unwrap()).await.unwrap();
    tracker.behave(OK);
    let started = world.ask(&server, &start(1_000, "")).await["startResend"].clone();
    assert_eq!(started["expected"], Value::Null);
    eventually("it says what it waits for", || async {
        let job = world.job(&server, &started["jobId"]).await;
        job["note"].as_str().is_some_and(|note| note.contains("ClickHouse")).then_some(())
    })
    .await;
    let pair = world.databases.pair.clone();
    tokio::task::spawn_blocking(move || pair.engines.start_clickhouse().unwrap()).await.unwrap();
    let job = world.until_job(&server, &started["jobId"], "DONE").await;
    assert_eq!((&job["made"], &job["note"]), (&json!(2), &json!("")));
    tracker.until_received(4).await;
}
