//! `conversions`: leads as they stand now.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, InputObject, SimpleObject};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::change::ConversionChange;
use super::click::Click;
use super::filled;
use super::postback_log::PostbackAttempt;
use crate::graphql::cost::{beside_cost, nested_cost, nested_rows};
use crate::graphql::deliveries::Delivery;
use crate::graphql::enums::ConversionStatus;
use crate::graphql::failure::Failure;
use crate::graphql::filter;
use crate::graphql::related::Conversions;
use crate::graphql::scalars::Time;
use crate::store::conversion_search::{ConversionFilter, ConversionRecord};
use crate::store::visible_names::Named;

/// Which conversions. A list that is empty or absent restricts nothing.
#[derive(InputObject, Default)]
pub struct ConversionsFilter {
    /// The status now.
    statuses: Option<Vec<ConversionStatus>>,
    offer_ids: Option<Vec<ID>>,
    partner_ids: Option<Vec<ID>>,
    advertiser_ids: Option<Vec<ID>>,
    lead_id: Option<ID>,
    /// Our click id.
    click_id: Option<ID>,
    /// The advertiser's own id of the request, exactly.
    request_id: Option<ID>,
    /// The advertiser's own id of the recurring customer, exactly.
    customer_id: Option<ID>,
    link_ids: Option<Vec<ID>>,
    /// Names of actions, exactly.
    actions: Option<Vec<String>>,
    /// Any id at hand, exactly: of a lead, a click, a request or a customer.
    search: Option<String>,
    /// Created at this time or later.
    from: Option<Time>,
    /// Created before this time.
    to: Option<Time>,
    /// Only tests (true) or only real conversions (false).
    is_test: Option<bool>,
}

impl ConversionsFilter {
    pub fn read(&self) -> Result<ConversionFilter, Failure> {
        let (from, to) = filter::bounds(self.from.as_ref(), self.to.as_ref())?;
        Ok(ConversionFilter {
            statuses: filter::codes(self.statuses.as_deref()),
            offer_ids: filter::uuids("offerIds", self.offer_ids.as_deref())?,
            partner_ids: filter::uuids("partnerIds", self.partner_ids.as_deref())?,
            advertiser_ids: filter::uuids("advertiserIds", self.advertiser_ids.as_deref())?,
            lead_id: filter::optional_uuid("leadId", self.lead_id.as_ref())?,
            click_id: filter::optional_uuid("clickId", self.click_id.as_ref())?,
            request_id: filter::text("requestId", self.request_id.as_ref().map(|id| id.as_str()))?,
            customer_id: filter::text("customerId", self.customer_id.as_ref().map(|id| id.as_str()))?,
            link_ids: filter::uuids("linkIds", self.link_ids.as_deref())?,
            actions: filter::texts("actions", self.actions.as_deref())?,
            search: filter::sought(self.search.as_deref())?,
            from,
            to,
            tests: self.is_test.into(),
        })
    }
}

/// A lead: something paid for that came of a click.
#[derive(SimpleObject, Clone)]
#[graphql(complex)]
pub struct Conversion {
    lead_id: ID,
    advertiser_id: ID,
    offer_id: ID,
    partner_id: ID,
    link_id: ID,
    /// Our click id.
    click_id: ID,
    /// The advertiser's own id of the request, or what stood in for it.
    request_id: ID,
    /// The advertiser's own id of the recurring customer, if it is of one.
    customer_id: Option<ID>,
    /// Name of the action, the paid goal of the offer.
    action: String,
    status: ConversionStatus,
    /// Full price as reported, in `currency`; null where none was.
    amount: Option<Decimal>,
    /// ISO 4217.
    currency: Option<String>,
    /// What the partner gets, in `payoutCurrency`. Null for advertisers.
    payout: Option<Decimal>,
    /// ISO 4217. Null for advertisers.
    payout_currency: Option<String>,
    comment: Option<String>,
    is_test: bool,
    created_at: Time,
    /// When its status or price last changed.
    updated_at: Time,
    #[graphql(skip)]
    lead: Uuid,
    #[graphql(skip)]
    click: Uuid,
    #[graphql(skip)]
    together: Arc<Conversions>,
}

#[ComplexObject]
impl Conversion {
    /// Null where the caller may not list the offer, like the names that follow.
    async fn offer_name(&self, ctx: &Context<'_>) -> Result<Option<String>, Failure> {
        self.together.names().name(ctx, Named::Offer, &self.offer_id).await
    }

    async fn partner_name(&self, ctx: &Context<'_>) -> Result<Option<String>, Failure> {
        self.together.names().name(ctx, Named::Partner, &self.partner_id).await
    }

    async fn advertiser_name(&self, ctx: &Context<'_>) -> Result<Option<String>, Failure> {
        self.together.names().name(ctx, Named::Advertiser, &self.advertiser_id).await
    }

    /// What has happened to it, oldest first: every change of its status, and what caused it. As far
    /// back as the history is kept. `first` is 10 where it is not given, and 100 at most.
    #[graphql(complexity = "nested_cost(first, child_complexity)")]
    async fn history(&self, ctx: &Context<'_>, first: Option<i32>) -> Result<Vec<ConversionChange>, Failure> {
        self.together.history(ctx, self.lead, nested_rows(first)?).await
    }

    /// The deliveries that tell of it, those of the oldest events first. An advertiser or partner
    /// sees those of its own postbacks. `first` is 10 where it is not given, and 100 at most.
    #[graphql(complexity = "nested_cost(first, child_complexity)")]
    async fn deliveries(&self, ctx: &Context<'_>, first: Option<i32>) -> Result<Vec<Delivery>, Failure> {
        self.together.deliveries(ctx, self.lead, nested_rows(first)?).await
    }

    /// Its lines in the postback log, oldest first, in the same scope as `postbackLog`; a new one is
    /// here within seconds. `first` is 10 where it is not given, and 100 at most.
    #[graphql(complexity = "nested_cost(first, child_complexity)")]
    async fn attempts(&self, ctx: &Context<'_>, first: Option<i32>) -> Result<Vec<PostbackAttempt>, Failure> {
        self.together.attempts(ctx, self.lead, nested_rows(first)?).await
    }

    /// The click it came of; null once the network has let it go.
    #[graphql(complexity = "beside_cost(child_complexity)")]
    async fn click(&self, ctx: &Context<'_>) -> Result<Option<Click>, Failure> {
        self.together.click(ctx, self.click).await
    }
}

impl Conversion {
    /// As the scope of the rows it was read with sees it.
    pub fn of(record: ConversionRecord, together: &Arc<Conversions>) -> Self {
        let sees_payout = together.scope().sees_payouts();
        Self {
            lead_id: record.lead_id.into(),
            advertiser_id: record.advertiser_id.into(),
            offer_id: record.offer_id.into(),
            partner_id: record.partner_id.into(),
            link_id: record.link_id.into(),
            click_id: record.click_id.into(),
            request_id: record.request_id.into(),
            customer_id: record.customer_id.map(ID::from),
            action: record.action,
            status: record.status.into(),
            amount: record.amount,
            currency: record.currency,
            payout: record.payout.filter(|_| sees_payout),
            payout_currency: record.payout_currency.filter(|_| sees_payout),
            comment: filled(record.comment),
            is_test: record.is_test,
            created_at: record.created_at.into(),
            updated_at: record.updated_at.into(),
            lead: record.lead_id,
            click: record.click_id,
            together: together.clone(),
        }
    }
}
