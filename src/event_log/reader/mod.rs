//! Searching the log. Every function takes the caller's scope, and no row outside it is found
//! by any filter.

mod attempts;
mod clicks;
pub mod export;
pub(super) mod fetch;
mod inbound;
mod matched;
mod matching;
mod search;
mod since;
pub mod stats;
mod total;

pub use attempts::{AttemptFilter, AttemptRecord, AttemptsOf, attempts, attempts_of};
pub use clicks::{ClickFilter, ClickRecord, PrivateFilter, clicks};
pub use inbound::{InboundFilter, InboundRecord, StoredRequest, inbound_requests, stored_request};
pub use matched::{CLOCKS, MatchedGroup, matched_deliveries, matched_groups, time_of};
pub use matching::is_match;
pub use since::attempts_since;

/// Which rows a filter lets through by their test flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum TestRows {
    #[default]
    Included,
    LeftOut,
    Only,
}

impl TestRows {
    /// From a filter `includeTests`, where nothing means none.
    pub fn included(include_tests: Option<bool>) -> Self {
        if include_tests == Some(true) { Self::Included } else { Self::LeftOut }
    }
}

impl From<Option<bool>> for TestRows {
    /// From a filter `isTest`, where nothing means everything.
    fn from(is_test: Option<bool>) -> Self {
        match is_test {
            None => Self::Included,
            Some(true) => Self::Only,
            Some(false) => Self::LeftOut,
        }
    }
}
