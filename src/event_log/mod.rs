//! The log in ClickHouse: what is written ([`rows`]), how it is sent ([`client`]), how it is
//! searched ([`reader`]), and what its ids are called ([`names`]); [`rollups`] are the figures kept
//! of it.
//!
//! Rows never go to ClickHouse directly. They are encoded into a batch, committed in
//! PostgreSQL with the state they describe, and shipped from there by the log shipper.

pub mod client;
pub mod cluster;
pub mod names;
pub mod reader;
pub mod retention;
pub mod rollups;
pub mod rows;

pub use client::EventLog;
