//! Reads an upload while it arrives, judges its rows and stores the judgement.

use std::io::{self, Read};

use actix_web::web::Bytes;
use encoding_rs::Encoding;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::csv_file::{self, Appetite};
use super::judge::{Sender, judge_and_store};
use crate::domain::access::signature::{SignatureFault, UsedSignature, Verification};
use crate::domain::verdict::FieldError;
use crate::pipeline::services::Services;
use crate::store::StoreError;
use crate::store::reconciliations::{self, Period, WholeFile};

/// Largest file, in bytes, and most rows.
const FILE_BYTES: usize = 1024 * 1024 * 1024;
const FILE_ROWS: i64 = 2_000_000;
/// Pieces of the upload that may wait for the parser; past them the sender waits.
const PIECES: usize = 8;
/// Chunks of rows that may wait to be judged; past them the parser waits.
const CHUNKS: usize = 1;

/// Why an upload came to nothing.
#[derive(Debug)]
pub enum UploadError {
    /// The file cannot be read; the row and field are in the message.
    File(FieldError),
    TooLarge(FieldError),
    /// What came is not what was signed, or was taken in before.
    Signature(SignatureFault),
    Store(StoreError),
}

impl From<StoreError> for UploadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Takes a file in. Nothing of it can be seen unless all of it could be read, and, where
/// `verification` looks at a signature over it, is what was signed.
pub async fn take_in<E: std::fmt::Display>(
    services: &Services,
    sender: Sender,
    encoding: &'static Encoding,
    period: Option<Period>,
    verification: Option<Verification>,
    upload: impl Stream<Item = Result<Bytes, E>>,
) -> Result<Uuid, UploadError> {
    let file = reconciliations::begin(&services.pool, sender.advertiser, period).await?;
    let taken = async {
        let (last_position, signatures) =
            read_and_judge(services, sender, encoding, file, verification, upload).await?;
        let whole = WholeFile { advertiser: sender.advertiser, period, last_position };
        let is_first = reconciliations::finish_reading(&services.pool, file, whole, &signatures).await?;
        if is_first { Ok(()) } else { Err(UploadError::Signature(SignatureFault::Replayed)) }
    };
    match taken.await {
        Ok(()) => Ok(file),
        Err(error) => {
            // What cannot be forgotten now is by age.
            if let Err(error) = reconciliations::forget(&services.pool, file).await {
                tracing::warn!(%error, %file, "an unreadable file stays until it is old");
            }
            Err(error)
        }
    }
}

async fn read_and_judge<E: std::fmt::Display>(
    services: &Services,
    sender: Sender,
    encoding: &'static Encoding,
    file: Uuid,
    verification: Option<Verification>,
    upload: impl Stream<Item = Result<Bytes, E>>,
) -> Result<(i64, Vec<UsedSignature>), UploadError> {
    let (pieces, received) = mpsc::channel(PIECES);
    let (chunks, mut parsed) = mpsc::channel(CHUNKS);
    // The CSV reader blocks until the next piece is there.
    let parsing = tokio::task::spawn_blocking(move || {
        let source = Pieces { received, current: Bytes::new() };
        csv_file::read(source, encoding, |rows| match chunks.blocking_send(rows) {
            Ok(()) => Appetite::More,
            Err(_) => Appetite::Enough,
        })
    });
    let feeding = feed(upload, pieces, verification);
    // Ends owning nothing: with the receiver it lets go of the parser, and so of the feeder.
    let judging = async move {
        let mut position = 0;
        while let Some(rows) = parsed.recv().await {
            let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            if position + count > FILE_ROWS {
                let message = format!("a file has at most {FILE_ROWS} rows; split it");
                return Err(UploadError::TooLarge(FieldError::new("file", "too_many_rows", message)));
            }
            judge_and_store(services, sender, file, rows, position).await?;
            position += count;
        }
        // Only what was parsed to its end is whole.
        match parsing.await {
            Ok(Ok(())) => Ok(position),
            Ok(Err(error)) => Err(UploadError::File(error)),
            Err(_) => Err(UploadError::Store(StoreError::Refused("the CSV reader panicked".into()))),
        }
    };
    let (fed, judged) = tokio::join!(feeding, judging);
    let verification = fed?;
    let last_position = judged?;
    let signatures = verification.map_or(Ok(Vec::new()), Verification::finish);
    Ok((last_position, signatures.map_err(UploadError::Signature)?))
}

/// Hands the upload on piece by piece. Once nobody reads any more, the rest is thrown away, so
/// that the sender gets to read the answer.
async fn feed<E: std::fmt::Display>(
    upload: impl Stream<Item = Result<Bytes, E>>,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    mut verification: Option<Verification>,
) -> Result<Option<Verification>, UploadError> {
    let mut upload = std::pin::pin!(upload);
    let mut received = 0;
    while let Some(piece) = upload.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => {
                let message = format!("the upload broke off ({error}); send the file again");
                // The parser must not take the break for the end.
                let _ = pieces.send(Err(io::ErrorKind::UnexpectedEof.into())).await;
                return Err(UploadError::File(FieldError::new("file", "broken_upload", message)));
            }
        };
        received += piece.len();
        if received > FILE_BYTES {
            let message = format!("a file has at most {FILE_BYTES} bytes; split it");
            let _ = pieces.send(Err(io::ErrorKind::UnexpectedEof.into())).await;
            return Err(UploadError::TooLarge(FieldError::new("file", "too_large", message)));
        }
        if let Some(verification) = &mut verification {
            verification.update(&piece);
        }
        let _ = pieces.send(Ok(piece)).await;
    }
    Ok(verification)
}

/// The pieces of an upload as one source for the CSV reader.
struct Pieces {
    received: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.received.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let count = self.current.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}
