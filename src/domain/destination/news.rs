//! What the nodes tell each other of a destination, so that all heed what one has heard.
//!
//! A node tells what has changed with it: that the destination asked to be left alone, that its
//! breaker opened or closed. What it is told it takes in once, and not while it has something of
//! its own to tell, which comes after it.

use std::time::Duration;

use super::moment::Moment;
use super::{Change, Destination};

/// How a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerNews {
    Open { probe_in: Duration, openings: u32 },
    Closed,
}

/// Whether it is to be left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldNews {
    For(Duration),
    /// Not any more: somebody has said so.
    Lifted,
    Nothing,
}

/// What one node has to tell. `None`: nothing new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Telling {
    /// How much longer it is to be left alone.
    pub hold: Option<Duration>,
    pub breaker: Option<BreakerNews>,
}

/// What all nodes together have told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Greater than that of anything told before.
    pub version: i64,
    pub hold: HoldNews,
    /// `None`: nobody has spoken of it.
    pub breaker: Option<BreakerNews>,
}

/// What a node has not told yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Untold {
    pub hold: bool,
    pub breaker: bool,
}

/// A hold that is told again comes back by as much later as the telling took: no news.
const HOLD_SLACK: Duration = Duration::from_secs(1);

impl Destination {
    /// What is to be told, which is told then.
    pub fn tell(&mut self, now: Moment) -> Option<Telling> {
        let untold = std::mem::take(&mut self.untold);
        let held_until = self.held_until.filter(|until| untold.hold && *until > now);
        let telling = Telling {
            hold: held_until.map(|until| until.since(now)),
            breaker: untold.breaker.then(|| self.breaker.news(now)),
        };
        (telling.hold.is_some() || telling.breaker.is_some()).then_some(telling)
    }

    /// It could not be told.
    pub fn tell_again(&mut self, telling: Telling) {
        self.untold.hold |= telling.hold.is_some();
        self.untold.breaker |= telling.breaker.is_some();
    }

    /// Takes in what the nodes have told; what that has changed.
    pub fn hear_told(&mut self, told: Told, now: Moment) -> Vec<Change> {
        if told.version <= self.told_version || self.untold != Untold::default() {
            return Vec::new();
        }
        self.told_version = told.version;
        let mut changes = Vec::new();
        match told.hold {
            HoldNews::For(hold) if self.held_until.is_none_or(|until| until + HOLD_SLACK < now + hold) => {
                changes.extend(self.hold(now + hold));
            }
            HoldNews::Lifted => self.lift_hold(),
            HoldNews::For(_) | HoldNews::Nothing => {}
        }
        let turned = match told.breaker {
            Some(BreakerNews::Open { probe_in, openings }) => {
                let has_opened = self.breaker.told_open(now + probe_in, openings);
                let failures = self.breaker.consecutive_failures();
                has_opened.then_some(Change::Opened { probe_in, failures })
            }
            Some(BreakerNews::Closed) => self.breaker.told_closed().then(|| {
                self.pace.start_slowly(self.limits.max_in_flight);
                Change::Closed
            }),
            None => None,
        };
        changes.extend(turned);
        changes
    }
}
