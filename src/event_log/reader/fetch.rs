//! Fetching what a statement reads, over connections that ClickHouse may have closed.
//!
//! ClickHouse closes a connection that nobody has used for a while (the embedded one after a
//! second), also at the very moment at which it is used again. A reading changes nothing, so it is
//! sent once more, over another connection. What took long is not: it failed for another reason.

use std::time::{Duration, Instant};

use clickhouse::error::Error;
use clickhouse::query::Query;
use clickhouse::{Row, RowOwned, RowRead};

/// A connection that was closed says so at once.
const AT_ONCE: Duration = Duration::from_secs(2);

pub async fn fetch_all<R: Row + RowOwned + RowRead>(query: Query) -> Result<Vec<R>, Error> {
    let begun = Instant::now();
    match query.clone().fetch_all::<R>().await {
        Err(Error::Network(_)) if begun.elapsed() < AT_ONCE => query.fetch_all::<R>().await,
        outcome => outcome,
    }
}

/// The only row of an aggregate.
pub async fn fetch_one<R: Row + RowOwned + RowRead>(query: Query) -> Result<R, Error> {
    fetch_all::<R>(query).await?.pop().ok_or(Error::RowNotFound)
}
