//! The integration tests: one binary, real engines, servers as processes of their own.

mod access;
mod clicks;
mod commands;
mod conversions;
mod delivery;
mod doors;
mod engines;
mod faults;
mod graphql;
mod health;
mod operations;
mod readme;
mod resending;
mod rules;
mod setup;
mod signing;
mod support;
