//! How an advertiser's requests prove themselves: signatures, addresses, rates. Its API keys are
//! made in [`setup::api_keys`](super::setup::api_keys).
//!
//! Every function is one statement, or takes its part in the caller's transaction. What at most
//! two may be alive of is counted by PostgreSQL (see the migration), whoever inserts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use ipnet::IpNet;
use serde::Serialize;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::error::StoreError;
use super::secrets::{Keyring, SecretError};
use crate::domain::access::allowlist::{Allowlist, parse_network};
use crate::domain::access::signature_policy::SignaturePolicy;
use crate::domain::ids::AdvertiserId;

/// Shortest secret that an advertiser may bring along, in characters.
pub const SHORTEST_SECRET_CHARS: usize = 24;
/// Longest one.
pub const LONGEST_SECRET_CHARS: usize = 255;
/// Most networks in an allowlist.
pub const MOST_NETWORKS: usize = 200;

/// What begins a secret that is base64, by the Standard Webhooks specification.
pub const SECRET_PREFIX: &str = "whsec_";

/// Why a setting was not changed. Nothing was, then.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("there is no such advertiser")]
    NoSuchAdvertiser,
    #[error("this advertiser has no such live secret")]
    NoSuchSecret,
    #[error("an advertiser has at most two live secrets; retire one first")]
    TwoLiveSecrets,
    #[error("there is no secret to sign with yet; add one first")]
    NoSecretYet,
    #[error(
        "signatures are looked at and this is the last secret; add another one or turn signatures off first"
    )]
    LastSecret,
    #[error(
        "the secret must have {SHORTEST_SECRET_CHARS} to {LONGEST_SECRET_CHARS} printable ASCII characters \
         without blanks, and base64 after {SECRET_PREFIX}; or let one be made"
    )]
    UnfitSecret,
    #[error("an allowlist has at most {MOST_NETWORKS} networks; write larger ones")]
    TooManyNetworks,
    #[error("the limit must be at least 1 request a second; leave it out for the default")]
    UnfitRate,
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<tokio_postgres::Error> for AccessError {
    fn from(error: tokio_postgres::Error) -> Self {
        let violated = error.as_db_error().and_then(|error| error.constraint()).unwrap_or_default();
        match violated {
            "two_live_secrets" => Self::TwoLiveSecrets,
            _ if error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => Self::NoSuchAdvertiser,
            _ => Self::Store(error.into()),
        }
    }
}

