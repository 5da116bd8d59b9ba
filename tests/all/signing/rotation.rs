//! Secrets come and go, deliveries keep their id, and nothing of it gets into a log.

use std::process::Command;

use serde_json::{Value, json};

use super::stage::Stage;
use crate::access::stage::MASTER_KEY;
use crate::support::eventually;
use crate::support::tracker::{Manner, OK, Received, Tracker};

fn signatures(received: &Received) -> Vec<String> {
    received.header("webhook-signature").unwrap().split(' ').map(str::to_owned).collect()
}

/// The code and field of the only error.
async fn refused(stage: &Stage, token: &str, query: &str) -> (String, String) {
    let request = stage.world.client.post(stage.server.url("/graphql")).bearer_auth(token);
    let answer: Value = request.json(&json!({ "query": query })).send().await.unwrap().json().await.unwrap();
    let extensions = &answer["errors"][0]["extensions"];
    let said = |name: &str| extensions[name].as_str().unwrap_or_default().to_owned();
    (said("code"), said("field"))
}

#[tokio::test]
async fn every_attempt_is_signed_anew_under_the_delivery_s_own_id() {
    let tracker = Tracker::start(Manner::Answer("500 Oops")).await;
    let stage = Stage::on(&tracker).await;
    stage.create_secret("").await;
    stage.sign("STANDARD_WEBHOOKS").await;
    stage.convert("r").await;
    tracker.until_received(2).await;
    tracker.behave(OK);
    let attempts = stage.world.attempts(&stage.server, 3).await;
    let ids: Vec<_> = tracker.received().iter().map(|one| one.header("webhook-id").unwrap()).collect();
    assert!(ids.len() >= 3 && ids.iter().all(|id| attempts[0]["deliveryId"] == id.as_str()), "{ids:?}");

    stage.sign("URL").await;
    let before = tracker.received().len();
    stage.convert("other").await;
    let received = tracker.until_received(before + 1).await.pop().unwrap();
    assert_eq!(received.parameter("nonce").unwrap().len(), 32);
    assert_eq!(received.header("webhook-id"), None);
}

