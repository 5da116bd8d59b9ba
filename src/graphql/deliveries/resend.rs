//! `resendDeliveries`, and `startResend` for whatever a filter of the log finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::job::{DeliveryJob, PassedOver, RequestVersion, as_argument};
use super::send_past::KeptBackReason;
use super::{delivery_ids, job_id, rate};
use crate::domain::ids::NodeId;
use crate::domain::resend::Conditions;
use crate::event_log::reader::{self, AttemptFilter, MatchedGroup};
use crate::event_log::rows::Log;
use crate::graphql::cost::rows_cost;
use crate::graphql::enums::{Event, Outcome};
use crate::graphql::failure::{Failure, read_log, read_store};
use crate::graphql::paging::PageRequest;
use crate::graphql::query::databases;
use crate::graphql::related::Attempts;
use crate::graphql::scope::Scope;
use crate::graphql::setup::caller::{pool, writer};
use crate::graphql::types::postback_log::{PostbackAttempt, PostbackLogFilter};
use crate::pipeline::services::Services;
use crate::store::delivery_jobs::{self as store, Counts, NewJob, Selection};
use crate::store::late_postbacks::MOST_REASONS;
use crate::store::resend::{Resent, Wish};
use crate::store::{kept_back, late_postbacks, log_batches};

/// How long a preview may judge by conditions; far below what a query may read.
const PREVIEW_JUDGES: Duration = Duration::from_secs(4);

/// Deliveries judged at once.
const JUDGED: usize = 1_000;

/// Attempts shown of what a filter finds.
const SAMPLE: usize = 10;

#[derive(InputObject)]
struct StartResendInput {
    /// Every delivery with an attempt that this filter of `postbackLog` finds, begun before now.
    filter: PostbackLogFilter,
    /// The template of today where it is not given.
    request: Option<RequestVersion>,
    /// True sends also what the postback's condition, as it is today, keeps back. Otherwise that is
    /// skipped once more, and the log says why.
    ignore_condition: Option<bool>,
    /// Most deliveries made in a second; 50 where it is not given.
    rate_per_second: Option<i32>,
    /// A UUID of the caller's: asked again under it, there is still one job.
    job_id: Option<ID>,
}

/// What became of one delivery that is to be sent again.
#[derive(SimpleObject)]
struct ResentDelivery {
    delivery_id: ID,
    /// The new delivery; null where none was made.
    new_delivery_id: Option<ID>,
    /// It was waiting, and is due now.
    hastened: bool,
    /// Why nothing was done.
    skipped: Option<PassedOver>,
    /// The same in words; of a condition, the part that was false with the values it saw.
    reason: Option<String>,
}

#[derive(SimpleObject)]
struct ResendResult {
    job: DeliveryJob,
    /// One for each delivery that was named.
    deliveries: Vec<ResentDelivery>,
}

#[derive(SimpleObject)]
struct CountByPostback {
    postback_id: ID,
    deliveries: u64,
}

#[derive(SimpleObject)]
struct CountByOutcome {
    /// Of the last attempt that matches.
    outcome: Outcome,
    deliveries: u64,
}

#[derive(SimpleObject)]
struct CountByEvent {
    event: Event,
    deliveries: u64,
}

/// What `startResend` would find now. A delivery counts once, however many of its attempts match.
#[derive(SimpleObject)]
struct ResendPreview {
    deliveries: u64,
    /// How many of them are past the history's retention and cannot be sent again.
    forgotten: u64,
    /// How many of them the conditions of their postbacks, as they are today, keep back. At least so
    /// many where `isKeptBackComplete` is false.
    kept_back: u64,
    /// Why, most frequent first; at most 100 reasons are told apart.
    kept_back_reasons: Vec<KeptBackReason>,
    /// All were judged; it is given up after some seconds.
    is_kept_back_complete: bool,
    by_postback: Vec<CountByPostback>,
    by_outcome: Vec<CountByOutcome>,
    by_event: Vec<CountByEvent>,
    /// The newest attempts that match, at most ten.
    sample: Vec<PostbackAttempt>,
    /// Attempts that are not in ClickHouse yet, and so not counted here. A job waits for them.
    not_yet_in_log: u64,
}

#[derive(Default)]
pub struct ResendQuery;

