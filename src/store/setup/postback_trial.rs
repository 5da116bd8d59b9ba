//! Trying a postback out: what it would send, on a conversion there is or a made-up one.

use deadpool_postgres::Pool;
use serde::Serialize;
use serde_json::json;

use super::ChangeError;
use super::postbacks::{self, PostbackRecord};
use crate::domain::composite::Composite;
use crate::domain::condition::Condition;
use crate::domain::event::Event;
use crate::domain::facts::{EventFacts, EventMacros};
use crate::domain::ids::{AdvertiserId, LeadId, LinkId, OfferId, PartnerId, PostbackId};
use crate::domain::party_names::{PartyNames, hidden_names};
use crate::domain::postback::Owner;
use crate::domain::redact::{redact_body, redact_headers};
use crate::domain::request_settings::{Fault, RequestChange, RequestSettings, Translated};
use crate::domain::request_values::RequestValues;
use crate::domain::sample::{sample, sample_delivery, sample_names};
use crate::event_log::rows::{AttemptRow, encode};
use crate::graphql::scope::Scope;
use crate::store::audit::{self, Actor, Entity};
use crate::store::error::StoreError;
use crate::store::log_batches;
use crate::store::party_names;
use crate::store::session::Session;

/// Most of a body that is shown, in bytes.
pub const SHOWN_BODY_BYTES: usize = 64 * 1024;

/// What a postback is tried on.
#[derive(Debug, Clone)]
pub struct Occasion {
    pub event: Event,
    pub facts: EventFacts,
    /// That of the click's link.
    pub composite: Option<Composite>,
    /// What its parties are called today.
    pub names: PartyNames,
}

/// What would be sent, without secrets.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    pub method: &'static str,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub event: Event,
    /// Why it would not be sent; empty: it would.
    pub skip_reasons: Vec<String>,
    pub empty_macros: Vec<String>,
    pub translated: Vec<Translated>,
    /// What would be sent, but likely says something else than was meant.
    pub warnings: Vec<Fault>,
}

impl Occasion {
    /// The lead as it last stood, told as `event` or as the last of the events it then was; or a
    /// sample, told as `event` or an approval.
    pub async fn of(
        pool: &Pool,
        scope: Scope,
        lead: Option<LeadId>,
        event: Option<Event>,
    ) -> Result<Self, ChangeError> {
        let Some(lead) = lead else {
            let event = event.unwrap_or(Event::Approve);
            return Ok(Self { event, facts: sample(event), composite: None, names: sample_names() });
        };
        let row = pool
            .get()
            .await?
            .query_opt(
                &format!(
                    "SELECT facts, events, composite, {OF_FACTS} AS names FROM conversion_history
                     LEFT JOIN links ON links.link_id = (facts->>'link_id')::uuid
                     WHERE lead_id = $1 ORDER BY change_id DESC LIMIT 1",
                    OF_FACTS = party_names::OF_FACTS,
                ),
                &[&lead.0],
            )
            .await?;
        let not_found = || ChangeError::NotFound { field: "lead_id", what: "conversion" };
        let row = row.ok_or_else(not_found)?;
        let unreadable = |column: &str, error: serde_json::Error| {
            StoreError::Unreadable(format!("conversion_history.{column}: {error}"))
        };
        let facts: EventFacts =
            serde_json::from_value(row.try_get("facts")?).map_err(|error| unreadable("facts", error))?;
        let is_visible = match scope {
            Scope::Everything => true,
            Scope::Advertiser(id) => id == facts.advertiser_id,
            Scope::Partner(id) => id == facts.partner_id,
        };
        if !is_visible {
            return Err(not_found());
        }
        let events: Vec<String> = row.try_get("events")?;
        let last = events.last().and_then(|code| Event::from_code(code));
        let composite: Option<serde_json::Value> = row.try_get("composite")?;
        let composite = composite
            .map(serde_json::from_value)
            .transpose()
            .map_err(|error| unreadable("composite", error))?;
        let names = party_names::read(&row)?;
        Ok(Self { event: event.or(last).unwrap_or(Event::Approve), facts, composite, names })
    }

