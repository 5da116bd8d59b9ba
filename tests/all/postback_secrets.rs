//! Secrets that a postback's request is written with: sent, and shown to nobody who only reads.

use ricochet::graphql::scope::{Grant, Scope};
use ricochet::store::tokens;
use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::tracker::{Manner, Tracker};
use crate::support::world::World;

const KEY: &str = "a1b2c3d4";
const TOKEN: &str = "t0ken-of-mine";
const BEARER: &str = "b3arer-of-mine";

fn create(world: &World, url: &str) -> String {
    format!(
        r#"mutation {{ createPostback(input: {{ partnerId: "{}", events: [SALE], urlTemplate: "{url}", method: POST,
             headers: [{{ name: "Authorization", value: "Bearer {BEARER}" }}], bodyKind: JSON,
             bodyTemplate: "{{\"id\": \"{{txid}}\", \"api_key\": \"{TOKEN}\"}}" }}) {{ postbackId }} }}"#,
        world.partner
    )
}

fn hides_all(shown: &str) {
    for secret in [KEY, TOKEN, BEARER] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
}

/// Whatever the tracker repeats: in the place it redirects to, and in what it says.
#[tokio::test]
async fn no_secret_of_a_request_reaches_the_log() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Echo("302 Found")).await;
    let server = Server::start(&world.databases).await;
    let url = format!("{}/{KEY}/postback?subid={{clickid}}&token={TOKEN}", tracker.url);
    let made = world.graphql(&server, &world.owner_token, &create(&world, &url)).await;
    let postback = made["createPostback"]["postbackId"].clone();
    let click = world.click(&server, world.fixed.1).await;
    let report = format!("click_id={click}&request_id=r-1&action=sale&status=new");
    assert_eq!(world.report(&server, &report).await.0, 200);
    world.attempts(&server, 1).await;
    let received = tracker.received();
    assert!(received[0].target.starts_with(&format!("/{KEY}/postback?subid=")), "{}", received[0].target);
    assert_eq!(received[0].parameter("token").as_deref(), Some(TOKEN));
    assert_eq!(received[0].header("authorization").as_deref(), Some(&*format!("Bearer {BEARER}")));
    assert_eq!(received[0].body, format!(r#"{{"id": "r-1", "api_key": "{TOKEN}"}}"#));

    let test = format!(
        "mutation {{ testPostback(input: {{ postbackId: {postback} }}) {{ url requestHeaders requestBody reason
             responseHeaders {{ name value }} responseBody }} }}"
    );
    hides_all(&world.graphql(&server, &world.owner_token, &test).await.to_string());
    world.attempts(&server, 1).await;
    let log = "{ postbackLog(filter: { includeTests: true }) { nodes { url requestHeaders requestBody reason responseBody isTest } }
                 deliveries { nodes { reason } } postbacks { nodes { health { lastError } } }
                 auditLog { nodes { before after } } }";
    let seen = world.graphql(&server, &world.owner_token, log).await;
    hides_all(&seen.to_string());
    let row =
        seen["postbackLog"]["nodes"].as_array().unwrap().iter().find(|row| row["isTest"] == false).unwrap();
    let clickid = received[0].parameter("subid").unwrap();
    let shown = format!("{}/[redacted]/postback?subid={clickid}&token=[redacted]", tracker.url);
    assert_eq!(row["url"], *shown);
    let reason = row["reason"].as_str().unwrap();
    assert!(reason.starts_with("answered 302 to ") && reason.contains("/[redacted]/postback"), "{reason}");
    let export = server.url("/api/v1/export/postback-log?format=ndjson");
    let export = world.client.get(export).bearer_auth(&world.owner_token).send().await.unwrap();
    hides_all(&export.text().await.unwrap());
}

/// Who set it up reads it as it is; who only reads sees what is asked for, and cannot guess the rest.
#[tokio::test]
async fn who_only_reads_is_not_shown_the_secrets_of_a_postback() {
    let world = World::new().await;
    let tracker = Tracker::start(Manner::Answer("200 OK")).await;
    let server = Server::start(&world.databases).await;
    let url = format!("{}/{KEY}/postback?subid={{clickid}}&token={TOKEN}", tracker.url);
    let made = world.graphql(&server, &world.owner_token, &create(&world, &url)).await;
    let id = made["createPostback"]["postbackId"].clone();
    let pool = &world.databases.pool;
    let token = async |grant| tokens::create(pool, grant, "").await.unwrap().secret;
    let fields = "urlTemplate headers { name value } bodyTemplate";
    let both = format!("{{ postback(id: {id}) {{ {fields} }} postbacks {{ nodes {{ {fields} }} }} }}");
    let all = json!({
        "urlTemplate": url,
        "headers": [{ "name": "Authorization", "value": format!("Bearer {BEARER}") }],
        "bodyTemplate": format!(r#"{{"id": "{{txid}}", "api_key": "{TOKEN}"}}"#),
    });
    let hidden = json!({
        "urlTemplate": format!("{}/[redacted]/postback?subid={{clickid}}&token=[redacted]", tracker.url),
        "headers": [{ "name": "Authorization", "value": "[redacted]" }],
        "bodyTemplate": r#"{"id":"{txid}","api_key":"[redacted]"}"#,
    });
    let host = tracker.url.trim_start_matches("http://");
    for (grant, shown, found_by_key) in [
        (Grant::Owner, &all, 1),
        (Grant::Partner(world.partner), &all, 1),
        (Grant::Bi(Scope::Everything), &hidden, 0),
        (Grant::Bi(Scope::Partner(world.partner)), &hidden, 0),
    ] {
        let token = token(grant).await;
        let seen = world.graphql(&server, &token, &both).await;
        assert_eq!(seen["postback"], *shown, "{grant:?}");
        assert_eq!(seen["postbacks"]["nodes"], json!([shown]), "{grant:?}");
        for (text, count) in [(&KEY[..3], found_by_key), (&TOKEN[..3], found_by_key), (host, 1)] {
            let search = format!("{{ postbacks(filter: {{ text: \"{text}\" }}) {{ nodes {{ name }} }} }}");
            let found: Value = world.graphql(&server, &token, &search).await["postbacks"]["nodes"].clone();
            assert_eq!(found.as_array().unwrap().len(), count, "{grant:?} {text}");
        }
    }
}
