//! The report: the ledger, counted.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::args::Door;
use super::ledger::{Entry, Ledger, Outcome};
use super::load::Summary;
use super::probe::ServerMemory;

/// Longest time told apart; longer ones count as this.
const LONGEST_US: u64 = 3_600_000_000;

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub settings: SettingsReport,
    pub machine: Machine,
    pub server_memory: ServerMemory,
    pub totals: Totals,
    pub measured: Measured,
    #[serde(skip)]
    pub times: Times,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct SettingsReport {
    pub run: String,
    pub door: Door,
    pub server: String,
    /// `None`: a closed loop.
    pub rate_per_second: Option<u32>,
    pub connections: usize,
    pub conversions: Option<u64>,
    pub duration_s: Option<u64>,
    pub warmup_s: u64,
    pub drain_s: u64,
    pub offer_postbacks: usize,
    pub sink_delay_ms: u64,
    pub clicks: u32,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Machine {
    pub cpus: usize,
    pub load_average_before: Option<[f64; 3]>,
    pub load_average_after: Option<[f64; 3]>,
}

impl Machine {
    pub fn describe(load_average_before: Option<[f64; 3]>, load_average_after: Option<[f64; 3]>) -> Self {
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        Self { cpus, load_average_before, load_average_after }
    }
}

/// Of the whole run, the warm-up included: nothing accepted may be lost at any time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub sent: u64,
    pub accepted: u64,
    /// Requests that were not accepted, by why.
    pub errors: BTreeMap<String, u64>,
    /// Postbacks that accepted conversions should cause.
    pub expected_deliveries: u64,
    pub delivered: u64,
    /// Expected and never arrived.
    pub lost: u64,
    /// Arrivals after the first of the same postback for the same conversion.
    pub duplicates: u64,
    /// Postbacks of conversions that were not accepted, as far as their caller knows.
    pub delivered_unaccepted: u64,
    /// Arrivals that no request of this run has caused.
    pub strays: u64,
    /// Clicks of the run in the database; more than accepted where an answer was lost. `None`
    /// where clicks were not what was measured.
    pub recorded_clicks: Option<u64>,
}

/// Of the measured part only.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Measured {
    pub sent: u64,
    pub accepted: u64,
    pub accepted_per_second: f64,
    /// From the moment a request was due to its answer.
    pub accept: Latency,
    /// From the moment a request was sent to its answer.
    pub accept_from_send: Latency,
    /// How late requests were sent: no free connection, or the pacer's thread woke late.
    pub send_delay: Latency,
    pub delivered: u64,
    pub delivered_per_second: f64,
    /// The accept-to-delivery time: from the moment the request was sent to the arrival of its
    /// postback.
    pub accept_to_delivery: Latency,
    /// From the moment the request's answer was received to the arrival of its postback; 0
    /// where the postback came first.
    pub answer_to_delivery: Latency,
}

/// What [`Measured`] sums up, for whoever puts several reports together.
#[derive(Debug, Clone)]
pub struct Times {
    pub accept_to_delivery: Histogram<u64>,
    pub answer_to_delivery: Histogram<u64>,
}

impl Times {
    pub fn none() -> Self {
        Self { accept_to_delivery: histogram(), answer_to_delivery: histogram() }
    }

    pub fn add(&mut self, others: &Self) {
        // Cannot fail: all are made by `histogram`.
        self.accept_to_delivery.add(&others.accept_to_delivery).expect("the same bounds");
        self.answer_to_delivery.add(&others.answer_to_delivery).expect("the same bounds");
    }
}

/// Microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    pub count: u64,
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
}

impl Report {
    pub fn new(
        ledger: &Ledger,
        summary: Summary,
        settings: SettingsReport,
        machine: Machine,
        server_memory: ServerMemory,
    ) -> Self {
        let mut totals = Totals { strays: ledger.strays(), ..Totals::default() };
        let mut measuring = Measuring::new(summary.measured_from_ns);
        for entry in ledger.entries() {
            totals.add(&entry);
            measuring.add(&entry);
        }
        let (measured, times) = measuring.finish();
        Self { settings, machine, server_memory, totals, measured, times }
    }

    /// Whether something was accepted and all of it arrived.
    pub fn is_sound(&self) -> bool {
        self.totals.accepted > 0 && self.totals.lost == 0 && self.totals.lost_clicks() == 0
    }
}

impl Totals {
    /// Redirects whose click is not in the database.
    pub fn lost_clicks(&self) -> u64 {
        self.recorded_clicks.map_or(0, |recorded| self.accepted.saturating_sub(recorded))
    }

