//! Conversions: one batch is read, decided and written in one transaction of two round trips.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use uuid::Uuid;

use super::deliveries::{self, NewDelivery};
use super::error::StoreError;
use super::log_batches;
use super::session::Session;
use crate::domain::decision::{CustomerKey, KnownCustomer, KnownLead, Ledger};
use crate::domain::facts::EventFacts;
use crate::domain::ids::{ActionId, AdvertiserId, ChangeId, ClickId, InboundId, LeadId, NodeId};
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
    pub log_batches: Vec<EncodedBatch>,
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
}

#[derive(Debug)]
pub struct QuarantineRow {
    pub inbound_id: InboundId,
    pub advertiser_id: AdvertiserId,
    pub word: String,
    pub request: String,
    pub received_at: DateTime<Utc>,
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
            "SELECT lead_id, click_id, status, amount, currency, customer_id, comment, fields
             FROM conversions WHERE lead_id = ANY($1)",
        )
        .await?;
    let once = session
        .prepare_cached(
            "SELECT click_id, action_id, lead_id FROM conversions
             JOIN unnest($1::uuid[], $2::uuid[]) AS wanted(click_id, action_id) USING (click_id, action_id)
             WHERE is_once_per_click",
        )
        .await?;
    let deposits = session
        .prepare_cached(
            "SELECT click_id FROM unnest($1::uuid[]) AS wanted(click_id)
             WHERE EXISTS (SELECT 1 FROM conversions
                           WHERE conversions.click_id = wanted.click_id AND action_kind = 'deposit')",
        )
        .await?;
    let customers = session
        .prepare_cached(
            "SELECT wanted.advertiser_id, wanted.customer_id, customers.click_id, customers.is_active,
                    EXISTS (SELECT 1 FROM conversions
                            WHERE conversions.advertiser_id = wanted.advertiser_id
                              AND conversions.customer_id = wanted.customer_id) AS has_lead,
                    EXISTS (SELECT 1 FROM conversions
                            WHERE conversions.advertiser_id = wanted.advertiser_id
                              AND conversions.customer_id = wanted.customer_id
                              AND action_kind = 'deposit') AS has_deposit
             FROM unnest($1::uuid[], $2::text[]) AS wanted(advertiser_id, customer_id)
             LEFT JOIN customers USING (advertiser_id, customer_id)",
        )
        .await?;

    let lead_ids: Vec<Uuid> = keys.leads.iter().map(|id| id.0).collect();
    let (action_clicks, actions): (Vec<Uuid>, Vec<Uuid>) =
        keys.actions_of_clicks.iter().map(|(click, action)| (click.0, action.0)).unzip();
    let deposit_clicks: Vec<Uuid> = keys.clicks_with_deposits.iter().map(|id| id.0).collect();
    let (advertisers, customer_ids): (Vec<Uuid>, Vec<&str>) =
        keys.customers.iter().map(|(advertiser, id)| (advertiser.0, id.as_str())).unzip();

    // Each statement sees what was committed before it began, so what is read here is read
    // after the locks are held.
    let (_, _, leads, once, deposits, customers) = tokio::try_join!(
        biased;
        session.batch_execute("BEGIN"),
        async { session.execute(&lock, &[&LOCK_CLASS, &buckets]).await },
        async { session.query(&leads, &[&lead_ids]).await },
        query_if(!actions.is_empty(), async { session.query(&once, &[&action_clicks, &actions]).await }),
        query_if(!deposit_clicks.is_empty(), async { session.query(&deposits, &[&deposit_clicks]).await }),
        query_if(!customer_ids.is_empty(), async {
            session.query(&customers, &[&advertisers, &customer_ids]).await
        }),
    )?;

    let mut ledger = Ledger::default();
    for row in &leads {
        ledger.leads.insert(LeadId(row.get("lead_id")), known_lead(row)?);
    }
    for row in &once {
        ledger.once_per_click.insert((ClickId(row.get(0)), ActionId(row.get(1))), LeadId(row.get(2)));
    }
    ledger.clicks_with_deposit = deposits.iter().map(|row| ClickId(row.get(0))).collect();
    for row in &customers {
        let key = (AdvertiserId(row.get("advertiser_id")), row.get::<_, String>("customer_id"));
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
    let of_customer = |(advertiser, id): &CustomerKey| of_uuid(Uuid::new_v5(&advertiser.0, id.as_bytes()));
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
            "INSERT INTO customers (advertiser_id, customer_id, click_id, is_active, updated_at)
             SELECT *, $5::timestamptz FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::boolean[])
             ON CONFLICT (advertiser_id, customer_id)
             DO UPDATE SET click_id = excluded.click_id, is_active = excluded.is_active,
                           updated_at = excluded.updated_at",
        )
        .await?;
    let insert_changes = session.prepare_cached(include_str!("queries/insert_changes.sql")).await?;
    let insert_deliveries = deliveries::prepare_insert(session).await?;
    let insert_quarantine = session
        .prepare_cached(
            "INSERT INTO quarantine (inbound_id, advertiser_id, word, request, received_at)
             SELECT inbound_id, advertiser_id, word, request::jsonb, received_at
             FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[])
                  AS item(inbound_id, advertiser_id, word, request, received_at)",
        )
        .await?;
    let insert_log = log_batches::prepare_insert(session).await?;

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
            let advertisers: Vec<Uuid> = recording.customers.iter().map(|((id, _), _)| id.0).collect();
            let ids: Vec<&str> = recording.customers.iter().map(|((_, id), _)| id.as_str()).collect();
            let clicks: Vec<Uuid> = recording.customers.iter().map(|(_, known)| known.click_id.0).collect();
            let active: Vec<bool> = recording.customers.iter().map(|(_, known)| known.active).collect();
            session.execute(&set_customers, &[&advertisers, &ids, &clicks, &active, &now]).await?;
            Ok(())
        },
        async {
            if recording.changes.is_empty() {
                return Ok(());
            }
            let changes = &recording.changes;
            let ids: Vec<Uuid> = changes.iter().map(|change| change.change_id.0).collect();
            let leads: Vec<Option<Uuid>> = changes.iter().map(|change| change.lead_id.map(|id| id.0)).collect();
            let customers: Vec<Option<&str>> = changes.iter().map(|change| change.customer_id.as_deref()).collect();
            let from: Vec<Option<&str>> = changes.iter().map(|change| change.status_from.map(Status::code)).collect();
            let to: Vec<Option<&str>> = changes.iter().map(|change| change.status_to.map(Status::code)).collect();
            // PostgreSQL has no arrays of arrays of unequal length.
            let events: Vec<String> = changes.iter().map(|change| change.events.join(",")).collect();
            let facts: Vec<&str> = changes.iter().map(|change| change.facts.as_str()).collect();
            session
                .execute(&insert_changes, &[&ids, &leads, &customers, &from, &to, &events, &facts, &now])
                .await?;
            Ok(())
        },
        deliveries::insert(session, &insert_deliveries, node, now, &recording.deliveries),
        async {
            if recording.quarantined.is_empty() {
                return Ok(());
            }
            let items = &recording.quarantined;
            let ids: Vec<Uuid> = items.iter().map(|item| item.inbound_id.0).collect();
            let advertisers: Vec<Uuid> = items.iter().map(|item| item.advertiser_id.0).collect();
            let words: Vec<&str> = items.iter().map(|item| item.word.as_str()).collect();
            let requests: Vec<&str> = items.iter().map(|item| item.request.as_str()).collect();
            let times: Vec<DateTime<Utc>> = items.iter().map(|item| item.received_at).collect();
            session.execute(&insert_quarantine, &[&ids, &advertisers, &words, &requests, &times]).await?;
            Ok(())
        },
        log_batches::insert(session, &insert_log, &recording.log_batches),
        async { Ok::<_, StoreError>(session.commit().await?) },
    )?;
    Ok(())
}

/// Inserts or updates leads: both statements take the same columns.
async fn write_leads(
    session: &Session,
    statement: &tokio_postgres::Statement,
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
            ],
        )
        .await?;
    Ok(())
}
