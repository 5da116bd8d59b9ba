//! When each request is due, and when it is enough.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Arrivals are fixed in advance and do not wait for answers. Latency counts from the
    /// moment an arrival was due, so a stalled server cannot hide its stall by holding back
    /// the requests that would have met it (coordinated omission).
    Open { rate_per_second: u32 },
    /// Each connection sends its next request as soon as it has its answer.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    Duration(Duration),
    Conversions(u64),
}

/// A warm-up, whose requests count for losses but not for times, and then the measured part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub pace: Pace,
    pub extent: Extent,
    pub warmup: Duration,
}

impl Plan {
    /// The same for a longer time.
    pub fn longer_by(self, more: Duration) -> Self {
        let extent = match self.extent {
            Extent::Duration(duration) => Extent::Duration(duration + self.warmup + more),
            conversions => conversions,
        };
        Self { extent, ..self }
    }
}

/// One request to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub index: u64,
    /// Nanoseconds after the start of the load; `None`: now.
    pub due_ns: Option<u64>,
}

/// Hands out the tickets of a plan in order.
#[derive(Debug)]
pub struct Cursor {
    plan: Plan,
    /// Most tickets there are.
    capacity: u64,
    taken: u64,
    measured: u64,
}

impl Cursor {
    pub fn new(plan: Plan, capacity: u64) -> Self {
        Self { plan, capacity, taken: 0, measured: 0 }
    }

    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The next ticket, or `None` when the plan is fulfilled. `elapsed_ns` counts from the start.
    pub fn take(&mut self, elapsed_ns: u64) -> Option<Ticket> {
        if self.taken >= self.capacity {
            return None;
        }
        let due_ns = match self.plan.pace {
            Pace::Open { rate_per_second } => {
                Some(u128_to_u64(u128::from(self.taken) * 1_000_000_000 / u128::from(rate_per_second)))
            }
            Pace::Closed => None,
        };
        let starts_ns = due_ns.unwrap_or(elapsed_ns);
        let warmup_ns = u128_to_u64(self.plan.warmup.as_nanos());
        if starts_ns >= warmup_ns {
            let is_enough = match self.plan.extent {
                Extent::Duration(duration) => starts_ns - warmup_ns >= u128_to_u64(duration.as_nanos()),
                Extent::Conversions(conversions) => self.measured >= conversions,
            };
            if is_enough {
                return None;
            }
            self.measured += 1;
        }
        let ticket = Ticket { index: self.taken, due_ns };
        self.taken += 1;
        Some(ticket)
    }
}

fn u128_to_u64(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due_times(plan: Plan) -> Vec<u64> {
        let mut cursor = Cursor::new(plan, u64::MAX);
        std::iter::from_fn(|| cursor.take(0)).map(|ticket| ticket.due_ns.unwrap()).collect()
    }

    #[test]
    fn open_arrivals_are_evenly_spaced_and_end_with_the_duration() {
        let plan = Plan {
            pace: Pace::Open { rate_per_second: 3 },
            extent: Extent::Duration(Duration::from_secs(1)),
            warmup: Duration::from_secs(1),
        };
        let due = due_times(plan);
        assert_eq!(due, [0, 333_333_333, 666_666_666, 1_000_000_000, 1_333_333_333, 1_666_666_666]);
    }

    #[test]
    fn conversions_are_counted_after_the_warm_up() {
        let plan = Plan {
            pace: Pace::Open { rate_per_second: 100 },
            extent: Extent::Conversions(7),
            warmup: Duration::from_millis(50),
        };
        assert_eq!(due_times(plan).len(), 5 + 7);
    }

    #[test]
    fn the_closed_loop_goes_by_the_clock() {
        let plan = Plan {
            pace: Pace::Closed,
            extent: Extent::Duration(Duration::from_nanos(10)),
            warmup: Duration::from_nanos(5),
        };
        let mut cursor = Cursor::new(plan, u64::MAX);
        assert_eq!(cursor.take(0), Some(Ticket { index: 0, due_ns: None }));
        assert_eq!(cursor.take(14), Some(Ticket { index: 1, due_ns: None }));
        assert_eq!(cursor.take(15), None);
        assert_eq!(cursor.taken(), 2);
    }

    #[test]
    fn the_closed_loop_can_count_too() {
        let plan =
            Plan { pace: Pace::Closed, extent: Extent::Conversions(2), warmup: Duration::from_nanos(5) };
        let mut cursor = Cursor::new(plan, u64::MAX);
        let taken = [0, 4, 5, 6, 7].map(|elapsed_ns| cursor.take(elapsed_ns).is_some());
        assert_eq!(taken, [true, true, true, true, false]);
    }
}
