//! PostgreSQL: the only truth. One file an entity; SQL stands here and nowhere else.

pub mod advertiser_access;
pub mod audit;
pub mod catalogue;
pub mod clicks;
pub mod conversion_search;
pub mod conversions;
pub mod deliveries;
pub mod error;
pub mod log_batches;
pub mod migrations;
pub mod network;
pub mod nodes;
pub mod outcomes;
pub mod partitions;
pub mod pool;
pub mod reconciliations;
pub mod search;
pub mod secrets;
pub mod session;
pub mod setup;
pub mod tokens;

pub use deadpool_postgres::Pool;
pub use error::StoreError;
