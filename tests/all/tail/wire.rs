//! The WebSocket itself: who gets in, how many, and how it ends.

use std::time::{Duration, Instant};

use chrono::Utc;
use ricochet::graphql::scope::Grant;
use ricochet::store::tokens;
use serde_json::json;

use super::record;
use super::socket::{End, Socket, until_followed};
use crate::graphql::rows::attempt;
use crate::support::databases::Databases;
use crate::support::server::Server;

const PROTOCOL: (&str, &str) = ("sec-websocket-protocol", "graphql-transport-ws");

#[actix_web::test]
async fn one_introduces_oneself_by_header_or_first_message() {
    let databases = Databases::shared().await;
    let token = tokens::create(&databases.pool, Grant::Owner, "").await.unwrap().secret;
    let server = Server::start_with(&databases, &[("RICOCHET_REFUSALS_PER_SECOND", "0")]).await;
    let bearer = format!("Bearer {token}");

    for payload in [json!({ "Authorization": bearer }), json!({ "headers": { "authorization": bearer } })] {
        let mut socket = Socket::open(&server, &[PROTOCOL]).await.unwrap();
        socket.say(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.hear().await, Ok(json!({ "type": "connection_ack" })));
        let query = "{ viewer { role } }";
        socket.say(json!({ "id": "q", "type": "subscribe", "payload": { "query": query } })).await;
        let answer = socket.hear().await.unwrap();
        assert_eq!(
            answer["payload"]["data"]["viewer"]["role"], "OWNER",
            "queries are asked here too: {answer}"
        );
    }
    for payload in
        [json!(null), json!({ "Authorization": "Bearer rt_nobody" }), json!({ "Authorization": 7 })]
    {
        let mut socket = Socket::open(&server, &[PROTOCOL]).await.unwrap();
        socket.say(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.hear().await, Err(End::Closed(4403)), "{payload}");
    }
    let mut socket = Socket::open(&server, &[PROTOCOL]).await.unwrap();
    socket.tail("1", "").await;
    assert_eq!(socket.hear().await, Err(End::Closed(4401)), "not before the introduction");
    let mut socket = Socket::open(&server, &[PROTOCOL]).await.unwrap();
    socket.say(json!("what?")).await;
    assert_eq!(socket.hear().await, Err(End::Closed(4400)));

    let refused = async |headers: &[(&'static str, &str)]| Socket::open(&server, headers).await.err();
    assert_eq!(
        refused(&[PROTOCOL, ("authorization", "Bearer rt_nobody")]).await,
        Some((401, "UNAUTHENTICATED".into()))
    );
    assert_eq!(refused(&[("authorization", &bearer)]).await, Some((400, "BAD_INPUT".into())), "no protocol");
    assert_eq!(
        refused(&[PROTOCOL, ("origin", "https://evil.example")]).await,
        Some((403, "FORBIDDEN".into()))
    );
    let own = format!("http://{}", server.address);
    assert_eq!(refused(&[PROTOCOL, ("origin", &own)]).await, None);
}

#[actix_web::test]
async fn the_older_protocol_is_spoken_too() {
    let databases = Databases::shared().await;
    let token = tokens::create(&databases.pool, Grant::Owner, "").await.unwrap().secret;
    let server = Server::start(&databases).await;
    let mut socket = Socket::open(&server, &[("sec-websocket-protocol", "graphql-ws")]).await.unwrap();
    let payload = json!({ "Authorization": format!("Bearer {token}") });
    socket.say(json!({ "type": "connection_init", "payload": payload })).await;
    assert_eq!(socket.hear().await.unwrap()["type"], "connection_ack");
    let query = "subscription { postbackLogTail { txid } }";
    socket.say(json!({ "id": "1", "type": "start", "payload": { "query": query } })).await;
    until_followed(&server, 1).await;
    record(&databases.pool, [attempt("x", Utc::now())]).await;
    let seen = socket.hear().await.unwrap();
    assert_eq!(
        (&seen["type"], &seen["payload"]["data"]["postbackLogTail"]["txid"]),
        (&"data".into(), &"x".into())
    );
    socket.say(json!({ "id": "1", "type": "stop" })).await;
    while socket.hear().await.unwrap()["type"] != "complete" {}
}

#[actix_web::test]
async fn a_revoked_token_is_cut_off_within_seconds() {
    let databases = Databases::shared().await;
    let kept = tokens::create(&databases.pool, Grant::Owner, "").await.unwrap();
    let revoked = tokens::create(&databases.pool, Grant::Owner, "").await.unwrap();
    let server = Server::start(&databases).await;
    let mut socket = Socket::of(&server, &revoked.secret).await;
    let mut other = Socket::of(&server, &kept.secret).await;
    socket.tail("1", "").await;
    other.tail("1", "").await;
    until_followed(&server, 2).await;
    tokens::revoke(&databases.pool, revoked.token.token_id).await.unwrap();
    assert_eq!(socket.hear().await, Err(End::Closed(4403)));
    record(&databases.pool, [attempt("x", Utc::now())]).await;
    assert_eq!(other.attempt().await["txid"], "x");
}

#[actix_web::test]
async fn connections_and_operations_have_bounds() {
    let databases = Databases::shared().await;
    let token = tokens::create(&databases.pool, Grant::Owner, "").await.unwrap().secret;
    let another = tokens::create(&databases.pool, Grant::Owner, "").await.unwrap().secret;
    let settings = [("RICOCHET_WEBSOCKETS", "3"), ("RICOCHET_WEBSOCKETS_PER_TOKEN", "2")];
    let server = Server::start_with(&databases, &settings).await;
    let bearer = format!("Bearer {token}");
    let mut first = Socket::of(&server, &token).await;
    let second = Socket::of(&server, &token).await;
    let refused =
        async |bearer: &str| Socket::open(&server, &[PROTOCOL, ("authorization", bearer)]).await.err();
    assert_eq!(refused(&bearer).await, Some((429, "RATE_LIMITED".into())), "a third of the token");
    let mut third = Socket::open(&server, &[PROTOCOL]).await.unwrap();
    third.say(json!({ "type": "connection_init", "payload": { "Authorization": bearer } })).await;
    assert_eq!(third.hear().await, Err(End::Closed(4429)), "also by the first message");
    drop(third);
    crate::support::eventually("there is room for another token", || async {
        let bearer = format!("Bearer {another}");
        Socket::open(&server, &[PROTOCOL, ("authorization", &bearer)]).await.ok()
    })
    .await;
    drop(second);
    crate::support::eventually("there is room again", || async {
        refused(&bearer).await.is_none().then_some(())
    })
    .await;

    for number in 0..21 {
        first.tail(&number.to_string(), "").await;
    }
    let refusal = first.hear().await.unwrap();
    assert_eq!(
        (&refusal["id"], &refusal["payload"]["errors"][0]["extensions"]["code"]),
        (&"20".into(), &"RATE_LIMITED".into())
    );
}

/// How long a server that stops waits for what is under way.
const GRACE: Duration = Duration::from_secs(60);

#[actix_web::test]
async fn a_server_that_stops_says_so_and_does_not_wait_for_tails() {
    let databases = Databases::shared().await;
    let token = tokens::create(&databases.pool, Grant::Owner, "").await.unwrap().secret;
    let mut server =
        Server::start_with(&databases, &[("RICOCHET_GRACE_PERIOD_S", &GRACE.as_secs().to_string())]).await;
    let mut socket = Socket::of(&server, &token).await;
    socket.tail("1", "").await;
    let pid = server.pid();
    let began = Instant::now();
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(socket.hear().await, Err(End::Closed(1001)));
    assert!(server.stop().success());
    assert!(began.elapsed() < GRACE, "{:?}", began.elapsed());
}
