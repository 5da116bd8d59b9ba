//! Conversions: one batch is read, decided and written in one transaction of two round trips.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::StoreError;
use super::recording::{self, Recording};
use super::session::Session;
use super::used_signatures;
use crate::domain::decision::{CustomerKey, KnownCustomer, KnownLead, Ledger};
use crate::domain::event::Event;
use crate::domain::ids::{ActionId, AdvertiserId, ClickId, InboundId, LeadId, NodeId};
use crate::domain::money::Currency;
use crate::domain::status::Status;

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
    recording::write_and_commit(&session, node, now, &recording).await?;
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
                    settled_at IS NOT NULL AS is_settled,
                    -- Only leads that were recorded before the column was have to be looked up.
                    COALESCE(kind_event, (SELECT events[1] FROM conversion_history AS history
                                          WHERE history.lead_id = conversions.lead_id AND status_from IS NULL
                                          LIMIT 1)) AS kind_event
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
        kind_event: row.get::<_, Option<&str>>("kind_event").and_then(Event::from_code),
    })
}
