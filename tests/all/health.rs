//! Destinations that fail for long: who is told, how often, and that it ends.

use ricochet::domain::event::Event;
use ricochet::domain::postback::{Owner, Scope};
use ricochet::store::network::{self, NewPostback};
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{Manner, OK, Tracker};
use crate::support::world::World;

const QUICK: &[(&str, &str)] =
    &[("RICOCHET_FAILING_WARNING_S", "1"), ("RICOCHET_FAILING_SECOND_WARNING_S", "5")];

/// A postback of the platform's that hears of everything that happens to destinations.
async fn alarm(world: &World, tracker: &Tracker, waits_ms: &[i64]) -> String {
    let url = format!(
        "{}/alarm?event={{event}}&about={{fields.postback_id}}&owner={{fields.owner}}&since={{fields.since}}\
         &reason={{fields.reason}}&partner={{partner_id}}&offer={{offer_id}}&click={{click_id}}",
        tracker.url
    );
    let events: Vec<Event> = Event::ALL.iter().copied().filter(|event| event.is_operational()).collect();
    let postback = NewPostback {
        owner: Owner::Platform,
        scope: Scope::Global,
        events: &events,
        url_template: &url,
        retry_schedule_ms: Some(waits_ms.to_vec()),
        timeout_ms: 5_000,
        max_in_flight: 4,
    };
    let db = world.databases.pool.get().await.unwrap();
    network::add_postback(&db, &postback).await.unwrap().to_string()
}

/// The postback of the partner's.
async fn of_partner(world: &World) -> String {
    let db = world.databases.pool.get().await.unwrap();
    let query = "SELECT postback_id::text FROM postbacks WHERE partner_id IS NOT NULL";
    db.query_one(query, &[]).await.unwrap().get(0)
}

async fn convert(world: &World, server: &Server, click: &str, request_id: &str) {
    let report = format!("click_id={click}&request_id={request_id}&action=sale&status=new");
    assert_eq!(world.report(server, &report).await.0, 200);
}

async fn health(world: &World, server: &Server, filter: &str) -> Vec<Value> {
    let query = format!(
        "{{ postbacks(filter: {{ {filter} }}) {{ edges {{ node {{ postbackId health {{
             failingSince consecutiveFailures lastSuccessAt lastFailureAt lastError warnings }} }} }} }} }}"
    );
    let data = world.graphql(server, &world.owner_token, &query).await;
    let edges = data["postbacks"]["edges"].as_array().unwrap();
    edges.iter().map(|edge| edge["node"].clone()).collect()
}

