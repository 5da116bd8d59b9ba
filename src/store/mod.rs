//! PostgreSQL: the only truth. One file an entity; SQL stands here and nowhere else.

pub mod access_reader;
pub mod advertiser_access;
pub mod audit;
pub mod by_hand;
pub mod catalogue;
pub mod clicks;
pub mod conversion_search;
pub mod conversions;
pub mod deliveries;
pub mod error;
pub mod explaining;
pub mod integrations;
pub mod links;
pub mod log_batches;
pub mod migrations;
pub mod network;
pub mod nodes;
pub mod outcomes;
pub mod partitions;
pub mod pool;
pub mod quarantine;
pub mod reconciliations;
pub mod recording;
pub mod reprocessing;
pub mod search;
pub mod secrets;
pub mod session;
pub mod settlement;
pub mod setup;
pub mod skipped;
pub mod status_words;
pub mod tokens;
pub mod used_signatures;

pub use deadpool_postgres::Pool;
pub use error::StoreError;
