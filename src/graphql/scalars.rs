//! Scalars of our own.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;

use super::failure::Failure;
use super::paging::within_databases;
use crate::domain::money::parse_amount;

/// An instant: RFC 3339, written in UTC with microseconds, such as `2025-08-04T12:00:00.000000Z`.
///
/// Text that is no time is kept and refused by whoever knows the name of the field it was
/// written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Time {
    Known(DateTime<Utc>),
    Unreadable(String),
}

impl Time {
    /// As a bound of a filter: rounded up to the microsecond, which is right for an inclusive
    /// beginning and an exclusive end alike.
    pub fn bound(&self, field: &str) -> Result<DateTime<Utc>, Failure> {
        match self {
            Self::Known(time) => {
                let time = within_databases(*time);
                let micros =
                    time.timestamp_micros() + i64::from(!time.timestamp_subsec_nanos().is_multiple_of(1_000));
                Ok(DateTime::from_timestamp_micros(micros).unwrap_or(time))
            }
            Self::Unreadable(text) => Err(Failure::bad_input(
                field,
                format!("{text:?} is no time; write it by RFC 3339, such as 2025-08-04T12:00:00Z"),
            )),
        }
    }
}

impl From<DateTime<Utc>> for Time {
    fn from(time: DateTime<Utc>) -> Self {
        Self::Known(time)
    }
}

/// An instant: RFC 3339, written in UTC with microseconds, such as `2025-08-04T12:00:00.000000Z`.
/// Any offset is read.
#[Scalar(name = "DateTime", specified_by_url = "https://datatracker.ietf.org/doc/html/rfc3339")]
impl ScalarType for Time {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(match DateTime::parse_from_rfc3339(text.trim()) {
                Ok(time) => Self::Known(time.to_utc()),
                Err(_) => Self::Unreadable(text),
            }),
            _ => Err(InputValueError::custom("write a time by RFC 3339, such as \"2025-08-04T12:00:00Z\"")),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(match self {
            Self::Known(time) => time.to_rfc3339_opts(SecondsFormat::Micros, true),
            Self::Unreadable(text) => text.clone(),
        })
    }
}

/// An exact amount or percentage as it was written; whoever knows the name of its field reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount(String);

impl Amount {
    pub fn read(&self, field: &str) -> Result<Decimal, Failure> {
        parse_amount(&self.0).map_err(|error| Failure::bad_input(field, error.to_string()))
    }
}

/// An exact decimal number of 0 or more, such as "25.00". Write it as a text: a JSON number may
/// have lost digits before it gets here.
#[Scalar]
impl ScalarType for Amount {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => Ok(Self(number.to_string())),
            _ => Err(InputValueError::custom("write an amount as a text, such as \"25.00\"")),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// A duration in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Microseconds(pub u64);

/// A duration in microseconds, as a whole JSON number; it may pass 2^31, which `Int` may not.
#[Scalar]
impl ScalarType for Microseconds {
    fn parse(value: Value) -> InputValueResult<Self> {
        let number = match &value {
            Value::Number(number) => number.as_u64(),
            _ => None,
        };
        number
            .map(Self)
            .ok_or_else(|| InputValueError::custom("write microseconds as a whole number, 0 or more"))
    }

    fn to_value(&self) -> Value {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Time {
        Time::parse(text.into()).unwrap()
    }

    #[test]
    fn times_of_any_offset_are_the_same_instant() {
        let written = read("2025-08-04T14:00:00.5+02:00").to_value();
        assert_eq!(written, Value::from("2025-08-04T12:00:00.500000Z"));
    }

    #[test]
    fn a_bound_is_never_before_what_was_written() {
        let bound = read("2025-08-04T12:00:00.0000001Z").bound("from").unwrap();
        assert_eq!(Time::from(bound).to_value(), Value::from("2025-08-04T12:00:00.000001Z"));
        assert!(read("0001-01-01T00:00:00Z").bound("from").is_ok());
        assert!(read("9999-12-31T23:59:59.9999999Z").bound("to").is_ok());
    }

    #[test]
    fn what_is_no_time_names_the_field_and_the_remedy() {
        let Err(Failure::BadInput { field, message }) = read("yesterday").bound("filter.from") else {
            panic!("yesterday is a time")
        };
        assert_eq!(field, "filter.from");
        assert!(message.contains("RFC 3339"), "{message}");
    }

    #[test]
    fn microseconds_pass_31_bits() {
        let long = 86_400_000_000u64 * 3;
        assert_eq!(Microseconds(long).to_value(), Value::from(long));
        assert_eq!(Microseconds::parse(Value::from(long)).unwrap(), Microseconds(long));
        assert!(Microseconds::parse(Value::from(-1)).is_err());
    }
}
