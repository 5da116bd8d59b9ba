//! Ricochet: a server-to-server postback hub for affiliate networks.

pub mod bench;
pub mod cli;
pub mod config;
pub mod demo;
pub mod domain;
pub mod embedded;
pub mod event_log;
