//! `deliveryJobs`, and the orders that a job takes.

use async_graphql::{Context, Enum, ID, Json, Object, SimpleObject};
use serde_json::Value;

use crate::domain::ids::JobId;
use crate::domain::resend;
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::{self, uuid_at};
use crate::graphql::paging::List;
use crate::graphql::query::{databases, page_cost, page_request};
use crate::graphql::scalars::Time;
use crate::graphql::setup::caller::{pool, writer};
use crate::graphql::types::{LogConnection, connection};
use crate::store::delivery_jobs::{self as store, Counts, JobRecord, Order};

/// What a job makes deliveries of.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "resend::JobKind")]
pub enum JobKind {
    /// Of deliveries that were made before.
    Resend,
    /// Of conversions that a postback came too late for.
    SendPast,
}

#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "resend::JobState")]
pub enum JobState {
    /// No node has begun with it.
    Planned,
    Running,
    Paused,
    Done,
    Cancelled,
    Failed,
}

/// Which request a resend sends.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "resend::RequestVersion")]
pub enum RequestVersion {
    /// As the postback was when the delivery was last sent.
    Original,
    /// As the postback is today.
    Current,
}

/// Why nothing was made of what was asked for.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "resend::PassedOver")]
pub enum PassedOver {
    /// Past the history's retention: what a postback is filled with is gone.
    Forgotten,
    /// An attempt is under way; its outcome is not known yet.
    BeingSent,
    PostbackDeleted,
    /// The original request is asked for, but it was never sent, or before requests were kept.
    RequestNotKept,
    /// This job has made it before, or another of its deliveries is of the same event.
    MadeBefore,
    /// It has its delivery already.
    HasDelivery,
    /// The postback's condition does not hold.
    ConditionUnmet,
}

#[derive(SimpleObject)]
pub struct SkippedCount {
    reason: PassedOver,
    /// The reason in words.
    sentence: &'static str,
    count: u64,
}

pub fn skipped(counts: &Counts) -> Vec<SkippedCount> {
    let counts = counts.skipped.iter();
    counts
        .map(|(reason, count)| SkippedCount {
            reason: (*reason).into(),
            sentence: reason.sentence(),
            count: *count,
        })
        .collect()
}

/// Many deliveries made by one wish.
#[derive(SimpleObject)]
pub struct DeliveryJob {
    job_id: ID,
    kind: JobKind,
    state: JobState,
    /// What it waits for, or why it failed; empty otherwise.
    note: String,
    /// Which deliveries or conversions it is about, as JSON.
    selection: Json<Value>,
    request: RequestVersion,
    /// It sends also what the conditions of postbacks keep back.
    ignores_condition: bool,
    /// Most deliveries it makes in a second.
    rate_per_second: u32,
    /// How many it will look at, as far as was known when it was made; null where nobody counted.
    expected: Option<u64>,
    /// How many it has looked at.
    matched: u64,
    /// New deliveries.
    made: u64,
    /// Deliveries that were waiting anyhow, and were made due at once.
    hastened: u64,
    skipped: Vec<SkippedCount>,
    /// Who made it: the role, and the token's id beside it.
    actor_role: String,
    actor_token_id: Option<ID>,
    created_at: Time,
    started_at: Option<Time>,
    finished_at: Option<Time>,
}

impl From<JobRecord> for DeliveryJob {
    fn from(job: JobRecord) -> Self {
        Self {
            job_id: job.job_id.0.into(),
            kind: job.selection.kind().into(),
            state: job.state.into(),
            note: job.note,
            selection: Json(serde_json::to_value(&job.selection).expect("a selection is JSON")),
            request: job.request.into(),
            ignores_condition: job.conditions == resend::Conditions::Ignored,
            rate_per_second: job.rate_per_second,
            expected: job.expected,
            matched: job.counts.matched,
            made: job.counts.made,
            hastened: job.counts.hastened,
            skipped: skipped(&job.counts),
            actor_role: job.actor_role,
            actor_token_id: job.actor_token_id.map(ID::from),
            created_at: job.created_at.into(),
            started_at: job.started_at.map(Time::from),
            finished_at: job.finished_at.map(Time::from),
        }
    }
}

#[derive(Default)]
pub struct JobQueries;

#[Object]
impl JobQueries {
    /// Resends and late postbacks, newest first; an advertiser or partner sees its own. Not for
    /// tokens that only read.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn delivery_jobs(
        &self,
        ctx: &Context<'_>,
        job_id: Option<ID>,
        states: Option<Vec<JobState>>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<DeliveryJob>, Failure> {
        const LIST: List = List::DeliveryJobs;
        let caller = writer(ctx)?;
        let request = page_request(ctx, LIST, first, after)?;
        let job_id = job_id.map(|id| uuid_at("jobId", &id)).transpose()?;
        let states = filter::codes(states.as_deref());
        let listing = store::list(&databases(ctx).pool, caller.scope(), job_id, &states, &request);
        Ok(connection(LIST, &request, read_store(listing).await?))
    }
}

#[derive(Default)]
pub struct JobMutations;

#[Object]
impl JobMutations {
    /// Lets a job rest; what it has made is sent all the same. Its maker and owners.
    async fn pause_job(&self, ctx: &Context<'_>, job_id: ID) -> Result<DeliveryJob, Failure> {
        order(ctx, &job_id, Order::Pause).await
    }

    /// Goes on with a paused job where it was. Its maker and owners.
    async fn resume_job(&self, ctx: &Context<'_>, job_id: ID) -> Result<DeliveryJob, Failure> {
        order(ctx, &job_id, Order::Resume).await
    }

    /// Ends a job for good. What it has made is sent all the same; `cancelWaiting` with its `jobId`
    /// cancels that too. Its maker and owners.
    async fn cancel_job(&self, ctx: &Context<'_>, job_id: ID) -> Result<DeliveryJob, Failure> {
        order(ctx, &job_id, Order::Cancel).await
    }
}

async fn order(ctx: &Context<'_>, job_id: &ID, order: Order) -> Result<DeliveryJob, Failure> {
    let caller = writer(ctx)?;
    let job_id = JobId(uuid_at("jobId", job_id)?);
    let ordering = store::order(pool(ctx), caller.into(), caller.scope(), job_id, order);
    let job = read_store(ordering).await.map_err(as_argument)?;
    Ok(job.into())
}

/// The field as an argument of the mutation, which has no input object.
pub fn as_argument(failure: Failure) -> Failure {
    let bare = |field: String| field.strip_prefix("input.").map_or(field.clone(), str::to_owned);
    match failure {
        Failure::BadInput { field, message } => Failure::BadInput { field: bare(field), message },
        Failure::NotFound { field, message } => Failure::NotFound { field: bare(field), message },
        other => other,
    }
}
