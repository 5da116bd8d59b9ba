//! Working at a job: under a lease, in small steps, each saved with what it made.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Pool};
use uuid::Uuid;

use super::{Counts, JobRecord, read, skipped_json};
use crate::domain::ids::NodeId;
use crate::domain::resend::JobState;
use crate::store::error::StoreError;

/// How long a node holds a job without saving anything; a dead node's are taken over sooner.
const LEASE: Duration = Duration::from_secs(30);

/// A job this node works at.
#[derive(Debug, Clone)]
pub struct Held {
    pub job: JobRecord,
    node: NodeId,
}

impl Held {
    /// The last id that was dealt with.
    pub fn cursor(&self) -> Option<Uuid> {
        self.job.cursor
    }

    pub fn paced_until(&self) -> DateTime<Utc> {
        self.job.paced_until
    }
}

/// Takes up to `limit` jobs that nobody works at, or whose node is dead, oldest first.
pub async fn claim(pool: &Pool, node: NodeId, limit: usize) -> Result<Vec<Held>, StoreError> {
    let client = pool.get().await?;
    let statement = client
        .prepare_cached(
            "UPDATE delivery_jobs
             SET claimed_by = $1, lease_until = now() + make_interval(secs => $2), fence = fence + 1,
                 state = 'running', started_at = coalesce(started_at, now())
             WHERE job_id IN (
                 SELECT job_id FROM delivery_jobs
                 WHERE state IN ('planned', 'running')
                   AND (claimed_by IS NULL OR lease_until < now()
                        OR NOT EXISTS (SELECT FROM nodes
                                       WHERE node_id = claimed_by AND nodes.lease_until >= now()))
                 ORDER BY created_at LIMIT $3 FOR UPDATE SKIP LOCKED
             )
             RETURNING *",
        )
        .await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = client.query(&statement, &[&node.0, &LEASE.as_secs_f64(), &limit]).await?;
    rows.iter().map(|row| Ok(Held { job: read(row)?, node })).collect()
}

/// What one step comes to.
#[derive(Debug, Default)]
pub struct Progress {
    pub counts: Counts,
    /// The last id dealt with; `None` where there was none.
    pub cursor: Option<Uuid>,
    pub paced_until: DateTime<Utc>,
    /// Set: the job is over.
    pub ends: Option<JobState>,
    /// Why, where it failed.
    pub note: String,
}

/// Saves a step inside the transaction that made its deliveries. False: the job was taken away,
/// paused or cancelled meanwhile, and the transaction must be given up.
pub async fn save(client: &impl GenericClient, held: &Held, progress: &Progress) -> Result<bool, StoreError> {
    let mut counts = held.job.counts.clone();
    counts.add(&progress.counts);
    let cursor = progress.cursor.or(held.job.cursor);
    let state = progress.ends.unwrap_or(JobState::Running);
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let statement = client
        .prepare_cached(
            "UPDATE delivery_jobs
             SET matched = $4, made = $5, hastened = $6, skipped = $7, cursor = $8, paced_until = $9, note = $10,
                 state = $11, lease_until = CASE WHEN $12 THEN NULL ELSE now() + make_interval(secs => $13) END,
                 claimed_by = CASE WHEN $12 THEN NULL ELSE claimed_by END,
                 finished_at = CASE WHEN $12 THEN now() END
             WHERE job_id = $1 AND claimed_by = $2 AND fence = $3 AND state = 'running'",
        )
        .await?;
    let saved = client
        .execute(
            &statement,
            &[
                &held.job.job_id.0,
                &held.node.0,
                &held.job.fence,
                &count(counts.matched),
                &count(counts.made),
                &count(counts.hastened),
                &skipped_json(&counts),
                &cursor,
                &progress.paced_until,
                &progress.note,
                &state.code(),
                &state.is_over(),
                &LEASE.as_secs_f64(),
            ],
        )
        .await?;
    Ok(saved == 1)
}

impl Held {
    /// Takes over what was saved.
    pub fn has_saved(&mut self, progress: &Progress) {
        self.job.counts.add(&progress.counts);
        self.job.cursor = progress.cursor.or(self.job.cursor);
        self.job.paced_until = progress.paced_until;
        self.job.note.clone_from(&progress.note);
        self.job.state = progress.ends.unwrap_or(self.job.state);
    }
}

/// Says what a job waits for, and keeps it. False: it was taken away, paused or cancelled.
pub async fn note(pool: &Pool, held: &mut Held, note: &str) -> Result<bool, StoreError> {
    let client = pool.get().await?;
    let statement = client
        .prepare_cached(
            "UPDATE delivery_jobs SET note = $4, lease_until = now() + make_interval(secs => $5)
             WHERE job_id = $1 AND claimed_by = $2 AND fence = $3 AND state = 'running'",
        )
        .await?;
    let job = &held.job;
    let kept = client
        .execute(&statement, &[&job.job_id.0, &held.node.0, &job.fence, &note, &LEASE.as_secs_f64()])
        .await?;
    note.clone_into(&mut held.job.note);
    Ok(kept == 1)
}
