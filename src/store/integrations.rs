//! Integrations: how foreign systems report to us. What is saved here can be loaded into the
//! catalogue, so maps and networks are checked before they are written.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use ipnet::IpNet;
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::StoreError;
use super::network::random_secret;
use super::status_words::SetWordError;
use crate::domain::access::allowlist::Allowlist;
use crate::domain::catalogue::hash_key;
use crate::domain::ids::{AdvertiserId, IntegrationId, OfferId};
use crate::domain::integration::{Answers, FieldMap, Integration, MapError};
use crate::domain::status::Meaning;
use crate::domain::status_words::Place;
use crate::graphql::scope::Scope;
use crate::presets::InboundPreset;

/// Our field names, each with templates over foreign parameters; the first with a value counts.
pub type RawFieldMap = BTreeMap<String, Vec<String>>;

/// Everything about an integration that can be set.
#[derive(Debug, Clone, Default)]
pub struct IntegrationSettings {
    pub name: String,
    /// Set: only clicks of this offer.
    pub offer_id: Option<OfferId>,
    pub field_map: RawFieldMap,
    pub answers: Answers,
    /// CIDR or single addresses; empty: from anywhere.
    pub allowed_networks: Vec<String>,
    pub is_active: bool,
}

#[derive(Debug, Clone)]
pub struct IntegrationRecord {
    pub integration_id: IntegrationId,
    pub advertiser_id: AdvertiserId,
    pub settings: IntegrationSettings,
    /// Whether the sender has to send a secret.
    pub has_secret: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl IntegrationRecord {
    /// The path to paste into the other system, for a mapped and a Chatterfy integration.
    pub fn paths(&self) -> [String; 2] {
        let id = self.integration_id;
        [format!("/in/{id}"), format!("/api/postbacks/{id}/tracker-postback")]
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    #[error("name: an integration needs a name of 1 to 255 characters")]
    Name,
    #[error(transparent)]
    Map(#[from] MapError),
    #[error("allowed_networks: {0:?} is no address or network; write 192.0.2.1 or 192.0.2.0/24")]
    Network(String),
    #[error("{field}: {message}")]
    Answer { field: &'static str, message: &'static str },
    #[error("offer_id: the advertiser has no such offer")]
    UnknownOffer,
    #[error("integration_id: there is no such integration")]
    NotFound,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<tokio_postgres::Error> for SaveError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Adds an integration of an advertiser's. Its id is random and part of its URL.
pub async fn create(
    client: &impl GenericClient,
    scope: Scope,
    advertiser: AdvertiserId,
    settings: &IntegrationSettings,
) -> Result<IntegrationId, SaveError> {
    if !super::status_words::is_within(scope, Some(advertiser)) {
        return Err(SaveError::NotFound);
    }
    let networks = check(client, advertiser, settings).await?;
    // Not a UUIDv7: whoever knows the id can report, so it must not be guessed by its time.
    let id = IntegrationId(Uuid::new_v4());
    client
        .execute(
            "INSERT INTO integrations (integration_id, advertiser_id, name, field_map) VALUES ($1, $2, $3, '{}')",
            &[&id.0, &advertiser.0, &settings.name.trim()],
        )
        .await?;
    write(client, id, settings, &networks).await?;
    Ok(id)
}

/// Adds an integration made of a preset, with its words, in the caller's transaction.
pub async fn create_from_preset(
    transaction: &impl GenericClient,
    scope: Scope,
    advertiser: AdvertiserId,
    preset: &InboundPreset,
    offer_id: Option<OfferId>,
) -> Result<IntegrationId, SaveError> {
    let settings = preset.settings(&preset.system, offer_id);
    create_with_words(transaction, scope, advertiser, &settings, &preset.words).await
}

/// Adds an integration with words of its own, in the caller's transaction.
pub async fn create_with_words(
    transaction: &impl GenericClient,
    scope: Scope,
    advertiser: AdvertiserId,
    settings: &IntegrationSettings,
    words: &BTreeMap<String, Meaning>,
) -> Result<IntegrationId, SaveError> {
    let id = create(transaction, scope, advertiser, settings).await?;
    for (word, meaning) in words {
        let place = Place::Integration(id);
        super::status_words::set(transaction, scope, place, word, *meaning).await.map_err(
            |error| match error {
                SetWordError::Store(error) => SaveError::Store(error),
                SetWordError::Word | SetWordError::UnknownPlace => {
                    StoreError::Refused(format!("the preset's word {word:?}: {error}")).into()
                }
            },
        )?;
    }
    Ok(id)
}

/// Replaces the settings of an integration; its URL and secret stay.
pub async fn update(
    client: &impl GenericClient,
    scope: Scope,
    id: IntegrationId,
    settings: &IntegrationSettings,
) -> Result<(), SaveError> {
    let known = get(client, scope, id).await?.ok_or(SaveError::NotFound)?;
    let networks = check(client, known.advertiser_id, settings).await?;
    write(client, id, settings, &networks).await?;
    Ok(())
}

/// Everything that can be set, in the one place that lists it.
async fn write(
    client: &impl GenericClient,
    id: IntegrationId,
    settings: &IntegrationSettings,
    networks: &[String],
) -> Result<(), SaveError> {
    let answers = &settings.answers;
    client
        .execute(
            "UPDATE integrations
             SET offer_id = $2, name = $3, field_map = $4, success_code = $5, success_body = $6,
                 success_content_type = $7, refusal_code = $8, refusal_body = $9, refusal_content_type = $10,
                 allowed_networks = $11, is_active = $12, updated_at = now()
             WHERE integration_id = $1",
            &[
                &id.0,
                &settings.offer_id.map(|id| id.0),
                &settings.name.trim(),
                &field_map_json(settings),
                &i32::from(answers.success_code),
                &answers.success_body,
                &answers.success_content_type,
                &answers.refusal_code.map(i32::from),
                &answers.refusal_body,
                &answers.refusal_content_type,
                &networks,
                &settings.is_active,
            ],
        )
        .await?;
    Ok(())
}

/// Whether the sender has to send a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretRule {
    /// Makes a new one; the old one ends at once.
    Required,
    NotNeeded,
}

/// Sets or lifts the secret the sender puts into the parameter `secret`. A new one is returned
/// once and kept only as its hash.
pub async fn set_secret(
    client: &impl GenericClient,
    scope: Scope,
    id: IntegrationId,
    rule: SecretRule,
) -> Result<Option<String>, SaveError> {
    get(client, scope, id).await?.ok_or(SaveError::NotFound)?;
    let secret = (rule == SecretRule::Required).then(|| random_secret("ri_"));
    let hash = secret.as_deref().map(|secret| hash_key(secret).to_vec());
    client
        .execute(
            "UPDATE integrations SET secret_hash = $2, updated_at = now() WHERE integration_id = $1",
            &[&id.0, &hash],
        )
        .await?;
    Ok(secret)
}

/// One integration, if it is in scope.
pub async fn get(
    client: &impl GenericClient,
    scope: Scope,
    id: IntegrationId,
) -> Result<Option<IntegrationRecord>, StoreError> {
    let row = client.query_opt("SELECT * FROM integrations WHERE integration_id = $1", &[&id.0]).await?;
    let record = row.as_ref().map(read).transpose()?;
    Ok(record.filter(|record| super::status_words::is_within(scope, Some(record.advertiser_id))))
}

/// All integrations in scope, by name. A partner sees none: they are the advertiser's.
pub async fn list(client: &impl GenericClient, scope: Scope) -> Result<Vec<IntegrationRecord>, StoreError> {
    let of_advertiser = match scope {
        Scope::Everything => None,
        Scope::Advertiser(id) => Some(id.0),
        Scope::Partner(_) => return Ok(Vec::new()),
    };
    let rows = client
        .query(
            "SELECT * FROM integrations WHERE $1::uuid IS NULL OR advertiser_id = $1
             ORDER BY name, integration_id",
            &[&of_advertiser],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Checks settings; returns the networks as they are kept.
async fn check(
    client: &impl GenericClient,
    advertiser: AdvertiserId,
    settings: &IntegrationSettings,
) -> Result<Vec<String>, SaveError> {
    if settings.name.trim().is_empty() || settings.name.chars().count() > 255 {
        return Err(SaveError::Name);
    }
    FieldMap::parse(&settings.field_map)?;
    let answers = &settings.answers;
    if !(200..=299).contains(&answers.success_code) {
        return Err(answer("answers.success_code", "write a code of 200 to 299"));
    }
    if answers.refusal_code.is_some_and(|code| !(200..=499).contains(&code)) {
        return Err(answer("answers.refusal_code", "write 200 to 499, or nothing for the usual codes"));
    }
    let is_header = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    for (field, text) in [
        ("answers.success_content_type", &answers.success_content_type),
        ("answers.refusal_content_type", &answers.refusal_content_type),
    ] {
        if !is_header(text) {
            return Err(answer(field, "a content type is printable ASCII such as text/plain"));
        }
    }
    if let Some(offer) = settings.offer_id {
        let row = client
            .query_opt(
                "SELECT 1 FROM offers WHERE offer_id = $1 AND advertiser_id = $2",
                &[&offer.0, &advertiser.0],
            )
            .await?;
        row.ok_or(SaveError::UnknownOffer)?;
    }
    settings
        .allowed_networks
        .iter()
        .map(|text| Ok(read_network(text).ok_or_else(|| SaveError::Network(text.clone()))?.to_string()))
        .collect()
}

fn answer(field: &'static str, message: &'static str) -> SaveError {
    SaveError::Answer { field, message }
}

/// A network, or a single address as one.
fn read_network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let address = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(address)
}

fn field_map_json(settings: &IntegrationSettings) -> serde_json::Value {
    serde_json::to_value(&settings.field_map).expect("a map of texts is JSON")
}

fn read(row: &Row) -> Result<IntegrationRecord, StoreError> {
    let code = |column: &str, code: i32| {
        u16::try_from(code).map_err(|_| StoreError::Unreadable(format!("integrations.{column}: {code}")))
    };
    let refusal_code: Option<i32> = row.get("refusal_code");
    let field_map = serde_json::from_value(row.get("field_map"))
        .map_err(|error| StoreError::Unreadable(format!("integrations.field_map: {error}")))?;
    Ok(IntegrationRecord {
        integration_id: IntegrationId(row.get("integration_id")),
        advertiser_id: AdvertiserId(row.get("advertiser_id")),
        settings: IntegrationSettings {
            name: row.get("name"),
            offer_id: row.get::<_, Option<Uuid>>("offer_id").map(OfferId),
            field_map,
            answers: Answers {
                success_code: code("success_code", row.get("success_code"))?,
                success_body: row.get("success_body"),
                success_content_type: row.get("success_content_type"),
                refusal_code: refusal_code.map(|value| code("refusal_code", value)).transpose()?,
                refusal_body: row.get("refusal_body"),
                refusal_content_type: row.get("refusal_content_type"),
            },
            allowed_networks: row.get("allowed_networks"),
            is_active: row.get("is_active"),
        },
        has_secret: row.get::<_, Option<&[u8]>>("secret_hash").is_some(),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
    })
}

/// An integration as the pipeline needs it.
pub(super) fn read_for_catalogue(row: &Row) -> Result<Integration, StoreError> {
    let IntegrationRecord { integration_id, advertiser_id, settings, .. } = read(row)?;
    let unreadable =
        |column: &str, why: String| StoreError::Unreadable(format!("integrations.{column}: {why}"));
    let map =
        FieldMap::parse(&settings.field_map).map_err(|error| unreadable("field_map", error.to_string()))?;
    let allowed_networks = settings
        .allowed_networks
        .iter()
        .map(|text| read_network(text).ok_or_else(|| unreadable("allowed_networks", text.clone())))
        .collect::<Result<Vec<_>, _>>()?;
    let secret_hash = row
        .get::<_, Option<&[u8]>>("secret_hash")
        .map(|hash| hash.try_into().map_err(|_| unreadable("secret_hash", "length".into())))
        .transpose()?;
    Ok(Integration {
        integration_id,
        advertiser_id,
        offer_id: settings.offer_id,
        name: settings.name,
        map,
        answers: settings.answers,
        secret_hash,
        allowed_networks: Allowlist::new(allowed_networks),
        is_active: settings.is_active,
    })
}