#[Object]
impl ResendQuery {
    /// What a filter of the log finds, counted, and a sample of it; nothing is made. An advertiser or
    /// partner finds deliveries of its own postbacks. Not for tokens that only read.
    #[graphql(complexity = "rows_cost(SAMPLE, child_complexity)")]
    async fn resend_preview(
        &self,
        ctx: &Context<'_>,
        filter: PostbackLogFilter,
    ) -> Result<ResendPreview, Failure> {
        let scope = writer(ctx)?.scope();
        let now = Utc::now();
        let filter = up_to(filter.read()?, now);
        let groups = groups(ctx, scope, &filter).await?;
        let log = &databases(ctx).log;
        let request = PageRequest { rows: SAMPLE, after: None, with_total: false };
        let sample = read_log(reader::attempts(log, scope, &filter, &request)).await?;
        let together = Attempts::of(scope, &sample.rows);
        let not_yet_in_log = read_store(log_batches::rows_before(pool(ctx), Log::Attempts, now)).await?;
        let kept_back = kept_back(ctx, scope, &filter, &groups).await?;
        let mut by_postback: BTreeMap<Uuid, u64> = BTreeMap::new();
        let mut by_outcome = BTreeMap::new();
        let mut by_event = BTreeMap::new();
        for group in &groups {
            *by_postback.entry(group.postback_id).or_default() += group.deliveries;
            *by_outcome.entry(group.outcome).or_default() += group.deliveries;
            *by_event.entry(group.event).or_default() += group.deliveries;
        }
        Ok(ResendPreview {
            deliveries: groups.iter().map(|group| group.deliveries).sum(),
            forgotten: groups.iter().map(|group| group.before).sum(),
            kept_back: kept_back.count,
            kept_back_reasons: KeptBackReason::list(kept_back.reasons),
            is_kept_back_complete: kept_back.is_complete,
            by_postback: by_postback
                .into_iter()
                .map(|(id, deliveries)| CountByPostback { postback_id: id.into(), deliveries })
                .collect(),
            by_outcome: by_outcome
                .into_iter()
                .map(|(outcome, deliveries)| CountByOutcome { outcome: Outcome::from(outcome), deliveries })
                .collect(),
            by_event: by_event
                .into_iter()
                .map(|(event, deliveries)| CountByEvent { event: Event::from(event), deliveries })
                .collect(),
            sample: sample.rows.into_iter().map(|record| PostbackAttempt::of(record, &together)).collect(),
            not_yet_in_log,
        })
    }
}

#[derive(Default)]
pub struct ResendMutations;

#[Object]
impl ResendMutations {
    /// Sends up to 1000 deliveries again, at once. A finished one is made anew, under an id of its
    /// own; a waiting one is due now. One that does not exist, or is past the retention, is an error
    /// and nothing is done. Asked again under the same `jobId`, nothing is made twice. Owners, and
    /// whoever's postbacks they are for.
    async fn resend_deliveries(
        &self,
        ctx: &Context<'_>,
        delivery_ids: Vec<ID>,
        request: Option<RequestVersion>,
        #[graphql(
            desc = "True sends also what a postback's condition, as it is today, keeps back. Otherwise that is skipped \
                    once more, and the log says why."
        )]
        ignore_condition: Option<bool>,
        job_id: Option<ID>,
    ) -> Result<ResendResult, Failure> {
        let caller = writer(ctx)?;
        let ids = self::delivery_ids(&delivery_ids)?;
        let job_id = self::job_id("jobId", job_id.as_ref())?;
        let wish = Wish {
            job: job_id,
            scope: caller.scope(),
            request: request.unwrap_or(RequestVersion::Current).into(),
            conditions: conditions(ignore_condition),
            node: ctx.data_opt::<Arc<Services>>().map_or(NodeId(Uuid::nil()), |services| services.node),
        };
        let resending = store::resend_now(pool(ctx), caller.into(), wish, &ids, Utc::now());
        let (job, mut batch) = read_store(resending).await.map_err(as_argument)?;
        let deliveries = batch
            .results
            .into_iter()
            .map(|(id, result)| ResentDelivery {
                delivery_id: id.0.into(),
                new_delivery_id: match result {
                    Resent::Made(new_id) => Some(new_id.0.into()),
                    Resent::Hastened | Resent::PassedOver(_) => None,
                },
                hastened: result == Resent::Hastened,
                skipped: match result {
                    Resent::PassedOver(reason) => Some(reason.into()),
                    Resent::Made(_) | Resent::Hastened => None,
                },
                reason: match result {
                    Resent::PassedOver(reason) => {
                        Some(batch.reasons.remove(&id).unwrap_or_else(|| reason.sentence().to_owned()))
                    }
                    Resent::Made(_) | Resent::Hastened => None,
                },
            })
            .collect();
        Ok(ResendResult { job: job.into(), deliveries })
    }

    /// Starts a job that sends again whatever a filter of the log finds: every delivery once, without
    /// a cap, at a rate. It goes on whatever node dies, and can be paused and cancelled. Owners, and
    /// others for their own postbacks.
    async fn start_resend(&self, ctx: &Context<'_>, input: StartResendInput) -> Result<DeliveryJob, Failure> {
        let caller = writer(ctx)?;
        let now = Utc::now();
        let rate_per_second = rate("input.ratePerSecond", input.rate_per_second)?;
        let job_id = job_id("input.jobId", input.job_id.as_ref())?;
        let filter = up_to(input.filter.read().map_err(within_input)?, now);
        // ClickHouse may be away: the job waits for it, without knowing how much there is.
        let expected = match groups(ctx, caller.scope(), &filter).await {
            Ok(groups) => Some(groups.iter().map(|group| group.deliveries).sum()),
            Err(Failure::LogUnavailable { .. }) => None,
            Err(failure) => return Err(failure),
        };
        let job = NewJob {
            job_id,
            selection: Selection::Log(Box::new(filter)),
            request: input.request.unwrap_or(RequestVersion::Current).into(),
            conditions: conditions(input.ignore_condition),
            rate_per_second,
            expected,
            counts: Counts::default(),
            created_at: now,
        };
        Ok(read_store(store::start(pool(ctx), caller.into(), caller.scope(), &job)).await?.into())
    }
}