/// What is set for an advertiser; no secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessSettings {
    pub signature_policy: SignaturePolicy,
    /// Empty: from anywhere.
    pub allowed_networks: Vec<IpNet>,
    /// `None`: as the node's settings say.
    pub requests_per_second: Option<u32>,
    pub live_secrets: Vec<LiveSecret>,
    pub live_keys: Vec<LiveKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LiveSecret {
    pub secret_id: Uuid,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveKey {
    pub api_key_id: Uuid,
    pub created_at: DateTime<Utc>,
}

/// A new secret; `secret` is to be shown once.
#[derive(Clone, PartialEq, Eq)]
pub struct NewSecret {
    pub secret_id: Uuid,
    pub secret: String,
}

/// Where a secret comes from.
#[derive(Clone, Copy)]
pub enum SecretSource<'a> {
    /// 256 random bits as `whsec_` and base64.
    MadeHere,
    /// The advertiser's own.
    Given(&'a str),
}

pub async fn settings(
    client: &impl GenericClient,
    advertiser: AdvertiserId,
) -> Result<AccessSettings, AccessError> {
    let row = client
        .query_opt(
            "SELECT signature_policy, allowed_networks, requests_per_second
             FROM advertisers WHERE advertiser_id = $1",
            &[&advertiser.0],
        )
        .await?
        .ok_or(AccessError::NoSuchAdvertiser)?;
    let secrets = client
        .query(
            "SELECT secret_id, created_at FROM advertiser_secrets
             WHERE advertiser_id = $1 AND retired_at IS NULL ORDER BY created_at, secret_id",
            &[&advertiser.0],
        )
        .await?;
    let keys = client
        .query(
            "SELECT api_key_id, created_at FROM api_keys
             WHERE advertiser_id = $1 AND revoked_at IS NULL ORDER BY created_at, api_key_id",
            &[&advertiser.0],
        )
        .await?;
    Ok(AccessSettings {
        signature_policy: read_policy(row.get(0))?,
        allowed_networks: read_allowlist(row.get(1))?.networks().to_vec(),
        requests_per_second: read_rate(row.get(2)),
        live_secrets: secrets
            .iter()
            .map(|row| LiveSecret { secret_id: row.get(0), created_at: row.get(1) })
            .collect(),
        live_keys: keys
            .iter()
            .map(|row| LiveKey { api_key_id: row.get(0), created_at: row.get(1) })
            .collect(),
    })
}

/// Says whether requests are signed. Anything but [`SignaturePolicy::Off`] needs a live secret.
pub async fn set_signature_policy(
    client: &impl GenericClient,
    advertiser: AdvertiserId,
    policy: SignaturePolicy,
) -> Result<(), AccessError> {
    let changed = client
        .execute(
            "UPDATE advertisers SET signature_policy = $2
             WHERE advertiser_id = $1
               AND ($2 = 'off' OR EXISTS (SELECT 1 FROM advertiser_secrets AS secret
                                          WHERE secret.advertiser_id = $1 AND retired_at IS NULL))",
            &[&advertiser.0, &policy.code()],
        )
        .await?;
    match changed {
        0 => Err(known(client, advertiser).await.err().unwrap_or(AccessError::NoSecretYet)),
        _ => Ok(()),
    }
}

/// Adds a secret beside the one there may be. It is live within a second on every node.
pub async fn add_secret(
    client: &impl GenericClient,
    keyring: &Keyring,
    advertiser: AdvertiserId,
    source: SecretSource<'_>,
) -> Result<NewSecret, AccessError> {
    let secret = match source {
        SecretSource::MadeHere => format!("{SECRET_PREFIX}{}", STANDARD.encode(rand::random::<[u8; 32]>())),
        SecretSource::Given(secret) if is_fit(secret) => secret.to_owned(),
        SecretSource::Given(_) => return Err(AccessError::UnfitSecret),
    };
    let secret_id = Uuid::now_v7();
    let sealed = keyring.seal(secret_id, secret.as_bytes())?;
    client
        .execute(
            "INSERT INTO advertiser_secrets (secret_id, advertiser_id, master_key_id, ciphertext)
             VALUES ($1, $2, $3, $4)",
            &[&secret_id, &advertiser.0, &sealed.master_key_id, &sealed.ciphertext],
        )
        .await?;
    Ok(NewSecret { secret_id, secret })
}

/// Ends a secret. The last one stays while signatures are looked at: without it no signature
/// could be right.
pub async fn retire_secret(
    client: &impl GenericClient,
    advertiser: AdvertiserId,
    secret_id: Uuid,
) -> Result<(), AccessError> {
    let retired = client
        .execute(
            "UPDATE advertiser_secrets AS secret SET retired_at = now()
             WHERE secret_id = $2 AND advertiser_id = $1 AND retired_at IS NULL
               AND (EXISTS (SELECT 1 FROM advertisers
                            WHERE advertisers.advertiser_id = $1 AND signature_policy = 'off')
                    OR EXISTS (SELECT 1 FROM advertiser_secrets AS other
                               WHERE other.advertiser_id = $1 AND other.secret_id <> $2
                                 AND other.retired_at IS NULL))",
            &[&advertiser.0, &secret_id],
        )
        .await?;
    if retired > 0 {
        return Ok(());
    }
    let is_live = client
        .query_opt(
            "SELECT 1 FROM advertiser_secrets
             WHERE secret_id = $2 AND advertiser_id = $1 AND retired_at IS NULL",
            &[&advertiser.0, &secret_id],
        )
        .await?
        .is_some();
    Err(if is_live { AccessError::LastSecret } else { AccessError::NoSuchSecret })
}

/// Says where requests may come from; an empty list allows every address.
pub async fn set_allowlist(
    client: &impl GenericClient,
    advertiser: AdvertiserId,
    networks: &[IpNet],
) -> Result<(), AccessError> {
    if networks.len() > MOST_NETWORKS {
        return Err(AccessError::TooManyNetworks);
    }
    let allowlist = Allowlist::new(networks.iter().copied());
    let texts: Vec<String> = allowlist.networks().iter().map(ToString::to_string).collect();
    let changed = client
        .execute(
            "UPDATE advertisers SET allowed_networks = $2 WHERE advertiser_id = $1",
            &[&advertiser.0, &texts],
        )
        .await?;
    if changed == 0 { Err(AccessError::NoSuchAdvertiser) } else { Ok(()) }
}

/// Sets the most requests a second of this advertiser on each node; `None` for the default of
/// the node's settings.
pub async fn set_rate_limit(
    client: &impl GenericClient,
    advertiser: AdvertiserId,
    requests_per_second: Option<u32>,
) -> Result<(), AccessError> {
    let limit = match requests_per_second {
        None => None,
        Some(rate) => Some(i32::try_from(rate).ok().filter(|rate| *rate > 0).ok_or(AccessError::UnfitRate)?),
    };
    let changed = client
        .execute(
            "UPDATE advertisers SET requests_per_second = $2 WHERE advertiser_id = $1",
            &[&advertiser.0, &limit],
        )
        .await?;
    if changed == 0 { Err(AccessError::NoSuchAdvertiser) } else { Ok(()) }
}

async fn known(client: &impl GenericClient, advertiser: AdvertiserId) -> Result<(), AccessError> {
    let row =
        client.query_opt("SELECT 1 FROM advertisers WHERE advertiser_id = $1", &[&advertiser.0]).await?;
    row.map(drop).ok_or(AccessError::NoSuchAdvertiser)
}

fn is_fit(secret: &str) -> bool {
    let is_printable = secret.bytes().all(|byte| byte.is_ascii_graphic());
    let is_base64 = secret.strip_prefix(SECRET_PREFIX).is_none_or(|encoded| STANDARD.decode(encoded).is_ok());
    is_printable && is_base64 && (SHORTEST_SECRET_CHARS..=LONGEST_SECRET_CHARS).contains(&secret.len())
}

pub(super) fn read_policy(code: &str) -> Result<SignaturePolicy, StoreError> {
    SignaturePolicy::from_code(code)
        .ok_or_else(|| StoreError::Unreadable(format!("advertisers.signature_policy: {code}")))
}

pub(super) fn read_allowlist(networks: Vec<String>) -> Result<Allowlist, StoreError> {
    let networks = networks.iter().map(|text| parse_network(text)).collect::<Result<Vec<_>, _>>();
    let unreadable = |error| StoreError::Unreadable(format!("advertisers.allowed_networks: {error}"));
    networks.map(Allowlist::new).map_err(unreadable)
}

pub(super) fn read_rate(rate: Option<i32>) -> Option<u32> {
    rate.and_then(|rate| u32::try_from(rate).ok())
}
