//! The live tail: over WebSockets and in the terminal, with everything that may go wrong meanwhile.

mod command;
mod documented;
mod faults;
mod live;
mod past;
mod patience;
pub mod socket;
mod wire;

pub use live::peak_memory;
use ricochet::event_log::rows::{AttemptRow, encode};
use ricochet::store::session::Session;
use ricochet::store::{Pool, log_batches};

/// Records attempts as a node does: one batch, committed.
pub async fn record(pool: &Pool, rows: impl IntoIterator<Item = AttemptRow>) {
    let session = Session::checkout(pool).await.unwrap();
    let insert = log_batches::prepare_insert(&session).await.unwrap();
    log_batches::insert(&session, &insert, &[encode(rows).unwrap()]).await.unwrap();
    session.give_back();
}
