//! Jobs that make many deliveries: what was wished, how far it is, and which node works at it.

mod orders;
mod work;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

pub use orders::{Order, order};
pub use work::{Held, Progress, claim, note, save};

use super::audit::{self, Actor, Entity};
use super::error::StoreError;
use super::resend::{Batch, Resent, Wish, resend_batch, scope_columns};
use super::search::{Columns, Search, page};
use super::setup::ChangeError;
use crate::domain::ids::{AdvertiserId, DeliveryId, JobId, PartnerId, PostbackId};
use crate::domain::resend::{Conditions, JobKind, JobState, PassedOver, RequestVersion};
use crate::event_log::reader::AttemptFilter;
use crate::graphql::paging::{Page, PageRequest, Position, Positioned};
use crate::graphql::scope::Scope;

/// What a job is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// These deliveries.
    Deliveries(Vec<Uuid>),
    /// Whatever this filter of the attempts log finds.
    Log(Box<AttemptFilter>),
    /// Conversions of the past, for a postback that did not hear of them.
    Past(PastSelection),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastSelection {
    pub postback_id: PostbackId,
    /// Recorded at this time or later; `None`: from the beginning of the history.
    pub from: Option<DateTime<Utc>>,
    /// Recorded before this time.
    pub to: DateTime<Utc>,
    pub include_tests: bool,
}

impl Selection {
    pub fn kind(&self) -> JobKind {
        match self {
            Self::Deliveries(_) | Self::Log(_) => JobKind::Resend,
            Self::Past(_) => JobKind::SendPast,
        }
    }
}

#[derive(Debug, Clone)]
pub struct JobRecord {
    pub job_id: JobId,
    pub state: JobState,
    pub selection: Selection,
    pub request: RequestVersion,
    pub conditions: Conditions,
    pub rate_per_second: u32,
    pub scope: Scope,
    pub actor_token_id: Option<Uuid>,
    pub actor_role: String,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// How many it will look at, as far as was known when it was made.
    pub expected: Option<u64>,
    pub counts: Counts,
    /// What it waits for, or why it failed; empty otherwise.
    pub note: String,
    pub(super) cursor: Option<Uuid>,
    pub(super) paced_until: DateTime<Utc>,
    pub(super) fence: i64,
}

/// What a job has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries or events it has looked at.
    pub matched: u64,
    /// New deliveries.
    pub made: u64,
    /// Waiting deliveries that were made due.
    pub hastened: u64,
    pub skipped: BTreeMap<PassedOver, u64>,
}

impl Counts {
    pub fn of<'a>(results: impl IntoIterator<Item = &'a Resent>) -> Self {
        let mut counts = Self::default();
        for result in results {
            counts.matched += 1;
            match result {
                Resent::Made(_) => counts.made += 1,
                Resent::Hastened => counts.hastened += 1,
                Resent::PassedOver(reason) => *counts.skipped.entry(*reason).or_default() += 1,
            }
        }
        counts
    }

    pub fn add(&mut self, other: &Self) {
        self.matched += other.matched;
        self.made += other.made;
        self.hastened += other.hastened;
        for (reason, count) in &other.skipped {
            *self.skipped.entry(*reason).or_default() += count;
        }
    }
}

impl Positioned for JobRecord {
    fn position(&self) -> Position {
        Position { time: self.created_at, id: self.job_id.0 }
    }
}

/// A job to be made.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Whoever asks again under the same id gets the same job.
    pub job_id: JobId,
    pub selection: Selection,
    pub request: RequestVersion,
    pub conditions: Conditions,
    pub rate_per_second: u32,
    pub expected: Option<u64>,
    pub counts: Counts,
    pub created_at: DateTime<Utc>,
}

/// Enters a job that the nodes will work at, with its audit entry.
pub async fn start(pool: &Pool, actor: Actor, scope: Scope, job: &NewJob) -> Result<JobRecord, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let is_new = insert(&transaction, actor, scope, job, JobState::Planned).await?;
    let record = get_in(&transaction, scope, job.job_id).await?;
    if !is_new && !is_same(&record, job) {
        return Err(taken());
    }
    transaction.commit().await?;
    Ok(record)
}

