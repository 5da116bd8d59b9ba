use std::process::Command;

use chrono::Utc;
use ricochet::domain::access::allowlist::parse_networks;
use ricochet::domain::access::signature_policy::SignaturePolicy;
use ricochet::domain::ids::AdvertiserId;
use ricochet::graphql::scope::Scope;
use ricochet::store::advertiser_access::{self as access, AccessError, SecretSource};
use ricochet::store::audit::Actor;
use ricochet::store::network;
use ricochet::store::secrets::{Keyring, SecretError};
use ricochet::store::setup::{ChangeError, api_keys};
use ricochet::store::used_signatures;
use serde_json::Value;
use uuid::Uuid;

use super::stage::{MASTER_KEY, Stage, WITH_MASTER_KEY, keyring};
use crate::support::server::Server;

#[tokio::test]
async fn two_secrets_and_two_keys_are_live_at_most() {
    let stage = Stage::new().await;
    let advertiser = stage.advertiser;
    let db = stage.world.databases.pool.get().await.unwrap();
    let db = &db;

    let first = stage.add_secret().await;
    let given = SecretSource::Given("an-advertisers-own-secret");
    let second = access::add_secret(db, &keyring(), advertiser, given).await.unwrap();
    assert_eq!(second.secret, "an-advertisers-own-secret");
    let third = access::add_secret(db, &keyring(), advertiser, SecretSource::MadeHere).await;
    assert!(matches!(third, Err(AccessError::TwoLiveSecrets)));
    access::set_signature_policy(db, advertiser, SignaturePolicy::Required).await.unwrap();
    access::retire_secret(db, advertiser, first.secret_id).await.unwrap();
    let again = access::retire_secret(db, advertiser, first.secret_id).await;
    assert!(matches!(again, Err(AccessError::NoSuchSecret)));
    let last = access::retire_secret(db, advertiser, second.secret_id).await;
    assert!(matches!(last, Err(AccessError::LastSecret)));

    // The world has made the first key.
    let pool = &stage.world.databases.pool;
    let make = || api_keys::create(pool, Actor::CommandLine, advertiser, "");
    let second_key = make().await.unwrap().record.api_key_id;
    assert!(matches!(make().await, Err(ChangeError::BadValue { field: "advertiser_id", .. })));
    // However it comes: a third one is refused by the database too.
    let third = network::add_api_key(db, advertiser).await.unwrap_err().to_string();
    assert!(third.contains("two"), "{third}");
    for _ in 0..2 {
        let revoking = api_keys::revoke(pool, Actor::CommandLine, Scope::Everything, second_key);
        assert!(revoking.await.unwrap().revoked_at.is_some());
    }
    make().await.unwrap();

    let settings = access::settings(db, advertiser).await.unwrap();
    assert_eq!(settings.signature_policy, SignaturePolicy::Required);
    assert_eq!((settings.live_secrets.len(), settings.live_keys.len()), (1, 2));
    assert_eq!(settings.live_secrets[0].secret_id, second.secret_id);
}

#[tokio::test]
async fn the_second_secret_is_counted_however_many_add_one_at_once() {
    let stage = Stage::new().await;
    let adding = (0..4).map(|_| async {
        let db = stage.world.databases.pool.get().await.unwrap();
        access::add_secret(&db, &keyring(), stage.advertiser, SecretSource::MadeHere).await.is_ok()
    });
    let added = futures_util::future::join_all(adding).await;
    assert_eq!(added.iter().filter(|is_added| **is_added).count(), 2);
}

