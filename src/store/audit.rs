//! The audit log: every change of the network's setup, by whom, when, from what to what.
//!
//! A change and its entry commit together, so both functions here work inside the caller's
//! transaction: [`snapshot`] locks the row and tells what it was, [`record`] tells what it has
//! become. Secrets never get into an entry.

use std::fmt;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Pool};
use serde_json::Value;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::error::StoreError;
use super::search::{Columns, Search, page};
use crate::domain::coded::coded_enum;
use crate::domain::path_secrets::{path_secrets, redact_path};
use crate::domain::redact::{REDACTED, is_secret, is_secret_header, redact_body, redact_url};
use crate::graphql::paging::{Page, PageRequest, Position, Positioned};
use crate::graphql::scope::Principal;

/// Who makes a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    Token {
        token_id: Uuid,
        role: &'static str,
    },
    ApiKey,
    CommandLine,
    /// Ricochet itself.
    System,
}

impl From<Principal> for Actor {
    fn from(principal: Principal) -> Self {
        Self::Token { token_id: principal.token_id, role: principal.grant.role() }
    }
}

impl Actor {
    pub fn token_id(self) -> Option<Uuid> {
        match self {
            Self::Token { token_id, .. } => Some(token_id),
            Self::ApiKey | Self::CommandLine | Self::System => None,
        }
    }

    pub fn role(self) -> &'static str {
        match self {
            Self::Token { role, .. } => role,
            Self::ApiKey => "api_key",
            Self::CommandLine => "command_line",
            Self::System => "system",
        }
    }
}

coded_enum! {
    /// What can be changed.
    Entity {
        Advertiser = "advertiser",
        ApiKey = "api_key",
        Secret = "secret",
        Partner = "partner",
        Offer = "offer",
        Action = "action",
        Link = "link",
        Postback = "postback",
        Token = "token",
        Conversion = "conversion",
        InboundRequest = "inbound_request",
        Integration = "integration",
        StatusWord = "status_word",
        Quarantine = "quarantine",
        Reconciliation = "reconciliation",
        Delivery = "delivery",
        DeliveryJob = "delivery_job",
    }
}

impl fmt::Display for Actor {
    /// As the history of conversions keeps it: the role, and the token's id.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.token_id() {
            Some(token_id) => write!(formatter, "{} {token_id}", self.role()),
            None => formatter.write_str(self.role()),
        }
    }
}

/// The table and key of an entity whose rows can be read back as they are, and the columns that
/// a snapshot replaces: exact amounts become texts, hashes are left out.
fn table(entity: Entity) -> Option<(&'static str, &'static str, &'static str)> {
    Some(match entity {
        Entity::Advertiser => ("advertisers", "advertiser_id", "'{}'"),
        Entity::ApiKey => ("api_keys", "api_key_id", "'{\"key_hash\": \"[redacted]\"}'"),
        Entity::Partner => ("partners", "partner_id", "'{}'"),
        Entity::Offer => ("offers", "offer_id", "'{}'"),
        Entity::Action => (
            "actions",
            "action_id",
            "jsonb_build_object('advertiser_rate', advertiser_rate::text, 'commission_percent', \
             commission_percent::text, 'payout_amount', payout_amount::text, 'payout_percent', \
             payout_percent::text)",
        ),
        Entity::Link => ("links", "link_id", "'{}'"),
        Entity::Postback => ("postbacks", "postback_id", "'{}'"),
        Entity::Token => ("tokens", "token_id", "'{\"token_hash\": \"[redacted]\"}'"),
        Entity::Integration => (
            "integrations",
            "integration_id",
            "jsonb_build_object('secret_hash', CASE WHEN secret_hash IS NOT NULL THEN '[redacted]' END)",
        ),
        Entity::StatusWord => ("status_words", "status_word_id", "'{}'"),
        Entity::Secret
        | Entity::Conversion
        | Entity::InboundRequest
        | Entity::Quarantine
        | Entity::Reconciliation
        | Entity::Delivery
        | Entity::DeliveryJob => return None,
    })
}

