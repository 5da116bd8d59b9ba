//! When a destination may be sent another request: one state machine a postback and node.
//!
//! ```text
//! admit ─► held back? (Retry-After, 410) ─► breaker ─► places (own share, slowed down) ─► crowd ─► token
//!            │ until a moment                │ until a probe   │ until one is given back   │ scan   │ until it comes
//! heard ─► signal ─► breaker (opens, closes) and pace (falls, recovers) ─► what other nodes are told
//! ```
//!
//! Nothing here waits, sends or reads a clock: whoever asks says what time it is, and is told
//! whether to go or when to ask again. A refusal costs a delivery nothing: it stays in
//! PostgreSQL with its attempt number and its due time as they were.

pub mod breaker;
pub mod crowd;
pub mod moment;
pub mod news;
pub mod pace;
pub mod rate;
pub mod share;
pub mod signal;

use std::time::Duration;

use breaker::{Breaker, Passage, State};
use crowd::{Crowd, Standing};
use moment::Moment;
use news::Untold;
use pace::Pace;
use rate::TokenBucket;
use share::{Limits, Share};
use signal::Signal;

/// Requests under way at a destination that has never answered: whether it does is found out by few,
/// and should the one hang by accident, by the other. Its first answer gives it all its places.
const FIRST_PLACES: usize = 2;
/// How long a destination that answered 410 is left alone, should pausing it not succeed.
const GONE_HOLD: Duration = Duration::from_secs(60);
/// A destination that has been silent for this long, with requests under way, is not known to be
/// well any more.
const SILENCE: Duration = Duration::from_secs(1);
/// A probe that is another node's to send is sent by this one where nothing was heard of it for so
/// long: longer than the longest exchange (60 s) and its telling.
pub const STAND_IN: Duration = Duration::from_secs(65);

/// One destination as one node knows it. Its size is fixed: what waits is in PostgreSQL.
#[derive(Debug, Clone, Default)]
pub struct Destination {
    /// This node's share, as of the last time anybody asked.
    limits: Limits,
    taken: usize,
    bucket: TokenBucket,
    /// The same once more, at the wire: see [`Destination::may_begin`].
    wire: TokenBucket,
    breaker: Breaker,
    pace: Pace,
    held_until: Option<Moment>,
    /// The last time it answered, or was given a request while it had none.
    stirred_at: Moment,
    was_well: bool,
    last_success_at: Option<Moment>,
    last_failure_at: Option<Moment>,
    untold: Untold,
    /// What of the other nodes' news it has taken in.
    told_version: i64,
}

/// Leave to send one request. It takes a place, and a token where there is a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    Ordinary,
    /// The one request, of this number, that finds out whether the destination has recovered.
    Probe(u32),
}

/// Why not now, and so when to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// All places of this destination are taken: when one is given back.
    Full,
    /// Not before this moment.
    Until(Moment),
    /// The same, and what comes new need not ask before: the destination is parked.
    Parked(Moment),
    /// The node has too much under way at other destinations: at the next scan.
    Crowded,
    /// Other nodes send to it, or probe it. This one may after a change of the membership, once it is
    /// told that it is well, or once it holds its lease again: at the next scan.
    Elsewhere,
}

/// What hearing from a destination changed, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Opened { probe_in: Duration, failures: u32 },
    Closed,
    Held { until: Moment },
}

/// A destination's state, for people.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Snapshot {
    pub state: State,
    /// Set while it is open: when the next probe may go.
    pub probe_at: Option<Moment>,
    pub held_until: Option<Moment>,
    pub in_flight: usize,
    /// How many requests may be under way as things stand.
    pub concurrency: usize,
    pub limits: Limits,
    pub consecutive_failures: u32,
    pub last_success_at: Option<Moment>,
    pub last_failure_at: Option<Moment>,
}

impl Destination {
    /// Leave to send one request now; it must be given back by [`Destination::give_back`].
    pub fn admit(&mut self, share: Share, crowd: Crowd, now: Moment) -> Result<Permit, Wait> {
        let Share { limits, is_prober } = share;
        self.limits = limits;
        if limits.max_in_flight == 0 {
            return Err(Wait::Elsewhere);
        }
        if let Some(until) = self.held_until.filter(|until| *until > now) {
            return Err(Wait::Parked(until));
        }
        let passage = self.breaker.passage(now);
        match passage {
            Passage::Free => {}
            Passage::Probe if is_prober || self.breaker.is_overdue(STAND_IN, now) => {}
            Passage::Probe => return Err(Wait::Elsewhere),
            Passage::NotBefore(until) => return Err(Wait::Parked(until)),
            Passage::ProbeUnderWay => return Err(Wait::Full),
        }
        // A probe goes beside requests from before that may hang for long yet.
        if passage == Passage::Free && self.taken >= self.places() {
            return Err(Wait::Full);
        }
        if !crowd.has_room_for(self.taken, self.standing(now)) {
            return Err(Wait::Crowded);
        }
        self.bucket.take(limits.rate, now).map_err(Wait::Until)?;
        if self.taken == 0 {
            self.stirred_at = now;
        }
        self.taken += 1;
        Ok(match passage {
            Passage::Probe => Permit::Probe(self.breaker.probe_begins()),
            _ => Permit::Ordinary,
        })
    }

