//! Moves a file from its database to its caller, no faster than the caller takes it.

use std::io::{self, Write as _};
use std::time::Duration;

use actix_web::web::Bytes;
use clickhouse::query::BytesCursor;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::Stream;
use futures_util::stream;
use parquet::errors::ParquetError;
use tokio::sync::mpsc::Receiver;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::conversions::Lines;
use crate::store::StoreError;
use crate::store::conversion_export::Portion;

/// Chunks between the database and the caller, each as it was read: a MiB at most.
const CHUNKS: usize = 2;
/// How long a caller may take nothing.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Where the rest of a file comes from.
pub enum Source {
    Log(BytesCursor),
    Conversions(Receiver<Result<Portion, StoreError>>, Lines),
    /// All has been read.
    Over,
}

impl Source {
    async fn next(&mut self) -> Result<Option<Bytes>, Stopped> {
        match self {
            Self::Log(cursor) => Ok(cursor.next().await?),
            Self::Conversions(portions, lines) => match portions.recv().await {
                Some(Ok(Portion::Rows(rows))) => Ok(Some(lines.of_rows(&rows)?)),
                Some(Ok(Portion::End)) => {
                    let last = lines.end()?;
                    *self = Self::Over;
                    Ok(last)
                }
                Some(Err(error)) => Err(error.into()),
                None => Err(Stopped::Cut),
            },
            Self::Over => Ok(None),
        }
    }
}

/// What the body is made of.
enum Piece {
    Bytes(Bytes),
    /// All was there. Whatever ends without it ends the connection.
    End,
}

/// Why a pump stopped early.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error("ClickHouse: {0}")]
    Log(#[from] clickhouse::error::Error),
    #[error("PostgreSQL: {0}")]
    Store(#[from] StoreError),
    #[error("PostgreSQL: the rows ended before the last")]
    Cut,
    #[error("the caller went")]
    Gone,
    #[error("the caller took nothing for {STANDSTILL:?}")]
    Standstill,
    #[error("writing Parquet: {0}")]
    Parquet(#[from] ParquetError),
    #[error("compressing: {0}")]
    Compression(#[from] io::Error),
}

/// The body of an export that has begun with `first`. Dropping it cancels the query; `place` is held as
/// long as it lasts.
pub fn start(
    source: Source,
    first: Option<Bytes>,
    compresses: bool,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    actix_web::rt::spawn(async move {
        metrics::gauge!("ricochet_exports").increment(1);
        let outcome = pump(source, first, compresses, &sender).await;
        metrics::gauge!("ricochet_exports").decrement(1);
        let code = match &outcome {
            Ok(()) => "complete",
            Err(Stopped::Gone | Stopped::Standstill) => "abandoned",
            Err(
                Stopped::Log(_)
                | Stopped::Store(_)
                | Stopped::Cut
                | Stopped::Parquet(_)
                | Stopped::Compression(_),
            ) => "broken",
        };
        metrics::counter!("ricochet_exports_total", "outcome" => code).increment(1);
        match outcome {
            Ok(()) => {}
            Err(error @ (Stopped::Gone | Stopped::Standstill)) => {
                tracing::info!(%error, "an export was given up");
            }
            Err(error) => tracing::error!(%error, "an export broke off"),
        }
        drop(place);
    });
    stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(receiver))),
            Some(Piece::End) => None,
            // An error, so that the connection breaks before its last chunk.
            None => Some((Err(io::Error::other("the export broke off")), None)),
        }
    })
}

async fn pump(
    mut source: Source,
    first: Option<Bytes>,
    compresses: bool,
    sender: &mpsc::Sender<Piece>,
) -> Result<(), Stopped> {
    let mut gzip = compresses.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
    let mut next = first;
    while let Some(chunk) = next {
        let bytes = match &mut gzip {
            Some(gzip) => {
                gzip.write_all(&chunk)?;
                Bytes::from(std::mem::take(gzip.get_mut()))
            }
            None => chunk,
        };
        if !bytes.is_empty() {
            send(sender, Piece::Bytes(bytes)).await?;
        }
        next = tokio::select! {
            // The query ends with its caller, also while the database is looking for rows.
            () = sender.closed() => return Err(Stopped::Gone),
            chunk = source.next() => chunk?,
        };
    }
    if let Some(gzip) = gzip {
        send(sender, Piece::Bytes(Bytes::from(gzip.finish()?))).await?;
    }
    send(sender, Piece::End).await
}

async fn send(sender: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), Stopped> {
    match tokio::time::timeout(STANDSTILL, sender.send(piece)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Stopped::Gone),
        Err(_) => Err(Stopped::Standstill),
    }
}
