//! What the API shows: one file a list, with its filter and its node.

pub mod change;
pub mod click;
pub mod conversion;
pub mod inbound_log;
pub mod postback_log;

use async_graphql::connection::{Connection, Edge, EmptyFields};
use async_graphql::{OutputType, SimpleObject};
use rust_decimal::Decimal;

use super::paging::{List, Page, PageRequest, Positioned};
use crate::domain::money::Currency;

/// The connection's own field beside its edges.
#[derive(SimpleObject)]
pub struct TotalCount {
    /// How many rows the filter finds on all pages. Counted only when asked for.
    total_count: u64,
}

pub type LogConnection<N> = Connection<String, N, TotalCount, EmptyFields>;

/// A page as a Relay connection.
pub fn connection<R, N>(list: List, request: &PageRequest, page: Page<R>) -> LogConnection<N>
where
    R: Positioned,
    N: From<R> + OutputType,
{
    connection_of(list, request, page, N::from)
}

/// A page as a Relay connection, of nodes that depend on more than their row.
pub fn connection_of<R, N>(
    list: List,
    request: &PageRequest,
    page: Page<R>,
    node: impl Fn(R) -> N,
) -> LogConnection<N>
where
    R: Positioned,
    N: OutputType,
{
    // Without a total nobody selected the field, so what stands in it is never read.
    let total = TotalCount { total_count: page.total.unwrap_or_default() };
    let mut connection =
        Connection::with_additional_fields(request.after.is_some(), page.has_next_page, total);
    connection
        .edges
        .extend(page.rows.into_iter().map(|row| Edge::new(list.cursor(row.position()), node(row))));
    connection
}

/// `None` for what the log keeps as an empty text.
fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// An amount from millionths, with the decimal places its currency has, or more where it needs
/// them.
fn amount_of_millionths(millionths: Option<i128>, currency: &str) -> Option<Decimal> {
    let exact = Decimal::try_from_i128_with_scale(millionths?, 6).ok()?;
    let rounded = Currency::parse(currency).map(|currency| currency.round(exact));
    Some(rounded.filter(|rounded| *rounded == exact).unwrap_or_else(|| exact.normalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_lose_nothing_and_look_like_money() {
        let amount =
            |millionths, currency| amount_of_millionths(Some(millionths), currency).unwrap().to_string();
        assert_eq!(amount(25_000_000, "USD"), "25.00");
        assert_eq!(amount(25_000_000, "JPY"), "25");
        assert_eq!(amount(25_123_456, "USD"), "25.123456");
        assert_eq!(amount(25_500_000, ""), "25.5");
        assert_eq!(amount(999_999_999_999_999_999_999, "EUR"), "999999999999999.999999");
        assert_eq!(amount_of_millionths(None, "USD"), None);
    }
}
