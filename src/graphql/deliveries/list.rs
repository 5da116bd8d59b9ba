//! `deliveries`: where each stands now.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};
use uuid::Uuid;

use crate::graphql::cost::{beside_cost, nested_cost, nested_rows};
use crate::graphql::enums::Event;
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter;
use crate::graphql::paging::List;
use crate::graphql::query::{databases, page_cost, page_request, scope};
use crate::graphql::related::Deliveries;
use crate::graphql::scalars::Time;
use crate::graphql::types::conversion::Conversion;
use crate::graphql::types::postback_log::PostbackAttempt;
use crate::graphql::types::{LogConnection, connection_of};
use crate::store::delivery_search::{self as store, DeliveryFilter, DeliveryRecord};
use crate::store::visible_names::Named;

/// Where a delivery stands.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "store::DeliveryState")]
pub enum DeliveryState {
    /// No attempt has been made yet.
    Waiting,
    /// An attempt is under way.
    Sending,
    /// An attempt has failed, and another is due.
    Retrying,
    Delivered,
    /// It failed, and there will be no other attempt.
    Failed,
    /// It was not fit to send; the reason says why.
    Skipped,
    /// Somebody has cancelled it; in the log it is skipped.
    Cancelled,
}

/// Which deliveries. A list that is empty or absent restricts nothing.
#[derive(InputObject, Default)]
struct DeliveriesFilter {
    states: Option<Vec<DeliveryState>>,
    delivery_ids: Option<Vec<ID>>,
    postback_ids: Option<Vec<ID>>,
    offer_ids: Option<Vec<ID>>,
    partner_ids: Option<Vec<ID>>,
    advertiser_ids: Option<Vec<ID>>,
    events: Option<Vec<Event>>,
    lead_id: Option<ID>,
    /// Made by this job.
    job_id: Option<ID>,
    /// Resends of this delivery.
    resent_from: Option<ID>,
    /// Deliveries with this many attempts begun, or more.
    attempts_at_least: Option<u16>,
    /// Only of tests (true) or only of real conversions (false).
    is_test: Option<bool>,
    /// Any id at hand of the conversion, exactly: of the lead, the click, or the request.
    search: Option<String>,
    /// Of events recorded at this time or later.
    from: Option<Time>,
    /// Of events recorded before this time.
    to: Option<Time>,
}

impl DeliveriesFilter {
    fn read(&self) -> Result<DeliveryFilter, Failure> {
        let (from, to) = filter::bounds(self.from.as_ref(), self.to.as_ref())?;
        Ok(DeliveryFilter {
            states: filter::codes(self.states.as_deref()),
            delivery_ids: filter::uuids("deliveryIds", self.delivery_ids.as_deref())?,
            postback_ids: filter::uuids("postbackIds", self.postback_ids.as_deref())?,
            offer_ids: filter::uuids("offerIds", self.offer_ids.as_deref())?,
            partner_ids: filter::uuids("partnerIds", self.partner_ids.as_deref())?,
            advertiser_ids: filter::uuids("advertiserIds", self.advertiser_ids.as_deref())?,
            events: filter::codes(self.events.as_deref()),
            lead_id: filter::optional_uuid("leadId", self.lead_id.as_ref())?,
            job_id: filter::optional_uuid("jobId", self.job_id.as_ref())?,
            resent_from: filter::optional_uuid("resentFrom", self.resent_from.as_ref())?,
            attempts_at_least: self.attempts_at_least.map(i32::from),
            is_test: self.is_test,
            search: filter::sought(self.search.as_deref())?,
            from,
            to,
        })
    }
}