/// The row as it is now, which nobody else can change before this transaction ends. `None`:
/// there is no such row, or the entity has no row of its own to be read.
pub async fn snapshot(
    client: &impl GenericClient,
    entity: Entity,
    id: Uuid,
) -> Result<Option<Value>, StoreError> {
    let Some((table, key, replaced)) = table(entity) else { return Ok(None) };
    let statement =
        format!("SELECT to_jsonb(row) || {replaced}::jsonb FROM {table} AS row WHERE {key} = $1 FOR UPDATE");
    let row = client.query_opt(&statement, &[&id]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// Enters a change: `before` is what [`snapshot`] told, and the row is read again for what it
/// has become. `action` is a word such as `create` or `pause`.
pub async fn record(
    client: &impl GenericClient,
    actor: Actor,
    entity: Entity,
    id: Uuid,
    action: &str,
    before: Option<Value>,
) -> Result<(), StoreError> {
    let after = snapshot(client, entity, id).await?;
    record_values(client, actor, entity, &id.to_string(), action, before, after).await
}

/// Enters a change of something that is not one row: the caller tells both states. Values of
/// secret names are redacted here.
pub async fn record_values(
    client: &impl GenericClient,
    actor: Actor,
    entity: Entity,
    id: &str,
    action: &str,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<(), StoreError> {
    let statement = prepare_insert(client).await?;
    insert(client, &statement, &[AuditedChange { actor, entity, id: id.to_owned(), action, before, after }])
        .await
}

/// One change, to be entered with others at once.
#[derive(Debug)]
pub struct AuditedChange<'a> {
    pub actor: Actor,
    pub entity: Entity,
    pub id: String,
    pub action: &'a str,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

pub async fn prepare_insert(client: &impl GenericClient) -> Result<Statement, tokio_postgres::Error> {
    client
        .prepare_cached(
            "INSERT INTO audit_log (audit_id, happened_at, actor_token_id, actor_role, actor_label, entity,
                                    entity_id, action, before, after)
             SELECT audit_id, clock_timestamp(), actor, role,
                    COALESCE((SELECT label FROM tokens WHERE token_id = actor), ''),
                    entity, entity_id, action, before, after
             FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[],
                         $8::jsonb[])
                  AS change(audit_id, actor, role, entity, entity_id, action, before, after)",
        )
        .await
}

/// Enters changes inside the caller's transaction, in one statement. Values of secret names are
/// redacted here.
pub async fn insert(
    client: &impl GenericClient,
    statement: &Statement,
    changes: &[AuditedChange<'_>],
) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    let redacted = |value: &Option<Value>| value.clone().map(|value| redact("", value));
    let audit_ids: Vec<Uuid> = changes.iter().map(|_| Uuid::now_v7()).collect();
    let actors: Vec<Option<Uuid>> = changes.iter().map(|change| change.actor.token_id()).collect();
    let roles: Vec<&str> = changes.iter().map(|change| change.actor.role()).collect();
    let entities: Vec<&str> = changes.iter().map(|change| change.entity.code()).collect();
    let ids: Vec<&str> = changes.iter().map(|change| change.id.as_str()).collect();
    let actions: Vec<&str> = changes.iter().map(|change| change.action).collect();
    let before: Vec<Option<Value>> = changes.iter().map(|change| redacted(&change.before)).collect();
    let after: Vec<Option<Value>> = changes.iter().map(|change| redacted(&change.after)).collect();
    client
        .execute(statement, &[&audit_ids, &actors, &roles, &entities, &ids, &actions, &before, &after])
        .await?;
    Ok(())
}

/// Replaces secrets wherever they stand: by the name they stand under, and in URLs.
fn redact(name: &str, value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let of_headers = name == "headers";
            let shown = |(name, value): (String, Value)| match of_headers && is_secret_header(&name) {
                true => (name, REDACTED.into()),
                false => (name.clone(), redact(&name, value)),
            };
            members.into_iter().map(shown).collect()
        }
        Value::Array(items) => items.into_iter().map(|item| redact(name, item)).collect(),
        Value::String(_) if is_secret(name) || name.ends_with("secret") || name.ends_with("_hash") => {
            REDACTED.into()
        }
        Value::String(text) if name == "body_template" => redact_body(&text, usize::MAX).into(),
        Value::String(text) if name == "url_template" => {
            redact_path(&redact_url(&text), &path_secrets(&text)).into()
        }
        Value::String(text) if text.contains("://") => redact_url(&text).into(),
        other => other,
    }
}

/// Which entries; what is empty or `None` restricts nothing.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub entities: Vec<Entity>,
    pub entity_id: Option<String>,
    pub actions: Vec<String>,
    pub actor_token_id: Option<Uuid>,
    /// Inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
pub struct AuditEntry {
    pub audit_id: Uuid,
    pub happened_at: DateTime<Utc>,
    pub actor_token_id: Option<Uuid>,
    pub actor_role: String,
    pub actor_label: String,
    pub entity: String,
    pub entity_id: String,
    pub action: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl Positioned for AuditEntry {
    fn position(&self) -> Position {
        Position { time: self.happened_at, id: self.audit_id }
    }
}

/// Entries, newest first.
pub async fn entries(
    pool: &Pool,
    filter: &AuditFilter,
    request: &PageRequest,
) -> Result<Page<AuditEntry>, StoreError> {
    const COLUMNS: Columns =
        Columns { selected: "*", from: "audit_log", time: "happened_at", id: "audit_id" };
    let mut search = Search::default();
    search.one_of("entity", filter.entities.iter().map(|entity| entity.code()).collect());
    search.compare("entity_id =", filter.entity_id.clone());
    search.one_of("action", filter.actions.clone());
    search.compare("actor_token_id =", filter.actor_token_id);
    search.compare("happened_at >=", filter.from);
    search.compare("happened_at <", filter.to);
    page(pool, COLUMNS, search, request, entry_of).await
}

fn entry_of(row: &Row) -> Result<AuditEntry, StoreError> {
    Ok(AuditEntry {
        audit_id: row.try_get("audit_id")?,
        happened_at: row.try_get("happened_at")?,
        actor_token_id: row.try_get("actor_token_id")?,
        actor_role: row.try_get("actor_role")?,
        actor_label: row.try_get("actor_label")?,
        entity: row.try_get("entity")?,
        entity_id: row.try_get("entity_id")?,
        action: row.try_get("action")?,
        before: row.try_get("before")?,
        after: row.try_get("after")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_redacted_at_any_depth() {
        let value = json!({
            "url_template": "https://t.example/a1b2c3d/postback?cid={clickid}&token=abc",
            "body_template": r#"{"id": {clickid}, "api_key": "abc"}"#,
            "hmac_secret": "s", "key_hash": "\\x00", "name": "Acme",
            "headers": [{ "authorization": "Bearer x" }, { "X-Api-Key": "x", "Accept": "y" }],
        });
        assert_eq!(
            redact("", value),
            json!({
                "url_template": "https://t.example/[redacted]/postback?cid={clickid}&token=[redacted]",
                "body_template": r#"{"id": {clickid}, "api_key": "[redacted]"}"#,
                "hmac_secret": REDACTED, "key_hash": REDACTED, "name": "Acme",
                "headers": [{ "authorization": REDACTED }, { "X-Api-Key": REDACTED, "Accept": "y" }],
            })
        );
    }
}