#[tokio::test]
async fn both_secrets_sign_until_the_old_one_ends() {
    let tracker = Tracker::start(OK).await;
    let stage = Stage::on(&tracker).await;
    let (_, first) = stage.create_secret("").await;
    stage.sign("STANDARD_WEBHOOKS").await;
    // By hand.
    let (_, second) = stage.create_secret("").await;
    stage.convert("both").await;
    assert_eq!(signatures(&tracker.until_received(1).await[0]).len(), 2);
    stage.ask(&format!(r#"mutation {{ retirePostbackSecret(secretId: "{first}") {{ form }} }}"#)).await;
    stage.convert("second").await;
    assert_eq!(signatures(&tracker.until_received(2).await[1]).len(), 1);

    // By itself, and nobody changes anything when its time comes.
    let (_, third) = stage.create_secret(", overlapS: 5").await;
    stage.convert("overlap").await;
    assert_eq!(signatures(&tracker.until_received(3).await[2]).len(), 2);
    let of_postback = format!(
        r#"{{ postbackSigning(postbackId: "{}") {{ form secrets {{ secretId signsUntil }} }} }}"#,
        stage.postback_id
    );
    let settings = stage.ask(&of_postback).await;
    let secrets = settings["postbackSigning"]["secrets"].as_array().unwrap().clone();
    assert_eq!((&secrets[0]["secretId"], &secrets[0]["signsUntil"]), (&json!(third), &Value::Null));
    eventually("the second secret ends", || async {
        let settings = stage.ask(&of_postback).await;
        (settings["postbackSigning"]["secrets"].as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    stage.convert("third").await;
    assert_eq!(signatures(&tracker.until_received(4).await[3]).len(), 1);
    let again = format!(r#"mutation {{ retirePostbackSecret(secretId: "{second}") {{ form }} }}"#);
    let told = refused(&stage, &stage.partner_token, &again).await;
    assert_eq!(told, ("NOT_FOUND".into(), "input.secretId".into()));
}

#[tokio::test]
async fn nothing_is_unsigned_by_mistake_and_no_secret_is_told() {
    let tracker = Tracker::start(OK).await;
    let stage = Stage::on(&tracker).await;
    let id = &stage.postback_id;
    let sign = |form: &str, rest: &str| {
        format!(
            r#"mutation {{ setPostbackSigning(input: {{postbackId: "{id}", form: {form} {rest}}}) {{ form }} }}"#
        )
    };
    let create =
        format!(r#"mutation {{ createPostbackSecret(input: {{postbackId: "{id}"}}) {{ secret }} }}"#);
    let of_partner = stage.partner_token.clone();
    let bad = |field: &str| ("BAD_INPUT".to_owned(), field.to_owned());
    assert_eq!(refused(&stage, &of_partner, &sign("URL", "")).await, bad("input.form"));
    let (secret, secret_id) = stage.create_secret("").await;
    let names = r#", timeParameter: "t", signatureParameter: "t""#;
    assert_eq!(refused(&stage, &of_partner, &sign("URL", names)).await, bad("input.signatureParameter"));
    let names = r#", timeParameter: "a&b""#;
    assert_eq!(refused(&stage, &of_partner, &sign("URL", names)).await, bad("input.timeParameter"));
    let chosen = r#", timeParameter: "t", nonceParameter: "n", signatureParameter: "proof""#;
    stage.ask(&sign("URL", chosen)).await;
    let retire = format!(r#"mutation {{ retirePostbackSecret(secretId: "{secret_id}") {{ form }} }}"#);
    assert_eq!(refused(&stage, &of_partner, &retire).await, bad("input.secretId"));
    stage.create_secret("").await;
    assert_eq!(refused(&stage, &of_partner, &create).await, bad("input.postbackId"));
    let owner = stage.world.owner_token.clone();
    assert_eq!(refused(&stage, &owner, &create).await, bad("input.postbackId"));

    // Another partner's postback does not exist.
    let pool = &stage.world.databases.pool;
    let db = pool.get().await.unwrap();
    let other = ricochet::store::network::add_partner(&db, "Other").await.unwrap();
    let grant = ricochet::graphql::scope::Grant::Partner(other);
    let other = ricochet::store::tokens::create(pool, grant, "").await.unwrap().secret;
    let missing = ("NOT_FOUND".to_owned(), "input.postbackId".to_owned());
    assert_eq!(refused(&stage, &other, &create).await, missing);
    assert_eq!(refused(&stage, &other, &sign("NONE", "")).await, missing);
    assert_eq!(refused(&stage, &other, &retire).await, ("NOT_FOUND".into(), "input.secretId".into()));

    // A destination repeats what it was called by.
    tracker.behave(Manner::Echo("302 Found"));
    stage.convert("r").await;
    let received = tracker.until_received(1).await.pop().unwrap();
    let proof = received.parameter("proof").unwrap();
    assert_eq!(proof.len(), 64 + 1 + 64);
    let attempts = stage.world.attempts(&stage.server, 1).await;
    assert!(attempts[0]["reason"].as_str().unwrap().contains("proof=[redacted]"), "{:?}", attempts[0]);
    let log = stage.world.graphql(
        &stage.server,
        &owner,
        "{ postbackLog { edges { node { url responseBody reason } } }
           auditLog { edges { node { entity action before after } } } }",
    );
    let log = log.await.to_string();
    assert!(log.contains("set_signing") && log.contains("302"), "{log}");
    for tag in proof.split('.') {
        assert!(!log.contains(tag), "{log}");
    }
    for text in [log, stage.server.log()] {
        assert!(!text.contains(&secret) && !text.contains(secret.trim_start_matches("whsec_")));
    }
    let stored = stage
        .world
        .count(&format!(
            "SELECT count(*) FROM postback_secrets WHERE position('{secret}'::bytea IN ciphertext) > 0"
        ))
        .await;
    assert_eq!(stored, 0, "it is encrypted");
}

#[tokio::test]
async fn the_command_line_signs_too() {
    let tracker = Tracker::start(OK).await;
    let stage = Stage::on(&tracker).await;
    let ricochet = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_ricochet"))
            .args(arguments)
            .env_clear()
            .env("DATABASE_URL", &stage.world.databases.database_url)
            .env("RICOCHET_MASTER_KEY", MASTER_KEY)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let id = stage.postback_id.as_str();
    let (done, _, complaint) = ricochet(&["postback", "sign", id, "url"]);
    assert!(!done && complaint.contains("create one first"), "{complaint}");
    let (done, secret, _) = ricochet(&["postback", "secret", "create", id]);
    assert!(done && secret.starts_with("whsec_"));
    let (done, said, _) = ricochet(&["postback", "sign", id, "url", "--parameters", "at,once,proof"]);
    assert!(done && said == "It is signed in its URL, by at, once and proof.", "{said}");
    let (done, ..) = ricochet(&["postback", "secret", "create", id, "--overlap-s", "3600"]);
    assert!(done);
    let (_, listed, _) = ricochet(&["postback", "secret", "list", id]);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 3, "{listed}");
    assert!(lines[1].ends_with('-') && !lines[2].ends_with('-'), "only the old one ends: {listed}");
    let old = lines[2].split(' ').next().unwrap();
    assert!(ricochet(&["postback", "secret", "retire", old]).0);
    // Seen by the running server within a second.
    eventually("the server signs", || async {
        stage.convert(&uuid::Uuid::now_v7().to_string()).await;
        let received = tracker.received();
        received.last().and_then(|one| one.parameter("proof")).filter(|proof| proof.len() == 64)
    })
    .await;
}
