//! `conversionStats`: conversions made, approved, refunded and settled, and the clicks they came of.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::Utc;

use super::answer::{Answer, Gaps, answer};
use super::grouping::Arguments;
use super::key::{BucketKey, ConversionDimension, ConversionKey, Keys};
use super::postbacks::wanted;
use super::{COST, Sum, rate, shown_shares, shown_sums};
use crate::event_log::reader::TestRows;
use crate::event_log::reader::stats::conversions::{
    self as reader, ChangeFilter, Clicks, ConversionFigure as Figure, clicks_have,
};
use crate::event_log::reader::stats::{Dimension, Order};
use crate::graphql::enums::{ConversionStatus, Device, Direction, Event, TimeBucket};
use crate::graphql::failure::Failure;
use crate::graphql::filter;
use crate::graphql::query::{databases, scope};
use crate::graphql::scalars::Time;
use crate::graphql::scope::Scope;

/// Which changes of conversions. A list that is empty or absent restricts nothing.
#[derive(InputObject, Default)]
struct ConversionStatsFilter {
    /// What the conversion became by the change.
    statuses: Option<Vec<ConversionStatus>>,
    /// Changes that carry one of these events at least.
    events: Option<Vec<Event>>,
    offer_ids: Option<Vec<ID>>,
    partner_ids: Option<Vec<ID>>,
    advertiser_ids: Option<Vec<ID>>,
    link_ids: Option<Vec<ID>>,
    /// Names of actions, exactly.
    actions: Option<Vec<String>>,
    /// Of the click, ISO 3166-1 alpha-2.
    countries: Option<Vec<String>>,
    /// Of the click.
    devices: Option<Vec<Device>>,
    lead_id: Option<ID>,
    /// Our click id.
    click_id: Option<ID>,
    /// The advertiser's own id of the request, exactly.
    request_id: Option<ID>,
    /// The advertiser's own id of the recurring customer, exactly.
    customer_id: Option<ID>,
    /// Recorded at this time or later.
    from: Option<Time>,
    /// Recorded before this time.
    to: Option<Time>,
    /// Whether changes of test conversions count too; they do not where this is left out.
    include_tests: Option<bool>,
}

impl ConversionStatsFilter {
    fn read(&self) -> Result<ChangeFilter, Failure> {
        let (from, to) = filter::bounds(self.from.as_ref(), self.to.as_ref())?;
        Ok(ChangeFilter {
            statuses: filter::codes(self.statuses.as_deref()),
            events: filter::codes(self.events.as_deref()),
            offer_ids: filter::uuids("offerIds", self.offer_ids.as_deref())?,
            partner_ids: filter::uuids("partnerIds", self.partner_ids.as_deref())?,
            advertiser_ids: filter::uuids("advertiserIds", self.advertiser_ids.as_deref())?,
            link_ids: filter::uuids("linkIds", self.link_ids.as_deref())?,
            actions: filter::texts("actions", self.actions.as_deref())?,
            countries: filter::countries(self.countries.as_deref())?,
            devices: filter::codes(self.devices.as_deref()),
            lead_id: filter::optional_uuid("leadId", self.lead_id.as_ref())?,
            click_id: filter::optional_uuid("clickId", self.click_id.as_ref())?,
            request_id: filter::text("requestId", self.request_id.as_ref().map(|id| id.as_str()))?,
            customer_id: filter::text("customerId", self.customer_id.as_ref().map(|id| id.as_str()))?,
            from,
            to,
            tests: TestRows::included(self.include_tests),
        })
    }
}

/// By what groups of conversions are ordered.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
enum ConversionStatsOrder {
    Events,
    Conversions,
    Approved,
    Rejected,
    /// 0 without `withClicks`.
    Clicks,
    /// By the properties themselves.
    Key,
}

impl ConversionStatsOrder {
    fn by(self) -> &'static str {
        match self {
            Self::Events => "event_count",
            Self::Conversions => "conversion_count",
            Self::Approved => "approved_count",
            Self::Rejected => "rejected_count",
            Self::Clicks => "click_count",
            Self::Key => "group_keys",
        }
    }

    /// What has to be counted for it.
    fn figures(self) -> &'static [Figure] {
        match self {
            Self::Events => &[Figure::Events],
            Self::Conversions => &[Figure::Conversions],
            Self::Approved => &[Figure::Approved],
            Self::Rejected => &[Figure::Rejected],
            Self::Clicks => &[Figure::Clicks],
            Self::Key => &[],
        }
    }
}

