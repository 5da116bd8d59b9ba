//! Why a postback was told of a conversion's event, or was not.

use deadpool_postgres::Pool;
use uuid::Uuid;

use super::by_hand::read_leads;
use super::error::StoreError;
use super::setup::ChangeError;
use crate::domain::catalogue::Catalogue;
use crate::domain::event::Event;
use crate::domain::explanation::{Finding, findings};
use crate::domain::facts::EventFacts;
use crate::domain::ids::{DeliveryId, LeadId, PostbackId};
use crate::domain::postback::{Owner, Postback};
use crate::graphql::scope::Scope;

#[derive(Debug, Clone, serde::Serialize)]
pub struct Explanation {
    /// Whether the conversion has had this event; where it has not, it is explained as if it had
    /// it now.
    pub happened: bool,
    pub findings: Vec<Finding>,
    /// What became of it at the time: a postback may have been another then.
    pub delivery: Option<DeliveryState>,
}

#[derive(Debug, Clone, serde::Serialize)]
pub struct DeliveryState {
    pub delivery_id: Uuid,
    /// `waiting`, `sending`, `delivered`, `failed` or `skipped`.
    pub state: String,
    pub reason: String,
    pub attempts: i32,
}

/// A postback or conversion outside the scope does not exist.
pub async fn explain(
    pool: &Pool,
    catalogue: &Catalogue,
    scope: Scope,
    postback_id: PostbackId,
    lead_id: LeadId,
    event: Event,
) -> Result<Explanation, ChangeError> {
    let postback = catalogue.postbacks.get(&postback_id).filter(|postback| sees_postback(scope, postback));
    let postback = postback.ok_or(ChangeError::NotFound { field: "postback_id", what: "postback" })?;
    let lead = read_leads(pool, &[lead_id.0]).await?.pop().filter(|lead| sees(scope, &lead.facts));
    let lead = lead.ok_or(ChangeError::NotFound { field: "lead_id", what: "conversion" })?;

    let client = pool.get().await?;
    let told = client
        .query_opt(
            "SELECT facts FROM conversion_history WHERE lead_id = $1 AND $2 = ANY(events)
             ORDER BY change_id DESC LIMIT 1",
            &[&lead_id.0, &event.code()],
        )
        .await?
        .map(|row| serde_json::from_value::<EventFacts>(row.get(0)))
        .transpose()
        .map_err(|error| StoreError::Unreadable(format!("conversion_history.facts: {error}")))?;
    let happened = told.is_some();
    // What was recorded before kinds and their events were is completed.
    let facts = told.map_or_else(
        || lead.facts.clone(),
        |facts| EventFacts {
            kind: facts.kind.or(lead.facts.kind),
            kind_event: facts.kind_event.or(lead.facts.kind_event),
            ..facts
        },
    );
    let delivery_id = DeliveryId::of(facts.change_id, postback_id, event.code()).0;
    let delivery = client
        .query_opt(
            "SELECT CASE WHEN claimed_by IS NULL THEN 'waiting' ELSE 'sending' END AS state, '' AS reason,
                    attempt AS attempts
             FROM deliveries WHERE delivery_id = $1
             UNION ALL SELECT state, reason, attempts FROM deliveries_finished WHERE delivery_id = $1
             LIMIT 1",
            &[&delivery_id],
        )
        .await?
        .filter(|_| happened);
    Ok(Explanation {
        happened,
        findings: findings(catalogue, postback, &facts, event),
        delivery: delivery.map(|row| DeliveryState {
            delivery_id,
            state: row.get("state"),
            reason: row.get("reason"),
            attempts: row.get("attempts"),
        }),
    })
}

fn sees_postback(scope: Scope, postback: &Postback) -> bool {
    match scope {
        Scope::Everything => true,
        Scope::Advertiser(id) => postback.owner == Owner::Advertiser(id),
        Scope::Partner(id) => postback.owner == Owner::Partner(id),
    }
}

fn sees(scope: Scope, facts: &EventFacts) -> bool {
    match scope {
        Scope::Everything => true,
        Scope::Advertiser(id) => facts.advertiser_id == id,
        Scope::Partner(id) => facts.partner_id == id,
    }
}