#[tokio::test]
async fn what_cannot_be_set_says_why() {
    let stage = Stage::new().await;
    let advertiser = stage.advertiser;
    let nobody = AdvertiserId(Uuid::now_v7());
    let db = stage.world.databases.pool.get().await.unwrap();
    let db = &db;

    let no_key = access::add_secret(db, &Keyring::default(), advertiser, SecretSource::MadeHere).await;
    assert!(matches!(no_key, Err(AccessError::Secret(SecretError::NoMasterKey))));
    for unfit in ["short", "with a blank in twenty-four", "whsec_not-base64-not-base64-"] {
        let given = access::add_secret(db, &keyring(), advertiser, SecretSource::Given(unfit)).await;
        assert!(matches!(given, Err(AccessError::UnfitSecret)), "{unfit}");
    }
    let orphan = access::add_secret(db, &keyring(), nobody, SecretSource::MadeHere).await;
    assert!(matches!(orphan, Err(AccessError::NoSuchAdvertiser)));
    let early = access::set_signature_policy(db, advertiser, SignaturePolicy::Optional).await;
    assert!(matches!(early, Err(AccessError::NoSecretYet)));
    let orphan = access::set_signature_policy(db, nobody, SignaturePolicy::Off).await;
    assert!(matches!(orphan, Err(AccessError::NoSuchAdvertiser)));
    assert!(matches!(access::set_rate_limit(db, advertiser, Some(0)).await, Err(AccessError::UnfitRate)));
    assert!(matches!(access::settings(db, nobody).await, Err(AccessError::NoSuchAdvertiser)));

    access::set_rate_limit(db, advertiser, Some(7)).await.unwrap();
    let networks = parse_networks("203.0.113.77/24,::ffff:198.51.100.1").unwrap();
    access::set_allowlist(db, advertiser, &networks).await.unwrap();
    let settings = access::settings(db, advertiser).await.unwrap();
    assert_eq!(settings.requests_per_second, Some(7));
    assert_eq!(settings.allowed_networks, parse_networks("198.51.100.1,203.0.113.0/24").unwrap());
}

#[tokio::test]
async fn a_node_without_the_master_key_does_not_start() {
    let stage = Stage::new().await;
    let secret = stage.add_secret().await.secret;
    let databases = &stage.world.databases;
    let stored = stage
        .world
        .count(&format!(
            "SELECT count(*) FROM advertiser_secrets WHERE position('{secret}'::bytea IN ciphertext) > 0"
        ))
        .await;
    assert_eq!(stored, 0, "it is encrypted");
    let mut serve = Command::new(env!("CARGO_BIN_EXE_ricochet"));
    serve
        .arg("serve")
        .env_clear()
        .env("DATABASE_URL", &databases.database_url)
        .env("CLICKHOUSE_URL", &databases.clickhouse_url)
        .env("RICOCHET_LISTEN", "127.0.0.1:0");
    let output = tokio::task::spawn_blocking(move || serve.output().unwrap()).await.unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && complaint.contains("RICOCHET_MASTER_KEY"), "{complaint}");
}

#[tokio::test]
async fn a_master_key_is_changed_one_node_after_another() {
    let stage = Stage::new().await;
    stage.add_secret().await;
    let new = "a".repeat(64);
    let keys = format!("{new},{MASTER_KEY}");
    let old_first = format!("{MASTER_KEY},{new}");
    let databases = &stage.world.databases;
    let _behind = Server::start_with(databases, &[("RICOCHET_MASTER_KEY", &old_first)]).await;
    let _ahead = Server::start_with(databases, &[("RICOCHET_MASTER_KEY", &keys)]).await;
    // The old key is not needed any more.
    let _done = Server::start_with(databases, &[("RICOCHET_MASTER_KEY", &new)]).await;
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_our_fault() {
    let stage = Stage::new().await;
    stage.add_secret().await;
    stage.set_policy(SignaturePolicy::Required).await;
    let db = stage.world.databases.pool.get().await.unwrap();
    db.execute("UPDATE advertiser_secrets SET ciphertext = ciphertext || '\\x00'::bytea", &[]).await.unwrap();
    let server = Server::start_with(&stage.world.databases, WITH_MASTER_KEY).await;
    let url =
        server.url(&format!("{}?a=1&ts={}&sig={}", stage.door(), Utc::now().timestamp(), "0".repeat(64)));
    let answer = stage.world.client.get(url).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "60"));
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["errors"][0]["code"], "signature_unverifiable");
    assert!(server.log().contains("a secret cannot be read"));
}

#[tokio::test]
async fn signatures_are_forgotten_once_they_are_stale() {
    let stage = Stage::new().await;
    let db = stage.world.databases.pool.get().await.unwrap();
    db.execute(
        "INSERT INTO used_signatures (digest, exchange_id, expires_at)
         SELECT sha256(minutes::text::bytea), gen_random_uuid(), now() + make_interval(mins => minutes)
         FROM unnest(ARRAY[-1, 1]) AS minutes",
        &[],
    )
    .await
    .unwrap();
    used_signatures::forget_stale(&stage.world.databases.pool).await.unwrap();
    let left = stage.world.count("SELECT count(*) FROM used_signatures WHERE expires_at > now()").await;
    assert_eq!((left, stage.world.count("SELECT count(*) FROM used_signatures").await), (1, 1));
}