/// Which figures each field is made of.
const FIELDS: [(&str, &[Figure]); 20] = [
    ("events", &[Figure::Events]),
    ("changes", &[Figure::Changes]),
    ("conversions", &[Figure::Conversions]),
    ("convertedClicks", &[Figure::ConvertedClicks]),
    ("held", &[Figure::Held]),
    ("approved", &[Figure::Approved]),
    ("rejected", &[Figure::Rejected]),
    ("refunded", &[Figure::Refunded]),
    ("settled", &[Figure::Settled]),
    ("approvalRate", &[Figure::Approved, Figure::Rejected, Figure::Refunded]),
    ("reportedAmounts", &[Figure::ReportedAmounts]),
    ("approvedAmounts", &[Figure::ApprovedAmounts]),
    ("approvedPayouts", &[Figure::ApprovedPayouts]),
    ("refundedAmounts", &[Figure::RefundedAmounts]),
    ("refundedPayouts", &[Figure::RefundedPayouts]),
    ("settledPayouts", &[Figure::SettledPayouts]),
    ("clicks", &[Figure::Clicks]),
    ("botClicks", &[Figure::BotClicks]),
    ("conversionRate", &[Figure::Conversions, Figure::Clicks]),
    ("epc", &[Figure::ApprovedPayouts, Figure::Clicks]),
];

/// Figures of conversions, each counted at the time of the change that made it so. All are exact.
#[derive(SimpleObject)]
pub struct ConversionFigures {
    /// Events: a change may carry several, such as SALE and APPROVE.
    events: u64,
    /// Changes of conversions and customers.
    changes: u64,
    /// New conversions, whatever their status.
    conversions: u64,
    /// Different clicks that the new conversions came of.
    converted_clicks: u64,
    /// Conversions that were put on hold.
    held: u64,
    /// Conversions that were approved.
    approved: u64,
    /// Conversions that were rejected, refunded ones included.
    rejected: u64,
    /// Conversions that were rejected after they had been approved: refunds and chargebacks.
    refunded: u64,
    /// Conversions whose payout was settled.
    settled: u64,
    /// Approved of all that were decided, 0 to 1: approved / (approved + rejected - refunded). Null
    /// where nothing was.
    approval_rate: Option<f64>,
    /// Full prices of new conversions as reported, by currency; a sum of zero is left out.
    reported_amounts: Vec<Sum>,
    /// Full prices of conversions that were approved.
    approved_amounts: Vec<Sum>,
    /// What partners get for conversions that were approved. Null for advertisers, like the other
    /// payouts and `epc`.
    approved_payouts: Option<Vec<Sum>>,
    refunded_amounts: Vec<Sum>,
    refunded_payouts: Option<Vec<Sum>>,
    settled_payouts: Option<Vec<Sum>>,
    /// Clicks, those of bots included; null without `withClicks`.
    clicks: Option<u64>,
    /// Clicks of bots.
    bot_clicks: Option<u64>,
    /// New conversions of all clicks; more than 1 where a click converts repeatedly.
    conversion_rate: Option<f64>,
    /// Earnings per click: payouts of approved conversions by clicks, in each currency, rounded to
    /// millionths. Null without `withClicks`.
    epc: Option<Vec<Sum>>,
}

impl ConversionFigures {
    fn seen_by(scope: Scope, found: &reader::ConversionFigures, clicks: Clicks) -> Self {
        let payouts = |found| scope.sees_payouts().then(|| shown_sums(found));
        let decided = found.approved_count + found.rejected_count.saturating_sub(found.refunded_count);
        let counted = clicks == Clicks::Counted;
        Self {
            events: found.event_count,
            changes: found.change_count,
            conversions: found.conversion_count,
            converted_clicks: found.converted_click_count,
            held: found.held_count,
            approved: found.approved_count,
            rejected: found.rejected_count,
            refunded: found.refunded_count,
            settled: found.settled_count,
            approval_rate: rate(found.approved_count, decided),
            reported_amounts: shown_sums(&found.reported_amount_sums),
            approved_amounts: shown_sums(&found.approved_amount_sums),
            approved_payouts: payouts(&found.approved_payout_sums),
            refunded_amounts: shown_sums(&found.refunded_amount_sums),
            refunded_payouts: payouts(&found.refunded_payout_sums),
            settled_payouts: payouts(&found.settled_payout_sums),
            clicks: counted.then_some(found.click_count),
            bot_clicks: counted.then_some(found.bot_click_count),
            conversion_rate: rate(found.conversion_count, found.click_count).filter(|_| counted),
            epc: (counted && scope.sees_payouts())
                .then(|| shown_shares(&found.approved_payout_sums, found.click_count)),
        }
    }
}