#[tokio::test]
async fn a_destination_that_fails_is_warned_of_twice_and_its_recovery_told_once() {
    let world = World::new().await;
    let (failing, ops) = (Tracker::start(Manner::Answer("500 Oops")).await, Tracker::start(OK).await);
    world.postback_with(&failing.url, &[Event::Sale], &[200; 400], 1_000).await;
    alarm(&world, &ops, &[200; 5]).await;
    let postback = of_partner(&world).await;
    let first = Server::start_with(&world.databases, QUICK).await;
    let second = Server::start_with(&world.databases, QUICK).await;
    let click = world.click(&first, world.fixed.1).await;
    convert(&world, &first, &click, "r").await;

    let warnings = ops.until_received(2).await;
    for warning in &warnings {
        let told = |name: &str| warning.parameter(name).unwrap();
        assert_eq!((told("event"), told("about")), ("destination_failing".into(), postback.clone()));
        assert_eq!((told("owner"), told("partner")), ("partner".into(), world.partner.to_string()));
        assert_eq!((told("offer"), told("click")), (String::new(), String::new()));
        assert!(told("reason").contains("none succeeded: answered 500"), "{}", told("reason"));
        assert_eq!(told("since"), warnings[0].parameter("since").unwrap());
    }
    let unwell = health(&world, &second, "isFailing: true").await;
    assert_eq!(unwell.len(), 1);
    assert_eq!(unwell[0]["postbackId"], json!(postback));
    assert_eq!(
        (&unwell[0]["health"]["warnings"], &unwell[0]["health"]["lastError"]),
        (&json!(2), &json!("answered 500"))
    );
    assert!(unwell[0]["health"]["consecutiveFailures"].as_i64().unwrap() >= 2);
    assert_eq!(health(&world, &first, "isFailing: false").await.len(), 1, "the alarm's own is well");
    eventually("both nodes show it as a metric", || async {
        for server in [&first, &second] {
            let metrics =
                world.client.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
            metrics.contains(r#"ricochet_failing_postbacks{warnings="2"} 1"#).then_some(())?;
        }
        Some(())
    })
    .await;

    failing.behave(OK);
    let recovered = ops.until_received(3).await.pop().unwrap();
    assert_eq!(recovered.parameter("event").unwrap(), "destination_recovered");
    assert_eq!(recovered.parameter("since"), warnings[0].parameter("since"));
    world.until_settled().await;
    assert_eq!(ops.received().len(), 3, "each is told once, with two nodes");
    let well = health(&world, &first, "").await;
    assert!(well.iter().all(|one| one["health"]["failingSince"].is_null()), "{well:?}");
    let logs = first.log() + &second.log();
    assert_eq!(logs.matches("a destination is failing").count(), 2, "{logs}");
    assert_eq!(logs.matches("a destination has recovered").count(), 1, "{logs}");
}

#[tokio::test]
async fn a_delivery_given_up_is_told_once_and_no_alarm_rings_about_itself() {
    let world = World::new().await;
    let refusing = Tracker::start(Manner::Answer("500 Oops")).await;
    let ops = Tracker::start(Manner::Answer("404 Not here")).await;
    world.postback_with(&refusing.url, &[Event::Sale], &[50], 1_000).await;
    let alarm = alarm(&world, &ops, &[50]).await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    for number in 0..3 {
        convert(&world, &server, &click, &number.to_string()).await;
    }
    let told = ops.until_received(1).await.remove(0);
    assert_eq!(told.parameter("event").unwrap(), "destination_failing");
    let reason = told.parameter("reason").unwrap();
    assert!(
        reason.starts_with("a delivery was given up: ") && reason.contains("attempts are used up"),
        "{reason}"
    );
    // The alarm was refused, which is given up at once, and noted like any other.
    let noted = format!(
        "SELECT count(*) FROM postback_health WHERE postback_id = '{alarm}' AND gave_up_told_at IS NOT NULL"
    );
    eventually("the alarm's own failing is noted", || async {
        (world.count(&noted).await == 1).then_some(())
    })
    .await;
    world.until_settled().await;
    assert_eq!(ops.received().len(), 1);
    let of_alarm = format!("SELECT count(*) FROM deliveries_finished WHERE postback_id = '{alarm}'");
    assert_eq!(world.count(&of_alarm).await, 1);
}

#[tokio::test]
async fn what_was_paused_by_itself_is_told_and_only_the_platform_hears_of_it() {
    let world = World::new().await;
    let ops = Tracker::start(OK).await;
    world.postback("http://127.0.0.1:9", &[Event::Sale]).await;
    alarm(&world, &ops, &[50]).await;
    let postback = of_partner(&world).await;
    let server = Server::start(&world.databases).await;
    let db = world.databases.pool.get().await.unwrap();
    // A pause by hand gives no reason.
    let pause = format!("UPDATE postbacks SET is_paused = true WHERE postback_id = '{postback}'");
    db.execute(&pause, &[]).await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM postback_health").await, 0);
    db.execute(
        &format!(
            "INSERT INTO postback_health (postback_id, untold_pause) VALUES ('{postback}', 'answered 410')"
        ),
        &[],
    )
    .await
    .unwrap();
    let told = ops.until_received(1).await.remove(0);
    assert_eq!(told.parameter("event").unwrap(), "destination_paused");
    assert_eq!(told.parameter("reason").unwrap(), "answered 410");
    assert_eq!(told.parameter("about").unwrap(), postback);

    let refused = |query: String| {
        let (world, server) = (&world, &server);
        async move {
            let request = world.client.post(server.url("/graphql")).bearer_auth(&world.owner_token);
            let answer: Value =
                request.json(&json!({ "query": query })).send().await.unwrap().json().await.unwrap();
            answer["errors"][0]["extensions"]["field"].clone()
        }
    };
    let create = format!(
        r#"mutation {{ createPostback(input: {{partnerId: "{}", events: [DESTINATION_FAILING],
             urlTemplate: "https://t.example/"}}) {{ postbackId }} }}"#,
        world.partner
    );
    assert_eq!(refused(create).await, "input.events");
    let update = format!(
        r#"mutation {{ updatePostback(input: {{postbackId: "{postback}", events: [DESTINATION_PAUSED]}}) {{ postbackId }} }}"#
    );
    assert_eq!(refused(update).await, "input.events");
}
