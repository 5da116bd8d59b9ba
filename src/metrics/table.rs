//! The one table of metrics: what is said at `GET /metrics`, and in docs/metrics.md.

use crate::event_log::rows::Log;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric, and the values of its label that are known from the start.
///
/// Counters are told as 0 from the start under each of them, so that the first increase is seen as
/// one: a series that begins at 1 has never increased.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    /// Values of `labels`, one inner slice a series.
    pub known: &'static [&'static [&'static str]],
    pub meaning: &'static str,
}

const fn counter(name: &'static str, meaning: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels: &[], known: &[&[]], meaning }
}

const fn counter_by(
    name: &'static str,
    labels: &'static [&'static str],
    known: &'static [&'static [&'static str]],
    meaning: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, labels, known, meaning }
}

const fn gauge(name: &'static str, meaning: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels: &[], known: &[], meaning }
}

const fn gauge_by(name: &'static str, labels: &'static [&'static str], meaning: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, known: &[], meaning }
}

const fn histogram(name: &'static str, meaning: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, labels: &[], known: &[], meaning }
}

const LOGS: &[&[&str]] = &[
    &[Log::Attempts.table()],
    &[Log::InboundRequests.table()],
    &[Log::Clicks.table()],
    &[Log::ConversionEvents.table()],
];

pub const METRICS: &[Metric] = &[
    counter_by(
        "ricochet_inbound_requests_total",
        &["verdict", "reason"],
        &[&["accepted", ""], &["duplicate", ""]],
        "Conversion requests by verdict and reason",
    ),
    counter_by(
        "ricochet_unanswered_requests_total",
        &["reason"],
        &[&["store_unavailable"], &["overloaded"], &["internal"]],
        "Requests that got 503 or 500, by reason",
    ),
    gauge("ricochet_websockets", "WebSockets at /graphql on this node"),
    gauge("ricochet_tail_subscriptions", "Subscriptions to the live log on this node"),
    counter("ricochet_tail_dropped_total", "Attempts left out of live tails that took them too slowly"),
    gauge("ricochet_exports", "Exports under way on this node"),
    counter_by(
        "ricochet_exports_total",
        &["outcome"],
        &[&["complete"], &["abandoned"], &["broken"]],
        "Exports by how they ended",
    ),
    histogram("ricochet_accept_seconds", "From request received to answer ready"),
    histogram("ricochet_record_seconds", "One batch's transaction"),
    histogram("ricochet_batch_requests", "Requests in a batch"),
    gauge(
        "ricochet_batch_results_waiting",
        "Results of items of arrays and streams, decided or not, that their callers have not read",
    ),
    counter("ricochet_clicks_total", "Clicks recorded"),
    counter_by(
        "ricochet_refused_clicks_total",
        &["reason"],
        &[&["rate_limited"]],
        "Clicks past a rate or bound, by reason; they are not logged",
    ),
    counter("ricochet_prefetched_clicks_total", "Links that a browser fetched ahead; they are no clicks"),
    counter(
        "ricochet_unlogged_unknown_links_total",
        "Visits of unknown links past the rate at which they are logged",
    ),
    counter_by(
        "ricochet_attempts_total",
        &["outcome", "error_kind"],
        &[&["delivered", "none"]],
        "Delivery attempts by outcome and kind of error",
    ),
    histogram("ricochet_attempt_seconds", "One exchange with a destination"),
    histogram("ricochet_queued_seconds", "From an attempt being due to its beginning"),
    gauge("ricochet_attempts_in_flight", "Attempts under way on this node"),
    gauge(
        "ricochet_attempts_unrecorded",
        "Attempts made whose record PostgreSQL refuses; they are tried on, and not sent again",
    ),
    counter_by(
        "ricochet_unreadable_rows_total",
        &["table"],
        &[&["deliveries"], &["catalogue"]],
        "Rows of PostgreSQL that this node could not read and set aside; a newer node may have written them",
    ),
    gauge("ricochet_queue_deliveries", "Deliveries not finished, over all nodes"),
    gauge("ricochet_queue_oldest_due_seconds", "Age of the oldest delivery that is due, over all nodes"),
    gauge("ricochet_dispatchers", "Dispatchers at work on this node"),
    counter(
        "ricochet_dispatcher_restarts_total",
        "Dispatchers that died of an internal error and were started again",
    ),
    counter(
        "ricochet_panics_total",
        "Internal errors (panics) of this process; its log says where, and what they ended",
    ),
    gauge("ricochet_live_nodes", "Nodes that share the destinations, as this one sees it"),
    counter("ricochet_rescue_rounds_total", "Looks for what is due and for nodes that have died"),
    gauge_by(
        "ricochet_destinations",
        &["breaker"],
        "Destinations of this node by the state of their breaker",
    ),
    gauge("ricochet_destinations_held", "Destinations that asked to be left alone (Retry-After)"),
    counter_by(
        "ricochet_destination_changes_total",
        &["to"],
        &[&["open"], &["closed"], &["held"]],
        "Breakers that opened or closed, and destinations that asked to be left alone",
    ),
    gauge_by(
        "ricochet_failing_postbacks",
        &["warnings"],
        "Postbacks of which every attempt fails, by how often they were warned of, over all nodes",
    ),
    counter_by(
        "ricochet_destination_events_total",
        &["event"],
        &[&["destination_failing"], &["destination_recovered"], &["destination_paused"]],
        "Warnings, recoveries and pauses of destinations",
    ),
    counter_by(
        "ricochet_log_rows_shipped_total",
        &["log"],
        LOGS,
        "Rows that ClickHouse has confirmed, by log",
    ),
    gauge("ricochet_log_backlog_rows", "Log rows waiting in PostgreSQL for ClickHouse, over all nodes"),
    gauge("ricochet_log_backlog_oldest_seconds", "Age of the oldest of them"),
    gauge("ricochet_clickhouse_up", "1 while ClickHouse takes the log"),
    gauge("process_resident_memory_bytes", "Resident memory of this process"),
];

/// The table of docs/metrics.md.
pub fn document() -> String {
    let mut text = String::from("| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for metric in METRICS {
        let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let Metric { name, kind, meaning, .. } = metric;
        text.push_str(&format!("| `{name}` | {} | {labels} | {meaning} |\n", kind.word()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_this_table() {
        let page = include_str!("../../docs/metrics.md");
        assert!(page.contains(&document()), "docs/metrics.md should contain:\n{}", document());
    }

    #[test]
    fn known_series_fit_their_labels() {
        for metric in METRICS {
            for values in metric.known {
                assert_eq!(values.len(), metric.labels.len(), "{}", metric.name);
            }
        }
        assert_eq!(LOGS.len(), Log::ALL.len());
    }
}
