//! Who may report for an advertiser: each change of it with its audit entry.

use deadpool_postgres::{Pool, Transaction};
use ipnet::IpNet;
use serde_json::json;
use uuid::Uuid;

use super::ChangeError;
use crate::domain::access::signature_policy::SignaturePolicy;
use crate::domain::ids::AdvertiserId;
use crate::store::advertiser_access::{self, AccessError, AccessSettings, NewSecret, SecretSource};
use crate::store::audit::{self, Actor, Entity};
use crate::store::secrets::{Keyring, SecretError};

impl From<AccessError> for ChangeError {
    fn from(error: AccessError) -> Self {
        let message = error.to_string();
        match error {
            AccessError::NoSuchAdvertiser => Self::NotFound { field: "advertiser_id", what: "advertiser" },
            AccessError::NoSuchSecret => Self::NotFound { field: "secret_id", what: "live secret" },
            AccessError::TwoLiveSecrets => Self::bad("advertiser_id", message),
            AccessError::NoSecretYet => Self::bad("policy", message),
            AccessError::LastSecret => Self::bad("secret_id", message),
            AccessError::UnfitSecret | AccessError::Secret(_) => Self::bad("secret", message),
            AccessError::TooManyNetworks => Self::bad("networks", message),
            AccessError::UnfitRate => Self::bad("requests_per_second", message),
            AccessError::Store(error) => Self::Store(error),
        }
    }
}

pub async fn settings(pool: &Pool, advertiser: AdvertiserId) -> Result<AccessSettings, ChangeError> {
    Ok(advertiser_access::settings(&pool.get().await?, advertiser).await?)
}

pub async fn set_signature_policy(
    pool: &Pool,
    actor: Actor,
    advertiser: AdvertiserId,
    policy: SignaturePolicy,
) -> Result<AccessSettings, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let before = audit::snapshot(&transaction, Entity::Advertiser, advertiser.0).await?;
    advertiser_access::set_signature_policy(&transaction, advertiser, policy).await?;
    let record = (Entity::Advertiser, advertiser.0, "set_signature_policy");
    finish(transaction, actor, advertiser, record, before).await
}

pub async fn set_allowlist(
    pool: &Pool,
    actor: Actor,
    advertiser: AdvertiserId,
    networks: &[IpNet],
) -> Result<AccessSettings, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let before = audit::snapshot(&transaction, Entity::Advertiser, advertiser.0).await?;
    advertiser_access::set_allowlist(&transaction, advertiser, networks).await?;
    let record = (Entity::Advertiser, advertiser.0, "set_allowlist");
    finish(transaction, actor, advertiser, record, before).await
}

pub async fn set_rate_limit(
    pool: &Pool,
    actor: Actor,
    advertiser: AdvertiserId,
    requests_per_second: Option<u32>,
) -> Result<AccessSettings, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let before = audit::snapshot(&transaction, Entity::Advertiser, advertiser.0).await?;
    advertiser_access::set_rate_limit(&transaction, advertiser, requests_per_second).await?;
    let record = (Entity::Advertiser, advertiser.0, "set_rate_limit");
    finish(transaction, actor, advertiser, record, before).await
}

/// Adds a secret to sign with; it is shown in the answer and never again.
pub async fn add_secret(
    pool: &Pool,
    actor: Actor,
    keyring: &Keyring,
    advertiser: AdvertiserId,
    source: SecretSource<'_>,
) -> Result<NewSecret, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    known_to(keyring, &transaction).await?;
    let secret = advertiser_access::add_secret(&transaction, keyring, advertiser, source).await?;
    let after = json!({ "secret_id": secret.secret_id, "advertiser_id": advertiser });
    let id = secret.secret_id.to_string();
    audit::record_values(&transaction, actor, Entity::Secret, &id, "create", None, Some(after)).await?;
    transaction.commit().await?;
    Ok(secret)
}

/// A secret under another master key than those of the nodes would lock its advertiser out: none
/// is made by who cannot know the key that the others are under.
async fn known_to(keyring: &Keyring, transaction: &Transaction<'_>) -> Result<(), ChangeError> {
    let in_use = "SELECT DISTINCT master_key_id FROM advertiser_secrets WHERE retired_at IS NULL";
    for row in transaction.query(in_use, &[]).await? {
        let id: String = row.get(0);
        if !keyring.holds(&id) {
            return Err(AccessError::Secret(SecretError::UnknownMasterKey(id)).into());
        }
    }
    Ok(())
}

pub async fn retire_secret(
    pool: &Pool,
    actor: Actor,
    advertiser: AdvertiserId,
    secret_id: Uuid,
) -> Result<AccessSettings, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    advertiser_access::retire_secret(&transaction, advertiser, secret_id).await?;
    let before = json!({ "secret_id": secret_id, "advertiser_id": advertiser });
    finish(transaction, actor, advertiser, (Entity::Secret, secret_id, "retire"), Some(before)).await
}

async fn finish(
    transaction: Transaction<'_>,
    actor: Actor,
    advertiser: AdvertiserId,
    (entity, id, action): (Entity, Uuid, &str),
    before: Option<serde_json::Value>,
) -> Result<AccessSettings, ChangeError> {
    audit::record(&transaction, actor, entity, id, action, before).await?;
    let settings = advertiser_access::settings(&transaction, advertiser).await?;
    transaction.commit().await?;
    Ok(settings)
}
