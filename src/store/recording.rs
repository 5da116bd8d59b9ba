//! Everything a batch writes, in one go: the second round trip of its transaction.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use tokio_postgres::Statement;
use uuid::Uuid;

use super::audit::{self, AuditedChange};
use super::deliveries::{self, NewDelivery};
use super::error::StoreError;
use super::log_batches;
use super::session::Session;
use super::skipped::{self, SkippedDelivery};
use super::used_signatures;
use crate::domain::access::replay::NewlyUsed;
use crate::domain::decision::{CustomerKey, KnownCustomer};
use crate::domain::event::{Cause, Event};
use crate::domain::facts::EventFacts;
use crate::domain::ids::{
    ActionId, AdvertiserId, ChangeId, ClickId, InboundId, IntegrationId, LeadId, NodeId, OfferId,
};
use crate::domain::money::Currency;
use crate::domain::status::Status;
use crate::event_log::rows::EncodedBatch;

/// Everything a batch writes.
#[derive(Debug, Default)]
pub struct Recording {
    /// Final states; a lead that changed twice in the batch is here once.
    pub new_leads: Vec<LeadRow>,
    pub changed_leads: Vec<LeadRow>,
    pub customers: Vec<(CustomerKey, KnownCustomer)>,
    pub changes: Vec<ChangeRow>,
    pub deliveries: Vec<NewDelivery>,
    /// With their log rows.
    pub skipped: Vec<SkippedDelivery>,
    pub quarantined: Vec<QuarantineRow>,
    /// Leave `quarantine` or `reprocessing`: they have been processed.
    pub no_longer_waiting: Vec<InboundId>,
    pub settled: Vec<LeadId>,
    pub log_batches: Vec<EncodedBatch>,
    pub used_signatures: Vec<NewlyUsed>,
    /// What was done by hand.
    pub audited: Vec<AuditedChange<'static>>,
}

#[derive(Debug, Clone)]
pub struct LeadRow {
    pub lead_id: LeadId,
    pub action_id: ActionId,
    pub action_kind: &'static str,
    pub is_once_per_click: bool,
    pub facts: EventFacts,
}

#[derive(Debug)]
pub struct ChangeRow {
    pub change_id: ChangeId,
    pub lead_id: Option<LeadId>,
    pub customer_id: Option<String>,
    pub status_from: Option<Status>,
    pub status_to: Option<Status>,
    pub events: Vec<&'static str>,
    pub facts: String,
    pub cause: Cause,
    /// Who did it by hand; empty otherwise.
    pub actor: String,
    /// What they said to it.
    pub note: String,
}

#[derive(Debug)]
pub struct QuarantineRow {
    pub inbound_id: InboundId,
    pub advertiser_id: AdvertiserId,
    pub offer_id: OfferId,
    pub integration_id: Option<IntegrationId>,
    pub click_id: ClickId,
    /// Normalized.
    pub word: String,
    pub request: String,
    pub parameters: String,
    pub source_ip: String,
    pub received_at: DateTime<Utc>,
    pub occurred_at: DateTime<Utc>,
}

