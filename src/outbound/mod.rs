//! The way out: one HTTP exchange with a destination, measured and judged.

pub mod attempt;
pub mod http_sender;

pub use http_sender::HttpSender;
