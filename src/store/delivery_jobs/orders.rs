//! What is done to a job by hand: it is paused, resumed or cancelled.

use deadpool_postgres::Pool;
use serde_json::json;

use super::{JobRecord, get_in};
use crate::domain::ids::JobId;
use crate::domain::resend::JobState;
use crate::graphql::scope::Scope;
use crate::store::audit::{self, Actor, Entity};
use crate::store::setup::ChangeError;

/// What is done to a job by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Pause,
    Resume,
    Cancel,
}

impl Order {
    fn word(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }

    /// The state that follows; `None` where the order has nothing to do.
    fn follows(self, state: JobState, has_started: bool) -> Result<Option<JobState>, String> {
        let over = || Err(format!("the job is {} and stays so; start a new one", state.code()));
        match (self, state) {
            (Self::Cancel, JobState::Cancelled) | (Self::Pause, JobState::Paused) => Ok(None),
            (Self::Resume, JobState::Planned | JobState::Running) => Ok(None),
            (_, JobState::Done | JobState::Cancelled | JobState::Failed) => over(),
            (Self::Pause, _) => Ok(Some(JobState::Paused)),
            (Self::Resume, _) if has_started => Ok(Some(JobState::Running)),
            (Self::Resume, _) => Ok(Some(JobState::Planned)),
            (Self::Cancel, _) => Ok(Some(JobState::Cancelled)),
        }
    }
}

/// Pauses, resumes or cancels a job, at once: a step that a node has under way is not saved. What
/// the job has made stays.
pub async fn order(
    pool: &Pool,
    actor: Actor,
    scope: Scope,
    job_id: JobId,
    order: Order,
) -> Result<JobRecord, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    transaction.execute("SELECT FROM delivery_jobs WHERE job_id = $1 FOR UPDATE", &[&job_id.0]).await?;
    let before = get_in(&transaction, scope, job_id).await?;
    let next = order
        .follows(before.state, before.started_at.is_some())
        .map_err(|message| ChangeError::bad("job_id", message))?;
    let Some(state) = next else { return Ok(before) };
    transaction
        .execute(
            "UPDATE delivery_jobs
             SET state = $2, claimed_by = NULL, lease_until = NULL, fence = fence + 1, note = '',
                 finished_at = CASE WHEN $3 THEN now() END
             WHERE job_id = $1",
            &[&job_id.0, &state.code(), &state.is_over()],
        )
        .await?;
    let told = |state: JobState| Some(json!({ "state": state.code() }));
    let id = job_id.to_string();
    let (from, to) = (told(before.state), told(state));
    audit::record_values(&transaction, actor, Entity::DeliveryJob, &id, order.word(), from, to).await?;
    let record = get_in(&transaction, scope, job_id).await?;
    transaction.commit().await?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_takes_no_orders() {
        for state in [JobState::Done, JobState::Failed] {
            for order in [Order::Pause, Order::Resume, Order::Cancel] {
                assert!(order.follows(state, true).is_err(), "{order:?} {state:?}");
            }
        }
        assert_eq!(Order::Pause.follows(JobState::Running, true), Ok(Some(JobState::Paused)));
        assert_eq!(Order::Resume.follows(JobState::Paused, true), Ok(Some(JobState::Running)));
        assert_eq!(Order::Resume.follows(JobState::Paused, false), Ok(Some(JobState::Planned)));
        assert_eq!(Order::Cancel.follows(JobState::Cancelled, true), Ok(None));
        assert_eq!(Order::Cancel.follows(JobState::Paused, false), Ok(Some(JobState::Cancelled)));
    }
}
