//! Integrations: how foreign systems report to an advertiser.

use std::collections::BTreeMap;

use deadpool_postgres::{Pool, Transaction};

use super::{ChangeError, Position, Positioned, name};
use crate::domain::ids::{AdvertiserId, IntegrationId};
use crate::domain::status::Meaning;
use crate::domain::status_words::Place;
use crate::graphql::paging::{Page, PageRequest};
use crate::graphql::scope::Scope;
use crate::store::audit::{self, Actor, Entity};
use crate::store::error::StoreError;
use crate::store::integrations::{self, IntegrationRecord, SaveError, SecretRule};
use crate::store::search::{self, Columns, Search};
use crate::store::status_words;

pub use crate::store::integrations::IntegrationSettings as Settings;

/// Adds an integration of an advertiser's, with words that hold at it alone.
pub async fn create(
    pool: &Pool,
    actor: Actor,
    scope: Scope,
    advertiser: AdvertiserId,
    settings: &Settings,
    words: &BTreeMap<String, Meaning>,
) -> Result<IntegrationRecord, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let id = create_within(&transaction, actor, scope, advertiser, settings, words).await?;
    finish(transaction, scope, id).await
}

/// The same in the caller's transaction.
pub(super) async fn create_within(
    transaction: &Transaction<'_>,
    actor: Actor,
    scope: Scope,
    advertiser: AdvertiserId,
    settings: &Settings,
    words: &BTreeMap<String, Meaning>,
) -> Result<IntegrationId, ChangeError> {
    check_texts(settings)?;
    let known = "SELECT 1 FROM advertisers WHERE advertiser_id = $1 FOR KEY SHARE";
    if transaction.query_opt(known, &[&advertiser.0]).await?.is_none() {
        return Err(refused("advertiser_id", SaveError::NotFound));
    }
    let id = integrations::create_with_words(transaction, scope, advertiser, settings, words)
        .await
        .map_err(|error| refused("advertiser_id", error))?;
    audit::record(transaction, actor, Entity::Integration, id.0, "create", None).await?;
    for word in status_words::list(transaction, scope, Some(Place::Integration(id))).await? {
        let word = word.status_word_id.0;
        audit::record(transaction, actor, Entity::StatusWord, word, "create", None).await?;
    }
    Ok(id)
}

/// Changes the settings of an integration in scope; its address and secret stay.
pub async fn update(
    pool: &Pool,
    actor: Actor,
    scope: Scope,
    id: IntegrationId,
    change: impl FnOnce(&mut Settings),
) -> Result<IntegrationRecord, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let before = audit::snapshot(&transaction, Entity::Integration, id.0).await?;
    let known = integrations::get(&transaction, scope, id).await?;
    let mut settings = known.ok_or_else(|| refused("integration_id", SaveError::NotFound))?.settings;
    change(&mut settings);
    check_texts(&settings)?;
    integrations::update(&transaction, scope, id, &settings)
        .await
        .map_err(|error| refused("integration_id", error))?;
    audit::record(&transaction, actor, Entity::Integration, id.0, "update", before).await?;
    finish(transaction, scope, id).await
}

/// Sets or lifts the secret; a new one is returned once.
pub async fn set_secret(
    pool: &Pool,
    actor: Actor,
    scope: Scope,
    id: IntegrationId,
    rule: SecretRule,
) -> Result<(IntegrationRecord, Option<String>), ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let before = audit::snapshot(&transaction, Entity::Integration, id.0).await?;
    let secret = integrations::set_secret(&transaction, scope, id, rule)
        .await
        .map_err(|error| refused("integration_id", error))?;
    audit::record(&transaction, actor, Entity::Integration, id.0, "set_secret", before).await?;
    Ok((finish(transaction, scope, id).await?, secret))
}

impl Positioned for IntegrationRecord {
    fn position(&self) -> Position {
        Position { time: self.created_at, id: self.integration_id.0 }
    }
}

/// Integrations in scope, newest first. A partner sees none: they are the advertiser's.
pub async fn page(
    pool: &Pool,
    scope: Scope,
    request: &PageRequest,
) -> Result<Page<IntegrationRecord>, StoreError> {
    const COLUMNS: Columns =
        Columns { selected: "*", from: "integrations", time: "created_at", id: "integration_id" };
    let mut search = Search::default();
    match scope {
        Scope::Everything => {}
        Scope::Advertiser(id) => search.compare("advertiser_id =", Some(id.0)),
        Scope::Partner(_) => return Ok(Page::empty()),
    }
    search::page(pool, COLUMNS, search, request, integrations::read).await
}

/// One integration in scope.
pub async fn one(pool: &Pool, scope: Scope, id: IntegrationId) -> Result<IntegrationRecord, ChangeError> {
    let known = integrations::get(&pool.get().await?, scope, id).await?;
    known.ok_or_else(|| refused("integration_id", SaveError::NotFound))
}

/// Integrations in scope, by name.
pub async fn list(pool: &Pool, scope: Scope) -> Result<Vec<IntegrationRecord>, StoreError> {
    integrations::list(&pool.get().await?, scope).await
}

async fn finish(
    transaction: Transaction<'_>,
    scope: Scope,
    id: IntegrationId,
) -> Result<IntegrationRecord, ChangeError> {
    let record = integrations::get(&transaction, scope, id).await?;
    transaction.commit().await?;
    record.ok_or_else(|| refused("integration_id", SaveError::NotFound))
}

/// Longest fixed answer, in characters.
const BODY_CHARS: usize = 4_096;

fn check_texts(settings: &Settings) -> Result<(), ChangeError> {
    name("name", &settings.name)?;
    let mut map = settings.field_map.iter().flat_map(|(field, templates)| templates.iter().chain([field]));
    if map.any(|text| text.contains('\0') || text.chars().count() > BODY_CHARS) {
        return Err(ChangeError::bad("field_map", "a template has at most 4096 characters, and no NUL"));
    }
    let bodies = [
        ("answers.success_body", &settings.answers.success_body),
        ("answers.refusal_body", &settings.answers.refusal_body),
    ];
    for (field, body) in bodies {
        if body.as_ref().is_some_and(|body| body.contains('\0') || body.chars().count() > BODY_CHARS) {
            return Err(ChangeError::bad(field, "a body has at most 4096 characters, and no NUL"));
        }
    }
    Ok(())
}

/// `id` is the field that names what was not found.
fn refused(id: &'static str, error: SaveError) -> ChangeError {
    match error {
        SaveError::Name => ChangeError::bad("name", "write a name of 1 to 255 characters"),
        SaveError::Map(error) => {
            let text = error.to_string();
            ChangeError::bad("field_map", text.strip_prefix("field_map.").unwrap_or(&text))
        }
        SaveError::Network(text) => {
            let message = format!("{text:?} is no address or network; write 192.0.2.1 or 192.0.2.0/24");
            ChangeError::bad("allowed_networks", message)
        }
        SaveError::Answer { field, message } => ChangeError::bad(field, message),
        SaveError::UnknownOffer => {
            ChangeError::NotFound { field: "offer_id", what: "offer of the advertiser" }
        }
        SaveError::NotFound if id == "advertiser_id" => {
            ChangeError::NotFound { field: id, what: "advertiser" }
        }
        SaveError::NotFound => ChangeError::NotFound { field: id, what: "integration" },
        SaveError::Store(error) => error.into(),
    }
}
