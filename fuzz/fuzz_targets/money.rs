//! Amounts and currencies: what is read is never below zero, and survives being written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ricochet::domain::money::{Currency, parse_amount};

fuzz_target!(|text: &str| {
    let currency = Currency::parse(text.get(..3).unwrap_or(text));
    let Ok(amount) = parse_amount(text) else { return };
    assert!(!amount.is_sign_negative());
    assert_eq!(parse_amount(&amount.to_string()), Ok(amount));
    if let Some(currency) = currency {
        let rounded = currency.round(amount);
        assert!(!rounded.is_sign_negative());
    }
});
