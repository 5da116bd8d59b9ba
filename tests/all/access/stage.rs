//! A network whose advertiser can sign.

use hmac::{Hmac, KeyInit, Mac};
use reqwest::{RequestBuilder, Response};
use ricochet::domain::access::signature_policy::SignaturePolicy;
use ricochet::domain::ids::AdvertiserId;
use ricochet::store::advertiser_access::{self, NewSecret, SecretSource};
use ricochet::store::secrets::Keyring;
use serde_json::Value;
use sha2::Sha256;

use crate::support::databases::Databases;
use crate::support::world::World;

pub const MASTER_KEY: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
pub const WITH_MASTER_KEY: &[(&str, &str)] = &[("RICOCHET_MASTER_KEY", MASTER_KEY)];

pub fn keyring() -> Keyring {
    Keyring::parse(MASTER_KEY).unwrap()
}

/// A world, with its advertiser.
pub struct Stage {
    pub world: World,
    pub advertiser: AdvertiserId,
}

impl Stage {
    pub async fn new() -> Self {
        Self::on(Databases::shared().await).await
    }

    pub async fn on(databases: Databases) -> Self {
        let world = World::on(databases).await;
        let db = world.databases.pool.get().await.unwrap();
        let row = db.query_one("SELECT advertiser_id FROM advertisers", &[]).await.unwrap();
        Self { world, advertiser: AdvertiserId(row.get(0)) }
    }

    pub async fn add_secret(&self) -> NewSecret {
        let db = self.world.databases.pool.get().await.unwrap();
        advertiser_access::add_secret(&db, &keyring(), self.advertiser, SecretSource::MadeHere).await.unwrap()
    }

    pub async fn set_policy(&self, policy: SignaturePolicy) {
        let db = self.world.databases.pool.get().await.unwrap();
        advertiser_access::set_signature_policy(&db, self.advertiser, policy).await.unwrap();
    }

    pub async fn allow_only(&self, networks: &str) {
        let networks = ricochet::domain::access::allowlist::parse_networks(networks).unwrap();
        let db = self.world.databases.pool.get().await.unwrap();
        advertiser_access::set_allowlist(&db, self.advertiser, &networks).await.unwrap();
    }

    /// The path of the advertiser's door.
    pub fn door(&self) -> String {
        format!("/{}/s2s", self.world.api_key)
    }
}

/// The answer's status and body, and the code of its first error.
pub async fn told(request: RequestBuilder) -> (u16, Option<String>, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let body = body(answer).await;
    (status, body["errors"][0]["code"].as_str().map(str::to_owned), body)
}

async fn body(answer: Response) -> Value {
    let text = answer.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no answer of ours: {text}"))
}

pub fn hmac_hex(key: &[u8], message: &str) -> String {
    hex::encode(hmac(key, message))
}

pub fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(message);
    mac.finalize().into_bytes().to_vec()
}
