//! `/graphql` over HTTP: tokens, limits, and the page.

use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, WWW_AUTHENTICATE};
use actix_web::test::{TestRequest, call_service, init_service, read_body, read_body_json};
use actix_web::web::Bytes;
use actix_web::{App, web};
use ricochet::config::Origins;
use ricochet::domain::access::allowlist::Allowlist;
use ricochet::domain::access::rates::Rates;
use ricochet::domain::ids::PartnerId;
use ricochet::doors::access::Gate;
use ricochet::doors::limiter::Limiter;
use ricochet::embedded::graphiql_dir;
use ricochet::event_log::EventLog;
use ricochet::graphql::http::{Connections, GraphqlDoor, Patience, routes};
use ricochet::graphql::schema;
use ricochet::graphql::scope::{Grant, Scope};
use ricochet::store::tokens::{self, CreateTokenError, Revocation};
use ricochet::store::{Pool, pool};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::rows::{at, attempt, id, store_network};
use super::stage::Stage;
use crate::support::PATIENCE;

struct Answer {
    status: u16,
    challenge: Option<String>,
    body: Value,
}

pub fn door_of(stage: &Stage) -> GraphqlDoor {
    let gate = Gate {
        limiter: Limiter::new(Rates::default()),
        trusted_proxies: Allowlist::nowhere(),
        body_timeout: PATIENCE,
    };
    GraphqlDoor {
        schema: stage.schema.clone(),
        pool: stage.pool.clone(),
        gate: Arc::new(gate),
        graphiql_dir: None,
        connections: Arc::new(Connections::new(10, 10)),
        origins: Origins::default(),
        patience: Patience::default(),
    }
}

async fn post(door: GraphqlDoor, authorization: Option<&str>, body: impl Into<Bytes>) -> Answer {
    let app = init_service(App::new().configure(routes(web::Data::new(door)))).await;
    let mut request = TestRequest::post().uri("/graphql").insert_header((CONTENT_TYPE, "application/json"));
    if let Some(value) = authorization {
        request = request.insert_header((AUTHORIZATION, value));
    }
    let response = call_service(&app, request.set_payload(body).to_request()).await;
    let challenge = response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned());
    Answer { status: response.status().as_u16(), challenge, body: read_body_json(response).await }
}

async fn owner_token(pool: &Pool) -> String {
    format!("Bearer {}", tokens::create(pool, Grant::Owner, "test").await.unwrap().secret)
}

fn query(text: &str) -> String {
    json!({ "query": text }).to_string()
}

