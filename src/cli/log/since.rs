//! "10m" and the like, for people who think in the past.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

/// A time that has been: so long ago, or an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    Ago(TimeDelta),
    At(DateTime<Utc>),
}

impl Since {
    pub fn at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Ago(ago) => now.checked_sub_signed(ago).unwrap_or(DateTime::UNIX_EPOCH),
            Self::At(time) => time,
        }
    }
}

impl FromStr for Since {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str =
            "write how long ago, such as 90s, 10m, 2h or 1d, or a time such as 2026-11-21T00:00:00Z";
        let text = text.trim();
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(time.to_utc()));
        }
        let unit = text.chars().last().ok_or(EXPECTED)?;
        let number: u32 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| EXPECTED)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(EXPECTED),
        };
        Ok(Self::Ago(TimeDelta::seconds(i64::from(number) * seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_instants_are_read() {
        assert_eq!("10m".parse(), Ok(Since::Ago(TimeDelta::minutes(10))));
        assert_eq!(" 90s ".parse(), Ok(Since::Ago(TimeDelta::seconds(90))));
        assert!("4294967295d".parse::<Since>().is_ok());
        let time = "2026-11-21T02:00:00+02:00".parse::<Since>().unwrap();
        assert_eq!(time, Since::At("2026-11-21T00:00:00Z".parse().unwrap()));
        for bad in ["", "m", "10", "-5m", "10 minutes", "10ж", "yesterday"] {
            assert!(bad.parse::<Since>().is_err(), "{bad}");
        }
    }
}
