//! A node's lease, as the node itself may trust it.
//!
//! The lease stands in PostgreSQL, and whether it has lapsed is told by PostgreSQL's clock. The node
//! counts by its own clock from when it *asked* for a renewal, which is before PostgreSQL counted:
//! what it holds to be valid is. The two clocks are never compared.
//!
//! The same record says whether this node may declare others dead. After an outage nobody's lease is
//! renewed, whoever lives, and the first to be back would find all the others lapsed. PostgreSQL's
//! data cannot tell that from their deaths: it may not even have restarted (a network that broke, a
//! standby that took over). But a node that could not renew its own lease knows that the others may
//! not have been able to either, so it waits for a whole lease from when it is back, and so does one
//! that has just started.

use std::time::{Duration, Instant};

/// How long a node is taken to live after it last said so.
pub const NODE_LEASE: Duration = Duration::from_secs(6);
/// Between renewals.
pub const RENEW_EVERY: Duration = Duration::from_secs(1);
/// A renewal that is not answered within this time has failed, and the next is tried.
pub const RENEW_WITHIN: Duration = Duration::from_secs(2);
/// Longer from one renewal to the next, and at least one has failed: there was an outage, or this
/// process stood still. It is half the lease: whoever else could renew last when this node could
/// has not lapsed within it.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// How long a claim lasts: longer than the longest exchange (60 s) and its recording.
pub const CLAIM_LEASE: Duration = Duration::from_secs(120);
/// So long after it was claimed a delivery may still begin to be sent: the longest exchange and ten
/// seconds for its recording end before the claim does.
pub const SEND_WITHIN: Duration = Duration::from_secs(50);
/// What is sent begins at least so long before the node's lease lapses.
const MARGIN: Duration = Duration::from_secs(1);

/// A lease that was held at least once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// When the last renewal that succeeded was asked for.
    renewed_at: Instant,
    /// Since when no renewal has failed.
    unbroken_since: Instant,
}

impl Lease {
    /// Asked for the first time at `asked_at`, and granted at `granted_at`.
    pub fn new(asked_at: Instant, granted_at: Instant) -> Self {
        Self { renewed_at: asked_at, unbroken_since: granted_at }
    }

    pub fn renewed(&mut self, asked_at: Instant, granted_at: Instant) {
        if asked_at.saturating_duration_since(self.renewed_at) > LONGEST_PAUSE {
            self.unbroken_since = granted_at;
        }
        self.renewed_at = asked_at;
    }

    /// Whether others still take this node for alive, and will for a moment.
    pub fn is_held(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.renewed_at) < NODE_LEASE - MARGIN
    }

    /// How much longer a delivery that was claimed at `claimed_at` may begin to be sent. `None`: no
    /// more, for the claim may be another node's by now.
    pub fn time_to_send(&self, claimed_at: Instant, now: Instant) -> Option<Duration> {
        if !self.is_held(now) || claimed_at < self.unbroken_since {
            return None;
        }
        SEND_WITHIN.checked_sub(now.saturating_duration_since(claimed_at)).filter(|left| !left.is_zero())
    }

    /// Whether nodes whose lease has lapsed may be taken for dead.
    pub fn may_judge_nodes(&self, now: Instant) -> bool {
        self.has_been_whole_for(NODE_LEASE, now)
    }

    /// Whether claims that have lapsed may be taken from nodes that live: after an outage they hold
    /// attempts that are made and not recorded yet.
    pub fn may_judge_claims(&self, now: Instant) -> bool {
        self.has_been_whole_for(CLAIM_LEASE, now)
    }

    fn has_been_whole_for(&self, time: Duration, now: Instant) -> bool {
        self.is_held(now) && now.saturating_duration_since(self.unbroken_since) >= time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Renewed each second for `seconds`, the last time at that moment.
    fn kept(start: Instant, until: u64) -> Lease {
        let mut lease = Lease::new(start, start);
        for second in 1..=until {
            lease.renewed(start + seconds(second), start + seconds(second));
        }
        lease
    }

    #[test]
    fn others_are_judged_after_a_whole_lease() {
        let start = Instant::now();
        assert!(!kept(start, 5).may_judge_nodes(start + seconds(5)));
        assert!(kept(start, 6).may_judge_nodes(start + seconds(6)));
        assert!(!kept(start, 119).may_judge_claims(start + seconds(119)));
        assert!(kept(start, 120).may_judge_claims(start + seconds(120)));
    }

    #[test]
    fn who_was_cut_off_judges_nobody_until_all_have_had_time_to_be_back() {
        let start = Instant::now();
        let mut lease = kept(start, 100);
        // Not even while it is away.
        assert!(!lease.may_judge_nodes(start + seconds(105)));
        // Four seconds are not a lease; but another node's lease may have lapsed over them.
        let back = start + seconds(104);
        lease.renewed(back, back);
        assert!(!lease.may_judge_nodes(back));
        for second in 1..=6 {
            lease.renewed(back + seconds(second), back + seconds(second));
        }
        assert!(lease.may_judge_nodes(back + seconds(6)));
        assert!(!lease.may_judge_claims(back + seconds(6)));
    }

    #[test]
    fn slow_renewals_are_no_outage() {
        let start = Instant::now();
        let mut lease = Lease::new(start, start);
        for round in 1..=10 {
            let asked_at = start + (RENEW_EVERY + RENEW_WITHIN) * round;
            lease.renewed(asked_at, asked_at + RENEW_WITHIN);
        }
        assert!(lease.may_judge_nodes(start + seconds(32)));
    }

    #[test]
    fn nothing_is_sent_under_a_claim_that_may_be_anothers() {
        let start = Instant::now();
        let lease = kept(start, 10);
        let claimed_at = start + seconds(9);
        assert_eq!(lease.time_to_send(claimed_at, start + seconds(10)), Some(seconds(49)));
        assert!(lease.time_to_send(claimed_at, start + seconds(14)).is_some());
        assert_eq!(lease.time_to_send(claimed_at, start + seconds(15)), None, "the lease may lapse");
        let long_after = kept(start, 60);
        assert_eq!(long_after.time_to_send(claimed_at, start + seconds(60)), None, "the claim is too old");
        let mut again = lease;
        again.renewed(start + seconds(20), start + seconds(20));
        assert_eq!(again.time_to_send(claimed_at, start + seconds(20)), None, "it had lapsed in between");
        assert!(again.time_to_send(start + seconds(20), start + seconds(20)).is_some());
    }

    #[test]
    fn a_process_that_stood_still_under_its_renewal_holds_nothing() {
        let start = Instant::now();
        let mut lease = kept(start, 10);
        lease.renewed(start + seconds(11), start + seconds(30));
        assert_eq!(lease.time_to_send(start + seconds(10), start + seconds(30)), None);
        assert!(!lease.may_judge_nodes(start + seconds(30)));
    }
}
