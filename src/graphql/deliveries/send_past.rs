//! `sendPast`: late postbacks.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, TimeDelta, Utc};

use super::job::{DeliveryJob, SkippedCount, skipped};
use super::{job_id, rate};
use crate::domain::ids::PostbackId;
use crate::domain::resend::{PassedOver, RequestVersion};
use crate::graphql::enums::Event;
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::uuid_at;
use crate::graphql::scalars::Time;
use crate::graphql::scope::Scope;
use crate::graphql::setup::caller::{pool, writer};
use crate::store::delivery_jobs::{self as store, Counts, NewJob, PastSelection, Selection};
use crate::store::late_postbacks::{self, Listener, PastEvents};

/// The longest it takes until every node knows a new postback: what is recorded until then belongs
/// to its past.
const NODES_KNOW: TimeDelta = TimeDelta::seconds(2);

#[derive(InputObject)]
struct SendPastInput {
    postback_id: ID,
    /// Recorded at this time or later; from the beginning of the history where it is not given.
    from: Option<Time>,
    /// Recorded before this time; up to now where it is not given.
    to: Option<Time>,
    /// Test conversions too.
    include_tests: Option<bool>,
    /// Most deliveries made in a second; 50 where it is not given.
    rate_per_second: Option<i32>,
    /// A UUID of the caller's: asked again under it, there is still one job.
    job_id: Option<ID>,
}

impl SendPastInput {
    fn read(&self, now: DateTime<Utc>) -> Result<PastSelection, Failure> {
        let from = self.from.as_ref().map(|time| time.bound("input.from")).transpose()?;
        let to = self.to.as_ref().map(|time| time.bound("input.to")).transpose()?;
        let known = now + NODES_KNOW;
        let to = to.map_or(known, |to| to.min(known));
        if from.is_some_and(|from| from >= to) {
            return Err(Failure::bad_input("input.from", "write a time before the end, and in the past"));
        }
        Ok(PastSelection {
            postback_id: PostbackId(uuid_at("input.postbackId", &self.postback_id)?),
            from,
            to,
            include_tests: self.include_tests == Some(true),
        })
    }
}

#[derive(SimpleObject)]
struct PastByEvent {
    event: Event,
    /// Late postbacks to send.
    missing: u64,
    /// What the postback has heard of, or will.
    has_delivery: u64,
}

/// What `sendPast` would find now. The postback's condition is looked at only when the job runs.
#[derive(SimpleObject)]
struct SendPastPreview {
    /// Late postbacks to send.
    deliveries: u64,
    by_event: Vec<PastByEvent>,
    /// Conversions of that time that the history has let go: there is nothing to tell of them.
    forgotten: u64,
    /// What the history begins with; null where there is none.
    history_from: Option<Time>,
}

#[derive(Default)]
pub struct SendPastQuery;

#[Object]
impl SendPastQuery {
    /// What `sendPast` would make, counted; nothing is made. Owners, and whoever's postback it is.
    async fn send_past_preview(
        &self,
        ctx: &Context<'_>,
        input: SendPastInput,
    ) -> Result<SendPastPreview, Failure> {
        let scope = writer(ctx)?.scope();
        let past = input.read(Utc::now())?;
        let found = look(ctx, scope, &past).await?;
        Ok(SendPastPreview {
            deliveries: found.missing(),
            by_event: found
                .events
                .into_iter()
                .map(|one| PastByEvent {
                    event: one.event.into(),
                    missing: one.missing,
                    has_delivery: one.has_delivery,
                })
                .collect(),
            forgotten: found.forgotten,
            history_from: found.history_from.map(Time::from),
        })
    }
}

/// A job of late postbacks, and what it cannot send.
#[derive(SimpleObject)]
struct SendPastResult {
    job: DeliveryJob,
    skipped: Vec<SkippedCount>,
}

#[derive(Default)]
pub struct SendPastMutation;

#[Object]
impl SendPastMutation {
    /// Starts a job that delivers a postback for the conversions it came too late for: every event
    /// in its scope, as if it had been there. What it has heard of is left. Owners, and whoever's
    /// postback it is.
    async fn send_past(&self, ctx: &Context<'_>, input: SendPastInput) -> Result<SendPastResult, Failure> {
        let caller = writer(ctx)?;
        let now = Utc::now();
        let past = input.read(now)?;
        let rate_per_second = rate("input.ratePerSecond", input.rate_per_second)?;
        let job_id = job_id("input.jobId", input.job_id.as_ref())?;
        let found = look(ctx, caller.scope(), &past).await?;
        let mut counts = Counts::default();
        if found.forgotten > 0 {
            counts.skipped.insert(PassedOver::Forgotten, found.forgotten);
        }
        let job = NewJob {
            job_id,
            selection: Selection::Past(past),
            request: RequestVersion::Current,
            rate_per_second,
            expected: Some(found.events.iter().map(|one| one.missing + one.has_delivery).sum()),
            counts,
            created_at: now,
        };
        let job = read_store(store::start(pool(ctx), caller.into(), caller.scope(), &job)).await?;
        Ok(SendPastResult { skipped: skipped(&job.counts), job: job.into() })
    }
}

struct Found {
    events: Vec<PastEvents>,
    forgotten: u64,
    history_from: Option<DateTime<Utc>>,
}

impl Found {
    fn missing(&self) -> u64 {
        self.events.iter().map(|one| one.missing).sum()
    }
}

async fn look(ctx: &Context<'_>, scope: Scope, past: &PastSelection) -> Result<Found, Failure> {
    let pool = pool(ctx);
    let listener: Listener = read_store(late_postbacks::listener(pool, scope, past.postback_id)).await?;
    let history_from = read_store(late_postbacks::history_from(pool)).await?;
    let events = read_store(late_postbacks::count(pool, &listener, past)).await?;
    let forgotten = read_store(late_postbacks::count_forgotten(pool, &listener, past, history_from)).await?;
    Ok(Found { events, forgotten, history_from })
}
