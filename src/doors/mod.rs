//! HTTP in. A door reads the request, hands it to the pipeline and translates the verdict;
//! nothing is decided here.

pub mod access;
pub mod answer;
pub mod click;
pub mod country;
pub mod limiter;
pub mod limits;
pub mod operations;
pub mod request;
pub mod s2s;
mod trickle;
