//! Advertisers' files as they were judged, and what has become of their rows.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use serde_json::{Value, json};
use uuid::Uuid;

use super::audit::{self, Actor, Entity};
use super::error::StoreError;
use super::used_signatures;
use crate::domain::access::signature::UsedSignature;
use crate::domain::ids::AdvertiserId;
use crate::domain::reconciliation::RowResult;

/// Files older than this are forgotten, with their rows.
const KEPT_DAYS: i32 = 30;

/// The time whose conversions the file should hold all of; from inclusive, to exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

#[derive(Debug, Clone)]
pub struct NewRow {
    pub position: i64,
    pub line: i64,
    pub request_id: String,
    pub lead_id: Option<Uuid>,
    pub result: RowResult,
    pub details: Value,
    pub parameters: Vec<(String, String)>,
}

/// A conversion that bears a request id of the file.
#[derive(Debug, Clone)]
pub struct KnownConversion {
    pub lead_id: Uuid,
    pub click_id: Uuid,
    pub action: String,
    pub status: String,
    pub customer_id: Option<String>,
}

/// Begins a file, and forgets those that are too old.
pub async fn begin(
    pool: &Pool,
    advertiser: AdvertiserId,
    period: Option<Period>,
) -> Result<Uuid, StoreError> {
    let client = pool.get().await?;
    let forget = "DELETE FROM reconciliations WHERE created_at < now() - make_interval(days => $1)";
    client.execute(forget, &[&KEPT_DAYS]).await?;
    let id = Uuid::now_v7();
    client
        .execute(
            "INSERT INTO reconciliations (reconciliation_id, advertiser_id, state, period_from, period_to, created_at)
             VALUES ($1, $2, 'reading', $3, $4, now())",
            &[&id, &advertiser.0, &period.map(|period| period.from), &period.map(|period| period.to)],
        )
        .await?;
    Ok(id)
}

/// Forgets a file that could not be read to its end.
pub async fn forget(pool: &Pool, id: Uuid) -> Result<(), StoreError> {
    let forget = "DELETE FROM reconciliations WHERE reconciliation_id = $1 AND state = 'reading'";
    pool.get().await?.execute(forget, &[&id]).await?;
    Ok(())
}

/// The conversions that bear these request ids, by request id.
pub async fn known(
    pool: &Pool,
    advertiser: AdvertiserId,
    request_ids: &[&str],
) -> Result<HashMap<String, Vec<KnownConversion>>, StoreError> {
    let client = pool.get().await?;
    let statement = client
        .prepare_cached(
            "SELECT request_id, lead_id, click_id, action, status, customer_id FROM conversions
             WHERE advertiser_id = $1 AND request_id = ANY($2) AND NOT is_test",
        )
        .await?;
    let mut known: HashMap<String, Vec<KnownConversion>> = HashMap::new();
    for row in &client.query(&statement, &[&advertiser.0, &request_ids]).await? {
        known.entry(row.get("request_id")).or_default().push(KnownConversion {
            lead_id: row.get("lead_id"),
            click_id: row.get("click_id"),
            action: row.get("action"),
            status: row.get("status"),
            customer_id: row.get("customer_id"),
        });
    }
    Ok(known)
}

/// The lines that these leads stand in already.
pub async fn lines_of(pool: &Pool, id: Uuid, leads: &[Uuid]) -> Result<HashMap<Uuid, i64>, StoreError> {
    let client = pool.get().await?;
    let statement = client
        .prepare_cached(
            "SELECT lead_id, min(line) FROM reconciliation_rows
             WHERE reconciliation_id = $1 AND lead_id = ANY($2) GROUP BY lead_id",
        )
        .await?;
    let rows = client.query(&statement, &[&id, &leads]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

pub async fn add_rows(pool: &Pool, id: Uuid, rows: &[NewRow]) -> Result<(), StoreError> {
    let positions: Vec<i64> = rows.iter().map(|row| row.position).collect();
    let lines: Vec<i64> = rows.iter().map(|row| row.line).collect();
    let request_ids: Vec<&str> = rows.iter().map(|row| row.request_id.as_str()).collect();
    let leads: Vec<Option<Uuid>> = rows.iter().map(|row| row.lead_id).collect();
    let results: Vec<&str> = rows.iter().map(|row| row.result.code()).collect();
    let details: Vec<Value> = rows.iter().map(|row| row.details.clone()).collect();
    let parameters: Vec<Value> = rows.iter().map(|row| json!(row.parameters)).collect();
    let client = pool.get().await?;
    let statement = client
        .prepare_cached(
            "INSERT INTO reconciliation_rows (reconciliation_id, position, line, request_id, lead_id, result,
                                              details, parameters)
             SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::uuid[], $6::text[],
                                      $7::jsonb[], $8::jsonb[])",
        )
        .await?;
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
        [&id, &positions, &lines, &request_ids, &leads, &results, &details, &parameters];
    client.execute(&statement, &values).await?;
    Ok(())
}