    fn add(&mut self, entry: &Entry) {
        self.sent += 1;
        let arrived = entry.arrivals.iter().filter(|(first, _)| first.is_some()).count() as u64;
        let arrivals: u64 = entry.arrivals.iter().map(|(_, times)| u64::from(*times)).sum();
        self.duplicates += arrivals - arrived;
        if entry.outcome == Outcome::Accepted {
            let expected = entry.arrivals.len() as u64;
            self.accepted += 1;
            self.expected_deliveries += expected;
            self.delivered += arrived;
            self.lost += expected - arrived;
        } else {
            *self.errors.entry(name(entry.outcome)).or_default() += 1;
            self.delivered_unaccepted += arrived;
        }
    }
}

fn name(outcome: Outcome) -> String {
    match outcome {
        Outcome::Accepted => "accepted".into(),
        Outcome::NotNew => "200, but not as new".into(),
        Outcome::Status(status) => status.to_string(),
        Outcome::Broken => "connection broke".into(),
        Outcome::TimedOut => "timed out".into(),
        Outcome::Unanswered => "unanswered at the end".into(),
    }
}

/// Collects the times of the measured part.
struct Measuring {
    from_ns: u64,
    sent: u64,
    last_answer_ns: u64,
    last_arrival_ns: u64,
    accept: Histogram<u64>,
    accept_from_send: Histogram<u64>,
    send_delay: Histogram<u64>,
    accept_to_delivery: Histogram<u64>,
    answer_to_delivery: Histogram<u64>,
}

impl Measuring {
    fn new(from_ns: u64) -> Self {
        Self {
            from_ns,
            sent: 0,
            last_answer_ns: from_ns,
            last_arrival_ns: from_ns,
            accept: histogram(),
            accept_from_send: histogram(),
            send_delay: histogram(),
            accept_to_delivery: histogram(),
            answer_to_delivery: histogram(),
        }
    }

    fn add(&mut self, entry: &Entry) {
        if entry.due_ns < self.from_ns {
            return;
        }
        self.sent += 1;
        record(&mut self.send_delay, entry.due_ns, entry.sent_ns);
        if entry.outcome != Outcome::Accepted {
            return;
        }
        record(&mut self.accept, entry.due_ns, entry.answered_ns);
        record(&mut self.accept_from_send, entry.sent_ns, entry.answered_ns);
        self.last_answer_ns = self.last_answer_ns.max(entry.answered_ns);
        for arrived_ns in entry.arrivals.iter().filter_map(|(first, _)| *first) {
            record(&mut self.accept_to_delivery, entry.sent_ns, arrived_ns);
            record(&mut self.answer_to_delivery, entry.answered_ns, arrived_ns);
            self.last_arrival_ns = self.last_arrival_ns.max(arrived_ns);
        }
    }

    fn finish(self) -> (Measured, Times) {
        let accepted = self.accept.len();
        let delivered = self.accept_to_delivery.len();
        let measured = Measured {
            sent: self.sent,
            accepted,
            accepted_per_second: per_second(accepted, self.last_answer_ns - self.from_ns),
            accept: summarise(&self.accept),
            accept_from_send: summarise(&self.accept_from_send),
            send_delay: summarise(&self.send_delay),
            delivered,
            delivered_per_second: per_second(delivered, self.last_arrival_ns - self.from_ns),
            accept_to_delivery: summarise(&self.accept_to_delivery),
            answer_to_delivery: summarise(&self.answer_to_delivery),
        };
        let (accept_to_delivery, answer_to_delivery) = (self.accept_to_delivery, self.answer_to_delivery);
        (measured, Times { accept_to_delivery, answer_to_delivery })
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are legal")
}

fn record(histogram: &mut Histogram<u64>, from_ns: u64, to_ns: u64) {
    histogram.saturating_record(to_ns.saturating_sub(from_ns) / 1_000);
}

pub fn summarise(histogram: &Histogram<u64>) -> Latency {
    // The histogram rounds up within its precision; nothing was longer than the longest.
    let quantile = |quantile| histogram.value_at_quantile(quantile).min(histogram.max());
    Latency {
        count: histogram.len(),
        p50_us: quantile(0.5),
        p90_us: quantile(0.9),
        p99_us: quantile(0.99),
        p999_us: quantile(0.999),
        max_us: histogram.max(),
    }
}

fn per_second(count: u64, span_ns: u64) -> f64 {
    if span_ns == 0 { 0.0 } else { count as f64 / (span_ns as f64 / 1e9) }
}
