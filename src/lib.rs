//! Ricochet: a server-to-server postback hub for affiliate networks.

pub mod cli;
pub mod config;
pub mod domain;
pub mod embedded;
pub mod event_log;
pub mod graphql;
pub mod store;
