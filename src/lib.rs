//! Ricochet: a server-to-server postback hub for affiliate networks.
//!
//! A visitor clicks a partner's link; the advertiser's server later reports a conversion;
//! Ricochet matches it to the click, checks it, and tells everyone who asked.
//!
//! # The way of a postback through the code
//!
//! | what happens | where |
//! |---|---|
//! | the advertiser's request comes in | [`doors`] |
//! | it proves where it is from, by key, address and signature | [`doors::access`], [`domain::access`] |
//! | it waits for a batch, its click is found, its status word understood | [`pipeline`]: intake, validator, status mapper |
//! | it is decided and written, in one transaction with everything that follows from it | [`pipeline::recorder`], [`domain::decision`], [`store::conversions`] |
//! | it is sent, with retries | [`pipeline::dispatcher`], [`outbound`], [`domain::retry`] |
//! | what became of it is recorded, with its log row | [`pipeline::outcome_recorder`], [`store::outcomes`] |
//! | the log row goes to ClickHouse | [`pipeline::log_shipper`], [`event_log`] |
//! | and, before it gets there, to whoever follows the log live | [`tail`] |
//!
//! # What always holds
//!
//! * No yes before the commit: an answer of 2xx means that the conversion, its history, its
//!   deliveries and its log rows are on PostgreSQL's disk.
//! * PostgreSQL is the only truth. Any process can die at any instruction.
//! * A delivery's id never changes; duplicates on the wire are possible only for requests that
//!   were under way when a process died, and each of those has a log row that says so.
//! * Every queue has a bound, and says next to it what happens there.

pub mod app;
pub mod bench;
pub mod cli;
pub mod config;
pub mod demo;
pub mod domain;
pub mod doors;
pub mod embedded;
pub mod event_log;
pub mod graphql;
pub mod metrics;
pub mod outbound;
pub mod panics;
pub mod pipeline;
pub mod presets;
mod priority;
pub mod reconcile;
pub mod seed;
pub mod store;
pub mod tail;