/// A file that was read to its end.
#[derive(Debug, Clone, Copy)]
pub struct WholeFile {
    pub advertiser: AdvertiserId,
    pub period: Option<Period>,
    pub last_position: i64,
}

/// Uses up the signatures the file came with, adds what we have of the period and the file lacks,
/// then lets the file be seen and applied. False, and nothing done, where a signature was used up
/// before.
pub async fn finish_reading(
    pool: &Pool,
    id: Uuid,
    file: WholeFile,
    signatures: &[UsedSignature],
) -> Result<bool, StoreError> {
    let WholeFile { advertiser, period, last_position } = file;
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    if !used_signatures::use_up(&transaction, id, signatures).await? {
        return Ok(false);
    }
    if let Some(Period { from, to }) = period {
        transaction.batch_execute("SET LOCAL statement_timeout = '120s'").await?;
        transaction
            .execute(
                "INSERT INTO reconciliation_rows (reconciliation_id, position, request_id, lead_id, result,
                                                  details, parameters)
                 SELECT $1, $2 + row_number() OVER (ORDER BY created_at, lead_id), request_id, lead_id, 'absent',
                        jsonb_build_object('action', action, 'status', status, 'price', amount::text,
                                           'currency', currency, 'created_at', created_at), '[]'
                 FROM conversions
                 WHERE advertiser_id = $3 AND created_at >= $4 AND created_at < $5 AND NOT is_test
                   AND NOT EXISTS (SELECT 1 FROM reconciliation_rows AS seen
                                   WHERE seen.reconciliation_id = $1 AND seen.lead_id = conversions.lead_id)",
                &[&id, &last_position, &advertiser.0, &from, &to],
            )
            .await?;
    }
    let count = "INSERT INTO reconciliation_counts (reconciliation_id, result, applied, row_count)
                 SELECT reconciliation_id, result, '', count(*) FROM reconciliation_rows
                 WHERE reconciliation_id = $1 GROUP BY reconciliation_id, result";
    transaction.execute(count, &[&id]).await?;
    let shown = "UPDATE reconciliations SET state = 'shown' WHERE reconciliation_id = $1";
    transaction.execute(shown, &[&id]).await?;
    transaction.commit().await?;
    Ok(true)
}

/// A file and how far it is.
#[derive(Debug, Clone)]
pub struct Summary {
    pub advertiser_id: AdvertiserId,
    pub state: String,
    pub created_at: DateTime<Utc>,
    pub applied_at: Option<DateTime<Utc>>,
    /// Rows by what they were judged to do.
    pub results: HashMap<String, i64>,
    /// Rows that were applied, by what became of them.
    pub applied: HashMap<String, i64>,
    /// Rows that are to be applied and were not yet.
    pub remaining: i64,
}

/// Whose file it is; `None` where there is none that could be read to its end.
pub async fn owner(pool: &Pool, id: Uuid) -> Result<Option<AdvertiserId>, StoreError> {
    let owner =
        "SELECT advertiser_id FROM reconciliations WHERE reconciliation_id = $1 AND state <> 'reading'";
    Ok(pool.get().await?.query_opt(owner, &[&id]).await?.map(|row| AdvertiserId(row.get(0))))
}

pub async fn summary(pool: &Pool, id: Uuid) -> Result<Option<Summary>, StoreError> {
    let client = pool.get().await?;
    let file = "SELECT * FROM reconciliations WHERE reconciliation_id = $1 AND state <> 'reading'";
    let Some(file) = client.query_opt(file, &[&id]).await? else { return Ok(None) };
    let counts = "SELECT result, nullif(applied, ''), row_count FROM reconciliation_counts \
                  WHERE reconciliation_id = $1";
    let mut summary = Summary {
        advertiser_id: AdvertiserId(file.get("advertiser_id")),
        state: file.get("state"),
        created_at: file.get("created_at"),
        applied_at: file.get("applied_at"),
        results: RowResult::ALL.iter().map(|result| (result.code().to_owned(), 0)).collect(),
        applied: HashMap::new(),
        remaining: 0,
    };
    for row in &client.query(counts, &[&id]).await? {
        let (result, applied, count): (String, Option<String>, i64) = (row.get(0), row.get(1), row.get(2));
        let waits = applied.is_none() && RowResult::from_code(&result).is_some_and(RowResult::is_applied);
        summary.remaining += if waits { count } else { 0 };
        *summary.results.entry(result).or_default() += count;
        if let Some(applied) = applied {
            *summary.applied.entry(applied).or_default() += count;
        }
    }
    Ok(Some(summary))
}

