//! Fetching what a statement reads, over connections that ClickHouse may have closed.
//!
//! ClickHouse closes a connection that nobody has used for a while, also at the very moment at
//! which it is used again. A reading changes nothing, so it is
//! sent once more, over another connection. What took long is not: it failed for another reason.
//! Every reading of the log begins here.

use std::time::{Duration, Instant};

use actix_web::web::Bytes;
use clickhouse::error::Error;
use clickhouse::query::{BytesCursor, Query, RowCursor};
use clickhouse::{Row, RowOwned, RowRead};

/// A connection that was closed says so at once.
const AT_ONCE: Duration = Duration::from_secs(2);

pub async fn fetch_all<R: Row + RowOwned + RowRead>(query: Query) -> Result<Vec<R>, Error> {
    once_more(|| query.clone().fetch_all::<R>()).await
}

/// The only row of an aggregate.
pub async fn fetch_one<R: Row + RowOwned + RowRead>(query: Query) -> Result<R, Error> {
    fetch_all::<R>(query).await?.pop().ok_or(Error::RowNotFound)
}

pub async fn fetch_optional<R: Row + RowOwned + RowRead>(query: Query) -> Result<Option<R>, Error> {
    once_more(|| query.clone().fetch_optional::<R>()).await
}

/// The first row, and where the others come from. What breaks after the first is told by the cursor.
pub async fn begin_rows<R: Row + RowOwned + RowRead>(
    query: Query,
) -> Result<(Option<R>, RowCursor<R>), Error> {
    let begin = || {
        let query = query.clone();
        async move {
            let mut cursor = query.fetch::<R>()?;
            Ok((cursor.next().await?, cursor))
        }
    };
    once_more(begin).await
}

/// The same of an answer in a format of ClickHouse's own.
pub async fn begin_bytes(query: Query, format: &str) -> Result<(Option<Bytes>, BytesCursor), Error> {
    let begin = || {
        let query = query.clone();
        async move {
            let mut cursor = query.fetch_bytes(format)?;
            Ok((cursor.next().await?, cursor))
        }
    };
    once_more(begin).await
}

async fn once_more<T, F: Future<Output = Result<T, Error>>>(read: impl Fn() -> F) -> Result<T, Error> {
    let begun = Instant::now();
    match read().await {
        Err(Error::Network(_)) if begun.elapsed() < AT_ONCE => read().await,
        outcome => outcome,
    }
}
