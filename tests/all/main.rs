//! The integration tests: one binary, real engines, servers as processes of their own.

mod access;
mod boards;
mod chaos;
mod clicks;
mod commands;
mod conversions;
mod delivery;
mod dispatch;
mod doors;
mod engines;
mod event_log;
mod exports;
mod faults;
mod graphql;
mod health;
mod operations;
mod outbound;
mod postback_requests;
mod readme;
mod resending;
mod rules;
mod setup;
mod signing;
mod support;
mod tail;
mod views;
