//! Conversions: one batch is read, decided and written in one transaction of two round trips.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use rust_decimal::Decimal;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::audit::{self, AuditedChange};
use super::deliveries::{self, NewDelivery};
use super::error::StoreError;
use super::log_batches;
use super::session::Session;
use super::used_signatures;
use crate::domain::access::replay::NewlyUsed;
use crate::domain::decision::{CustomerKey, KnownCustomer, KnownLead, Ledger};
use crate::domain::event::Cause;
use crate::domain::facts::EventFacts;
use crate::domain::ids::{
    ActionId, AdvertiserId, ChangeId, ClickId, InboundId, IntegrationId, LeadId, NodeId, OfferId,
};
use crate::domain::money::Currency;
use crate::domain::status::Status;
use crate::event_log::rows::EncodedBatch;

/// Everything a batch touches, and so must know before it decides.
#[derive(Debug, Default)]
pub struct LedgerKeys {
    pub leads: Vec<LeadId>,
    pub clicks: Vec<ClickId>,
    pub actions_of_clicks: Vec<(ClickId, ActionId)>,
    pub clicks_with_deposits: Vec<ClickId>,
    pub customers: Vec<CustomerKey>,
    /// Digests.
    pub signatures: Vec<[u8; 32]>,
    /// Requests of `quarantine` or `reprocessing`, sorted.
    pub waiting: Vec<InboundId>,
}

/// Everything a batch writes.
#[derive(Debug, Default)]
pub struct Recording {
    /// Final states; a lead that changed twice in the batch is here once.
    pub new_leads: Vec<LeadRow>,
    pub changed_leads: Vec<LeadRow>,
    pub customers: Vec<(CustomerKey, KnownCustomer)>,
    pub changes: Vec<ChangeRow>,
    pub deliveries: Vec<NewDelivery>,
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

/// Clicks are locked by bucket while a batch that touches them decides, over all nodes: few
/// enough to fit any server's lock table, many enough that small batches rarely meet.
const LOCK_BUCKETS: u128 = 512;
/// The first of two keys of the advisory locks, to keep them apart from others'.
const LOCK_CLASS: i32 = 0x5249_434f;

/// Reads what is known of `keys` under lock, lets `decide` work out what to write, writes it,
/// and commits. On any error nothing was written, or (where the connection broke during the
/// commit) it is unknown; trying again is safe either way, as a repeat is a duplicate.
pub async fn record<T>(
    pool: &Pool,
    node: NodeId,
    now: DateTime<Utc>,
    keys: &LedgerKeys,
    decide: impl FnOnce(Ledger) -> (Recording, T),
) -> Result<T, StoreError> {
    let session = Session::checkout(pool).await?;
    let ledger = lock_and_read(&session, keys, lock_buckets(keys)).await?;
    let (recording, result) = decide(ledger);
    write_and_commit(&session, node, now, &recording).await?;
    session.give_back();
    Ok(result)
}

/// Reads what is known of `keys` without holding anybody up, for whoever only looks.
pub async fn read_ledger(pool: &Pool, keys: &LedgerKeys) -> Result<Ledger, StoreError> {
    let session = Session::checkout(pool).await?;
    let ledger = lock_and_read(&session, keys, Vec::new()).await?;
    session.commit().await?;
    session.give_back();
    Ok(ledger)
}

async fn lock_and_read(
    session: &Session,
    keys: &LedgerKeys,
    buckets: Vec<i32>,
) -> Result<Ledger, StoreError> {
    let lock = session
        .prepare_cached("SELECT pg_advisory_xact_lock($1, bucket) FROM unnest($2::int[]) AS bucket")
        .await?;
    let leads = session
        .prepare_cached(
            "SELECT lead_id, click_id, status, amount, currency, customer_id, comment, fields,
                    settled_at IS NOT NULL AS is_settled
             FROM conversions WHERE lead_id = ANY($1)",
        )
        .await?;
    let once = session
        .prepare_cached(
            "SELECT click_id, action_id, is_test, lead_id FROM conversions
             JOIN unnest($1::uuid[], $2::uuid[]) AS wanted(click_id, action_id) USING (click_id, action_id)
             WHERE is_once_per_click",
        )
        .await?;
    let deposits = session
        .prepare_cached(
            "SELECT click_id, kind.is_test
             FROM unnest($1::uuid[]) AS wanted(click_id), unnest(ARRAY[false, true]) AS kind(is_test)
             WHERE EXISTS (SELECT 1 FROM conversions
                           WHERE conversions.click_id = wanted.click_id AND action_kind = 'deposit'
                             AND conversions.is_test = kind.is_test)",
        )
        .await?;
    let customers = session
        .prepare_cached(
            "SELECT wanted.advertiser_id, wanted.customer_id, wanted.is_test, customers.click_id, customers.is_active,
                    EXISTS (SELECT 1 FROM conversions
                            WHERE conversions.advertiser_id = wanted.advertiser_id
                              AND conversions.customer_id = wanted.customer_id
                              AND conversions.is_test = wanted.is_test) AS has_lead,
                    EXISTS (SELECT 1 FROM conversions
                            WHERE conversions.advertiser_id = wanted.advertiser_id
                              AND conversions.customer_id = wanted.customer_id
                              AND conversions.is_test = wanted.is_test
                              AND action_kind = 'deposit') AS has_deposit
             FROM unnest($1::uuid[], $2::text[], $3::boolean[]) AS wanted(advertiser_id, customer_id, is_test)
             LEFT JOIN customers USING (advertiser_id, customer_id, is_test)",
        )
        .await?;
    // The rows stay locked until what came of them is recorded, so that only one node does.
    let waiting = session
        .prepare_cached(
            "WITH quarantined AS (
                 SELECT inbound_id FROM quarantine WHERE inbound_id = ANY($1) ORDER BY inbound_id FOR UPDATE
             ), again AS (
                 SELECT inbound_id FROM reprocessing WHERE inbound_id = ANY($1) ORDER BY inbound_id FOR UPDATE
             )
             SELECT inbound_id FROM quarantined UNION SELECT inbound_id FROM again",
        )
        .await?;
    let signatures = used_signatures::prepare_find(session).await?;

