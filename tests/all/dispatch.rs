//! The dispatcher: it keeps to limits, backs off, comes back, and harms nobody.

mod backlog;
mod breaker;
mod claim_desk;
mod deaths;
mod isolation;
mod limits;
mod lost_answers;
mod node;
mod outages;
mod panics;
mod retries;
mod stage;
mod stopping;
mod superseded;
mod together;
mod turns;
