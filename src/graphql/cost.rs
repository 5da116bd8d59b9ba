//! What a request costs: one a field, and the rows that may come of it.
//!
//! A list inside the rows of another costs its rows times those: a page of 100 conversions with 10
//! deliveries each is 1,100 rows. async-graphql adds the costs of fields up from the leaves and
//! knows no other number, so the rows of a nested list travel in the upper bits of it until the
//! page around them multiplies them.

use super::failure::Failure;
use super::paging::{DEFAULT_PAGE_ROWS, MAX_PAGE_ROWS};

/// Rows of a nested list where `first` is not given.
pub const DEFAULT_NESTED_ROWS: usize = 10;
pub const MAX_NESTED_ROWS: usize = 100;

/// One row inside every row of the list around; fields alone never come to so much, since a
/// request has a few thousand at most.
const NESTED_ROW: usize = 1 << 20;
/// More rows than any request may have: it stops here, so that no sum overflows.
const ENOUGH_ROWS: usize = 1 << 30;

/// A page costs its rows, whatever is selected of them: the databases read whole rows. What is
/// nested in them costs once for each.
pub fn page_cost(first: Option<i32>, child_complexity: usize) -> usize {
    let rows = rows(first, DEFAULT_PAGE_ROWS, MAX_PAGE_ROWS);
    let (nested, fields) = parts(child_complexity);
    rows + fields + rows * nested
}

/// Something that is not a page and has rows that something may be nested in, such as a sample.
pub fn rows_cost(rows: usize, child_complexity: usize) -> usize {
    let (nested, fields) = parts(child_complexity);
    1 + fields + rows * nested
}

/// A list inside the rows of another, with the argument `first`.
pub fn nested_cost(first: Option<i32>, child_complexity: usize) -> usize {
    let rows = rows(first, DEFAULT_NESTED_ROWS, MAX_NESTED_ROWS);
    let (nested, fields) = parts(child_complexity);
    (rows * (1 + nested)).min(ENOUGH_ROWS) * NESTED_ROW + 1 + fields
}

/// One thing beside every row.
pub fn beside_cost(child_complexity: usize) -> usize {
    nested_cost(Some(1), child_complexity)
}

fn rows(first: Option<i32>, default: usize, most: usize) -> usize {
    first.map_or(default, |first| usize::try_from(first).unwrap_or(0)).min(most)
}

/// Nested rows and fields.
fn parts(complexity: usize) -> (usize, usize) {
    ((complexity / NESTED_ROW).min(ENOUGH_ROWS), complexity % NESTED_ROW)
}

/// Reads the argument `first` of a nested list.
pub fn nested_rows(first: Option<i32>) -> Result<usize, Failure> {
    let Some(first) = first else { return Ok(DEFAULT_NESTED_ROWS) };
    usize::try_from(first).ok().filter(|rows| (1..=MAX_NESTED_ROWS).contains(rows)).ok_or_else(|| {
        let message = format!(
            "{first} rows cannot be asked for in each row; take 1 to {MAX_NESTED_ROWS}, and read more by a list \
             of its own"
        );
        Failure::bad_input("first", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_costs_its_rows_and_fields() {
        assert_eq!(page_cost(Some(100), 7), 107);
        assert_eq!(page_cost(None, 7), 57);
        assert_eq!(page_cost(Some(1_000_000), 7), 1_007);
    }

    #[test]
    fn what_is_nested_costs_once_for_each_row() {
        // 100 conversions, 10 deliveries each, 5 attempts of each of those.
        let attempts = nested_cost(Some(5), 3);
        let deliveries = nested_cost(None, 2 + attempts);
        assert_eq!(page_cost(Some(100), 1 + deliveries), 100 + 100 * 10 + 100 * 10 * 5 + 8);
        // Two beside each other add up, and one thing is one row.
        assert_eq!(page_cost(Some(100), nested_cost(Some(2), 0) + beside_cost(0)), 100 + 300 + 2);
        assert_eq!(rows_cost(10, 4 + beside_cost(2)), 10 + 1 + 7);
    }

    #[test]
    fn nothing_overflows() {
        let deep = (0..40).fold(0, |inner, _| nested_cost(Some(100), inner) + nested_cost(None, inner));
        assert!(page_cost(Some(1_000), deep) > super::super::limits::MAX_COMPLEXITY);
    }

    #[test]
    fn nested_lists_have_bounds() {
        assert_eq!(nested_rows(None), Ok(10));
        assert_eq!(nested_rows(Some(100)), Ok(100));
        for first in [0, -1, 101, i32::MAX, i32::MIN] {
            let Err(Failure::BadInput { field, message }) = nested_rows(Some(first)) else {
                panic!("{first} passed")
            };
            assert_eq!(field, "first");
            assert!(message.contains("1 to 100"), "{message}");
        }
    }
}
