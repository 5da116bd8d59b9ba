//! The owner settles conversions: each once, only approved ones, and not before the hold days of
//! its action are over. Every settled conversion fires `payout`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::by_hand::{ByHand, HandChange, StandingLead, read_leads};
use super::conversions::{self, LedgerKeys};
use super::error::StoreError;
use super::recording::Recording;
use super::secrets::Keyring;
use crate::domain::catalogue::Catalogue;
use crate::domain::event::Event;
use crate::domain::ids::{LeadId, NodeId};
use crate::domain::money::Currency;
use crate::domain::status::Status;

/// Which conversions; what is empty or `None` restricts nothing. Tests are never settled.
#[derive(Debug, Clone, Default)]
pub struct SettleFilter {
    pub lead_ids: Vec<Uuid>,
    pub offer_ids: Vec<Uuid>,
    pub partner_ids: Vec<Uuid>,
    pub advertiser_ids: Vec<Uuid>,
    /// Inclusive, by the time of recording.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
}

/// What was settled, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    pub conversions: u64,
    /// Sums of payouts by currency.
    pub payouts: BTreeMap<&'static str, Decimal>,
}

/// Conversions settled in one transaction: few enough to hold their locks briefly.
const BATCH: i64 = 200;
/// How often a batch is tried again whose conversions change while it is settled.
const TRIES: usize = 5;

const ELIGIBLE: &str = "FROM conversions LEFT JOIN actions USING (action_id)
    WHERE status = 'approved' AND settled_at IS NULL AND NOT is_test
      AND created_at + make_interval(days => coalesce(hold_days, 0)) <= $1
      AND (cardinality($2::uuid[]) = 0 OR lead_id = ANY($2))
      AND (cardinality($3::uuid[]) = 0 OR conversions.offer_id = ANY($3))
      AND (cardinality($4::uuid[]) = 0 OR partner_id = ANY($4))
      AND (cardinality($5::uuid[]) = 0 OR advertiser_id = ANY($5))
      AND ($6::timestamptz IS NULL OR created_at >= $6)
      AND ($7::timestamptz IS NULL OR created_at < $7)";

/// What [`settle`] would settle now.
pub async fn preview(
    pool: &Pool,
    filter: &SettleFilter,
    now: DateTime<Utc>,
) -> Result<Settlement, StoreError> {
    let client = pool.get().await?;
    let rows = client
        .query(
            &format!("SELECT payout_currency, count(*), sum(payout) {ELIGIBLE} GROUP BY payout_currency"),
            &[
                &now,
                &filter.lead_ids,
                &filter.offer_ids,
                &filter.partner_ids,
                &filter.advertiser_ids,
                &filter.from,
                &filter.to,
            ],
        )
        .await?;
    let mut settlement = Settlement::default();
    for row in &rows {
        settlement.conversions += row.get::<_, i64>(1).unsigned_abs();
        let currency = row.get::<_, Option<&str>>(0).and_then(Currency::parse);
        if let (Some(currency), Some(sum)) = (currency, row.get::<_, Option<Decimal>>(2)) {
            settlement.payouts.insert(currency.code(), sum);
        }
    }
    Ok(settlement)
}

/// Settles everything the filter finds that is due, in batches, each in a transaction of its
/// own. What a run that ended early has settled stays so; running it again settles the rest,
/// and nothing twice. The caller has made sure that `by` may: only the owner may.
pub async fn settle(
    pool: &Pool,
    filter: &SettleFilter,
    by: ByHand<'_>,
    now: DateTime<Utc>,
) -> Result<Settlement, StoreError> {
    let catalogue = super::catalogue::load(pool, &Keyring::default()).await?;
    let mut settlement = Settlement::default();
    let mut after = (DateTime::UNIX_EPOCH, Uuid::nil());
    let mut tries = 0;
    loop {
        let leads = due(pool, filter, now, after).await?;
        let Some(last) = leads.last().map(|lead| (lead.created_at, lead.lead_id.0)) else {
            return Ok(settlement);
        };
        tries += 1;
        match settle_batch(pool, &catalogue, &leads, by, now).await {
            Ok(batch) => {
                // What changed while it was settled is looked at again, if it is still due.
                let is_whole = batch.settled.len() == leads.len();
                settlement.add(&batch.settled);
                if is_whole || tries >= TRIES {
                    after = last;
                    tries = 0;
                }
            }
            Err(StoreError::Raced(_)) if tries < TRIES => {}
            Err(error) => return Err(error),
        }
    }
}

impl Settlement {
    fn add(&mut self, settled: &[(Option<Currency>, Option<Decimal>)]) {
        for (currency, payout) in settled {
            self.conversions += 1;
            if let (Some(currency), Some(payout)) = (currency, payout) {
                *self.payouts.entry(currency.code()).or_default() += payout;
            }
        }
    }
}

async fn due(
    pool: &Pool,
    filter: &SettleFilter,
    now: DateTime<Utc>,
    after: (DateTime<Utc>, Uuid),
) -> Result<Vec<StandingLead>, StoreError> {
    let client = pool.get().await?;
    let rows = client
        .query(
            &format!(
                "SELECT lead_id {ELIGIBLE} AND (created_at, lead_id) > ($8, $9)
                 ORDER BY created_at, lead_id LIMIT $10"
            ),
            &[
                &now,
                &filter.lead_ids,
                &filter.offer_ids,
                &filter.partner_ids,
                &filter.advertiser_ids,
                &filter.from,
                &filter.to,
                &after.0,
                &after.1,
                &BATCH,
            ],
        )
        .await?;
    drop(client);
    let ids: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    if ids.is_empty() { Ok(Vec::new()) } else { read_leads(pool, &ids).await }
}

struct SettledBatch {
    settled: Vec<(Option<Currency>, Option<Decimal>)>,
}

async fn settle_batch(
    pool: &Pool,
    catalogue: &Catalogue,
    leads: &[StandingLead],
    by: ByHand<'_>,
    now: DateTime<Utc>,
) -> Result<SettledBatch, StoreError> {
    let keys = LedgerKeys {
        leads: leads.iter().map(|lead| lead.lead_id).collect(),
        clicks: leads.iter().map(|lead| lead.facts.click_id).collect(),
        ..LedgerKeys::default()
    };
    conversions::record(pool, NodeId(Uuid::nil()), now, &keys, |ledger| {
        let mut recording = Recording::default();
        let mut settled = Vec::new();
        for lead in leads {
            let is_as_read = ledger.leads.get(&lead.lead_id).is_some_and(|known| lead.is_still(known));
            if !is_as_read || lead.status != Status::Approved || ledger.settled.contains(&lead.lead_id) {
                continue;
            }
            let facts = lead.facts_of_change(Status::Approved, now);
            let change = HandChange { facts: &facts, from: Status::Approved, event: Event::Payout, by, now };
            change.add_to(&mut recording, catalogue);
            recording.settled.push(LeadId(lead.lead_id.0));
            settled.push((facts.payout_currency, facts.payout));
        }
        (recording, SettledBatch { settled })
    })
    .await
}
