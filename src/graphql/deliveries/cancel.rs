//! `cancelDeliveries` and `cancelWaiting`.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::Utc;
use uuid::Uuid;

use super::delivery_ids;
use crate::domain::ids::NodeId;
use crate::graphql::enums::Event;
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter;
use crate::graphql::scalars::Time;
use crate::graphql::scope::Principal;
use crate::graphql::setup::caller::{pool, writer, writing_pool};
use crate::pipeline::services::Services;
use crate::store::cancelling::{self as store, WaitingFilter};

/// Which waiting deliveries. A list that is empty or absent restricts nothing.
#[derive(InputObject)]
struct WaitingDeliveriesFilter {
    postback_ids: Option<Vec<ID>>,
    offer_ids: Option<Vec<ID>>,
    partner_ids: Option<Vec<ID>>,
    events: Option<Vec<Event>>,
    lead_id: Option<ID>,
    /// Made by this job.
    job_id: Option<ID>,
    /// Made at this time or later.
    from: Option<Time>,
    /// Made before this time.
    to: Option<Time>,
}

impl WaitingDeliveriesFilter {
    fn read(&self) -> Result<WaitingFilter, Failure> {
        let (from, to) = filter::bounds(self.from.as_ref(), self.to.as_ref())?;
        Ok(WaitingFilter {
            delivery_ids: Vec::new(),
            postback_ids: filter::uuids("postbackIds", self.postback_ids.as_deref())?,
            offer_ids: filter::uuids("offerIds", self.offer_ids.as_deref())?,
            partner_ids: filter::uuids("partnerIds", self.partner_ids.as_deref())?,
            events: filter::codes(self.events.as_deref()),
            lead_id: filter::optional_uuid("leadId", self.lead_id.as_ref())?,
            job_id: filter::optional_uuid("jobId", self.job_id.as_ref())?,
            from,
            to,
        })
    }
}

/// What was cancelled, or would be.
#[derive(SimpleObject)]
struct Cancellation {
    cancelled: u64,
    /// Under way right now: they cannot be cancelled before their outcome is known. Repeat it for
    /// those that are to be retried then.
    being_sent: u64,
    /// Of those that were named: over already, or not to be seen by the caller.
    not_waiting: u64,
}

#[derive(Default)]
pub struct CancelQuery;

#[Object]
impl CancelQuery {
    /// What `cancelWaiting` would cancel now. Not for tokens that only read.
    async fn cancel_preview(
        &self,
        ctx: &Context<'_>,
        filter: WaitingDeliveriesFilter,
    ) -> Result<Cancellation, Failure> {
        let scope = writer(ctx)?.scope();
        let found = read_store(store::preview(pool(ctx), scope, &filter.read()?, Utc::now())).await?;
        Ok(Cancellation { cancelled: found.cancelled, being_sent: found.being_sent, not_waiting: 0 })
    }
}

#[derive(Default)]
pub struct CancelMutations;

#[Object]
impl CancelMutations {
    /// Cancels up to 1000 deliveries that wait: they are not sent, and the log says so. Owners, and
    /// whoever's postbacks they are for.
    async fn cancel_deliveries(
        &self,
        ctx: &Context<'_>,
        delivery_ids: Vec<ID>,
    ) -> Result<Cancellation, Failure> {
        let caller = writer(ctx)?;
        let ids: Vec<Uuid> = self::delivery_ids(&delivery_ids)?.into_iter().map(|id| id.0).collect();
        let named = ids.len() as u64;
        let filter = WaitingFilter { delivery_ids: ids, ..WaitingFilter::default() };
        let done = cancel(ctx, caller, &filter).await?;
        Ok(Cancellation { not_waiting: named.saturating_sub(done.cancelled + done.being_sent), ..done })
    }

    /// Cancels everything that waits and that the filter finds: all of a postback, of an offer, of a
    /// job. What is made meanwhile is left. A filter that restricts nothing cancels the whole queue
    /// that the caller may see. Owners, and others for their own postbacks.
    async fn cancel_waiting(
        &self,
        ctx: &Context<'_>,
        filter: WaitingDeliveriesFilter,
    ) -> Result<Cancellation, Failure> {
        let caller = writer(ctx)?;
        cancel(ctx, caller, &filter.read()?).await
    }
}

/// Without a deadline: batch by batch, as long as it takes. What was cancelled stays so.
async fn cancel(
    ctx: &Context<'_>,
    caller: Principal,
    filter: &WaitingFilter,
) -> Result<Cancellation, Failure> {
    let node = ctx.data_opt::<Arc<Services>>().map_or(NodeId(Uuid::nil()), |services| services.node);
    let cancelling =
        store::cancel(writing_pool(ctx), node, caller.into(), caller.scope(), filter, Utc::now());
    let done = cancelling.await?;
    Ok(Cancellation { cancelled: done.cancelled, being_sent: done.being_sent, not_waiting: 0 })
}