#[derive(Debug, Clone)]
pub struct StoredRow {
    pub position: i64,
    pub line: Option<i64>,
    pub request_id: String,
    pub lead_id: Option<Uuid>,
    pub result: String,
    pub details: Value,
    pub parameters: Vec<(String, String)>,
    pub applied: Option<String>,
    pub applied_details: Option<Value>,
}

/// Rows of these results after a position, in their order.
pub async fn rows(
    pool: &Pool,
    id: Uuid,
    results: &[&str],
    after: i64,
    limit: i64,
) -> Result<Vec<StoredRow>, StoreError> {
    let statement = "SELECT * FROM reconciliation_rows WHERE reconciliation_id = $1 AND result = ANY($2) \
                     AND position > $3 ORDER BY position LIMIT $4";
    let rows = pool.get().await?.query(statement, &[&id, &results, &after, &limit]).await?;
    rows.iter().map(stored).collect()
}

/// The next rows after a position that wait to be applied. To begin anew each time would be to
/// pass by all those applied meanwhile, whose entries stay in the index until it is vacuumed.
pub async fn rows_to_apply(
    pool: &Pool,
    id: Uuid,
    after: i64,
    limit: i64,
) -> Result<Vec<StoredRow>, StoreError> {
    let statement = "SELECT * FROM reconciliation_rows WHERE reconciliation_id = $1 AND applied IS NULL \
                     AND result IN ('change', 'new', 'quarantine') AND position > $2 ORDER BY position LIMIT $3";
    let rows = pool.get().await?.query(statement, &[&id, &after, &limit]).await?;
    rows.iter().map(stored).collect()
}

/// Notes what became of rows; what another caller noted first stays.
pub async fn mark_applied(
    pool: &Pool,
    id: Uuid,
    marks: &[(i64, &'static str, Value)],
) -> Result<(), StoreError> {
    let positions: Vec<i64> = marks.iter().map(|mark| mark.0).collect();
    let applied: Vec<&str> = marks.iter().map(|mark| mark.1).collect();
    let details: Vec<Value> = marks.iter().map(|mark| mark.2.clone()).collect();
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    // Whoever applies the same file waits here, and not in the midst of its counts.
    let lock = "SELECT 1 FROM reconciliations WHERE reconciliation_id = $1 FOR UPDATE";
    transaction.query(lock, &[&id]).await?;
    let statement = transaction
        .prepare_cached(
            "WITH marked AS (
                 UPDATE reconciliation_rows AS rows SET applied = mark.applied, applied_details = mark.details
                 FROM unnest($2::bigint[], $3::text[], $4::jsonb[]) AS mark(position, applied, details)
                 WHERE rows.reconciliation_id = $1 AND rows.position = mark.position AND rows.applied IS NULL
                 RETURNING rows.result, rows.applied
             ), counted AS (
                 SELECT result, applied, count(*) AS row_count FROM marked GROUP BY result, applied
             ), waiting AS (
                 UPDATE reconciliation_counts AS counts SET row_count = counts.row_count - gone.row_count
                 FROM (SELECT result, sum(row_count)::bigint AS row_count FROM counted GROUP BY result) AS gone
                 WHERE counts.reconciliation_id = $1 AND counts.result = gone.result AND counts.applied = ''
             )
             INSERT INTO reconciliation_counts AS counts (reconciliation_id, result, applied, row_count)
             SELECT $1, result, applied, row_count FROM counted
             ON CONFLICT (reconciliation_id, result, applied)
             DO UPDATE SET row_count = counts.row_count + excluded.row_count",
        )
        .await?;
    transaction.execute(&statement, &[&id, &positions, &applied, &details]).await?;
    transaction.commit().await?;
    Ok(())
}

/// Enters in the audit log that somebody set out to apply a file; once a file.
pub async fn begin_applying(pool: &Pool, actor: Actor, id: Uuid) -> Result<(), StoreError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let begin = "UPDATE reconciliations SET state = 'applied', applied_at = now() \
                 WHERE reconciliation_id = $1 AND state = 'shown'";
    if transaction.execute(begin, &[&id]).await? > 0 {
        let id = id.to_string();
        audit::record_values(&transaction, actor, Entity::Reconciliation, &id, "apply", None, None).await?;
    }
    transaction.commit().await?;
    Ok(())
}

fn stored(row: &tokio_postgres::Row) -> Result<StoredRow, StoreError> {
    let parameters = serde_json::from_value(row.try_get("parameters")?)
        .map_err(|error| StoreError::Unreadable(format!("reconciliation_rows.parameters: {error}")))?;
    Ok(StoredRow {
        position: row.try_get("position")?,
        line: row.try_get("line")?,
        request_id: row.try_get("request_id")?,
        lead_id: row.try_get("lead_id")?,
        result: row.try_get("result")?,
        details: row.try_get("details")?,
        parameters,
        applied: row.try_get("applied")?,
        applied_details: row.try_get("applied_details")?,
    })
}
