//! Conversions as they stand, all of them: a portal over one snapshot, read no further than whoever takes
//! the rows.

use deadpool_postgres::{Object, Pool};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::IsolationLevel;

use super::conversion_search::{ConversionFilter, ConversionRecord, SELECTED, search};
use super::error::StoreError;
use crate::graphql::scope::Scope;

/// Rows read at once, and so held.
const ROWS: i32 = 500;
/// Portions between PostgreSQL and the taker.
const PORTIONS: usize = 2;
/// Longer than the taker may stand still: it is cut off before the snapshot is.
const SESSION: &str =
    "SET LOCAL statement_timeout = '60s'; SET LOCAL idle_in_transaction_session_timeout = '120s'";

/// Whether the rows are counted first, in the same snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    Counted,
    Uncounted,
}

/// An export that has begun.
pub struct Begun {
    pub rows: Option<u64>,
    /// Ends when all was there; an error breaks it off.
    pub portions: mpsc::Receiver<Result<Portion, StoreError>>,
}

/// Some rows, or that all were there.
pub enum Portion {
    Rows(Vec<ConversionRecord>),
    End,
}

/// Conversions in scope that the filter finds, oldest first, as of one moment. Dropping the receiver
/// ends it.
pub async fn begin(
    pool: &Pool,
    scope: Scope,
    filter: ConversionFilter,
    counting: Counting,
) -> Result<Begun, StoreError> {
    let client = pool.get().await?;
    let (started, start) = oneshot::channel();
    let (sender, portions) = mpsc::channel(PORTIONS);
    tokio::spawn(async move {
        if let Err(error) = read(client, scope, &filter, counting, started, &sender).await {
            // Before the start nobody listens here, and the start is never told.
            let _ = sender.send(Err(error)).await;
        }
    });
    let mut portions = portions;
    match start.await {
        Ok(rows) => Ok(Begun { rows, portions }),
        Err(_) => match portions.recv().await {
            Some(Err(error)) => Err(error),
            _ => Err(StoreError::Unreadable("an export ended before it began".into())),
        },
    }
}

async fn read(
    mut client: Object,
    scope: Scope,
    filter: &ConversionFilter,
    counting: Counting,
    started: oneshot::Sender<Option<u64>>,
    sender: &mpsc::Sender<Result<Portion, StoreError>>,
) -> Result<(), StoreError> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    transaction.batch_execute(SESSION).await?;
    let search = search(scope, filter);
    let found = format!("FROM conversions{}", search.where_clause());
    let rows = match counting {
        Counting::Uncounted => None,
        Counting::Counted => {
            let count = format!("SELECT count(*) {found}");
            let count: i64 = transaction.query_one(&count, &search.values()).await?.try_get(0)?;
            Some(count.unsigned_abs())
        }
    };
    let statement = format!("SELECT {SELECTED} {found} ORDER BY created_at, lead_id");
    let portal = transaction.bind(&statement, &search.values()).await?;
    let mut started = Some(started);
    loop {
        let portion = tokio::select! {
            () = sender.closed() => return Ok(()),
            portion = transaction.query_portal(&portal, ROWS) => portion?,
        };
        let is_last = portion.len() < ROWS.unsigned_abs() as usize;
        let portion = portion.iter().map(ConversionRecord::from_row).collect::<Result<Vec<_>, _>>()?;
        if let Some(started) = started.take() {
            let _ = started.send(rows);
        }
        if sender.send(Ok(Portion::Rows(portion))).await.is_err() {
            return Ok(());
        }
        if is_last {
            let _ = sender.send(Ok(Portion::End)).await;
            return Ok(());
        }
    }
}
