//! What a condition has kept back stays kept back, unless somebody asks for it.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

/// Sales `high` and `low`, of which the postback's condition lets `high` through.
async fn half_kept_back() -> (World, Tracker, Server, String) {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let server = Server::start(&world.databases).await;
    let create = format!(
        r#"mutation {{ createPostback(input: {{ partnerId: "{}", events: [SALE], condition: "amount >= 50",
             urlTemplate: "{}/p?txid={{txid}}" }}) {{ postbackId }} }}"#,
        world.partner, tracker.url
    );
    let postback = world.ask(&server, &create).await["createPostback"]["postbackId"].clone();
    let click = world.click(&server, world.fixed.1).await;
    for (request_id, price) in [("high", 50), ("low", 20)] {
        let report = format!("click_id={click}&request_id={request_id}&action=sale&status=new&price={price}");
        assert_eq!(world.report(&server, &report).await.0, 200);
    }
    world.attempts(&server, 2).await;
    (world, tracker, server, postback.as_str().unwrap().to_owned())
}

fn txids(tracker: &Tracker) -> Vec<String> {
    tracker.received().iter().map(|request| request.parameter("txid").unwrap()).collect()
}

const WHY: &str = "condition not met: amount >= 50 (amount = 20)";
const EVERYTHING: &str = "filter: {}, ratePerSecond: 1000";

async fn start(world: &World, server: &Server, rest: &str) -> Value {
    let start =
        format!("mutation {{ startResend(input: {{ {EVERYTHING} {rest} }}) {{ jobId ignoresCondition }} }}");
    let started = world.ask(server, &start).await["startResend"].clone();
    let job = world.until_job(server, &started["jobId"], "DONE").await;
    world.until_settled().await;
    json!({ "ignores": started["ignoresCondition"], "made": job["made"], "skipped": job["skipped"], "id": started["jobId"] })
}

#[actix_web::test]
async fn a_job_keeps_to_the_condition_and_says_what_it_keeps_back() {
    let (world, tracker, server, postback) = half_kept_back().await;
    let preview = "{ resendPreview(filter: {}) { deliveries keptBack keptBackReasons { reason count } isKeptBackComplete } }";
    assert_eq!(
        world.ask(&server, preview).await["resendPreview"],
        json!({ "deliveries": 2, "keptBack": 1, "keptBackReasons": [{ "reason": WHY, "count": 1 }],
                "isKeptBackComplete": true })
    );
    let job = start(&world, &server, "").await;
    assert_eq!(
        (&job["made"], &job["skipped"], &job["ignores"]),
        (&json!(1), &json!([{ "reason": "CONDITION_UNMET", "count": 1 }]), &json!(false))
    );
    assert_eq!(txids(&tracker), ["high", "high"]);

    // It is seen in the list and in the log as the event itself was.
    let kept = world.deliveries(&server, &format!("jobId: {}, states: [SKIPPED]", job["id"])).await;
    let [kept] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!(
        (&kept["reason"], &kept["txid"], &kept["resendNumber"]),
        (&json!(WHY), &json!("low"), &json!(1))
    );
    let skipped: Vec<_> =
        world.attempts(&server, 4).await.into_iter().filter(|one| one["outcome"] == "SKIPPED").collect();
    assert_eq!(skipped.len(), 2, "{skipped:?}");
    for attempt in &skipped {
        assert_eq!((&attempt["reason"], &attempt["errorKind"]), (&json!(WHY), &json!("CONDITION")));
    }
    assert!(skipped.iter().any(|one| one["deliveryId"] == kept["deliveryId"]), "{skipped:?}");

    // Asked for, it is sent, each event once.
    let job = start(&world, &server, ", ignoreCondition: true").await;
    assert_eq!((&job["made"], &job["ignores"]), (&json!(2), &json!(true)));
    let mut told = txids(&tracker).split_off(2);
    told.sort();
    assert_eq!(told, ["high", "low"]);

    // The condition of today counts, for what is as it was then too.
    let update = format!(
        r#"mutation {{ updatePostback(input: {{ postbackId: "{postback}", condition: "amount < 50" }}) {{ postbackId }} }}"#
    );
    world.ask(&server, &update).await;
    let job = start(&world, &server, ", request: ORIGINAL").await;
    assert_eq!(job["made"], 1, "{job}");
    assert_eq!(txids(&tracker).split_off(4), ["low"]);
}

#[actix_web::test]
async fn one_delivery_is_kept_back_too_with_the_reason() {
    let (world, tracker, server, _) = half_kept_back().await;
    let kept = world.deliveries(&server, "states: [SKIPPED]").await[0]["deliveryId"].clone();
    let resend = |rest: &str| {
        format!(
            "mutation {{ resendDeliveries(deliveryIds: [{kept}]{rest}) {{
                 job {{ jobId made skipped {{ reason count }} }}
                 deliveries {{ newDeliveryId hastened skipped reason }} }} }}"
        )
    };
    let job = ", jobId: \"0198d5f0-0000-7000-8000-00000000000c\"";
    // Asked twice under one id, it is kept back twice and logged once.
    for _ in 0..2 {
        let answer = world.ask(&server, &resend(job)).await["resendDeliveries"].clone();
        assert_eq!(
            answer["deliveries"],
            json!([{ "newDeliveryId": null, "hastened": false, "skipped": "CONDITION_UNMET", "reason": WHY }])
        );
        assert_eq!((&answer["job"]["made"], &answer["job"]["skipped"][0]["count"]), (&json!(0), &json!(1)));
    }
    assert_eq!(world.attempts(&server, 3).await.len(), 3);
    let other = format!("{job}, ignoreCondition: true");
    let (code, message) = world.refusal(&server, &world.owner_token, &resend(&other)).await;
    assert_eq!(code, "BAD_INPUT");
    assert!(message.starts_with("jobId: another job has this id"), "{message}");
    assert_eq!(txids(&tracker), ["high"]);

    let answer = world.ask(&server, &resend(", ignoreCondition: true")).await["resendDeliveries"].clone();
    assert_eq!((&answer["job"]["made"], &answer["deliveries"][0]["reason"]), (&json!(1), &json!(null)));
    world.until_settled().await;
    assert_eq!(txids(&tracker), ["high", "low"]);
}

// The server answers while the command is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_keeps_to_it_as_well() {
    let (world, tracker, server, _) = half_kept_back().await;
    let run = |arguments: &[&str]| -> Output {
        Command::new(env!("CARGO_BIN_EXE_ricochet"))
            .args(arguments)
            .env("RICOCHET_URL", server.url(""))
            .env("RICOCHET_TOKEN", &world.owner_token)
            .output()
            .unwrap()
    };
    let said = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();
    let dry = said(&run(&["resend", "--all", "--dry-run"]));
    assert!(dry.contains("1 of them the condition of the postback keeps back\n"), "{dry}");
    assert!(dry.contains(WHY), "{dry}");
    let kept = world.deliveries(&server, "states: [SKIPPED]").await[0]["deliveryId"].clone();
    let kept = kept.as_str().unwrap();
    let refused = run(&["resend", kept]);
    assert!(!refused.status.success());
    assert!(said(&refused).contains(&format!("{kept}  skipped: {WHY}")), "{}", said(&refused));
    let sent = run(&["resend", "--all", "--ignore-condition", "--wait"]);
    assert!(sent.status.success(), "{sent:?}");
    world.until_settled().await;
    let mut told = txids(&tracker);
    told.sort();
    assert_eq!(told, ["high", "high", "low"]);
}
