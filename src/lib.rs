//! Ricochet: a server-to-server postback hub for affiliate networks.

pub mod cli;
pub mod domain;
pub mod embedded;
