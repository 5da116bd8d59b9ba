//! `sendPast`: late postbacks.

use std::collections::BTreeMap;
use std::time::Duration;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, TimeDelta, Utc};

use super::job::{DeliveryJob, SkippedCount, skipped};
use super::{job_id, rate};
use crate::domain::ids::PostbackId;
use crate::domain::resend::{Conditions, PassedOver, RequestVersion};
use crate::graphql::enums::Event;
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::uuid_at;
use crate::graphql::scalars::Time;
use crate::graphql::scope::Scope;
use crate::graphql::setup::caller::{pool, writer};
use crate::store::delivery_jobs::{self as store, Counts, NewJob, PastSelection, Selection};
use crate::store::late_postbacks::{self, Count, Judging};

/// The longest it takes until every node knows a new postback: what is recorded until then belongs
/// to its past.
const NODES_KNOW: TimeDelta = TimeDelta::seconds(2);

/// How long a preview may count, and a job that is started; both far below what a query may read.
const PREVIEW_COUNTS: Duration = Duration::from_secs(8);
const START_COUNTS: Duration = Duration::from_secs(4);

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
    /// What the postback's condition keeps back.
    kept_back: u64,
}

/// Why a postback's condition keeps events back.
#[derive(SimpleObject)]
pub struct KeptBackReason {
    /// The part of the condition that was false, with the values it saw.
    reason: String,
    count: u64,
}

impl KeptBackReason {
    /// The most frequent first.
    pub fn list(reasons: BTreeMap<String, u64>) -> Vec<Self> {
        let mut reasons: Vec<_> = reasons.into_iter().map(|(reason, count)| Self { reason, count }).collect();
        reasons.sort_by_key(|one| std::cmp::Reverse(one.count));
        reasons
    }
}

/// What `sendPast` would find now. Every number is "at least" where `isComplete` is false: a long past
/// is counted for some seconds, from its beginning on.
#[derive(SimpleObject)]
struct SendPastPreview {
    /// All of the past was counted.
    is_complete: bool,
    /// What was recorded from here on is not counted; null where all is.
    counted_until: Option<Time>,
    /// Late postbacks to send.
    deliveries: u64,
    by_event: Vec<PastByEvent>,
    /// What the postback's condition keeps back, of all events.
    kept_back: u64,
    /// Why, most frequent first; at most 100 reasons are told apart.
    kept_back_reasons: Vec<KeptBackReason>,
    /// Conversions of that time that the history has let go: there is nothing to tell of them. Null
    /// where they are too many to be counted in time.
    forgotten: Option<u64>,
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
        let found = look(ctx, scope, &past, Judging::ByCondition, PREVIEW_COUNTS).await?;
        let Count { events, reasons, counted_until } = found.count;
        let mut events: Vec<_> = events.into_iter().collect();
        events.sort_by_key(|(event, _)| event.code());
        Ok(SendPastPreview {
            is_complete: counted_until.is_none() && found.forgotten.is_some(),
            counted_until: counted_until.map(Time::from),
            deliveries: events.iter().map(|(_, one)| one.missing).sum(),
            kept_back: events.iter().map(|(_, one)| one.kept_back).sum(),
            by_event: events
                .iter()
                .map(|(event, one)| PastByEvent {
                    event: (*event).into(),
                    missing: one.missing,
                    has_delivery: one.has_delivery,
                    kept_back: one.kept_back,
                })
                .collect(),
            kept_back_reasons: KeptBackReason::list(reasons),
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
        let found = look(ctx, caller.scope(), &past, Judging::Nothing, START_COUNTS).await?;
        let mut counts = Counts::default();
        if let Some(forgotten @ 1..) = found.forgotten {
            counts.skipped.insert(PassedOver::Forgotten, forgotten);
        }
        let job = NewJob {
            job_id,
            selection: Selection::Past(past),
            request: RequestVersion::Current,
            conditions: Conditions::Heeded,
            rate_per_second,
            // What is not counted to its end is not known.
            expected: found.count.counted_until.is_none().then(|| found.count.looked_at()),
            counts,
            created_at: now,
        };
        let job = read_store(store::start(pool(ctx), caller.into(), caller.scope(), &job)).await?;
        Ok(SendPastResult { skipped: skipped(&job.counts), job: job.into() })
    }
}

struct Found {
    count: Count,
    forgotten: Option<u64>,
    history_from: Option<DateTime<Utc>>,
}

async fn look(
    ctx: &Context<'_>,
    scope: Scope,
    past: &PastSelection,
    judging: Judging,
    time: Duration,
) -> Result<Found, Failure> {
    let pool = pool(ctx);
    let listener = read_store(late_postbacks::listener(pool, scope, past.postback_id)).await?;
    let history_from = read_store(late_postbacks::history_from(pool)).await?;
    let counting = late_postbacks::count(pool, &listener, past, history_from, judging, time);
    let count = read_store(counting).await?;
    let forgetting = late_postbacks::count_forgotten(pool, &listener, past, history_from, time / 2);
    let forgotten = read_store(forgetting).await?;
    Ok(Found { count, forgotten, history_from })
}