    /// A sample in the place that a postback hears of, so that its owner sees what came of it.
    pub fn for_postback(mut self, record: &PostbackRecord, lead: Option<LeadId>) -> Self {
        if lead.is_none() {
            let facts = &mut self.facts;
            facts.partner_id = record.partner_id.map_or(facts.partner_id, PartnerId);
            facts.advertiser_id = record.advertiser_id.map_or(facts.advertiser_id, AdvertiserId);
            facts.offer_id = record.offer_id.map_or(facts.offer_id, OfferId);
            facts.link_id = record.link_id.map_or(facts.link_id, LinkId);
        }
        self
    }

    pub fn values<'a>(&'a self, owner: Owner, secret: Option<&'a [u8]>) -> RequestValues<'a> {
        let macros = EventMacros { event: self.event, facts: &self.facts, owner, names: &self.names };
        RequestValues { delivery_id: sample_delivery(), macros, composite: self.composite.as_ref(), secret }
    }
}

/// Enters what came of a test into the log and the audit log, together.
pub async fn record_test(
    pool: &Pool,
    actor: Actor,
    postback: PostbackId,
    row: &AttemptRow,
) -> Result<(), StoreError> {
    let session = Session::checkout(pool).await?;
    let insert_log = log_batches::prepare_insert(&session).await?;
    session.batch_execute("BEGIN").await?;
    let told = json!({
        "attempt_id": row.attempt_id, "url": row.url, "outcome": row.outcome, "response_code": row.response_code,
    });
    let id = postback.to_string();
    audit::record_values(session.client(), actor, Entity::Postback, &id, "test", None, Some(told)).await?;
    log_batches::insert(&session, &insert_log, encode([row.clone()]).as_slice()).await?;
    session.commit().await?;
    session.give_back();
    Ok(())
}

/// What a postback would send, with `change` made to it; with no postback, what the change alone
/// makes. Nothing is sent or stored.
pub async fn preview(
    pool: &Pool,
    scope: Scope,
    postback: Option<PostbackId>,
    change: RequestChange,
    occasion: &Occasion,
    secret: Option<&[u8]>,
) -> Result<Preview, ChangeError> {
    let record = match postback {
        Some(id) => Some(postbacks::get(pool, scope, id).await?),
        None => None,
    };
    // A draft is of whoever writes it.
    let owner = record.as_ref().map_or_else(
        || match scope {
            Scope::Everything => Owner::Platform,
            Scope::Advertiser(id) => Owner::Advertiser(id),
            Scope::Partner(id) => Owner::Partner(id),
        },
        PostbackRecord::owner,
    );
    let condition = record.as_ref().and_then(|record| record.condition.as_deref()).map(Condition::shared);
    let condition = condition.transpose();
    let condition =
        condition.map_err(|error| StoreError::Unreadable(format!("postbacks.condition: {error}")))?;
    let unmet = condition.and_then(|condition| condition.judge(&occasion.values(owner, secret).macros).err());
    let before = record.map_or_else(|| RequestSettings::get(""), |record| record.request);
    let mut settings = change.over(before);
    let translated = settings.translate().map_err(ChangeError::BadValues)?;
    let (template, _) = settings.compile().map_err(ChangeError::BadValues)?;
    let hidden = hidden_names(&settings, owner);
    if !hidden.is_empty() {
        return Err(ChangeError::BadValues(hidden));
    }
    // Nobody is shown by a template what is not shown otherwise.
    let mut occasion = occasion.clone();
    if !scope.sees_payouts() {
        occasion.facts.payout = None;
        occasion.facts.payout_currency = None;
    }
    let values = occasion.values(owner, secret);
    let rendering = template.render(&values);
    Ok(Preview {
        method: rendering.request.method.code(),
        url: rendering.request.shown_url(),
        headers: redact_headers(&rendering.request.headers),
        body: redact_body(&rendering.request.body, SHOWN_BODY_BYTES),
        event: occasion.event,
        skip_reasons: unmet
            .iter()
            .map(ToString::to_string)
            .chain(rendering.skip.iter().map(ToString::to_string))
            .collect(),
        empty_macros: template.empty_macros(&values).into_iter().map(str::to_owned).collect(),
        translated,
        warnings: settings.warnings(owner),
    })
}
