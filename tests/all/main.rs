//! The integration tests: one binary, real engines.

mod engines;
mod graphql;
