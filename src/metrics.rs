//! Prometheus metrics: what is measured, in which buckets, and the text at `GET /metrics`.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Seconds: from a fast commit to a slow tracker.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0];
const COUNTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_000.0];

/// Installs the recorder of this process; the handle writes the text.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_requests".into()), COUNTS)?
        .install_recorder()?;
    describe();
    Ok(handle)
}

fn describe() {
    describe_counter!("ricochet_inbound_requests_total", "Conversion requests by verdict and reason");
    describe_counter!("ricochet_unanswered_requests_total", "Requests that got 503 or 500, by reason");
    describe_counter!(
        "ricochet_refused_clicks_total",
        "Clicks past a rate or bound, by reason; they are not logged"
    );
    describe_counter!("ricochet_clicks_total", "Clicks recorded");
    describe_counter!("ricochet_attempts_total", "Delivery attempts by outcome and kind of error");
    describe_counter!("ricochet_log_rows_shipped_total", "Rows that ClickHouse has confirmed, by log");
    describe_gauge!("ricochet_websockets", "WebSockets at /graphql on this node");
    describe_gauge!("ricochet_tail_subscriptions", "Subscriptions to the live log on this node");
    describe_counter!(
        "ricochet_tail_dropped_total",
        "Attempts left out of live tails that took them too slowly"
    );
    describe_gauge!("ricochet_exports", "Exports under way on this node");
    describe_counter!("ricochet_exports_total", "Exports ended, by outcome");
    describe_histogram!("ricochet_accept_seconds", Unit::Seconds, "From request received to answer ready");
    describe_histogram!("ricochet_record_seconds", Unit::Seconds, "One batch's transaction");
    describe_histogram!("ricochet_batch_requests", "Requests in a batch");
    describe_histogram!("ricochet_attempt_seconds", Unit::Seconds, "One exchange with a destination");
    describe_histogram!(
        "ricochet_queued_seconds",
        Unit::Seconds,
        "From an attempt being due to its beginning"
    );
    describe_gauge!("ricochet_queue_deliveries", "Deliveries not finished, over all nodes");
    describe_gauge!(
        "ricochet_queue_oldest_due_seconds",
        Unit::Seconds,
        "Age of the oldest delivery that is due"
    );
    describe_gauge!("ricochet_attempts_in_flight", "Attempts under way on this node");
    describe_gauge!(
        "ricochet_batch_results_waiting",
        "Results of items of arrays and streams, decided or not, that their callers have not read"
    );
    describe_gauge!("ricochet_destinations", "Destinations of this node by the state of their breaker");
    describe_gauge!("ricochet_destinations_held", "Destinations that asked to be left alone (Retry-After)");
    describe_counter!(
        "ricochet_destination_changes_total",
        "Breakers that opened or closed, and destinations that asked to be left alone"
    );
    describe_gauge!("ricochet_dispatchers", "Dispatchers at work on this node");
    describe_gauge!("ricochet_live_nodes", "Nodes that share the destinations, as this one sees it");
    describe_counter!("ricochet_rescue_rounds_total", "Looks for what is due and for nodes that have died");
    describe_gauge!("ricochet_log_backlog_rows", "Log rows waiting in PostgreSQL for ClickHouse");
    describe_gauge!("ricochet_log_backlog_oldest_seconds", Unit::Seconds, "Age of the oldest of them");
    describe_gauge!("ricochet_clickhouse_up", "1 while ClickHouse takes the log");
    describe_gauge!("process_resident_memory_bytes", Unit::Bytes, "Resident memory of this process");
}

/// Resident memory of this process, in bytes; 0 where the system does not tell.
pub fn resident_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
