//! Whether one destination's trouble is another's: a healthy one alone, then beside a neighbour
//! that gets more than it can take, then beside a thousand that never answer.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde::Serialize;

use super::args::{Leftovers, Settings};
use super::measure_once;
use super::probe::load_average;
use super::report::{Latency, Report};
use super::schedule::Plan;

/// The healthy destination's conversions a second.
const HEALTHY_RATE: u32 = 50;

/// A neighbour: how it is, conversions a second, destinations, and how long each takes to answer.
struct Neighbour {
    name: &'static str,
    rate_per_second: u32,
    destinations: usize,
    answers_after: Duration,
}

const NEIGHBOURS: [Neighbour; 2] = [
    Neighbour {
        name: "beside one that gets 400/s and takes 2 s each",
        rate_per_second: 400,
        destinations: 1,
        answers_after: Duration::from_secs(2),
    },
    Neighbour {
        name: "beside 1,000 that hang",
        rate_per_second: 1,
        destinations: 1_000,
        answers_after: Duration::from_secs(3_600),
    },
];

#[derive(Debug, Serialize)]
pub struct IsolationReport {
    pub phases: Vec<Phase>,
    pub cpus: usize,
    pub load_average_before: Option<[f64; 3]>,
    pub load_average_after: Option<[f64; 3]>,
}

/// The healthy destination in one neighbourhood.
#[derive(Debug, Serialize)]
pub struct Phase {
    pub neighbourhood: &'static str,
    pub accept_to_delivery: Latency,
    pub answer_to_delivery: Latency,
    pub lost: u64,
    /// Postbacks that reached the neighbours meanwhile.
    pub neighbours_received: u64,
}

pub async fn run(settings: &Settings) -> anyhow::Result<IsolationReport> {
    let healthy = |settings: &Settings| settings.with(HEALTHY_RATE, 1, Duration::ZERO, settings.plan);
    let load_average_before = load_average();
    let mut phases = vec![Phase::of("alone", &measure_once(&healthy(settings)).await?, 0)];
    for neighbour in &NEIGHBOURS {
        // The neighbour's load outlasts the measurement by a little on both sides.
        let plan = Plan { warmup: Duration::ZERO, ..settings.plan.longer_by(Duration::from_secs(2)) };
        let beside = Settings {
            drain: Duration::ZERO,
            leftovers: Leftovers::Withdrawn,
            ..settings.with(neighbour.rate_per_second, neighbour.destinations, neighbour.answers_after, plan)
        };
        let healthy = healthy(settings);
        let (report, beside) = tokio::join!(measure_once(&healthy), measure_once(&beside));
        phases.push(Phase::of(neighbour.name, &report?, beside?.totals.delivered));
    }
    Ok(IsolationReport {
        phases,
        cpus: std::thread::available_parallelism().map_or(0, usize::from),
        load_average_before,
        load_average_after: load_average(),
    })
}

impl Phase {
    fn of(neighbourhood: &'static str, report: &Report, neighbours_received: u64) -> Self {
        Self {
            neighbourhood,
            accept_to_delivery: report.measured.accept_to_delivery.clone(),
            answer_to_delivery: report.measured.answer_to_delivery.clone(),
            lost: report.totals.lost,
            neighbours_received,
        }
    }
}

impl IsolationReport {
    /// Whether the healthy destination got everything.
    pub fn is_sound(&self) -> bool {
        self.phases.iter().all(|phase| phase.lost == 0 && phase.accept_to_delivery.count > 0)
    }
}

impl Display for IsolationReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "a healthy destination at {HEALTHY_RATE}/s, milliseconds from the request to its postback\n"
        )?;
        writeln!(f, "{:<46} {:>8} {:>8} {:>8} {:>6}", "", "p50", "p99", "max", "lost")?;
        for phase in &self.phases {
            let ms = |us: u64| us as f64 / 1_000.0;
            let times = &phase.accept_to_delivery;
            writeln!(
                f,
                "{:<46} {:>8.2} {:>8.2} {:>8.2} {:>6}",
                phase.neighbourhood,
                ms(times.p50_us),
                ms(times.p99_us),
                ms(times.max_us),
                phase.lost
            )?;
        }
        let load = self.load_average_after.map(|load| format!("{load:?}")).unwrap_or_default();
        writeln!(f, "\n{} CPUs, load average {load}", self.cpus)
    }
}
