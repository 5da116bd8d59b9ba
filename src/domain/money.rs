//! Amounts: exact decimals with an ISO 4217 currency, never a float.

use std::str::FromStr;

use iso_currency::Currency as Iso4217;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// An ISO 4217 currency code, such as `USD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(Iso4217);

impl Currency {
    /// Reads a three-letter code in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Iso4217::from_code(&text.trim().to_ascii_uppercase()).map(Self)
    }

    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Rounds to what the currency can pay: cents for `USD`, whole yen for `JPY`. Halves go
    /// away from zero, as on an invoice.
    pub fn round(self, amount: Decimal) -> Decimal {
        let digits = u32::from(self.0.exponent().unwrap_or(2));
        let mut rounded = amount.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero);
        rounded.rescale(digits);
        rounded
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::parse(&code).ok_or_else(|| serde::de::Error::custom(format!("unknown currency {code}")))
    }
}

/// The largest whole part of an amount, in digits; the database column holds as many.
const WHOLE_DIGITS: usize = 15;
/// The most decimal places an amount may have.
const DECIMAL_PLACES: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("write the amount as plain digits with a point, such as 25.00")]
    NotANumber,
    #[error("an amount cannot be below zero; report a refund as a rejected status")]
    Negative,
    #[error("an amount has at most 15 digits before the point and 6 after it")]
    TooLong,
}

/// Reads an amount such as `25`, `25.00` or `.5`: digits and one point, no exponent, no
/// thousands separator, no sign.
pub fn parse_amount(text: &str) -> Result<Decimal, AmountError> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(AmountError::Negative);
    }
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && decimals.is_empty()) || !digits_only(whole) || !digits_only(decimals) {
        return Err(AmountError::NotANumber);
    }
    if whole.trim_start_matches('0').len() > WHOLE_DIGITS || decimals.len() > DECIMAL_PLACES {
        return Err(AmountError::TooLong);
    }
    let whole = if whole.is_empty() { "0" } else { whole };
    let plain = if decimals.is_empty() { whole.to_owned() } else { format!("{whole}.{decimals}") };
    Decimal::from_str(&plain).map_err(|_| AmountError::TooLong)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_keep_their_decimals() {
        assert_eq!(parse_amount("25.00").unwrap().to_string(), "25.00");
        assert_eq!(parse_amount(" .5 ").unwrap().to_string(), "0.5");
        assert_eq!(parse_amount("7.").unwrap().to_string(), "7");
    }

    #[test]
    fn what_is_not_an_amount_says_why() {
        for text in ["", ".", "1e5", "1,5", "+1", "NaN", "0x10", "1 000", "٣"] {
            assert_eq!(parse_amount(text), Err(AmountError::NotANumber), "{text:?}");
        }
        assert_eq!(parse_amount("-1"), Err(AmountError::Negative));
        assert_eq!(parse_amount("1234567890123456"), Err(AmountError::TooLong));
        assert_eq!(parse_amount("1.1234567"), Err(AmountError::TooLong));
    }

    #[test]
    fn rounding_follows_the_currency() {
        let amount = Decimal::from_str("10.005").unwrap();
        assert_eq!(Currency::parse("usd").unwrap().round(amount).to_string(), "10.01");
        assert_eq!(Currency::parse("JPY").unwrap().round(amount).to_string(), "10");
        assert_eq!(Currency::parse("KWD").unwrap().round(amount).to_string(), "10.005");
        assert_eq!(Currency::parse("ZZZ"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = parse_amount(&text);
            let _ = Currency::parse(&text);
        }

        #[test]
        fn every_plain_amount_survives(whole in 0u64..1_000_000_000_000_000, cents in 0u32..100) {
            let text = format!("{whole}.{cents:02}");
            prop_assert_eq!(parse_amount(&text).unwrap().to_string(), text);
        }
    }
}
