//! Write-ahead log made ready in advance.
//!
//! A new cluster has one segment of 16 MiB. Making the next one, which means writing it full of
//! zeros and flushing it, holds up whoever commits just then for some 40 ms, several times a
//! minute under load. A cluster that has run for a while has finished segments to use again;
//! this gives a new one as many.

use tokio_postgres::NoTls;

/// As many as `min_wal_size` keeps.
const SEGMENTS: i64 = 16;

/// Fills segments, which a checkpoint then makes over for later ones. Does nothing where there
/// are enough.
pub async fn make_ready(database_url: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(database_url, NoTls).await?;
    let connection = tokio::spawn(connection);
    let segments: i64 = client.query_one("SELECT count(*) FROM pg_ls_waldir()", &[]).await?.get(0);
    if segments < SEGMENTS / 2 {
        for _ in segments..SEGMENTS {
            // A switch leaves a segment only if something stands in it.
            client
                .batch_execute(
                    "SELECT pg_logical_emit_message(false, 'ricochet', ''); SELECT pg_switch_wal()",
                )
                .await?;
        }
        client.batch_execute("CHECKPOINT").await?;
    }
    drop(client);
    let _ = connection.await;
    Ok(())
}
