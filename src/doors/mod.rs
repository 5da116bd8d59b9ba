//! HTTP in. A door reads the request, hands it to the pipeline and translates the verdict;
//! nothing is decided here.

pub mod answer;
pub mod click;
pub mod operations;
pub mod reconciliations;
pub mod request;
pub mod s2s;