/// Writes all of it and commits.
pub(super) async fn write_and_commit(
    session: &Session,
    node: NodeId,
    now: DateTime<Utc>,
    recording: &Recording,
) -> Result<(), StoreError> {
    let insert_leads = session.prepare_cached(include_str!("queries/insert_conversions.sql")).await?;
    let update_leads = session.prepare_cached(include_str!("queries/update_conversions.sql")).await?;
    let set_customers = session
        .prepare_cached(
            "INSERT INTO customers (advertiser_id, customer_id, click_id, is_active, is_test, updated_at)
             SELECT *, $6::timestamptz
             FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::boolean[], $5::boolean[])
             ON CONFLICT (advertiser_id, customer_id, is_test)
             DO UPDATE SET click_id = excluded.click_id, is_active = excluded.is_active,
                           updated_at = excluded.updated_at",
        )
        .await?;
    let insert_changes = prepare_changes(session).await?;
    let insert_deliveries = deliveries::prepare_insert(session).await?;
    let insert_skipped = skipped::prepare_insert(session).await?;
    let skipped_log = skipped::log_batch(&recording.skipped);
    let insert_quarantine = session
        .prepare_cached(
            "INSERT INTO quarantine (inbound_id, advertiser_id, offer_id, integration_id, click_id, word, request,
                                     parameters, source_ip, received_at, occurred_at)
             SELECT inbound_id, advertiser_id, offer_id, integration_id, click_id, word, request::jsonb,
                    parameters::jsonb, source_ip, received_at, occurred_at
             FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
                         $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[])
                  AS item(inbound_id, advertiser_id, offer_id, integration_id, click_id, word, request,
                          parameters, source_ip, received_at, occurred_at)",
        )
        .await?;
    let insert_signatures = used_signatures::prepare_insert(session).await?;
    let end_waiting = session
        .prepare_cached(
            "WITH released AS (DELETE FROM quarantine WHERE inbound_id = ANY($1))
             DELETE FROM reprocessing WHERE inbound_id = ANY($1)",
        )
        .await?;
    let settle =
        session.prepare_cached("UPDATE conversions SET settled_at = $2 WHERE lead_id = ANY($1)").await?;
    let insert_log = log_batches::prepare_insert(session).await?;
    let insert_audit = audit::prepare_insert(session.client()).await?;

    let deliveries =
        deliveries::insert_ahead(session, &insert_deliveries, node, now, &recording.deliveries).await?;
    tokio::try_join!(
        biased;
        async {
            if !recording.new_leads.is_empty() {
                write_leads(session, &insert_leads, now, &recording.new_leads).await?;
            }
            Ok(())
        },
        async {
            if !recording.changed_leads.is_empty() {
                write_leads(session, &update_leads, now, &recording.changed_leads).await?;
            }
            Ok(())
        },
        async {
            if recording.customers.is_empty() {
                return Ok(());
            }
            let advertisers: Vec<Uuid> = recording.customers.iter().map(|(key, _)| key.advertiser_id.0).collect();
            let ids: Vec<&str> = recording.customers.iter().map(|(key, _)| key.customer_id.as_str()).collect();
            let clicks: Vec<Uuid> = recording.customers.iter().map(|(_, known)| known.click_id.0).collect();
            let active: Vec<bool> = recording.customers.iter().map(|(_, known)| known.active).collect();
            let tests: Vec<bool> = recording.customers.iter().map(|(key, _)| key.is_test).collect();
            session.execute(&set_customers, &[&advertisers, &ids, &clicks, &active, &tests, &now]).await?;
            Ok(())
        },
        async {
            write_changes(session, &insert_changes, now, &recording.changes).await
        },
        deliveries::insert(session, &insert_deliveries, node, now, deliveries),
        skipped::insert(session, &insert_skipped, now, &recording.skipped),
        async {
            if recording.quarantined.is_empty() {
                return Ok(());
            }
            let items = &recording.quarantined;
            macro_rules! column {
                (|$item:ident| $value:expr) => {
                    items.iter().map(|$item| $value).collect::<Vec<_>>()
                };
            }
            session
                .execute(
                    &insert_quarantine,
                    &[
                        &column!(|item| item.inbound_id.0),
                        &column!(|item| item.advertiser_id.0),
                        &column!(|item| item.offer_id.0),
                        &column!(|item| item.integration_id.map(|id| id.0)),
                        &column!(|item| item.click_id.0),
                        &column!(|item| item.word.as_str()),
                        &column!(|item| item.request.as_str()),
                        &column!(|item| item.parameters.as_str()),
                        &column!(|item| item.source_ip.as_str()),
                        &column!(|item| item.received_at),
                        &column!(|item| item.occurred_at),
                    ],
                )
                .await?;
            Ok(())
        },
        async {
            if !recording.no_longer_waiting.is_empty() {
                let ids: Vec<Uuid> = recording.no_longer_waiting.iter().map(|id| id.0).collect();
                session.execute(&end_waiting, &[&ids]).await?;
            }
            Ok(())
        },
        async {
            if !recording.settled.is_empty() {
                let ids: Vec<Uuid> = recording.settled.iter().map(|id| id.0).collect();
                session.execute(&settle, &[&ids, &now]).await?;
            }
            Ok(())
        },
        used_signatures::insert(session, &insert_signatures, &recording.used_signatures),
        log_batches::insert(session, &insert_log, &recording.log_batches),
        log_batches::insert(session, &insert_log, skipped_log.as_slice()),
        audit::insert(session.client(), &insert_audit, &recording.audited),
        async { Ok::<_, StoreError>(session.commit().await?) },
    )?;
    Ok(())
}

