//! The pixel and the iframe.

use reqwest::Response;
use serde_json::json;

use crate::support::eventually;
use crate::support::server::Server;
use crate::support::world::World;

async fn load(world: &World, server: &Server, path: &str, cookie: &str) -> Response {
    let request = world.client.get(server.url(path)).header("cookie", cookie);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    answer
}

async fn pixel(world: &World, server: &Server, path: &str, cookie: &str) -> String {
    let answer = load(world, server, path, cookie).await;
    let verdict = answer.headers()["x-ricochet-verdict"].to_str().unwrap().to_owned();
    assert_eq!(answer.headers()["content-type"], "image/gif", "{path}");
    let picture = answer.bytes().await.unwrap();
    assert_eq!((&picture[..6], picture.len()), (&b"GIF89a"[..], 43));
    verdict
}

#[tokio::test]
async fn a_browser_makes_a_hold_and_changes_nothing() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let click = world.click(&server, world.fixed.1).await;
    let path = |offer, rest: &str| format!("/pixel/{offer}.gif?{rest}");
    let offer = world.fixed.0;
    let whole = format!("click_id={click}&request_id=p-1&action=sale&price=9.50");

    // Whatever status is sent.
    for (status, verdict) in [
        ("&status=approved", "accepted"),
        ("&status=activate", "duplicate"),
        ("&status=nonsense", "duplicate"),
        ("", "duplicate"),
        ("&status=rejected&price=1", "rejected; reason=repeated; fields=price"),
    ] {
        assert_eq!(pixel(&world, &server, &path(offer, &format!("{whole}{status}")), "").await, verdict);
    }
    assert_eq!(world.count("SELECT count(*) FROM conversions WHERE status = 'hold'").await, 1);

    // What stands is not changed.
    let (_, approved) =
        world.report(&server, &format!("click_id={click}&request_id=p-1&action=sale&status=approved")).await;
    assert_eq!(approved["rejected_by_conflict"], false);
    let conflict = pixel(&world, &server, &path(offer, &whole), "").await;
    assert_eq!(conflict, "conflict; reason=transition");
    assert_eq!(world.count("SELECT count(*) FROM conversions WHERE status = 'approved'").await, 1);

    // Refusals, each with its picture.
    let other = world.percent.0;
    for (path, verdict) in [
        (path(other, &whole), "rejected; reason=other_offer; fields=click_id"),
        (path(offer, "request_id=1&action=sale"), "rejected; reason=missing; fields=click_id"),
        (
            path(offer, &format!("click_id={click}&action=lead")),
            "rejected; reason=missing; fields=request_id",
        ),
        (path(offer, "click_id=%ff"), "rejected; reason=invalid_encoding"),
        ("/pixel/nonsense.gif".into(), "rejected; reason=unknown_offer; fields=offer"),
    ] {
        assert_eq!(pixel(&world, &server, &path, "").await, verdict, "{path}");
    }
    let query = "{ inboundLog(filter: {verdicts: [REJECTED]}) { edges { node { reason httpStatus } } } }";
    eventually("the refusals are in the log", || async {
        let log = world.graphql(&server, &world.owner_token, query).await.to_string();
        (log.contains("this offer does not exist") && log.contains("another offer")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_click_id_may_come_in_the_cookie() {
    let world = World::new().await;
    let server = Server::start(&world.databases).await;
    let (offer, link) = world.fixed;
    let click = world.click(&server, link).await;
    let cookie = format!("a=b; ricochet_click_id={click}; c=d");
    let path = format!("/pixel/{offer}.gif?request_id=1&action=lead&clickid=");
    assert_eq!(pixel(&world, &server, &path, &cookie).await, "accepted");
    // A parameter that names one wins.
    let path = format!("/pixel/{offer}.gif?request_id=2&action=sale&subid=nobody");
    assert_eq!(
        pixel(&world, &server, &path, &cookie).await,
        "rejected; reason=unknown_click; fields=click_id"
    );

    let answer = load(&world, &server, &format!("/iframe/{offer}?request_id=3&action=sale"), &cookie).await;
    assert_eq!(answer.headers()["x-ricochet-verdict"], "accepted");
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(!answer.headers().contains_key("x-frame-options"));
    assert!(answer.text().await.unwrap().starts_with("<!doctype html>"));
    let doors = world
        .graphql(&server, &world.owner_token, "{ conversions { edges { node { action status } } } }")
        .await;
    let edges = doors["conversions"]["edges"].as_array().unwrap();
    assert!(edges.iter().all(|edge| edge["node"]["status"] == json!("HOLD")) && edges.len() == 2);
}