/// Sends deliveries again at once, in one transaction, as a job that is done when it begins.
pub async fn resend_now(
    pool: &Pool,
    actor: Actor,
    wish: Wish,
    ids: &[DeliveryId],
    now: DateTime<Utc>,
) -> Result<(JobRecord, Batch), ChangeError> {
    let Wish { job: job_id, scope, request, conditions, .. } = wish;
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let batch = resend_batch(&transaction, wish, ids, now).await?;
    let results = &batch.results;
    let unknown = (DeliveryId(Uuid::nil()), Resent::PassedOver(PassedOver::Forgotten));
    if let Some((id, _)) = results.iter().find(|(_, result)| *result == unknown.1) {
        return Err(ChangeError::bad(
            "delivery_ids",
            format!(
                "there is no such delivery as {id}, or it is past the history's retention and cannot be sent again"
            ),
        ));
    }
    let job = NewJob {
        job_id,
        selection: Selection::Deliveries(ids.iter().map(|id| id.0).collect()),
        request,
        conditions,
        rate_per_second: u32::try_from(ids.len().max(1)).unwrap_or(u32::MAX),
        expected: Some(ids.len() as u64),
        counts: Counts::of(results.iter().map(|(_, result)| result)),
        created_at: now,
    };
    let is_new = insert(&transaction, actor, scope, &job, JobState::Done).await?;
    let record = get_in(&transaction, scope, job_id).await?;
    if !is_new && !is_same(&record, &job) {
        return Err(taken());
    }
    transaction.commit().await?;
    Ok((record, batch))
}

fn is_same(record: &JobRecord, job: &NewJob) -> bool {
    let of_log = |selection: &Selection| match selection {
        // The end of its time was set when the job was first asked for.
        Selection::Log(filter) => Selection::Log(Box::new(AttemptFilter { to: None, ..(**filter).clone() })),
        Selection::Past(past) => Selection::Past(PastSelection { to: DateTime::UNIX_EPOCH, ..past.clone() }),
        Selection::Deliveries(_) => selection.clone(),
    };
    of_log(&record.selection) == of_log(&job.selection)
        && record.request == job.request
        && record.conditions == job.conditions
}

fn taken() -> ChangeError {
    ChangeError::bad("job_id", "another job has this id; leave jobId out, or write a new UUID")
}

/// False where there is a job of this id already.
async fn insert(
    client: &impl deadpool_postgres::GenericClient,
    actor: Actor,
    scope: Scope,
    job: &NewJob,
    state: JobState,
) -> Result<bool, StoreError> {
    let selection = serde_json::to_value(&job.selection).expect("a selection is JSON");
    let (advertiser, partner) = scope_columns(scope);
    let rate = i32::try_from(job.rate_per_second).unwrap_or(i32::MAX);
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let is_done = state == JobState::Done;
    let ignores_condition = job.conditions == Conditions::Ignored;
    let inserted = client
        .execute(
            "INSERT INTO delivery_jobs (job_id, kind, state, selection, request, rate_per_second, advertiser_id,
                                        partner_id, actor_token_id, actor_role, created_at, started_at, finished_at,
                                        expected, matched, made, hastened, skipped, paced_until,
                                        ignores_condition)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::timestamptz,
                     CASE WHEN $12 THEN $11::timestamptz END,
                     CASE WHEN $12 THEN $11::timestamptz END, $13, $14, $15, $16, $17, $11::timestamptz, $18)
             ON CONFLICT (job_id) DO NOTHING",
            &[
                &job.job_id.0,
                &job.selection.kind().code(),
                &state.code(),
                &selection,
                &job.request.code(),
                &rate,
                &advertiser,
                &partner,
                &actor.token_id(),
                &actor.role(),
                &job.created_at,
                &is_done,
                &job.expected.map(count),
                &count(job.counts.matched),
                &count(job.counts.made),
                &count(job.counts.hastened),
                &skipped_json(&job.counts),
                &ignores_condition,
            ],
        )
        .await?;
    if inserted == 1 {
        let after = json!({
            "selection": selection, "request": job.request.code(), "rate_per_second": rate,
            "made": job.counts.made, "hastened": job.counts.hastened, "ignores_condition": ignores_condition,
        });
        let id = job.job_id.to_string();
        let action = job.selection.kind().code();
        audit::record_values(client, actor, Entity::DeliveryJob, &id, action, None, Some(after)).await?;
    }
    Ok(inserted == 1)
}

const COLUMNS: Columns = Columns { selected: "*", from: "delivery_jobs", time: "created_at", id: "job_id" };

