//! What the owner does to conversions by hand: forces a status, and (in
//! [`settlement`](super::settlement)) pays. Both are changes like any other: with history, events
//! and deliveries in one transaction, under the locks the pipeline takes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use rust_decimal::Decimal;
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use super::audit::{Actor, AuditedChange, Entity};
use super::conversions::{self, LedgerKeys};
use super::deliveries::{Claimed, NewDelivery};
use super::error::StoreError;
use super::recording::{ChangeRow, LeadRow, Recording};
use super::secrets::Keyring;
use crate::domain::catalogue::Catalogue;
use crate::domain::event::{ActionKind, Cause, Event, status_event};
use crate::domain::facts::EventFacts;
use crate::domain::ids::{
    ActionId, AdvertiserId, ChangeId, ClickId, DeliveryId, LeadId, LinkId, NodeId, OfferId, PartnerId,
};
use crate::domain::money::Currency;
use crate::domain::postback::subscribers;
use crate::domain::status::Status;
use crate::event_log::rows::{ConversionEventRow, encode};
use crate::outbound::attempt;

/// Who does something by hand, and what they say to it; both stay in the history, and the audit
/// log has an entry for every conversion.
#[derive(Debug, Clone, Copy)]
pub struct ByHand<'a> {
    pub actor: Actor,
    pub note: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forced {
    Changed {
        from: Status,
    },
    /// It has this status already; nothing was done.
    Unchanged,
}