    /// How many requests may be under way as things stand, the breaker aside.
    fn places(&self) -> usize {
        let most = self.pace.concurrency(self.limits.max_in_flight);
        if self.last_success_at.is_some() { most } else { most.min(FIRST_PLACES) }
    }

    /// Whether a permitted request may go this very moment, or when. Between a permit and the wire
    /// lies a commit, which takes now longer and now shorter: what was permitted evenly must not
    /// arrive in a heap.
    pub fn may_begin(&mut self, now: Moment) -> Result<(), Moment> {
        self.wire.take(self.limits.rate, now)
    }

    /// Gives the place of a permit back. One that was not used gives back its token and its turn
    /// to probe as well.
    pub fn give_back(&mut self, permit: Permit, use_made: Use) {
        self.taken = self.taken.saturating_sub(1);
        if use_made == Use::Unused {
            self.bucket.give_back(self.limits.rate);
        }
        if let Permit::Probe(number) = permit {
            // Has no effect on a probe that was heard of.
            self.breaker.probe_came_to_nothing(number);
        }
    }

    /// Takes in what came of the request that was sent at `sent_at`. `jitter` in 0..1.
    pub fn heard(
        &mut self,
        permit: Permit,
        signal: Signal,
        sent_at: Moment,
        now: Moment,
        jitter: f64,
    ) -> Option<Change> {
        let most = self.limits.max_in_flight;
        self.stirred_at = now;
        match signal {
            Signal::Nothing => None,
            Signal::Well => {
                self.was_well = true;
                self.last_success_at = Some(now);
                self.pace.succeeded(most, self.taken, sent_at, now);
                let closed = self.breaker.succeeded();
                if closed {
                    self.pace.start_slowly(most);
                    self.untold.breaker = true;
                }
                closed.then_some(Change::Closed)
            }
            Signal::Gone => {
                self.last_failure_at = Some(now);
                self.held_until = Some(now + GONE_HOLD);
                None
            }
            Signal::Failing | Signal::Overloaded { .. } => {
                self.was_well = false;
                self.last_failure_at = Some(now);
                if let Signal::Overloaded { .. } = signal {
                    self.pace.overloaded(most, sent_at, now);
                }
                let as_probe = match permit {
                    Permit::Ordinary => None,
                    Permit::Probe(number) => Some(number),
                };
                let opened = self.breaker.failed(as_probe, now, jitter);
                let held = match signal {
                    Signal::Overloaded { hold: Some(hold) } => self.hold(now + hold),
                    _ => None,
                };
                self.untold.breaker |= opened.is_some();
                self.untold.hold |= held.is_some();
                opened
                    .map(|probe_in| Change::Opened {
                        probe_in,
                        failures: self.breaker.consecutive_failures(),
                    })
                    .or(held)
            }
        }
    }

    fn hold(&mut self, until: Moment) -> Option<Change> {
        if self.held_until.is_some_and(|held| held >= until) {
            return None;
        }
        self.held_until = Some(until);
        Some(Change::Held { until })
    }

    /// Ends a hold: the postback was paused instead, or somebody wants it sent to.
    pub fn lift_hold(&mut self) {
        self.held_until = None;
    }

    /// The moment before which asking is in vain, if there is one.
    pub fn parked_until(&self, now: Moment) -> Option<Moment> {
        let probe = match self.breaker.passage(now) {
            Passage::NotBefore(until) => Some(until),
            Passage::Free | Passage::Probe | Passage::ProbeUnderWay => None,
        };
        self.held_until.filter(|until| *until > now).max(probe)
    }

    pub fn taken(&self) -> usize {
        self.taken
    }

    fn standing(&self, now: Moment) -> Standing {
        if self.is_well(now) { Standing::Proven } else { Standing::Unproven }
    }

    /// Whether it answered when it was last heard of, and is not silent.
    pub fn is_well(&self, now: Moment) -> bool {
        let is_silent = self.taken > 0 && now.since(self.stirred_at) > SILENCE;
        self.was_well && !is_silent
    }

    /// Whether nothing is known of it: nothing came of any request yet, and none is under way.
    pub fn is_untried(&self) -> bool {
        self.taken == 0 && self.last_success_at.is_none() && self.last_failure_at.is_none()
    }

    pub fn snapshot(&self, now: Moment) -> Snapshot {
        let (state, probe_at) = self.breaker.state();
        Snapshot {
            state,
            probe_at,
            held_until: self.held_until.filter(|until| *until > now),
            in_flight: self.taken,
            concurrency: match state {
                State::Closed => self.places(),
                State::Open => 0,
                State::HalfOpen => 1,
            },
            limits: self.limits,
            consecutive_failures: self.breaker.consecutive_failures(),
            last_success_at: self.last_success_at,
            last_failure_at: self.last_failure_at,
        }
    }
}

/// Whether a permit's request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Sent,
    Unused,
}

#[cfg(test)]
mod tests;
