//! The flags that say how a postback's destination is treated.

use clap::Args;

use crate::store::setup::sending::SendingChange;

#[derive(Debug, Args, Default)]
pub struct SendingArgs {
    /// Most requests at once, over all nodes; 16 where it is not given.
    #[arg(long, value_name = "NUMBER")]
    pub max_in_flight: Option<i32>,
    /// Most requests a second, over all nodes; as many as come where it is not given.
    #[arg(long, value_name = "NUMBER")]
    rate_per_second: Option<f64>,
    /// Most requests at once after a quiet time; a tenth of a second's worth where it is not given.
    #[arg(long, value_name = "NUMBER", requires = "rate_per_second")]
    burst: Option<i32>,
    /// Waits between attempts, separated by commas, such as 5s,30s,2m,1h,1d.
    #[arg(long, value_name = "WAITS", value_delimiter = ',', value_parser = milliseconds)]
    retry_schedule: Option<Vec<i64>>,
    /// Most attempts of one delivery; past the schedule its last wait is repeated.
    #[arg(long, value_name = "NUMBER")]
    max_attempts: Option<i32>,
    /// The longest a Retry-After is heeded, such as 2h; a day where it is not given.
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    retry_after_cap: Option<i64>,
}

impl SendingArgs {
    pub fn change(&self) -> SendingChange {
        SendingChange {
            rate_per_second: self.rate_per_second.map(Some),
            burst: self.burst.map(Some),
            retry_schedule_ms: self.retry_schedule.clone().map(Some),
            max_attempts: self.max_attempts.map(Some),
            retry_after_cap_ms: self.retry_after_cap.map(Some),
        }
    }
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
    }
}
