//! What the server and the machine say of themselves.

use hyper::{StatusCode, Uri};
use serde::Serialize;

use super::http::{Connection, Server};

const MEMORY_GAUGE: &str = "process_resident_memory_bytes";
const IN_FLIGHT_GAUGE: &str = "ricochet_attempts_in_flight";

/// Resident memory of the server process; `None` where its `/metrics` does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ServerMemory {
    pub before_bytes: Option<u64>,
    pub after_load_bytes: Option<u64>,
    pub after_drain_bytes: Option<u64>,
}

pub async fn resident_memory(server: &Server) -> Option<u64> {
    gauge_of(server, MEMORY_GAUGE).await
}

/// Attempts that the server has under way.
pub async fn attempts_in_flight(server: &Server) -> Option<u64> {
    gauge_of(server, IN_FLIGHT_GAUGE).await
}

/// Never fails: the measurement is worth having without it.
async fn gauge_of(server: &Server, name: &str) -> Option<u64> {
    let mut connection = Connection::new(server.clone());
    let (status, body) = connection.get(Uri::from_static("/metrics")).await.ok()?;
    if status != StatusCode::OK {
        return None;
    }
    gauge(std::str::from_utf8(body).ok()?, name)
}

/// A gauge without labels, in the Prometheus text format.
fn gauge(metrics: &str, name: &str) -> Option<u64> {
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    let value: f64 = value.split_whitespace().next()?.parse().ok()?;
    (value.is_finite() && value >= 0.0).then_some(value as u64)
}

/// Over 1, 5 and 15 minutes; `None` where the system has no /proc/loadavg.
pub fn load_average() -> Option<[f64; 3]> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    let mut numbers = text.split_whitespace().map(str::parse);
    Some([numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauge_is_found_among_others() {
        let metrics = "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes_max 1\n\
                       process_resident_memory_bytes 1.5e7\n";
        assert_eq!(gauge(metrics, MEMORY_GAUGE), Some(15_000_000));
        assert_eq!(gauge("up 1\n", MEMORY_GAUGE), None);
        assert_eq!(gauge("process_resident_memory_bytes NaN\n", MEMORY_GAUGE), None);
    }
}
