use chrono::Utc;
use serde_json::{Value, json};

use super::{PATIENT, text, until};
use crate::access::stage::{WITH_MASTER_KEY, hmac_hex, told};
use crate::support::server::Server;
use crate::support::world::World;

const QUERY: &str = "signaturePolicy allowedNetworks requestsPerSecond secrets { secretId }";

async fn access(world: &World, server: &Server, advertiser: &str) -> Value {
    let query = format!("{{ advertiserAccess(advertiserId: {advertiser:?}) {{ {QUERY} }} }}");
    world.asks(server, &query).await["advertiserAccess"].clone()
}

/// The code of the first error of a request that says nothing but `query`.
async fn code(world: &World, server: &Server, query: &str) -> Option<String> {
    told(world.client.get(server.url(&format!("/{}/s2s?{query}", world.api_key)))).await.1
}

async fn until_code(world: &World, server: &Server, query: &str, expected: &str) {
    until(expected, || async { code(world, server, query).await.as_deref() == Some(expected) }).await;
}

#[actix_web::test]
async fn addresses_and_rates_are_set_shown_and_cleared() {
    let world = World::new().await;
    let server = Server::start_with(&world.databases, PATIENT).await;
    let advertiser = world.advertiser_id().await;
    let whose = ["--advertiser", advertiser.as_str()];
    let set = world.says(&[&["allowlist", "set"][..], &whose, &["203.0.113.77/24", "198.51.100.7"]].concat());
    assert_eq!(set, "198.51.100.7/32\n203.0.113.0/24");
    until_code(&world, &server, "", "ip_not_allowed").await;
    assert_eq!(world.says(&[&["allowlist", "show"][..], &whose].concat()), set);
    let seen = access(&world, &server, &advertiser).await;
    assert_eq!(seen["allowedNetworks"], json!(["198.51.100.7/32", "203.0.113.0/24"]));
    let cleared = world.ricochet(&["allowlist", "clear", "--advertiser", &advertiser], "");
    assert_eq!((cleared.out.as_str(), cleared.err.as_str()), ("", "Requests may come from anywhere.\n"));
    until_code(&world, &server, "", "missing").await;
    assert_eq!(
        world.tells(&[&["allowlist", "show"][..], &whose].concat()),
        json!({ "allowed_networks": [] })
    );

    world.says(&["access", "rate-limit", &advertiser, "7"]);
    assert_eq!(access(&world, &server, &advertiser).await["requestsPerSecond"], 7);
    let shown = world.tells(&["access", "rate-limit", &advertiser, "default"]);
    assert_eq!((&shown["requests_per_second"], &shown["signature_policy"]), (&json!(null), &json!("off")));
    assert!(access(&world, &server, &advertiser).await["requestsPerSecond"].is_null());
    let actions = ["set_allowlist", "set_allowlist", "set_rate_limit", "set_rate_limit"];
    assert_eq!(world.audited(&server, "ADVERTISER").await, actions);
}

#[actix_web::test]
async fn a_secret_made_by_command_signs_and_is_replaced() {
    let world = World::new().await;
    let server = Server::start_with(&world.databases, &[PATIENT, WITH_MASTER_KEY].concat()).await;
    let advertiser = world.advertiser_id().await;
    let early = world.refuses(&["access", "signatures", &advertiser, "required"]);
    assert!(early.contains("POLICY: there is no secret to sign with yet; add one first"), "{early}");
    let secret = world.says(&["secret", "create", "--advertiser", &advertiser]);
    world.says(&["access", "signatures", &advertiser, "required"]);
    until_code(&world, &server, "a=1", "missing_signature").await;
    let signed = |secret: &str| {
        let query = format!("a=1&ts={}", Utc::now().timestamp());
        format!("{query}&sig={}", hmac_hex(secret.as_bytes(), &query))
    };
    assert_eq!(code(&world, &server, &signed(&secret)).await.as_deref(), Some("missing"));

    let own = "an-advertisers-own-secret";
    let made = world
        .ricochet(&["secret", "create", "--advertiser", &advertiser, "--from-stdin"], &format!("{own}\n"));
    assert_eq!((made.out.as_str(), made.is_success), (&*format!("{own}\n"), true), "{}", made.err);
    let live = world.tells(&["secret", "list", "--advertiser", &advertiser]);
    let ids: Vec<String> = live.as_array().unwrap().iter().map(|one| text(&one["secret_id"])).collect();
    assert!(ids.len() == 2 && !live.to_string().contains(own));
    let third = world.refuses(&["secret", "create", "--advertiser", &advertiser]);
    assert!(
        third.contains("--advertiser: an advertiser has at most two live secrets; retire one first"),
        "{third}"
    );
    world.says(&["secret", "retire", &ids[0], "--advertiser", &advertiser]);
    until("the new secret signs alone", || async {
        code(&world, &server, &signed(&secret)).await.as_deref() == Some("bad_signature")
            && code(&world, &server, &signed(own)).await.as_deref() == Some("missing")
    })
    .await;
    let seen = access(&world, &server, &advertiser).await;
    assert_eq!(
        (&seen["secrets"], &seen["signaturePolicy"]),
        (&json!([{ "secretId": ids[1] }]), &json!("REQUIRED"))
    );
    let last = world.refuses(&["secret", "retire", &ids[1], "--advertiser", &advertiser]);
    assert!(last.contains("SECRET_ID: signatures are looked at and this is the last secret"), "{last}");
    world.says(&["access", "signatures", &advertiser, "off"]);
    until_code(&world, &server, "a=1", "missing").await;
    assert_eq!(world.audited(&server, "SECRET").await, ["create", "create", "retire"]);

    // Under another master key than the servers', a secret would lock its advertiser out.
    let foreign = "b".repeat(64);
    let other = world.refuses(&["secret", "create", "--advertiser", &advertiser, "--master-key", &foreign]);
    assert!(other.contains("RICOCHET_MASTER_KEY does not hold the master key"), "{other}");
    let short = world.refuses(&["secret", "create", "--advertiser", &advertiser, "--master-key", "abc"]);
    assert!(short.contains("--master-key") && !short.contains("abc"), "{short}");
}
