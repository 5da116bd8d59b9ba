//! The integration tests: one binary, real engines, servers as processes of their own.

mod clicks;
mod conversions;
mod delivery;
mod engines;
mod faults;
mod graphql;
mod operations;
mod readme;
mod setup;
mod support;
