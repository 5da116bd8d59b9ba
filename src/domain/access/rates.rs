//! How often requests may come.

use std::num::NonZeroU32;

/// Requests a second; `None`: as many as come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    pub node: Option<NonZeroU32>,
    pub source: Option<NonZeroU32>,
    /// Of an advertiser that has no rate of its own. Its keys share it: two are live only while
    /// one replaces the other.
    pub advertiser: Option<NonZeroU32>,
    /// Refused requests of one source. Past them it hears 429, and its requests with a good key
    /// are served all the same: several senders may stand behind one address.
    pub refusals: Option<NonZeroU32>,
}
