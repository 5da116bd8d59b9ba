//! The report, for people.

use std::fmt::{self, Display, Formatter};

use super::args::Door;
use super::report::{Latency, Report};

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { settings, machine, server_memory, totals, measured, times: _ } = self;
        let is_clicks = settings.door == Door::Clicks;
        write!(f, "bench {} of {}: ", settings.run, settings.server)?;
        match settings.rate_per_second {
            Some(rate) => write!(f, "open loop, {rate}/s over {} connections", settings.connections)?,
            None => write!(f, "closed loop of {} connections", settings.connections)?,
        }
        if let Some(conversions) = settings.conversions {
            write!(f, ", {conversions} {}", if is_clicks { "clicks" } else { "conversions" })?;
        }
        if let Some(duration_s) = settings.duration_s {
            write!(f, ", {duration_s} s")?;
        }
        write!(f, " after {} s of warm-up", settings.warmup_s)?;
        if is_clicks {
            writeln!(f, "; clicks")?;
        } else {
            let (postbacks, delay_ms) = (settings.offer_postbacks, settings.sink_delay_ms);
            writeln!(f, "; {postbacks} postback(s) a conversion, sink answers after {delay_ms} ms")?;
        }

        writeln!(
            f,
            "\n{:<38} {:>10.1}/s   ({} of {} sent)",
            "accepted", measured.accepted_per_second, measured.accepted, measured.sent
        )?;
        if !is_clicks {
            writeln!(
                f,
                "{:<38} {:>10.1}/s   ({})",
                "delivered", measured.delivered_per_second, measured.delivered
            )?;
        }
        writeln!(f, "\n{:<38} {:>10} {:>10} {:>10}", "milliseconds", "p50", "p99", "max")?;
        times(f, "accept (due → answer)", &measured.accept)?;
        times(f, "  of it from sending on", &measured.accept_from_send)?;
        times(f, "  of it before sending (bench's own)", &measured.send_delay)?;
        if !is_clicks {
            times(f, "accept-to-delivery (sent → sink)", &measured.accept_to_delivery)?;
            times(f, "  answer → sink, 0 if sink was first", &measured.answer_to_delivery)?;
        }

        writeln!(f, "\nwhole run, warm-up included: {} sent, {} accepted", totals.sent, totals.accepted)?;
        for (why, count) in &totals.errors {
            writeln!(f, "  not accepted, {why}: {count}")?;
        }
        match totals.recorded_clicks {
            Some(recorded) => {
                writeln!(f, "  clicks in the database {recorded}, lost {}", totals.lost_clicks())?;
            }
            None => writeln!(
                f,
                "  delivered {} of {}, lost {}, duplicates {}",
                totals.delivered, totals.expected_deliveries, totals.lost, totals.duplicates
            )?,
        }
        if totals.delivered_unaccepted > 0 {
            writeln!(f, "  delivered though not accepted: {}", totals.delivered_unaccepted)?;
        }
        if totals.strays > 0 {
            writeln!(f, "  came to the sink from elsewhere: {}", totals.strays)?;
        }

        let memory =
            [server_memory.before_bytes, server_memory.after_load_bytes, server_memory.after_drain_bytes];
        writeln!(
            f,
            "\nserver memory {} MiB (before, after the load, at the end); {} CPUs, load average {} → {}",
            memory.map(mebibytes).join(" → "),
            machine.cpus,
            average(machine.load_average_before),
            average(machine.load_average_after),
        )?;
        self.verdict(f)
    }
}

impl Report {
    fn verdict(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let totals = &self.totals;
        if totals.accepted == 0 {
            return writeln!(f, "FAILED: nothing was accepted; the errors above say why.");
        }
        if totals.recorded_clicks.is_some() {
            return match totals.lost_clicks() {
                0 => writeln!(f, "Every redirect's click is in the database."),
                lost => writeln!(f, "FAILED: {lost} clicks that were redirected are not in the database."),
            };
        }
        if totals.delivered == 0 {
            return writeln!(
                f,
                "FAILED: no postback arrived at all; does the server allow destinations on 127.0.0.1?"
            );
        }
        if totals.lost > 0 {
            return writeln!(
                f,
                "FAILED: {} postbacks did not arrive within {} s after the load.",
                totals.lost, self.settings.drain_s
            );
        }
        writeln!(f, "Everything accepted was delivered.")
    }
}

fn times(f: &mut Formatter<'_>, what: &str, latency: &Latency) -> fmt::Result {
    if latency.count == 0 {
        return writeln!(f, "{what:<38} {:>10} {:>10} {:>10}", "-", "-", "-");
    }
    let [p50, p99, max] = [latency.p50_us, latency.p99_us, latency.max_us].map(|us| us as f64 / 1_000.0);
    writeln!(f, "{what:<38} {p50:>10.2} {p99:>10.2} {max:>10.2}")
}

fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or("?".into(), |bytes| format!("{:.0}", bytes as f64 / 1_048_576.0))
}

fn average(load: Option<[f64; 3]>) -> String {
    load.map_or("?".into(), |[one, five, fifteen]| format!("{one} {five} {fifteen}"))
}
