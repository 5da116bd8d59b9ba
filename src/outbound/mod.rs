//! The way out: one HTTP exchange with a destination, vetted, measured and judged.

pub mod attempt;
pub mod body;
pub mod connection;
pub mod connector;
pub mod failure;
pub mod http_sender;
pub mod open_files;
pub mod pool;
pub mod proxy;
pub mod request;
pub mod resolver;
pub mod timings;
pub mod tls;

pub use http_sender::{HttpSender, OutboundSettings};
