//! The dispatcher: it keeps to limits, backs off, comes back, and harms nobody.

mod backlog;
mod breaker;
mod isolation;
mod limits;
mod lost_answers;
mod retries;
mod stage;
mod together;
