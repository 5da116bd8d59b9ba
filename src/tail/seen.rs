//! Which batches have been seen, when their numbers do not come in order.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// How long after a later number an earlier one may still be committed. Batches get their number
/// right before their commit.
const STRAGGLERS: Duration = Duration::from_secs(30);

/// Everything up to the floor has been seen or never comes; above it, the set tells.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    floor: i64,
    above: BTreeSet<i64>,
    /// The highest number that was known at some times, oldest first.
    highest: VecDeque<(Instant, i64)>,
}

impl Seen {
    pub fn beginning(floor: i64, batch_ids: impl IntoIterator<Item = i64>) -> Self {
        Self { floor, above: batch_ids.into_iter().collect(), highest: VecDeque::new() }
    }

    pub fn floor(&self) -> i64 {
        self.floor
    }

    /// The numbers above the floor.
    pub fn above(&self) -> Vec<i64> {
        self.above.iter().copied().collect()
    }

    pub fn contains(&self, batch_id: i64) -> bool {
        batch_id <= self.floor || self.above.contains(&batch_id)
    }

    /// Notes numbers, and raises the floor past what was the end [`STRAGGLERS`] ago.
    pub fn note(&mut self, batch_ids: impl IntoIterator<Item = i64>, now: Instant) {
        self.above.extend(batch_ids);
        if let Some(&last) = self.above.last()
            && self.highest.back().is_none_or(|(_, highest)| *highest < last)
        {
            self.highest.push_back((now, last));
        }
        while let Some(&(time, highest)) = self.highest.front()
            && now.duration_since(time) >= STRAGGLERS
        {
            self.highest.pop_front();
            self.floor = self.floor.max(highest);
            self.above = self.above.split_off(&(self.floor + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_comes_late_is_not_taken_for_seen() {
        let start = Instant::now();
        let mut seen = Seen::beginning(10, [12]);
        seen.note([15], start);
        assert!(seen.contains(10) && seen.contains(12) && seen.contains(15));
        assert!(!seen.contains(11) && !seen.contains(14) && !seen.contains(16));
        seen.note([14], start + STRAGGLERS / 2);
        assert!(seen.contains(14) && !seen.contains(13));
    }

    #[test]
    fn the_floor_follows_and_the_set_stays_small() {
        let start = Instant::now();
        let mut seen = Seen::beginning(0, []);
        for round in 0..1_000u32 {
            seen.note([i64::from(round) + 1], start + Duration::from_secs(u64::from(round)));
        }
        assert_eq!(seen.floor(), 970);
        assert_eq!(seen.above().len(), 30);
        assert!(seen.contains(970) && seen.contains(1_000) && !seen.contains(1_001));
    }
}
