//! `settlementPreview` and `settle`: paying partners.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::Utc;
use rust_decimal::Decimal;

use super::caller::{owner, pool, writing_pool};
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter;
use crate::graphql::scalars::Time;
use crate::store::by_hand::ByHand;
use crate::store::settlement::{self as store, SettleFilter};

/// Which conversions. A list that is empty or absent restricts nothing. Whatever the filter says,
/// only approved conversions whose hold days are over are settled, and never a test.
#[derive(InputObject)]
struct SettlementFilter {
    lead_ids: Option<Vec<ID>>,
    offer_ids: Option<Vec<ID>>,
    partner_ids: Option<Vec<ID>>,
    advertiser_ids: Option<Vec<ID>>,
    /// Recorded at this time or later.
    from: Option<Time>,
    /// Recorded before this time.
    to: Option<Time>,
}

impl SettlementFilter {
    fn read(&self) -> Result<SettleFilter, Failure> {
        let (from, to) = filter::bounds(self.from.as_ref(), self.to.as_ref())?;
        Ok(SettleFilter {
            lead_ids: filter::uuids("leadIds", self.lead_ids.as_deref())?,
            offer_ids: filter::uuids("offerIds", self.offer_ids.as_deref())?,
            partner_ids: filter::uuids("partnerIds", self.partner_ids.as_deref())?,
            advertiser_ids: filter::uuids("advertiserIds", self.advertiser_ids.as_deref())?,
            from,
            to,
        })
    }
}

#[derive(SimpleObject)]
struct PayoutSum {
    /// ISO 4217.
    currency: &'static str,
    amount: Decimal,
}

/// What was settled, or would be.
#[derive(SimpleObject)]
struct Settlement {
    conversions: u64,
    /// What partners get, by currency.
    payouts: Vec<PayoutSum>,
}

impl From<store::Settlement> for Settlement {
    fn from(settlement: store::Settlement) -> Self {
        let payouts = settlement.payouts.into_iter();
        Self {
            conversions: settlement.conversions,
            payouts: payouts.map(|(currency, amount)| PayoutSum { currency, amount }).collect(),
        }
    }
}

#[derive(Default)]
pub struct SettlementQuery;

#[Object]
impl SettlementQuery {
    /// What `settle` would settle now. Owners only.
    async fn settlement_preview(
        &self,
        ctx: &Context<'_>,
        filter: SettlementFilter,
    ) -> Result<Settlement, Failure> {
        owner(ctx)?;
        let filter = filter.read()?;
        Ok(read_store(store::preview(pool(ctx), &filter, Utc::now())).await?.into())
    }
}

#[derive(Default)]
pub struct SettlementMutation;

#[Object]
impl SettlementMutation {
    /// Settles everything the filter finds that is due, each conversion once, and fires `payout`
    /// for each. A repeat settles what is left, and nothing twice. Owners only.
    async fn settle(&self, ctx: &Context<'_>, filter: SettlementFilter) -> Result<Settlement, Failure> {
        let by = ByHand { actor: owner(ctx)?.into(), note: "" };
        let filter = filter.read()?;
        // Without a deadline: batch by batch, as long as it takes. What was settled stays so.
        Ok(store::settle(writing_pool(ctx), &filter, by, Utc::now()).await?.into())
    }
}
