//! The master key is changed: everything is encrypted again, and the old key can be dropped.

use std::process::Command;

use ricochet::domain::access::signature_policy::SignaturePolicy;
use ricochet::store::Pool;
use ricochet::store::resealing::{self, Resealed};
use ricochet::store::secrets::Keyring;

use super::stage::Stage;
use crate::access::stage::{MASTER_KEY, Stage as Access, hmac_hex};
use crate::support::databases::Databases;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};

fn new_key() -> String {
    "ab".repeat(32)
}

/// Both kinds of secrets under the old key: the secrets, and the world they are in.
async fn sealed_stage(tracker: &Tracker) -> (Stage, String, String) {
    let stage = Stage::on(tracker).await;
    let (of_postback, _) = stage.create_secret("").await;
    stage.sign("URL").await;
    let made = stage
        .world
        .graphql(
            &stage.server,
            &stage.world.owner_token,
            &format!(
                r#"mutation {{ createAdvertiserSecret(input: {{advertiserId: "{}"}}) {{ secret }} }}"#,
                advertiser(&stage).await
            ),
        )
        .await;
    (stage, of_postback, made["createAdvertiserSecret"]["secret"].as_str().unwrap().to_owned())
}

async fn advertiser(stage: &Stage) -> String {
    let db = stage.world.databases.pool.get().await.unwrap();
    db.query_one("SELECT advertiser_id::text FROM advertisers", &[]).await.unwrap().get(0)
}

/// Whether the command succeeds, and all that it says.
fn reseal(databases: &Databases, keys: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ricochet"))
        .args(["secrets", "reseal"])
        .env_clear()
        .env("DATABASE_URL", &databases.database_url)
        .env("RICOCHET_MASTER_KEY", keys)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn without_the_old_key_everything_still_works() {
    let tracker = Tracker::start(OK).await;
    let (mut stage, of_postback, of_advertiser) = sealed_stage(&tracker).await;
    let databases = &stage.world.databases;
    let (done, said) = reseal(databases, &new_key());
    assert!(!done && said.contains("RICOCHET_MASTER_KEY does not hold the master key"), "{said}");
    let keys = format!("{},{MASTER_KEY}", new_key());
    let (done, said) = reseal(databases, &keys);
    assert!(done && said.contains("2 secrets encrypted again"), "{said}");
    let (done, said) = reseal(databases, &new_key());
    assert!(done && said.contains("0 secrets encrypted again"), "{said}");

    // What runs under the old key alone signs on with what it has opened; a new node needs the new.
    stage.server.kill();
    let server = Server::start_with(databases, &[("RICOCHET_MASTER_KEY", &new_key())]).await;
    let world = &stage.world;
    let policy = SignaturePolicy::Required;
    let advertiser = advertiser(&stage).await.parse().unwrap();
    let db = databases.pool.get().await.unwrap();
    ricochet::store::advertiser_access::set_signature_policy(&db, advertiser, policy).await.unwrap();
    let query = format!(
        "click_id={}&request_id=r&action=sale&status=new&ts={}",
        stage.click,
        chrono::Utc::now().timestamp()
    );
    let tag = hmac_hex(of_advertiser.as_bytes(), &query);
    crate::support::eventually("the advertiser's signature is asked for and right", || async {
        (world.report(&server, &query).await.0 == 401).then_some(())
    })
    .await;
    assert_eq!(world.report(&server, &format!("{query}&sig={tag}")).await.0, 200);
    let received = tracker.until_received(1).await.pop().unwrap();
    let (signed, sig) = received.target.rsplit_once("&sig=").unwrap();
    assert_eq!(sig, hmac_hex(of_postback.as_bytes(), &format!("{signed}\n")));
}

#[tokio::test]
async fn a_start_without_the_key_of_a_stored_secret_says_which() {
    let tracker = Tracker::start(OK).await;
    let (mut stage, ..) = sealed_stage(&tracker).await;
    stage.server.kill();
    let databases = &stage.world.databases;
    let db = databases.pool.get().await.unwrap();
    db.execute("DELETE FROM advertiser_secrets", &[]).await.unwrap();
    let row = db.query_one("SELECT master_key_id FROM postback_secrets", &[]).await.unwrap();
    let mut serve = Command::new(env!("CARGO_BIN_EXE_ricochet"));
    serve
        .arg("serve")
        .env_clear()
        .env("DATABASE_URL", &databases.database_url)
        .env("CLICKHOUSE_URL", &databases.clickhouse_url)
        .env("RICOCHET_MASTER_KEY", new_key())
        .env("RICOCHET_LISTEN", "127.0.0.1:0");
    let output = tokio::task::spawn_blocking(move || serve.output().unwrap()).await.unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{complaint}");
    assert!(
        complaint.contains("RICOCHET_MASTER_KEY") && complaint.contains(row.get::<_, &str>(0)),
        "{complaint}"
    );
}

async fn seal_many(pool: &Pool, keyring: &Keyring, stage: &Access, count: usize) {
    let db = pool.get().await.unwrap();
    for _ in 0..count {
        let id = uuid::Uuid::now_v7();
        let sealed = keyring.seal(id, id.to_string().as_bytes()).unwrap();
        // Retired: at most two are live.
        db.execute(
            "INSERT INTO advertiser_secrets (secret_id, advertiser_id, master_key_id, ciphertext, retired_at)
             VALUES ($1, $2, $3, $4, now())",
            &[&id, &stage.advertiser.0, &sealed.master_key_id, &sealed.ciphertext],
        )
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn many_secrets_are_encrypted_again_by_several_at_once_and_broken_ones_are_named() {
    let stage = Access::new().await;
    let pool = &stage.world.databases.pool;
    let old = Keyring::parse(MASTER_KEY).unwrap();
    let both = Keyring::parse(&format!("{},{MASTER_KEY}", new_key())).unwrap();
    // More than one batch.
    seal_many(pool, &old, &stage, 1_200).await;
    let broken = stage.add_secret().await.secret_id;
    let db = pool.get().await.unwrap();
    db.execute(
        "UPDATE advertiser_secrets SET ciphertext = ciphertext || '\\x00'::bytea WHERE secret_id = $1",
        &[&broken],
    )
    .await
    .unwrap();
    let (one, other) = tokio::join!(resealing::reseal(pool, &both), resealing::reseal(pool, &both));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.secrets + other.secrets, 1_200, "each by one of the two");
    assert_eq!((&one.broken, &other.broken), (&vec![broken], &vec![broken]));
    one.need_every_key().unwrap();
    let new = Keyring::parse(&new_key()).unwrap();
    for row in db.query("SELECT * FROM advertiser_secrets WHERE secret_id <> $1", &[&broken]).await.unwrap() {
        let id: uuid::Uuid = row.get("secret_id");
        let sealed = ricochet::store::secrets::Sealed {
            master_key_id: row.get("master_key_id"),
            ciphertext: row.get("ciphertext"),
        };
        assert_eq!(new.open(id, &sealed).unwrap(), id.to_string().as_bytes());
    }
    let again = resealing::reseal(pool, &both).await.unwrap();
    assert_eq!(again, Resealed { broken: vec![broken], ..Resealed::default() });
}