/// Jobs in scope, newest first: everything for an owner, their own for others.
pub async fn list(
    pool: &Pool,
    scope: Scope,
    job_id: Option<Uuid>,
    states: &[JobState],
    request: &PageRequest,
) -> Result<Page<JobRecord>, StoreError> {
    let mut search = Search::default();
    let (advertiser, partner) = scope_columns(scope);
    search.compare("advertiser_id =", advertiser);
    search.compare("partner_id =", partner);
    search.compare("job_id =", job_id);
    search.one_of("state", states.iter().map(|state| state.code()).collect());
    page(pool, COLUMNS, search, request, read).await
}

async fn get_in(
    client: &impl deadpool_postgres::GenericClient,
    scope: Scope,
    job_id: JobId,
) -> Result<JobRecord, ChangeError> {
    let (advertiser, partner) = scope_columns(scope);
    let row = client
        .query_opt(
            "SELECT * FROM delivery_jobs
             WHERE job_id = $1 AND ($2::uuid IS NULL OR advertiser_id = $2) AND ($3::uuid IS NULL OR partner_id = $3)",
            &[&job_id.0, &advertiser, &partner],
        )
        .await?;
    let row = row.ok_or(ChangeError::NotFound { field: "job_id", what: "job" })?;
    Ok(read(&row)?)
}

fn skipped_json(counts: &Counts) -> serde_json::Value {
    counts.skipped.iter().map(|(reason, count)| (reason.code().to_owned(), json!(count))).collect()
}

pub(super) fn read(row: &Row) -> Result<JobRecord, StoreError> {
    let unreadable =
        |column: &str, why: String| StoreError::Unreadable(format!("delivery_jobs.{column}: {why}"));
    let state: String = row.try_get("state")?;
    let request: String = row.try_get("request")?;
    let selection = serde_json::from_value(row.try_get("selection")?)
        .map_err(|error| unreadable("selection", error.to_string()))?;
    let skipped: BTreeMap<String, u64> = serde_json::from_value(row.try_get("skipped")?)
        .map_err(|error| unreadable("skipped", error.to_string()))?;
    let advertiser: Option<Uuid> = row.try_get("advertiser_id")?;
    let partner: Option<Uuid> = row.try_get("partner_id")?;
    let count = |column: &str| Ok::<_, StoreError>(row.try_get::<_, i64>(column)?.unsigned_abs());
    Ok(JobRecord {
        job_id: JobId(row.try_get("job_id")?),
        state: JobState::from_code(&state).ok_or_else(|| unreadable("state", state))?,
        selection,
        request: RequestVersion::from_code(&request).ok_or_else(|| unreadable("request", request))?,
        conditions: match row.try_get("ignores_condition")? {
            true => Conditions::Ignored,
            false => Conditions::Heeded,
        },
        rate_per_second: u32::try_from(row.try_get::<_, i32>("rate_per_second")?).unwrap_or(1),
        scope: match (advertiser, partner) {
            (Some(id), _) => Scope::Advertiser(AdvertiserId(id)),
            (None, Some(id)) => Scope::Partner(PartnerId(id)),
            (None, None) => Scope::Everything,
        },
        actor_token_id: row.try_get("actor_token_id")?,
        actor_role: row.try_get("actor_role")?,
        created_at: row.try_get("created_at")?,
        started_at: row.try_get("started_at")?,
        finished_at: row.try_get("finished_at")?,
        expected: row.try_get::<_, Option<i64>>("expected")?.map(i64::unsigned_abs),
        counts: Counts {
            matched: count("matched")?,
            made: count("made")?,
            hastened: count("hastened")?,
            skipped: skipped
                .into_iter()
                .map(|(code, count)| {
                    let reason = PassedOver::from_code(&code).ok_or_else(|| unreadable("skipped", code))?;
                    Ok((reason, count))
                })
                .collect::<Result<_, StoreError>>()?,
        },
        note: row.try_get("note")?,
        cursor: row.try_get("cursor")?,
        paced_until: row.try_get("paced_until")?,
        fence: row.try_get("fence")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_survives_its_storage() {
        let filter = AttemptFilter { txid: Some("x".into()), ..AttemptFilter::default() };
        let selection = Selection::Log(Box::new(filter));
        let stored = serde_json::to_value(&selection).unwrap();
        assert_eq!(serde_json::from_value::<Selection>(stored).unwrap(), selection);
        // A filter that an older version stored lacks what has come since.
        assert!(serde_json::from_value::<Selection>(json!({ "log": { "offer_ids": [] } })).is_ok());
    }
}