/// A group of changes, or one bucket of it.
#[derive(SimpleObject)]
pub struct ConversionStatsRow {
    #[graphql(flatten)]
    bucket: BucketKey,
    #[graphql(flatten)]
    key: ConversionKey,
    #[graphql(flatten)]
    figures: ConversionFigures,
}

#[derive(Default)]
pub struct ConversionStatsQuery;

#[Object]
impl ConversionStatsQuery {
    /// Conversions counted by any set of properties and by the time of their changes; tests only
    /// where the filter includes them. An advertiser counts its own, a partner those of its clicks.
    /// The other arguments are those of `postbackStats`.
    ///
    /// With clicks, the filter and `groupBy` must be such as clicks have too: offer, partner,
    /// advertiser, link, country, device, time; and a group that has clicks only has a row.
    #[graphql(complexity = "COST + child_complexity")]
    #[allow(clippy::too_many_arguments, reason = "they are those of the field")]
    async fn conversion_stats(
        &self,
        ctx: &Context<'_>,
        filter: Option<ConversionStatsFilter>,
        #[graphql(desc = "None makes one group of all.")] group_by: Option<Vec<ConversionDimension>>,
        #[graphql(desc = "Whether clicks are counted beside, for rates and EPC.", default = false)]
        with_clicks: bool,
        #[graphql(desc = "Needs filter.from.")] bucket: Option<TimeBucket>,
        #[graphql(desc = "Such as Europe/Berlin or +03:00; UTC where it is not given.")] time_zone: Option<
            String,
        >,
        #[graphql(desc = "Whether buckets without changes have a row too.", default = false)] fill_gaps: bool,
        #[graphql(default_with = "ConversionStatsOrder::Conversions")] order_by: ConversionStatsOrder,
        #[graphql(default_with = "Direction::Descending")] direction: Direction,
        limit: Option<i32>,
    ) -> Result<Answer<ConversionStatsRow, ConversionFigures>, Failure> {
        let scope = scope(ctx)?;
        let filter = filter.unwrap_or_default().read()?;
        let group_by = group_by.unwrap_or_default();
        let clicks = if with_clicks { clicks_beside(&filter, &group_by)? } else { Clicks::LeftOut };
        let grouping = Arguments {
            dimensions: group_by.into_iter().map(Dimension::from).collect(),
            bucket: bucket.map(Into::into),
            time_zone: time_zone.as_deref(),
            limit,
            bounds: (filter.from, filter.to),
            now: Utc::now(),
        }
        .read()?;
        let wanted = wanted(ctx, &FIELDS, order_by.figures());
        let stats = reader::conversion_stats(scope, &filter, grouping, clicks, &wanted);
        let order = Order { by: order_by.by(), direction: direction.into() };
        let figures = |found: &reader::ConversionFigures| ConversionFigures::seen_by(scope, found, clicks);
        let row = |keys: Keys<'_>, start, zone, found: &reader::ConversionFigures| ConversionStatsRow {
            bucket: BucketKey::of(keys, start, zone),
            key: ConversionKey::of(keys),
            figures: figures(found),
        };
        answer(ctx, &databases(ctx).log, stats, order, Gaps::of(fill_gaps), row, figures).await
    }
}

/// Clicks can be counted beside only what they have themselves.
fn clicks_beside(filter: &ChangeFilter, group_by: &[ConversionDimension]) -> Result<Clicks, Failure> {
    if let Some(dimension) = group_by.iter().find(|dimension| !clicks_have((**dimension).into())) {
        let name = async_graphql::resolver_utils::enum_value(*dimension);
        let message = format!("clicks have no {name}; leave it out, or ask without withClicks");
        return Err(Failure::bad_input("groupBy", message));
    }
    if let Some(field) = filter.beyond_clicks() {
        let message = "clicks cannot be found by this; leave it out, or ask without withClicks";
        return Err(Failure::bad_input(format!("filter.{field}"), message));
    }
    Ok(Clicks::Counted)
}
