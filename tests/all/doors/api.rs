//! `POST /api/v1/conversions` with one conversion.

use reqwest::Method;
use ricochet::store::network;
use serde_json::{Value, json};

use super::{codes, post, post_json};
use crate::support::server::Server;
use crate::support::world::World;

#[tokio::test]
async fn the_first_users_body_works_as_it_stands() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let url = server.url(&format!("/click/{}?clickid=abc123", world.percent.1));
    assert_eq!(world.client.get(url).send().await.unwrap().status(), 302);

    let body = r#"{"clickid":"abc123","status":"approved","amount":"25.00","currency":"USD","sub1":"tiktok","datetime":"2025-08-04T12:00:00Z"}"#;
    let (status, first) = post(&world, &server, "application/json", body).await;
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!((status, &first["status"], &first["duplicate"]), (200, &json!("success"), &json!(false)));
    let (status, again) = post(&world, &server, "application/json; charset=utf-8", body).await;
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!((status, &again["lead_id"], &again["duplicate"]), (200, &first["lead_id"], &json!(true)));
    // Another time is another deposit; the same moment in another zone is not.
    let (_, other) = post(&world, &server, "application/json", body.replace("12:00", "12:01")).await;
    assert!(other.contains(r#""duplicate":false"#), "{other}");
    let (_, same) =
        post(&world, &server, "application/json", body.replace("12:00:00Z", "14:00:00+02:00")).await;
    assert!(same.contains(r#""duplicate":true"#), "{same}");

    let db = world.databases.pool.get().await.unwrap();
    let row = db
        .query_one(
            "SELECT request_id, action, amount::text, payout::text, click_id::text, action_id::text
             FROM conversions WHERE lead_id = $1::text::uuid",
            &[&first["lead_id"].as_str().unwrap()],
        )
        .await
        .unwrap();
    let text = |index: usize| row.get::<_, String>(index);
    assert_eq!(text(0), format!("auto:{}:{}:2025-08-04T12:00:00Z", text(4), text(5)));
    assert_eq!((text(1), text(2), text(3)), ("deposit".into(), "25.00".into(), "6.25".into()));
}

#[tokio::test]
async fn an_action_is_filled_in_where_the_offer_has_a_default() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let body = json!({ "click_id": click, "status": "hold" });
    let (status, answer) = post_json(&world, &server, &body).await;
    assert_eq!((status, codes(&answer)), (422, vec![("action", "missing")]));
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("lead, sale"), "{answer}");

    // Repeatable: something has to tell two of them apart.
    let sale = json!({ "click_id": click, "status": "hold", "action": "sale" });
    let (status, answer) = post_json(&world, &server, &sale).await;
    assert_eq!((status, codes(&answer)), (422, vec![("request_id", "missing")]));

    let db = world.databases.pool.get().await.unwrap();
    network::set_default_action(&db, world.fixed.0, "sale").await.unwrap();
    network::set_default_action(&db, world.fixed.0, "lead").await.unwrap();
    drop(db);
    let lead = crate::support::eventually("the server knows the default", || async {
        let (status, answer) = post_json(&world, &server, &body).await;
        (status == 200).then_some(answer)
    })
    .await;
    // Once per click: the click and the action are enough to know it again.
    let approved = json!({ "click_id": click, "status": "approved", "datetime": "2026-01-01T00:00:00Z" });
    let (_, answer) = post_json(&world, &server, &approved).await;
    assert_eq!((&answer["lead_id"], &answer["duplicate"]), (&lead["lead_id"], &json!(false)));
    assert_eq!(world.count("SELECT count(*) FROM conversions WHERE status = 'approved'").await, 1);

    // No other door fills anything in.
    let (status, answer) = world.report(&server, &format!("click_id={click}&status=hold")).await;
    assert_eq!((status, codes(&answer)), (422, vec![("request_id", "missing"), ("action", "missing")]));
}

#[tokio::test]
async fn without_a_key_nothing_is_read() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let url = server.url("/api/v1/conversions");
    for authorization in ["", "Bearer nobodys", "Basic abc", "Bearer", &world.api_key] {
        let mut request = world.client.post(&url).header("content-type", "application/json").body("{");
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 401, "{authorization}");
        assert_eq!(codes(&answer.json().await.unwrap()), [("api_key", "unknown_key")]);
    }
    // The scheme's name has no case.
    let request = world.client.post(&url).header("authorization", format!("bearer {}", world.api_key));
    let answer = request.header("content-type", "application/json").body("{").send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(!server.log().contains(&world.api_key), "the key is in the log");
}

#[tokio::test]
async fn a_body_that_is_no_conversion_says_what_to_send() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let long = format!(r#"{{"comment":"{}"}}"#, "x".repeat(70_000));
    let huge = format!("[{}", " ".repeat(17 * 1024 * 1024));
    let many = format!("[{}1]", "1,".repeat(10_000));
    for (content_type, body, expected) in [
        ("application/json", "", (400, "body", "invalid_json")),
        ("application/json", "nonsense", (400, "body", "invalid_json")),
        ("application/json", r#"{"a":[1]}"#, (400, "a", "nested_value")),
        ("application/json", "[1", (400, "body", "invalid_json")),
        ("text/csv", "a,b", (400, "content-type", "unsupported_content_type")),
        ("application/json", &long, (413, "body", "too_large")),
        ("application/json", &huge, (413, "body", "body_too_large")),
        ("application/json", &many, (413, "body", "too_many_items")),
    ] {
        let (status, answer) = post(&world, &server, content_type, body.to_owned()).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let (field, code) = codes(&answer)[0];
        assert_eq!((status, field, code), expected);
    }
    let url = server.url("/api/v1/conversions");
    let answer = world.client.request(Method::GET, url).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["allow"]), (405, &"POST".parse().unwrap()));
}
