//! What the conditions of postbacks keep back of deliveries that are over, were they sent again.

use std::collections::HashMap;
use std::sync::Arc;

use deadpool_postgres::{GenericClient, Pool};
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::StoreError;
use super::party_names;
use super::resend::scope_columns;
use crate::domain::condition::Condition;
use crate::domain::event::Event;
use crate::domain::facts::{EventFacts, EventMacros};
use crate::domain::ids::PostbackId;
use crate::domain::postback::Owner;
use crate::graphql::scope::Scope;

/// A delivery that its postback's condition keeps back.
pub(super) struct Judged {
    pub postback_id: PostbackId,
    pub owner: Owner,
    pub event: Event,
    pub facts: Arc<EventFacts>,
    pub reason: String,
}

/// Those of the deliveries that are over and in scope, as [`judge`] reads them.
pub(super) async fn finished(
    client: &impl GenericClient,
    scope: Scope,
    ids: &[Uuid],
) -> Result<Vec<Row>, StoreError> {
    let (advertiser, partner) = scope_columns(scope);
    let statement = client
        .prepare_cached(&format!(
            "SELECT delivery_id, coalesce(resent_from, delivery_id) AS first_id, sent_revision, event,
                    deleted_at IS NOT NULL AS is_deleted, history.change_id IS NOT NULL AS has_history,
                    postback_id, partner_id, advertiser_id, condition,
                    CASE WHEN condition IS NOT NULL THEN facts END AS facts,
                    CASE WHEN condition LIKE '%\\_name%' THEN {OF_FACTS} END AS names
             FROM deliveries_finished JOIN postbacks USING (postback_id)
             LEFT JOIN conversion_history AS history ON history.change_id = deliveries_finished.change_id
             WHERE delivery_id = ANY($1)
               AND ($2::uuid IS NULL OR advertiser_id = $2) AND ($3::uuid IS NULL OR partner_id = $3)",
            OF_FACTS = party_names::OF_FACTS,
        ))
        .await?;
    Ok(client.query(&statement, &[&ids, &advertiser, &partner]).await?)
}

/// What today's condition of its postback has against a delivery; `None`: nothing.
pub(super) fn judge(row: &Row) -> Result<Option<Judged>, StoreError> {
    let unreadable = |what: &str, why: String| StoreError::Unreadable(format!("{what}: {why}"));
    let (Some(source), Some(facts)) =
        (row.get::<_, Option<&str>>("condition"), row.get::<_, Option<serde_json::Value>>("facts"))
    else {
        return Ok(None);
    };
    let condition =
        Condition::shared(source).map_err(|error| unreadable("postbacks.condition", error.to_string()))?;
    let facts: EventFacts = serde_json::from_value(facts)
        .map_err(|error| unreadable("conversion_history.facts", error.to_string()))?;
    let code: &str = row.get("event");
    let event =
        Event::from_code(code).ok_or_else(|| unreadable("deliveries_finished.event", code.to_owned()))?;
    let owner = Owner::of(row.get("partner_id"), row.get("advertiser_id"));
    let names = &party_names::read(row)?;
    let unmet = condition.judge(&EventMacros { event, facts: &facts, owner, names }).err();
    Ok(unmet.map(|unmet| Judged {
        postback_id: PostbackId(row.get("postback_id")),
        owner,
        event,
        facts: Arc::new(facts),
        reason: unmet.to_string(),
    }))
}

/// Those of the postbacks that have a condition.
pub async fn conditional(pool: &Pool, postbacks: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    let statement = "SELECT postback_id FROM postbacks
                     WHERE postback_id = ANY($1) AND condition IS NOT NULL AND deleted_at IS NULL";
    let rows = pool.get().await?.query(statement, &[&postbacks]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Why conditions would keep deliveries back that are asked for again; those they would let go are
/// left out.
pub async fn reasons(pool: &Pool, scope: Scope, ids: &[Uuid]) -> Result<HashMap<Uuid, String>, StoreError> {
    let client = pool.get().await?;
    let mut reasons = HashMap::new();
    for row in finished(&client, scope, ids).await? {
        if let Some(judged) = judge(&row)? {
            reasons.insert(row.get("delivery_id"), judged.reason);
        }
    }
    Ok(reasons)
}