pub(super) async fn prepare_changes(session: &Session) -> Result<Statement, tokio_postgres::Error> {
    session.prepare_cached(include_str!("queries/insert_changes.sql")).await
}

/// Adds to the history inside the caller's transaction.
pub(super) async fn write_changes(
    session: &Session,
    statement: &Statement,
    now: DateTime<Utc>,
    changes: &[ChangeRow],
) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        (|$change:ident| $value:expr) => {
            changes.iter().map(|$change| $value).collect::<Vec<_>>()
        };
    }
    // PostgreSQL has no arrays of arrays of unequal length.
    let events: Vec<String> = column!(|change| change.events.join(","));
    session
        .execute(
            statement,
            &[
                &column!(|change| change.change_id.0),
                &column!(|change| change.lead_id.map(|id| id.0)),
                &column!(|change| change.customer_id.as_deref()),
                &column!(|change| change.status_from.map(Status::code)),
                &column!(|change| change.status_to.map(Status::code)),
                &events,
                &column!(|change| change.facts.as_str()),
                &now,
                &column!(|change| change.cause.code()),
                &column!(|change| change.actor.as_str()),
                &column!(|change| change.note.as_str()),
            ],
        )
        .await?;
    Ok(())
}

/// Inserts or updates leads: both statements take the same columns.
async fn write_leads(
    session: &Session,
    statement: &Statement,
    now: DateTime<Utc>,
    leads: &[LeadRow],
) -> Result<(), StoreError> {
    macro_rules! column {
        (|$lead:ident| $value:expr) => {
            leads.iter().map(|$lead| $value).collect::<Vec<_>>()
        };
    }
    let fields: Vec<String> = leads
        .iter()
        .map(|lead| serde_json::to_string(&lead.facts.fields).expect("a map of texts is JSON"))
        .collect();
    let customers: Vec<Option<&str>> =
        column!(|lead| Some(lead.facts.customer_id.as_str()).filter(|id| !id.is_empty()));
    let statuses: Vec<&str> = column!(|lead| lead.facts.status.map_or("", Status::code));
    let amounts: Vec<Option<Decimal>> = column!(|lead| lead.facts.amount);
    let payouts: Vec<Option<Decimal>> = column!(|lead| lead.facts.payout);
    session
        .execute(
            statement,
            &[
                &column!(|lead| lead.lead_id.0),
                &column!(|lead| lead.facts.advertiser_id.0),
                &column!(|lead| lead.facts.offer_id.0),
                &column!(|lead| lead.facts.partner_id.0),
                &column!(|lead| lead.facts.link_id.0),
                &column!(|lead| lead.action_id.0),
                &column!(|lead| lead.facts.action.as_str()),
                &column!(|lead| lead.action_kind),
                &column!(|lead| lead.facts.click_id.0),
                &column!(|lead| lead.facts.request_id.as_str()),
                &customers,
                &statuses,
                &amounts,
                &column!(|lead| lead.facts.currency.map(Currency::code)),
                &payouts,
                &column!(|lead| lead.facts.payout_currency.map(Currency::code)),
                &column!(|lead| lead.facts.comment.as_str()),
                &fields,
                &column!(|lead| lead.facts.is_test),
                &column!(|lead| lead.is_once_per_click),
                &now,
                &column!(|lead| lead.facts.occurred_at),
                &column!(|lead| lead.facts.kind_event.map(Event::code)),
            ],
        )
        .await?;
    Ok(())
}
