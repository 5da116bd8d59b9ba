//! The flags that say how a postback's destination is treated.

use std::str::FromStr;

use clap::Args;

use super::flags::OrNone;
use crate::store::setup::sending::SendingChange;

#[derive(Debug, Args)]
pub struct SendingArgs {
    /// Most requests at once, over all nodes: 1 to 1000, 16 by default.
    #[arg(long, value_name = "NUMBER")]
    pub max_in_flight: Option<i32>,
    /// Most requests a second, over all nodes; none, the default, for as many as come.
    #[arg(long, value_name = "NUMBER|none", value_parser = number::<f64>)]
    rate_per_second: Option<OrNone<f64>>,
    /// Most requests at once after a quiet time, where there is a rate; none, the default, for a
    /// tenth of a second's worth.
    #[arg(long, value_name = "NUMBER|none", value_parser = number::<i32>)]
    burst: Option<OrNone<i32>>,
    /// Waits between attempts, such as 5s,30s,2m,1h,1d; none for the default schedule.
    #[arg(long, value_name = "WAITS|none", value_parser = schedule)]
    retry_schedule: Option<OrNone<Schedule>>,
    /// Most attempts of one delivery, past the schedule by its last wait; none, the default, for one
    /// more than the schedule has waits.
    #[arg(long, value_name = "NUMBER|none", value_parser = number::<i32>)]
    max_attempts: Option<OrNone<i32>>,
    /// The longest a Retry-After is heeded, such as 2h; none, the default, for a day.
    #[arg(long, value_name = "TIME|none", value_parser = time)]
    retry_after_cap: Option<OrNone<i64>>,
}

/// Milliseconds between attempts. Not a bare `Vec`, which clap would take for a list of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Vec<i64>);

/// The names of the arguments above, for what may have to be changed.
pub const NAMES: [&str; 6] =
    ["max_in_flight", "rate_per_second", "burst", "retry_schedule", "max_attempts", "retry_after_cap"];

/// How the store's fields of a postback are spelled on the command line.
pub const SPELLED: &[(&str, &str)] = &[
    ("certificate_pem", "--certificate"),
    ("private_key_pem", "--key"),
    ("url_template", "--url"),
    ("headers", "--header"),
    ("body_template", "--body"),
    ("required_macros", "--required"),
    ("success_rules", "--success"),
    ("postback_id", "POSTBACK_ID"),
    ("lead_id", "--lead"),
    ("condition", "--condition"),
    ("limits.rate_per_second", "--rate-per-second"),
    ("limits.burst", "--burst"),
    ("retry.schedule_ms", "--retry-schedule"),
    ("retry.max_attempts", "--max-attempts"),
    ("retry.retry_after_cap_ms", "--retry-after-cap"),
];

impl SendingArgs {
    pub fn change(&self) -> SendingChange {
        SendingChange {
            rate_per_second: self.rate_per_second.map(Into::into),
            burst: self.burst.map(Into::into),
            retry_schedule_ms: self
                .retry_schedule
                .clone()
                .map(|schedule| Option::<Schedule>::from(schedule).map(|Schedule(waits)| waits)),
            max_attempts: self.max_attempts.map(Into::into),
            retry_after_cap_ms: self.retry_after_cap.map(Into::into),
        }
    }
}

fn or_none<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<OrNone<T>, String> {
    match text.trim() {
        "none" => Ok(OrNone::None),
        text => read(text).map(OrNone::Value),
    }
}

fn number<T: FromStr>(text: &str) -> Result<OrNone<T>, String> {
    or_none(text, |text| text.parse().map_err(|_| "write a number, or none".into()))
}

fn time(text: &str) -> Result<OrNone<i64>, String> {
    or_none(text, milliseconds)
}

fn schedule(text: &str) -> Result<OrNone<Schedule>, String> {
    or_none(text, |text| text.split(',').map(milliseconds).collect::<Result<_, _>>().map(Schedule))
}

/// A time with its unit, in milliseconds.
fn milliseconds(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("write a whole number and its unit: ms, s, m, h or d, such as 30s".into()),
    };
    number
        .parse::<i64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_ms))
        .ok_or_else(|| "write a whole number before the unit, such as 30s".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, ms) in
            [("250ms", 250), ("5s", 5_000), ("2m", 120_000), ("2min", 120_000), (" 1d ", 86_400_000)]
        {
            assert_eq!(milliseconds(text), Ok(ms), "{text}");
        }
        for text in ["", "5", "s", "5x", "-5s", "1.5h", "99999999999999999999s", "9223372036854775807d"] {
            assert!(milliseconds(text).is_err(), "{text}");
        }
        assert_eq!(schedule("5s,1m"), Ok(OrNone::Value(Schedule(vec![5_000, 60_000]))));
        assert_eq!(schedule("none"), Ok(OrNone::None));
        assert!(schedule("5s,").is_err());
        assert_eq!(number::<f64>("0.5"), Ok(OrNone::Value(0.5)));
    }
}