#[actix_web::test]
async fn without_a_live_token_nothing_is_said() {
    let stage = Stage::set().await;
    let revoked = tokens::create(&stage.pool, Grant::Owner, "").await.unwrap();
    assert_eq!(tokens::revoke(&stage.pool, revoked.token.token_id).await.unwrap(), Revocation::Revoked);
    let revoked = format!("Bearer {}", revoked.secret);
    let headers =
        [None, Some(""), Some("Bearer"), Some("Bearer rt_0"), Some("Basic cnQ6"), Some(revoked.as_str())];
    for authorization in headers {
        for body in
            [query("{ __schema { types { name } } }"), query("{ postbackLog { totalCount } }"), "{".into()]
        {
            let answer = post(door_of(&stage), authorization, body).await;
            assert_eq!(
                (answer.status, answer.challenge.as_deref()),
                (401, Some("Bearer")),
                "{authorization:?}"
            );
            assert_eq!(answer.body["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
            assert!(answer.body["errors"][0]["message"].as_str().unwrap().contains("Authorization: Bearer"));
            assert_eq!(answer.body.as_object().unwrap().len(), 1);
        }
    }
}

#[actix_web::test]
async fn a_token_has_the_scope_it_was_made_with() {
    let stage = Stage::set().await;
    store_network(&stage.pool).await;
    stage.log_rows([attempt("t-1", at(0))]).await;
    for (partner, rows) in [(1, 1), (2, 0)] {
        for grant in
            [Grant::Partner(PartnerId(id(partner))), Grant::Bi(Scope::Partner(PartnerId(id(partner))))]
        {
            let token = tokens::create(&stage.pool, grant, "of a partner").await.unwrap();
            let bearer = format!("bearer {}", token.secret);
            let answer = post(door_of(&stage), Some(&bearer), query("{ postbackLog { totalCount } }")).await;
            assert_eq!(
                (answer.status, &answer.body),
                (200, &json!({ "data": { "postbackLog": { "totalCount": rows } } }))
            );
        }
    }
    let listed = tokens::list(&stage.pool).await.unwrap();
    assert_eq!(listed.len(), 4);
    assert_eq!(listed[0].label, "of a partner");
    assert!(listed.iter().all(|token| token.revoked_at.is_none()));

    let id_of_nobody = Grant::Partner(PartnerId(id(9)));
    let refused = tokens::create(&stage.pool, id_of_nobody, "").await.unwrap_err();
    assert!(matches!(refused, CreateTokenError::NobodyToNarrowTo { role: "partner" }));
    let first = listed[0].token_id;
    assert_eq!(tokens::revoke(&stage.pool, first).await.unwrap(), Revocation::Revoked);
    assert_eq!(tokens::revoke(&stage.pool, first).await.unwrap(), Revocation::RevokedBefore);
    assert_eq!(tokens::revoke(&stage.pool, Uuid::nil()).await.unwrap(), Revocation::NoSuchToken);
}

#[actix_web::test]
async fn requests_come_alone_or_in_batches_and_within_limits() {
    let stage = Stage::set().await;
    let token = owner_token(&stage.pool).await;
    let one = json!({ "query": "query ($first: Int) { postbackLog(first: $first) { totalCount } }",
                      "variables": { "first": 3 } });
    let answer = post(door_of(&stage), Some(&token), one.to_string()).await;
    assert_eq!((answer.status, &answer.body["data"]["postbackLog"]["totalCount"]), (200, &json!(0)));

    let batch = post(door_of(&stage), Some(&token), Value::from(vec![one.clone(); 10]).to_string()).await;
    assert_eq!((batch.status, batch.body.as_array().map(Vec::len)), (200, Some(10)));
    let batch = post(door_of(&stage), Some(&token), Value::from(vec![one; 11]).to_string()).await;
    assert_eq!((batch.status, &batch.body["errors"][0]["extensions"]["code"]), (400, &json!("BAD_INPUT")));

    let broken = post(door_of(&stage), Some(&token), "{\"query\": ").await;
    assert_eq!((broken.status, &broken.body["errors"][0]["extensions"]["field"]), (400, &json!("body")));
    let large = post(door_of(&stage), Some(&token), " ".repeat(256 * 1024 + 1)).await;
    assert_eq!((large.status, &large.body["errors"][0]["extensions"]["code"]), (413, &json!("BAD_INPUT")));

    let deep = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
    let deep = post(door_of(&stage), Some(&token), query(deep)).await;
    assert!(deep.body["errors"][0]["message"].as_str().unwrap().contains("introspection"), "{}", deep.body);
    for nested in [
        "{a".repeat(60_000),
        format!("{{ postbackLog(filter: {}) {{ totalCount }} }}", "[".repeat(120_000)),
        format!("{{ postbackLog(filter: {}) {{ totalCount }} }}", "{a:".repeat(60_000)),
        format!("query ($a: {}Int) {{ __typename }}", "[".repeat(120_000)),
        format!("{{ {} }}", "...{".repeat(50_000)),
    ] {
        let nested = post(door_of(&stage), Some(&token), query(&nested)).await;
        assert!(nested.body["errors"][0]["message"].is_string(), "{}", nested.body);
    }
    let closed = format!("{{{}{}", "a{".repeat(30_000), "}".repeat(30_001));
    let closed = post(door_of(&stage), Some(&token), query(&closed)).await;
    assert!(closed.body["errors"][0]["message"].is_string(), "{}", closed.body);
    let costly = (0..5).fold(String::new(), |text, number| {
        text + &format!("a{number}: conversions(first: 1000) {{ totalCount }} ")
    });
    let costly = post(door_of(&stage), Some(&token), query(&format!("{{ {costly} }}"))).await;
    assert_eq!((costly.status, &costly.body["data"]), (200, &Value::Null));
}

#[actix_web::test]
async fn a_database_that_is_away_is_told_apart_and_not_quoted() {
    let stage = Stage::set().await;
    let token = owner_token(&stage.pool).await;
    let nowhere = EventLog::new(&Url::parse("http://127.0.0.1:1/secret_name").unwrap());
    let door = GraphqlDoor { schema: schema(stage.pool.clone(), nowhere.clone()), ..door_of(&stage) };
    let both = "{ postbackLog { edges { cursor } } }";
    let answer = post(door, Some(&token), query(both)).await;
    assert_eq!(
        (answer.status, &answer.body["errors"][0]["extensions"]["code"]),
        (200, &json!("LOG_UNAVAILABLE"))
    );
    assert!(!answer.body.to_string().contains("secret_name"), "{}", answer.body);

    let no_store = pool::build("postgres://nobody:hidden@127.0.0.1:1/none", 1).unwrap();
    let door = GraphqlDoor { schema: schema(no_store.clone(), stage.log.clone()), ..door_of(&stage) };
    let answer = post(door, Some(&token), query("{ conversions { edges { cursor } } }")).await;
    assert_eq!(
        (answer.status, &answer.body["errors"][0]["extensions"]["code"]),
        (200, &json!("STORE_UNAVAILABLE"))
    );
    let door = GraphqlDoor { pool: no_store, ..door_of(&stage) };
    let answer = post(door, Some(&token), query(both)).await;
    assert_eq!(
        (answer.status, &answer.body["errors"][0]["extensions"]["code"]),
        (503, &json!("STORE_UNAVAILABLE"))
    );
    assert!(!answer.body.to_string().contains("127.0.0.1"), "{}", answer.body);
}

#[actix_web::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let stage = Stage::set().await;
    let door = GraphqlDoor { graphiql_dir: Some(graphiql_dir().unwrap()), ..door_of(&stage) };
    let app = init_service(App::new().configure(routes(web::Data::new(door)))).await;
    let get = async |address: &str| call_service(&app, TestRequest::get().uri(address).to_request()).await;

    let page = get("/graphql").await;
    assert_eq!(page.status(), 200);
    let policy = page.headers().get(CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let html = String::from_utf8(read_body(page).await.to_vec()).unwrap();
    let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert!(html.contains(&format!("nonce=\"{nonce}\"")));
    assert!(!html.contains("http://") && !html.contains("https://"), "the page names another host");
    let assets: Vec<&str> = html.split('"').filter(|text| text.starts_with("/graphql/assets/")).collect();
    assert_eq!(assets.len(), 4);
    for address in assets {
        let asset = get(address).await;
        assert_eq!(asset.status(), 200, "{address}");
        assert!(read_body(asset).await.len() > 5_000, "{address}");
    }
    for address in ["/graphql/assets/package.json", "/graphql/assets/..%2Freact%2Fpackage.json"] {
        assert_eq!(get(address).await.status(), 404, "{address}");
    }
}

#[actix_web::test]
async fn without_its_files_the_page_says_how_to_get_them() {
    let stage = Stage::set().await;
    let app = init_service(App::new().configure(routes(web::Data::new(door_of(&stage))))).await;
    let page = call_service(&app, TestRequest::get().uri("/graphql").to_request()).await;
    let text = String::from_utf8(read_body(page).await.to_vec()).unwrap();
    assert!(text.contains("RICOCHET_GRAPHIQL_DIR") && text.contains("POST /graphql"), "{text}");
}
