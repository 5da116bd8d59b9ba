//! Statistics of the log: counts, rates, sums and quantiles by any set of properties and by time.
//!
//! The four questions share their arguments ([`grouping`]), their keys ([`key`]) and the answer's
//! frame ([`answer`]); each has its figures in a file of its own. What is found by a filter is what
//! the log finds by it, in the same scope.

mod answer;
mod conversions;
mod grouping;
mod inbound;
mod key;
mod postbacks;
mod timings;

use async_graphql::{MergedObject, SimpleObject};
use rust_decimal::Decimal;

use crate::domain::money::Currency;
use crate::event_log::reader::stats::{SumsInMillionths, sums};

#[derive(MergedObject, Default)]
pub struct StatsQueries(
    postbacks::PostbackStatsQuery,
    timings::TimingsQuery,
    conversions::ConversionStatsQuery,
    inbound::InboundStatsQuery,
);

/// What one statistic counts against the limit of a request: it reads more than any page.
const COST: usize = 250;

/// A sum in one currency.
#[derive(SimpleObject, Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// ISO 4217.
    currency: String,
    amount: Decimal,
}

/// Sums as the API shows them, in the order of their currencies.
fn shown_sums(found: &SumsInMillionths) -> Vec<Sum> {
    let mut shown: Vec<Sum> = sums(found)
        .into_iter()
        .map(|(currency, amount)| Sum { amount: as_money(&currency, amount), currency })
        .collect();
    shown.sort_by(|one, other| one.currency.cmp(&other.currency));
    shown
}

/// Sums divided by a number, such as earnings per click; rounded to millionths.
fn shown_shares(found: &SumsInMillionths, number: u64) -> Vec<Sum> {
    if number == 0 {
        return Vec::new();
    }
    let share = |sum: Sum| Sum { amount: (sum.amount / Decimal::from(number)).round_dp(6), ..sum };
    shown_sums(found).into_iter().map(share).collect()
}

/// With the decimal places its currency has, or more where it needs them.
fn as_money(currency: &str, exact: Decimal) -> Decimal {
    let rounded = Currency::parse(currency).map(|currency| currency.round(exact));
    rounded.filter(|rounded| *rounded == exact).unwrap_or_else(|| exact.normalize())
}

/// A part of a whole, 0 to 1; none of nothing.
fn rate(part: u64, whole: u64) -> Option<f64> {
    // Both are far below 2^53.
    (whole > 0).then(|| part as f64 / whole as f64)
}
