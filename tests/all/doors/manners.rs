//! What all doors have in common: strict handling, one form of refusal, known methods.

use reqwest::Method;
use serde_json::{Value, json};

use super::{codes, post_json};
use crate::support::server::Server;
use crate::support::world::World;

#[tokio::test]
async fn a_conflict_is_409_only_for_those_who_ask() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let report =
        |status: &str, more: &str| format!("click_id={click}&request_id=1&action=sale&status={status}{more}");
    world.report(&server, &report("approved", "")).await;
    let (status, lenient) = world.report(&server, &report("hold", "")).await;
    assert_eq!((status, &lenient["rejected_by_conflict"]), (200, &json!(true)));
    let (status, strict) = world.report(&server, &report("hold", "&strict=1")).await;
    assert_eq!((status, &strict), (409, &lenient));
    assert_eq!(world.report(&server, &report("hold", "&strict=0")).await.0, 200);
    let (status, body) = world.report(&server, &report("hold", "&strict=maybe")).await;
    assert_eq!((status, codes(&body)), (422, vec![("strict", "invalid_flag")]));

    let body = json!({ "click_id": click, "request_id": "1", "action": "sale", "status": "hold" });
    let url = server.url("/api/v1/conversions");
    let ask = |url: &str, prefer: &'static str| {
        let request = world.client.post(url).bearer_auth(&world.api_key).header("prefer", prefer);
        request.json(&body).send()
    };
    let answer = ask(&url, "handling=strict").await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["preference-applied"]),
        (409, &"handling=strict".parse().unwrap())
    );
    assert_eq!(answer.json::<Value>().await.unwrap(), lenient);
    assert_eq!(ask(&format!("{url}?strict=1"), "").await.unwrap().status(), 409);
    assert_eq!(ask(&url, "handling=lenient").await.unwrap().status(), 200);

    // Of an array, each item's own status says it; one item may ask for itself.
    let mut asking = body.clone();
    asking["strict"] = json!(true);
    let (status, results) = post_json(&world, &server, &json!([asking, body])).await;
    assert_eq!(
        (status, &results[0]["http_status"], &results[1]["http_status"]),
        (200, &json!(409), &json!(200))
    );

    // The log says what was answered.
    let query = "{ inboundLog(filter: {verdicts: [CONFLICT]}) { edges { node { httpStatus } } } }";
    crate::support::eventually("four 409s are in the log", || async {
        let log = world.graphql(&server, &world.owner_token, query).await.to_string();
        (log.matches("409").count() == 4).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_unknown_method_or_path_is_refused_in_our_words() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let document: Value =
        world.client.get(server.url("/openapi.json")).send().await.unwrap().json().await.unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        let known: Vec<String> = ["get", "head", "post", "put", "delete"]
            .iter()
            .filter(|method| item.get(**method).is_some())
            .map(|method| method.to_uppercase())
            .collect();
        let filled = path.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
        let filled = filled.collect::<Vec<_>>().join("x");
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let answer = world.client.request(method.clone(), server.url(&filled)).send().await.unwrap();
            let status = answer.status().as_u16();
            if known.contains(&method.to_string()) {
                assert!(status != 405, "{method} {path}");
                assert!(
                    item[method.as_str().to_lowercase()]["responses"].get(status.to_string()).is_some(),
                    "{method} {path} answers {status}, which is not in the document"
                );
                continue;
            }
            assert_eq!(status, 405, "{method} {path}");
            assert_eq!(answer.headers()["allow"], known.join(", ").as_str());
            assert_eq!(codes(&answer.json().await.unwrap()), [("method", "method_not_allowed")]);
        }
    }
    for path in ["/", "/nothing", "/api/v1", "/api/v2/conversions", "/pixel/x.png", "/%ff/%00"] {
        for method in [Method::GET, Method::POST] {
            let answer = world.client.request(method, server.url(path)).send().await.unwrap();
            assert_eq!(answer.status(), 404, "{path}");
            assert_eq!(codes(&answer.json().await.unwrap()), [("path", "unknown_door")]);
        }
    }
    let long = world.client.post(server.url(&format!("/{}/s2s", world.api_key))).body("x".repeat(100_000));
    let answer = long.send().await.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(codes(&answer.json().await.unwrap()), [("body", "body_too_large")]);
}
