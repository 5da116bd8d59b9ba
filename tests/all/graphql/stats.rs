//! Statistics: every figure against one that is counted here, row by row, without SQL and without
//! the code that cuts time into buckets.

mod answers;
mod conversions;
mod inbound;
mod oracle;
mod postbacks;
mod timings;