/// One event for one postback.
#[derive(SimpleObject, Clone)]
#[graphql(complex)]
pub struct Delivery {
    delivery_id: ID,
    postback_id: ID,
    event: Event,
    /// Null for events of a recurring customer, and for clicks.
    lead_id: Option<ID>,
    state: DeliveryState,
    /// Why it was not delivered, in words; empty otherwise.
    reason: String,
    /// Attempts begun so far.
    attempts: u32,
    /// When the next attempt is due; null where none is, or one is under way.
    next_attempt_at: Option<Time>,
    /// Whether its postback is paused: then it waits, whatever is due.
    is_postback_paused: bool,
    created_at: Time,
    finished_at: Option<Time>,
    /// The first delivery of the same event to the same postback, where this is a resend.
    resent_from: Option<ID>,
    /// 0 for the first delivery, 1 for its first resend, and so on.
    resend_number: u32,
    /// The job that made it: a resend, or late postbacks.
    job_id: Option<ID>,
    /// The revision of the postback it was last sent with.
    revision: Option<i32>,
    /// Of the conversion; null once the history has let it go.
    offer_id: Option<ID>,
    partner_id: Option<ID>,
    advertiser_id: Option<ID>,
    /// Our click id.
    click_id: Option<ID>,
    /// Transaction id: the advertiser's request id, or the lead id where there is none.
    txid: Option<String>,
    /// Whether it tells of a test conversion.
    is_test: bool,
    #[graphql(skip)]
    delivery: Uuid,
    #[graphql(skip)]
    lead: Option<Uuid>,
    #[graphql(skip)]
    together: Arc<Deliveries>,
}

#[ComplexObject]
impl Delivery {
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

    /// The host its URL goes to; null for the postbacks of others.
    async fn postback_host(&self, ctx: &Context<'_>) -> Result<Option<String>, Failure> {
        self.together.names().name(ctx, Named::Postback, &self.postback_id).await
    }

    /// Its lines in the postback log, oldest first: every attempt, with what was sent and answered. A new
    /// one is here within seconds. `first` is 10 where it is not given, and 100 at most.
    #[graphql(complexity = "nested_cost(first, child_complexity)")]
    async fn attempt_log(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
    ) -> Result<Vec<PostbackAttempt>, Failure> {
        self.together.attempts(ctx, self.delivery, nested_rows(first)?).await
    }

    /// The conversion it tells of, as it stands now; null where it tells of none.
    #[graphql(complexity = "beside_cost(child_complexity)")]
    async fn conversion(&self, ctx: &Context<'_>) -> Result<Option<Conversion>, Failure> {
        self.together.conversion(ctx, self.lead).await
    }
}

impl Delivery {
    pub fn of(record: DeliveryRecord, together: &Arc<Deliveries>) -> Self {
        Self {
            delivery_id: record.delivery_id.into(),
            postback_id: record.postback_id.into(),
            event: record.event.into(),
            lead_id: record.lead_id.map(ID::from),
            state: record.state.into(),
            reason: record.reason,
            attempts: record.attempts,
            next_attempt_at: record.next_attempt_at.map(Time::from),
            is_postback_paused: record.is_postback_paused,
            created_at: record.created_at.into(),
            finished_at: record.finished_at.map(Time::from),
            resent_from: record.resent_from.map(ID::from),
            resend_number: record.resend_number,
            job_id: record.job_id.map(ID::from),
            revision: record.revision,
            offer_id: record.offer_id.map(ID::from),
            partner_id: record.partner_id.map(ID::from),
            advertiser_id: record.advertiser_id.map(ID::from),
            click_id: record.click_id.map(ID::from),
            txid: record.txid,
            is_test: record.is_test,
            delivery: record.delivery_id,
            lead: record.lead_id,
            together: together.clone(),
        }
    }
}

#[derive(Default)]
pub struct ListQuery;

#[Object]
impl ListQuery {
    /// Deliveries, waiting and finished, those of the newest events first. An advertiser or partner
    /// sees those of its own postbacks. `first` is 50 where it is not given, and 1000 at most.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn deliveries(
        &self,
        ctx: &Context<'_>,
        filter: Option<DeliveriesFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<Delivery>, Failure> {
        const LIST: List = List::Deliveries;
        let request = page_request(ctx, LIST, first, after)?;
        let filter = filter.unwrap_or_default().read()?;
        let scope = scope(ctx)?;
        let page = read_store(store::deliveries(&databases(ctx).pool, scope, &filter, &request)).await?;
        let together = Deliveries::of(scope, &page.rows);
        Ok(connection_of(LIST, &request, page, |record| Delivery::of(record, &together)))
    }
}
