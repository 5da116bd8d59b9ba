//! Applies a file that was shown, through the same pipeline as every request, a batch at a time.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use super::judge::{Sender, inbound, is_same, judge_again};
use crate::domain::completion::Completion;
use crate::domain::event::Cause;
use crate::domain::fields;
use crate::domain::reconciliation::RowResult;
use crate::pipeline::inbound::{Asked, NotDurable, Origin};
use crate::pipeline::lanes::Lanes;
use crate::pipeline::services::Services;
use crate::store::StoreError;
use crate::store::reconciliations::{self, StoredRow};

/// Rows on their way through the pipeline at once.
const BATCH_ROWS: i64 = 500;

/// Why applying stopped; the rows before it are applied, and calling again goes on after them.
#[derive(Debug)]
pub enum ApplyError {
    NotDurable(NotDurable),
    Store(StoreError),
}

impl From<StoreError> for ApplyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Applies at most about `most_rows` of the rows that wait. Calling it again goes on.
pub async fn apply(
    services: &Services,
    lanes: &Lanes,
    sender: Sender,
    file: Uuid,
    most_rows: i64,
) -> Result<(), ApplyError> {
    let (mut done, mut position) = (0, 0);
    while done < most_rows {
        let limit = BATCH_ROWS.min(most_rows - done);
        let rows = reconciliations::rows_to_apply(&services.pool, file, position, limit).await?;
        let Some(last) = rows.last() else { break };
        position = last.position;
        done += i64::try_from(rows.len()).unwrap_or(limit);
        apply_batch(services, lanes, sender, file, rows).await?;
    }
    Ok(())
}

async fn apply_batch(
    services: &Services,
    lanes: &Lanes,
    sender: Sender,
    file: Uuid,
    rows: Vec<StoredRow>,
) -> Result<(), ApplyError> {
    let parameters: Vec<_> = rows.iter().map(|row| row.parameters.clone()).collect();
    let judgements = judge_again(services, sender, &parameters).await?;
    let mut marks: Vec<(i64, &'static str, Value)> = Vec::with_capacity(rows.len());
    let mut to_send = Vec::new();
    for (row, judgement) in rows.into_iter().zip(judgements) {
        if is_same(&row.result, &row.details, &judgement) {
            to_send.push(row);
        } else if judgement.result == RowResult::Unchanged {
            // Applied before a crash kept it from being noted, or reported meanwhile.
            marks.push((row.position, "duplicate", json!({})));
        } else {
            let message = "what this row would do has changed since it was shown; upload the file again";
            let now = json!({ "result": judgement.result.code(), "details": judgement.details });
            marks.push((row.position, "changed_since", json!({ "message": message, "now": now })));
        }
    }
    // Enqueued in the order of the file; those about one click are judged in that order.
    let pending: Vec<_> = to_send
        .iter()
        .map(|row| {
            let inbound = inbound(services, sender, &row.parameters);
            let read = fields::read(&row.parameters, Completion::AsSent);
            let origin = Origin { cause: Cause::Csv, ..Origin::default() };
            lanes.place(inbound, Asked::Conversion(Box::new(read)), origin)
        })
        .collect();
    let verdicts = join_all(pending.into_iter().map(|pending| async {
        // A lane that died took the reply with it.
        pending?.await.unwrap_or(Err(NotDurable::StoreAway))
    }))
    .await;
    let mut failure = None;
    for (row, verdict) in to_send.iter().zip(verdicts) {
        match verdict {
            Ok(verdict) => marks.push((row.position, verdict.code(), verdict.body())),
            Err(reason) => failure = Some(reason),
        }
    }
    reconciliations::mark_applied(&services.pool, file, &marks).await?;
    match failure {
        Some(reason) => Err(ApplyError::NotDurable(reason)),
        None => Ok(()),
    }
}
