//! Health, metrics, start and stop.

use std::process::Command;

use ricochet::domain::event::Event;
use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

#[tokio::test]
async fn health_readiness_and_metrics_are_told() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    world.postback(&tracker.url, &[Event::Sale]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let report = format!("click_id={click}&request_id=r&action=sale&status=new");
    for _ in 0..2 {
        world.report(&server, &report).await;
    }
    world.report(&server, "click_id=1").await;
    world.attempts(&server, 1).await;

    let get = |path: &str| world.client.get(server.url(path)).send();
    assert_eq!(get("/healthz").await.unwrap().json::<Value>().await.unwrap(), json!({ "status": "ok" }));
    assert_eq!(
        get("/readyz").await.unwrap().json::<Value>().await.unwrap(),
        json!({ "status": "ready", "postgres": "ok", "clickhouse": "ok" })
    );
    let metrics = get("/metrics").await.unwrap().text().await.unwrap();
    for line in [
        "ricochet_inbound_requests_total{verdict=\"accepted\",reason=\"\"} 1",
        "ricochet_inbound_requests_total{verdict=\"duplicate\",reason=\"\"} 1",
        "ricochet_inbound_requests_total{verdict=\"rejected\",reason=\"missing\"} 1",
        "ricochet_attempts_total{outcome=\"delivered\",error_kind=\"none\"} 1",
        "ricochet_accept_seconds_bucket{le=\"+Inf\"} 3",
        "ricochet_queue_deliveries ",
        "ricochet_queue_oldest_due_seconds ",
        "ricochet_log_backlog_rows ",
        "ricochet_clickhouse_up 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let unknown = get("/nothing/here").await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(unknown.json::<Value>().await.unwrap()["errors"][0]["code"], "unknown_door");
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Hang).await;
    world.postback_with(&tracker.url, &[Event::Sale], &[60_000], 1_000).await;
    let mut server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    world.report(&server, &format!("click_id={click}&request_id=r&action=sale&status=new")).await;
    tracker.until_received(1).await;

    let status = server.stop();
    assert!(status.success(), "{status}");
    assert_eq!(
        world.count("SELECT count(*) FROM deliveries WHERE claimed_by IS NULL AND attempt = 1").await,
        1
    );
    assert_eq!(world.count("SELECT count(*) FROM nodes").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM log_batches").await, 0, "the log was not shipped");
    let logged: u64 =
        world.databases.log.client().query("SELECT count() FROM attempts").fetch_one().await.unwrap();
    assert_eq!(logged, 1);
}

#[test]
fn wrong_settings_are_refused_by_name() {
    let serve = |variables: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_ricochet"))
            .arg("serve")
            .env_clear()
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let complete = [("DATABASE_URL", "postgres://127.0.0.1:1/x"), ("CLICKHOUSE_URL", "http://127.0.0.1:1/x")];
    assert!(serve(&[]).contains("DATABASE_URL is not set"), "{}", serve(&[]));
    let wrong = serve(&[complete[0], complete[1], ("RICOCHET_LANES", "many")]);
    assert!(
        wrong.contains("RICOCHET_LANES is \"many\", which is not a whole number from 1 to 64"),
        "{wrong}"
    );
    assert!(
        serve(&complete).contains("PostgreSQL cannot be reached; check DATABASE_URL"),
        "{}",
        serve(&complete)
    );
}
