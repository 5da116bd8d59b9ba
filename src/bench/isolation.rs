//! Whether one destination's trouble is another's: a healthy one alone, beside a neighbour that gets
//! more than it can take, and beside a thousand that never answer.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::args::{Leftovers, Settings};
use super::measure_once;
use super::probe::{self, load_average};
use super::report::{Latency, Times, summarise};
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

/// Longest wait until nothing of the measurement before is under way.
const SETTLE_WAIT: Duration = Duration::from_secs(30);
const SETTLE_CHECK: Duration = Duration::from_millis(200);

#[derive(Debug, Serialize)]
pub struct IsolationReport {
    /// The first is alone.
    pub phases: Vec<Phase>,
    pub rounds: usize,
    pub cpus: usize,
    pub load_average_before: Option<[f64; 3]>,
    pub load_average_after: Option<[f64; 3]>,
}

/// The healthy destination in one neighbourhood, over all rounds.
#[derive(Debug, Serialize)]
pub struct Phase {
    pub neighbourhood: &'static str,
    pub accept_to_delivery: Latency,
    pub answer_to_delivery: Latency,
    pub lost: u64,
    /// Postbacks that reached the neighbours meanwhile.
    pub neighbours_received: u64,
}

/// One neighbourhood's rounds so far.
struct Rounds {
    neighbour: Option<&'static Neighbour>,
    times: Times,
    lost: u64,
    neighbours_received: u64,
}

/// Each neighbourhood in turn, and that several times: a machine that others share, and whose disk they
/// write to, is not the same for long.
pub async fn run(settings: &Settings) -> anyhow::Result<IsolationReport> {
    let load_average_before = load_average();
    let neighbourhoods = [None].into_iter().chain(NEIGHBOURS.iter().map(Some));
    let mut all: Vec<Rounds> = neighbourhoods.map(Rounds::of).collect();
    for _ in 0..settings.rounds {
        for rounds in &mut all {
            settle(settings).await;
            rounds.measure(settings).await?;
        }
    }
    Ok(IsolationReport {
        phases: all.iter().map(Rounds::sum).collect(),
        rounds: settings.rounds,
        cpus: std::thread::available_parallelism().map_or(0, usize::from),
        load_average_before,
        load_average_after: load_average(),
    })
}

/// Waits until the server has nothing under way, as far as it tells.
async fn settle(settings: &Settings) {
    let Ok(server) = settings.server.resolve().await else { return };
    let deadline = Instant::now() + SETTLE_WAIT;
    while probe::attempts_in_flight(&server).await.is_some_and(|attempts| attempts > 0)
        && Instant::now() < deadline
    {
        sleep(SETTLE_CHECK).await;
    }
}

impl Rounds {
    fn of(neighbour: Option<&'static Neighbour>) -> Self {
        Self { neighbour, times: Times::none(), lost: 0, neighbours_received: 0 }
    }

    async fn measure(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let healthy = settings.with(HEALTHY_RATE, 1, Duration::ZERO, settings.plan);
        let report = match self.neighbour {
            None => measure_once(&healthy).await?,
            Some(neighbour) => {
                let beside = neighbour.settings(settings);
                let (report, beside) = tokio::join!(measure_once(&healthy), measure_once(&beside));
                self.neighbours_received += beside?.totals.delivered;
                report?
            }
        };
        self.times.add(&report.times);
        self.lost += report.totals.lost;
        Ok(())
    }

    fn sum(&self) -> Phase {
        Phase {
            neighbourhood: self.neighbour.map_or("alone", |neighbour| neighbour.name),
            accept_to_delivery: summarise(&self.times.accept_to_delivery),
            answer_to_delivery: summarise(&self.times.answer_to_delivery),
            lost: self.lost,
            neighbours_received: self.neighbours_received,
        }
    }
}

impl Neighbour {
    fn settings(&self, settings: &Settings) -> Settings {
        // Its load outlasts the measurement by a little on both sides.
        let plan = Plan { warmup: Duration::ZERO, ..settings.plan.longer_by(Duration::from_secs(2)) };
        Settings {
            drain: Duration::ZERO,
            leftovers: Leftovers::Withdrawn,
            ..settings.with(self.rate_per_second, self.destinations, self.answers_after, plan)
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
        writeln!(
            f,
            "{:<46} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6}",
            "", "number", "p50", "p99", "p99 more", "max", "lost"
        )?;
        let alone = self.phases.first().map_or(0, |phase| phase.accept_to_delivery.p99_us);
        for phase in &self.phases {
            let ms = |us: u64| us as f64 / 1_000.0;
            let times = &phase.accept_to_delivery;
            let more = match alone {
                0 => String::new(),
                alone => format!("{:+.0} %", (times.p99_us as f64 / alone as f64 - 1.0) * 100.0),
            };
            writeln!(
                f,
                "{:<46} {:>8} {:>8.2} {:>8.2} {:>8} {:>8.2} {:>6}",
                phase.neighbourhood,
                times.count,
                ms(times.p50_us),
                ms(times.p99_us),
                more,
                ms(times.max_us),
                phase.lost
            )?;
        }
        let load = self.load_average_after.map(|load| format!("{load:?}")).unwrap_or_default();
        writeln!(f, "\n{} rounds, {} CPUs, load average {load}", self.rounds, self.cpus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds of a neighbourhood whose times are all the same.
    fn rounds(neighbour: Option<&'static Neighbour>, rounds_us: &[u64]) -> Rounds {
        let mut all = Rounds::of(neighbour);
        for us in rounds_us {
            let mut times = Times::none();
            times.accept_to_delivery.record_n(*us, 100).unwrap();
            all.times.add(&times);
        }
        all
    }

    #[test]
    fn all_rounds_are_summed_up_and_held_against_those_alone() {
        let all = [rounds(None, &[1_000, 2_000]), rounds(Some(&NEIGHBOURS[0]), &[3_000, 1_000])];
        let report = IsolationReport {
            phases: all.iter().map(Rounds::sum).collect(),
            rounds: 2,
            cpus: 2,
            load_average_before: None,
            load_average_after: None,
        };
        assert!(report.is_sound());
        let text = report.to_string();
        let columns = |start: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(start)).unwrap();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(columns("alone"), ["200", "1.00", "2.00", "+0", "%", "2.00", "0"]);
        assert_eq!(columns(NEIGHBOURS[0].name), ["200", "1.00", "3.00", "+50", "%", "3.00", "0"]);
    }

    #[test]
    fn a_report_without_times_or_with_losses_is_not_sound() {
        let report = |rounds: &Rounds| IsolationReport {
            phases: vec![rounds.sum()],
            rounds: 1,
            cpus: 2,
            load_average_before: None,
            load_average_after: None,
        };
        assert!(!report(&rounds(None, &[])).is_sound());
        let mut lossy = rounds(None, &[1]);
        assert!(report(&lossy).is_sound());
        lossy.lost = 1;
        assert!(!report(&lossy).is_sound());
    }
}
