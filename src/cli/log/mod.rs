//! `ricochet tail` and `ricochet export`: the log of a running server, live and as a file, with the rights of
//! a token.

pub mod export;
mod line;
mod since;
pub mod tail;
mod wire;
