//! Statistics of the log: how many, how much, how long, by whatever is asked.
//!
//! ```text
//! filter + scope ─► Search ─┐
//! figures wanted ───────────┼─► source (which table answers) ─► grouping (SQL) ─► rows, in their order
//! dimensions, buckets ──────┘
//! ```
//!
//! Every figure is exact but the quantiles, which are those of a sketch whose relative error is
//! bounded ([`QUANTILE_ERROR`]). A figure that nobody asks for is not computed.

pub mod conversions;
pub mod dimension;
mod grouping;
pub mod inbound;
pub mod postbacks;
mod rollup;
mod source;
pub mod timings;

pub use dimension::Dimension;
pub use grouping::{Direction, GroupRow, Grouped, Grouping, Order, QUANTILE_ERROR, Stats};

use rust_decimal::Decimal;

/// Sums by currency, as `sumMap` gives them: codes, and sums in millionths. A currency whose sum is
/// zero is left out.
pub type SumsInMillionths = (Vec<String>, Vec<i128>);

/// Sums by currency, never added to each other.
pub fn sums((currencies, sums): &SumsInMillionths) -> Vec<(String, Decimal)> {
    let exact = |sum: &i128| Decimal::try_from_i128_with_scale(*sum, 6).ok();
    let pairs = currencies.iter().zip(sums);
    pairs.filter_map(|(currency, sum)| Some((currency.clone(), exact(sum)?))).collect()
}

/// The SQL of a sum by currency: `amount` over the rows of `condition`.
fn sum_by_currency(amount: &str, currency: &str, condition: &str) -> String {
    format!(
        "sumMapIf([CAST({currency}, 'String')], [ifNull({amount}, 0)], {condition} AND isNotNull({amount}))"
    )
}

/// Stands where a sum was not asked for.
const NO_SUMS: &str = "CAST(([], []), 'Tuple(Array(String), Array(Decimal(38, 6)))')";
/// Stands where a count was not asked for.
const NO_COUNT: &str = "toUInt64(0)";