/// The filter, so that it finds nothing that begins from now on: not the job's own attempts either.
fn up_to(filter: AttemptFilter, now: DateTime<Utc>) -> AttemptFilter {
    AttemptFilter { to: Some(filter.to.map_or(now, |to| to.min(now))), ..filter }
}

fn conditions(ignore: Option<bool>) -> Conditions {
    match ignore {
        Some(true) => Conditions::Ignored,
        Some(false) | None => Conditions::Heeded,
    }
}

/// What conditions keep back of all that a filter finds.
#[derive(Default)]
struct KeptBack {
    count: u64,
    reasons: BTreeMap<String, u64>,
    is_complete: bool,
}

/// Judges what the filter finds of postbacks that have a condition, for as long as it may.
async fn kept_back(
    ctx: &Context<'_>,
    scope: Scope,
    filter: &AttemptFilter,
    groups: &[MatchedGroup],
) -> Result<KeptBack, Failure> {
    let deadline = Instant::now() + PREVIEW_JUDGES;
    let found: BTreeSet<Uuid> = groups.iter().map(|group| group.postback_id).collect();
    let found: Vec<Uuid> = found.into_iter().collect();
    let postback_ids = read_store(kept_back::conditional(pool(ctx), &found)).await?;
    let mut kept = KeptBack { is_complete: true, ..KeptBack::default() };
    if postback_ids.is_empty() {
        return Ok(kept);
    }
    let filter = AttemptFilter { postback_ids, ..filter.clone() };
    let mut after = None;
    loop {
        let log = &databases(ctx).log;
        let ids = read_log(reader::matched_deliveries(log, scope, &filter, after, JUDGED)).await?;
        for reason in read_store(kept_back::reasons(pool(ctx), scope, &ids)).await?.into_values() {
            kept.count += 1;
            if kept.reasons.len() < MOST_REASONS || kept.reasons.contains_key(&reason) {
                *kept.reasons.entry(reason).or_default() += 1;
            }
        }
        after = ids.last().copied();
        if ids.len() < JUDGED {
            return Ok(kept);
        }
        if Instant::now() >= deadline {
            kept.is_complete = false;
            return Ok(kept);
        }
    }
}

async fn groups(
    ctx: &Context<'_>,
    scope: Scope,
    filter: &AttemptFilter,
) -> Result<Vec<MatchedGroup>, Failure> {
    let history_from = read_store(late_postbacks::history_from(pool(ctx))).await?;
    read_log(reader::matched_groups(&databases(ctx).log, scope, filter, history_from)).await
}

fn within_input(failure: Failure) -> Failure {
    match failure {
        Failure::BadInput { field, message } => Failure::bad_input(format!("input.{field}"), message),
        other => other,
    }
}