#[derive(Debug, thiserror::Error)]
pub enum ForceError {
    #[error("lead_id: there is no such conversion")]
    NotFound,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often something is tried that others keep coming before.
const TRIES: usize = 5;

/// Gives a conversion any status, past all rules about transitions, and fires that status's
/// event. Amounts and payout stay. The caller has made sure that `by` may: only the owner may.
pub async fn force_status(
    pool: &Pool,
    lead_id: LeadId,
    status: Status,
    by: ByHand<'_>,
    now: DateTime<Utc>,
) -> Result<Forced, ForceError> {
    let catalogue = super::catalogue::load(pool, &Keyring::default()).await?;
    let mut tries = 0;
    loop {
        tries += 1;
        let lead = read_leads(pool, &[lead_id.0]).await?.pop().ok_or(ForceError::NotFound)?;
        let from = lead.status;
        if from == status {
            return Ok(Forced::Unchanged);
        }
        let keys =
            LedgerKeys { leads: vec![lead_id], clicks: vec![lead.facts.click_id], ..LedgerKeys::default() };
        let result = conversions::record(pool, NodeId(Uuid::nil()), now, &keys, |ledger| {
            let mut recording = Recording::default();
            let is_as_read = ledger.leads.get(&lead_id).is_some_and(|known| lead.is_still(known));
            if is_as_read {
                let row = lead.changed_to(status, now);
                let change = HandChange { facts: &row.facts, from, event: status_event(status), by, now };
                change.add_to(&mut recording, &catalogue);
                recording.changed_leads.push(row);
            }
            (recording, is_as_read)
        });
        match result.await {
            Ok(true) => return Ok(Forced::Changed { from }),
            Ok(false) | Err(StoreError::Raced(_)) if tries < TRIES => {}
            Ok(false) => return Err(StoreError::Raced(format!("conversion {lead_id} keeps changing")).into()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A conversion as it stands, with everything its postbacks are filled with.
pub(super) struct StandingLead {
    pub lead_id: LeadId,
    pub status: Status,
    action_id: ActionId,
    action_kind: &'static str,
    is_once_per_click: bool,
    pub created_at: DateTime<Utc>,
    pub facts: EventFacts,
}

impl StandingLead {
    /// Whether the ledger, read under lock, still knows it as it was read without.
    pub fn is_still(&self, known: &crate::domain::decision::KnownLead) -> bool {
        (known.status, known.price, known.currency) == (self.status, self.facts.amount, self.facts.currency)
    }

    /// The facts of a change that happens to it now.
    pub fn facts_of_change(&self, status: Status, now: DateTime<Utc>) -> EventFacts {
        let change_id = ChangeId(Uuid::now_v7());
        let (status_from, status) = (Some(self.status), Some(status));
        EventFacts { change_id, occurred_at: now, status, status_from, ..self.facts.clone() }
    }

    fn changed_to(&self, status: Status, now: DateTime<Utc>) -> LeadRow {
        LeadRow {
            lead_id: self.lead_id,
            action_id: self.action_id,
            action_kind: self.action_kind,
            is_once_per_click: self.is_once_per_click,
            facts: self.facts_of_change(status, now),
        }
    }
}

/// One change by hand, with who did it.
pub(super) struct HandChange<'a> {
    pub facts: &'a EventFacts,
    pub from: Status,
    pub event: Event,
    pub by: ByHand<'a>,
    pub now: DateTime<Utc>,
}

impl HandChange<'_> {
    /// Adds the change, a delivery for everyone who wants to hear of it, and its log row. The
    /// deliveries wait: no node has claimed them, and the rescuers' scan finds them at once.
    pub fn add_to(&self, recording: &mut Recording, catalogue: &Catalogue) {
        let facts = self.facts;
        let shared = Arc::new(facts.clone());
        for (postback, event) in subscribers(catalogue, facts, &[self.event]) {
            if let Err(unmet) = postback.admits(event, facts, catalogue) {
                let nobody = NodeId(Uuid::nil());
                recording
                    .skipped
                    .push(attempt::kept_back(postback, event, &shared, &unmet, nobody, self.now));
                continue;
            }
            recording.deliveries.push(NewDelivery {
                delivery_id: DeliveryId::of(facts.change_id, postback.postback_id, event.code()),
                postback_id: postback.postback_id,
                change_id: facts.change_id,
                event,
                lead_id: facts.lead_id,
                is_claimed: Claimed::waiting_for(postback),
            });
        }
        recording.changes.push(ChangeRow {
            change_id: facts.change_id,
            lead_id: facts.lead_id,
            customer_id: Some(facts.customer_id.clone()).filter(|id| !id.is_empty()),
            status_from: Some(self.from),
            status_to: facts.status,
            events: vec![self.event.code()],
            facts: serde_json::to_string(facts).expect("facts are JSON"),
            cause: Cause::Owner,
            actor: self.by.actor.to_string(),
            note: self.by.note.to_owned(),
        });
        let row = ConversionEventRow::of(facts, self.event, Some(self.from), self.now);
        recording.log_batches.extend(encode([row]));
        recording.audited.push(self.audited());
    }

    fn audited(&self) -> AuditedChange<'static> {
        let facts = self.facts;
        AuditedChange {
            actor: self.by.actor,
            entity: Entity::Conversion,
            id: facts.lead_id.map(|id| id.to_string()).unwrap_or_default(),
            action: if self.event == Event::Payout { "settle" } else { "force_status" },
            before: Some(json!({ "status": self.from.code() })),
            after: Some(json!({
                "status": facts.status.map(Status::code),
                "payout": facts.payout.map(|payout| payout.to_string()),
                "payout_currency": facts.payout_currency.map(Currency::code),
                "note": self.by.note,
            })),
        }
    }
}

/// Reads conversions with the facts of their last change; where the history has let those go,
/// with what the conversion and its click say.
pub(super) async fn read_leads(pool: &Pool, lead_ids: &[Uuid]) -> Result<Vec<StandingLead>, StoreError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(include_str!("queries/standing_leads.sql")).await?;
    client.query(&statement, &[&lead_ids]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<StandingLead, StoreError> {
    let unreadable = |column: &str, why: String| StoreError::Unreadable(format!("{column}: {why}"));
    let status: &str = row.get("status");
    let status =
        Status::from_code(status).ok_or_else(|| unreadable("conversions.status", status.to_owned()))?;
    let kind: &str = row.get("action_kind");
    let kind =
        ActionKind::from_code(kind).ok_or_else(|| unreadable("conversions.action_kind", kind.to_owned()))?;
    let lead_id = LeadId(row.get("lead_id"));
    let text = |column: &str| row.get::<_, Option<String>>(column).unwrap_or_default();
    let currency = |column: &str| row.get::<_, Option<&str>>(column).and_then(Currency::parse);
    let click_id = ClickId(row.get("click_id"));
    let last: Option<serde_json::Value> = row.get("last_facts");
    let last: Option<EventFacts> = last
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| unreadable("conversion_history.facts", error.to_string()))?;
    let facts = EventFacts {
        change_id: ChangeId(Uuid::nil()),
        occurred_at: row.get("occurred_at"),
        advertiser_id: AdvertiserId(row.get("advertiser_id")),
        offer_id: OfferId(row.get("offer_id")),
        partner_id: PartnerId(row.get("partner_id")),
        link_id: LinkId(row.get("link_id")),
        click_id,
        clickid: row.get::<_, Option<String>>("partner_clickid").unwrap_or_else(|| click_id.to_string()),
        lead_id: Some(lead_id),
        action: row.get("action"),
        kind: Some(kind),
        kind_event: row
            .get::<_, Option<&str>>("kind_event")
            .or(row.get("first_event"))
            .and_then(Event::from_code),
        status: Some(status),
        status_from: None,
        request_id: row.get("request_id"),
        customer_id: text("customer_id"),
        amount: row.get::<_, Option<Decimal>>("amount"),
        currency: currency("currency"),
        payout: row.get::<_, Option<Decimal>>("payout"),
        payout_currency: currency("payout_currency"),
        comment: row.get("comment"),
        subs: ["sub1", "sub2", "sub3", "sub4", "sub5"].map(text),
        tracker: String::new(),
        country: text("country"),
        device: text("device"),
        ip: text("ip"),
        user_agent: text("user_agent"),
        fields: serde_json::from_value(row.get("fields"))
            .map_err(|error| unreadable("conversions.fields", error.to_string()))?,
        is_test: row.get("is_test"),
    };
    let facts = match last {
        // The advertiser's subs stand in for those a click lacks, and only the history has them; so
        // it is with the composite, whose layout may have changed since.
        Some(last) => EventFacts { clickid: last.clickid, subs: last.subs, tracker: last.tracker, ..facts },
        None => facts,
    };
    Ok(StandingLead {
        lead_id,
        status,
        action_id: ActionId(row.get("action_id")),
        action_kind: kind.code(),
        is_once_per_click: row.get("is_once_per_click"),
        created_at: row.get("created_at"),
        facts,
    })
}
