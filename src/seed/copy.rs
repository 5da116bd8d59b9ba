//! Portions into PostgreSQL, by COPY.

use deadpool_postgres::Pool;
use futures_util::{SinkExt as _, pin_mut};
use hyper::body::Bytes;

use super::portion::{Portion, STATE_TABLES};

/// All tables of a portion in one transaction.
pub async fn write(pool: &Pool, portion: &Portion) -> anyhow::Result<()> {
    if portion.copies().iter().all(String::is_empty) {
        return Ok(());
    }
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    for ((table, columns), rows) in STATE_TABLES.iter().zip(portion.copies()) {
        if rows.is_empty() {
            continue;
        }
        let copy = transaction.copy_in::<_, Bytes>(&format!("COPY {table} ({columns}) FROM STDIN")).await?;
        pin_mut!(copy);
        copy.send(Bytes::copy_from_slice(rows.as_bytes())).await?;
        copy.finish().await?;
    }
    transaction.commit().await?;
    Ok(())
}