    let lead_ids: Vec<Uuid> = keys.leads.iter().map(|id| id.0).collect();
    let (action_clicks, actions): (Vec<Uuid>, Vec<Uuid>) =
        keys.actions_of_clicks.iter().map(|(click, action)| (click.0, action.0)).unzip();
    let deposit_clicks: Vec<Uuid> = keys.clicks_with_deposits.iter().map(|id| id.0).collect();
    let advertisers: Vec<Uuid> = keys.customers.iter().map(|key| key.advertiser_id.0).collect();
    let customer_ids: Vec<&str> = keys.customers.iter().map(|key| key.customer_id.as_str()).collect();
    let customer_tests: Vec<bool> = keys.customers.iter().map(|key| key.is_test).collect();
    let waiting_ids: Vec<Uuid> = keys.waiting.iter().map(|id| id.0).collect();
    let digests: Vec<&[u8]> = keys.signatures.iter().map(<[u8; 32]>::as_slice).collect();

    // Each statement sees what was committed before it began, so what is read here is read
    // after the locks are held.
    let (_, _, leads, once, deposits, customers, waiting, signatures) = tokio::try_join!(
        biased;
        session.batch_execute("BEGIN"),
        async { session.execute(&lock, &[&LOCK_CLASS, &buckets]).await },
        async { session.query(&leads, &[&lead_ids]).await },
        query_if(!actions.is_empty(), async { session.query(&once, &[&action_clicks, &actions]).await }),
        query_if(!deposit_clicks.is_empty(), async { session.query(&deposits, &[&deposit_clicks]).await }),
        query_if(!customer_ids.is_empty(), async {
            session.query(&customers, &[&advertisers, &customer_ids, &customer_tests]).await
        }),
        query_if(!waiting_ids.is_empty(), async { session.query(&waiting, &[&waiting_ids]).await }),
        query_if(!digests.is_empty(), async { session.query(&signatures, &[&digests]).await }),
    )?;

    let mut ledger = Ledger { signatures: used_signatures::read(&signatures)?, ..Ledger::default() };
    for row in &leads {
        let lead_id = LeadId(row.get("lead_id"));
        ledger.leads.insert(lead_id, known_lead(row)?);
        if row.get("is_settled") {
            ledger.settled.insert(lead_id);
        }
    }
    for row in &once {
        let place = (ClickId(row.get(0)), ActionId(row.get(1)), row.get(2));
        ledger.once_per_click.insert(place, LeadId(row.get(3)));
    }
    ledger.clicks_with_deposit = deposits.iter().map(|row| (ClickId(row.get(0)), row.get(1))).collect();
    ledger.waiting = waiting.iter().map(|row| InboundId(row.get(0))).collect();
    for row in &customers {
        let key = CustomerKey {
            advertiser_id: AdvertiserId(row.get("advertiser_id")),
            customer_id: row.get("customer_id"),
            is_test: row.get("is_test"),
        };
        if row.get("has_lead") {
            ledger.customers_with_lead.insert(key.clone());
        }
        if row.get("has_deposit") {
            ledger.customers_with_deposit.insert(key.clone());
        }
        if let Some(click_id) = row.get::<_, Option<Uuid>>("click_id") {
            let known = KnownCustomer { click_id: ClickId(click_id), active: row.get("is_active") };
            ledger.customers.insert(key, known);
        }
    }
    Ok(ledger)
}

async fn query_if(
    is_needed: bool,
    query: impl Future<Output = Result<Vec<Row>, tokio_postgres::Error>>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    if is_needed { query.await } else { Ok(Vec::new()) }
}

/// Sorted, so that two batches never wait for each other.
fn lock_buckets(keys: &LedgerKeys) -> Vec<i32> {
    let of_uuid = |id: Uuid| id.as_u128() % LOCK_BUCKETS;
    let of_customer =
        |key: &CustomerKey| of_uuid(Uuid::new_v5(&key.advertiser_id.0, key.customer_id.as_bytes()));
    let buckets = keys.clicks.iter().map(|id| of_uuid(id.0)).chain(keys.customers.iter().map(of_customer));
    let mut buckets: Vec<i32> = buckets.map(|bucket| i32::try_from(bucket).unwrap_or(0)).collect();
    buckets.sort_unstable();
    buckets.dedup();
    buckets
}

fn known_lead(row: &Row) -> Result<KnownLead, StoreError> {
    let status: String = row.get("status");
    let currency: Option<String> = row.get("currency");
    Ok(KnownLead {
        click_id: ClickId(row.get("click_id")),
        status: Status::from_code(&status)
            .ok_or_else(|| StoreError::Unreadable(format!("conversions.status: {status}")))?,
        price: row.get("amount"),
        currency: currency.as_deref().and_then(Currency::parse),
        customer_id: row.get("customer_id"),
        comment: row.get("comment"),
        fields: serde_json::from_value::<BTreeMap<String, String>>(row.get("fields"))
            .map_err(|error| StoreError::Unreadable(format!("conversions.fields: {error}")))?,
    })
}

async fn write_and_commit(
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
        deliveries::insert(session, &insert_deliveries, node, now, &recording.deliveries),
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
            ],
        )
        .await?;
    Ok(())
}
