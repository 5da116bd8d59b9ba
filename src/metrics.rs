//! Prometheus metrics: what is measured, in which buckets, and the text at `GET /metrics`.

pub mod table;

use ::metrics::{
    Key, Label, Level, Metadata, Unit, describe_counter, describe_gauge, describe_histogram, with_recorder,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use table::{Kind, METRICS, Metric};

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
    METRICS.iter().for_each(describe);
    METRICS.iter().for_each(begin_at_zero);
    // Set only when a stream comes and goes.
    ::metrics::gauge!("ricochet_batch_results_waiting").set(0.0);
    // The same of connections, tails and exports.
    ::metrics::gauge!("ricochet_websockets").set(0.0);
    ::metrics::gauge!("ricochet_tail_subscriptions").set(0.0);
    ::metrics::gauge!("ricochet_exports").set(0.0);
    Ok(handle)
}

fn describe(metric: &Metric) {
    let Metric { name, meaning, .. } = *metric;
    let unit = match name {
        _ if name.ends_with("_seconds") => Unit::Seconds,
        _ if name.ends_with("_bytes") => Unit::Bytes,
        _ => Unit::Count,
    };
    match metric.kind {
        Kind::Counter => describe_counter!(name, unit, meaning),
        Kind::Gauge => describe_gauge!(name, unit, meaning),
        Kind::Histogram => describe_histogram!(name, unit, meaning),
    }
}

fn begin_at_zero(metric: &Metric) {
    const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));
    for values in metric.known {
        let labels = metric.labels.iter().zip(*values).map(|(label, value)| Label::new(*label, *value));
        let key = Key::from_parts(metric.name, labels.collect::<Vec<_>>());
        with_recorder(|recorder| recorder.register_counter(&key, &METADATA).increment(0));
    }
}

/// Resident memory of this process, in bytes; 0 where the system does not tell.
pub fn resident_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
