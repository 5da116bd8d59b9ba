//! Keyset pagination: newest first, and where the next page goes on.
//!
//! A position is the (time, id) of a row. Rows that arrive later sort before the first page, so
//! they neither repeat nor hide a row of the pages after it.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::failure::Failure;

pub const DEFAULT_PAGE_ROWS: usize = 50;
pub const MAX_PAGE_ROWS: usize = 1_000;

/// Where a row stands in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// With microseconds, as both databases keep it.
    pub time: DateTime<Utc>,
    pub id: Uuid,
}

/// A row that knows where it stands.
pub trait Positioned {
    fn position(&self) -> Position;
}

/// What part of a list is asked for.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest {
    pub rows: usize,
    pub after: Option<Position>,
    /// Counting reads the whole of what the filter finds, so it is done only when asked for.
    pub with_total: bool,
}

/// One page of a list.
#[derive(Debug)]
pub struct Page<R> {
    pub rows: Vec<R>,
    pub has_next_page: bool,
    /// How many rows the filter finds on all pages; `None` where nobody asked.
    pub total: Option<u64>,
}

impl<R> Page<R> {
    pub fn empty() -> Self {
        Self { rows: Vec::new(), has_next_page: false, total: Some(0) }
    }

    /// From one row more than was asked for, where there are so many.
    pub fn of_surplus(mut rows: Vec<R>, request: &PageRequest, total: Option<u64>) -> Self {
        let has_next_page = rows.len() > request.rows;
        rows.truncate(request.rows);
        Self { rows, has_next_page, total }
    }
}

/// The lists there are. A cursor names its own, so that it cannot go astray in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    PostbackLog,
    InboundLog,
    Conversions,
    Clicks,
    Advertisers,
    Partners,
    Offers,
    Links,
    Postbacks,
    ApiKeys,
    Tokens,
    AuditLog,
    Quarantine,
    StatusWords,
    Integrations,
    Deliveries,
    DeliveryJobs,
    Destinations,
}

impl List {
    /// The first byte of its cursors; another meaning of the rest would need another byte.
    fn cursor_version(self) -> u8 {
        match self {
            Self::PostbackLog => 0x11,
            Self::InboundLog => 0x12,
            Self::Conversions => 0x13,
            Self::Clicks => 0x14,
            Self::Advertisers => 0x21,
            Self::Partners => 0x22,
            Self::Offers => 0x23,
            Self::Links => 0x24,
            Self::Postbacks => 0x25,
            Self::ApiKeys => 0x26,
            Self::Tokens => 0x27,
            Self::AuditLog => 0x28,
            Self::Quarantine => 0x29,
            Self::StatusWords => 0x2a,
            Self::Integrations => 0x2b,
            Self::Deliveries => 0x2c,
            Self::DeliveryJobs => 0x2d,
            Self::Destinations => 0x2e,
        }
    }

    /// The cursor of a row: hexadecimal of version, microseconds since 1970 and id.
    pub fn cursor(self, position: Position) -> String {
        let mut text = format!("{:02x}{:016x}", self.cursor_version(), position.time.timestamp_micros());
        write!(text, "{}", position.id.simple()).expect("a String can always be written to");
        text
    }

    fn read_cursor(self, cursor: &str) -> Option<Position> {
        if cursor.len() != 50 || !cursor.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        if u8::from_str_radix(&cursor[..2], 16).ok()? != self.cursor_version() {
            return None;
        }
        let micros = u64::from_str_radix(&cursor[2..18], 16).ok()?.cast_signed();
        let time = DateTime::from_timestamp_micros(micros)?;
        let id = Uuid::parse_str(&cursor[18..]).ok()?;
        (within_databases(time) == time).then_some(Position { time, id })
    }

    /// Reads the arguments `first` and `after`.
    pub fn page_request(
        self,
        first: Option<i32>,
        after: Option<&str>,
        with_total: bool,
    ) -> Result<PageRequest, Failure> {
        let rows = match first {
            None => DEFAULT_PAGE_ROWS,
            Some(first) => usize::try_from(first)
                .ok()
                .filter(|rows| (1..=MAX_PAGE_ROWS).contains(rows))
                .ok_or_else(|| {
                    Failure::bad_input(
                        "first",
                        format!(
                            "{first} rows cannot be asked for; take 1 to {MAX_PAGE_ROWS} and go on with after"
                        ),
                    )
                })?,
        };
        let after = after
            .map(|cursor| {
                self.read_cursor(cursor).ok_or_else(|| {
                    Failure::bad_input(
                        "after",
                        "this is no cursor of this list; take pageInfo.endCursor or an edge's cursor as it came",
                    )
                })
            })
            .transpose()?;
        Ok(PageRequest { rows, after, with_total })
    }
}

/// The nearest time that both databases can compare with: ClickHouse's DateTime64 ends sooner
/// than either PostgreSQL or RFC 3339, and wraps around instead of refusing.
pub fn within_databases(time: DateTime<Utc>) -> DateTime<Utc> {
    // 1900-01-01 and 2261-12-31, in seconds since 1970.
    let bound = |seconds| DateTime::from_timestamp(seconds, 0).expect("both bounds are real times");
    time.clamp(bound(-2_208_988_800), bound(9_214_560_000))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LISTS: [List; 3] = [List::PostbackLog, List::InboundLog, List::Conversions];

    fn position() -> Position {
        Position {
            time: DateTime::from_timestamp_micros(1_754_308_800_000_001).unwrap(),
            id: Uuid::from_u128(7),
        }
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        for list in LISTS {
            for other in LISTS {
                let read = other.read_cursor(&list.cursor(position()));
                assert_eq!(read, (list == other).then(position), "{list:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_spoilt_cursor_is_an_error_that_names_the_argument() {
        let good = List::PostbackLog.cursor(position());
        let far_future = format!("11{:016x}{}", i64::MAX, "0".repeat(32));
        for bad in [
            "",
            "x",
            &good[1..],
            &format!("{good}0"),
            &good.replace('1', "g"),
            "ж".repeat(25).as_str(),
            &far_future,
        ] {
            let refusal = List::PostbackLog.page_request(None, Some(bad), false).unwrap_err();
            assert!(matches!(refusal, Failure::BadInput { ref field, .. } if field == "after"), "{bad}");
        }
    }

    #[test]
    fn pages_have_bounds() {
        let rows = |first| List::PostbackLog.page_request(first, None, false).map(|page| page.rows);
        assert_eq!(rows(None).unwrap(), 50);
        assert_eq!(rows(Some(1)).unwrap(), 1);
        assert_eq!(rows(Some(1_000)).unwrap(), 1_000);
        for first in [0, -1, 1_001, i32::MAX, i32::MIN] {
            let Err(Failure::BadInput { field, message }) = rows(Some(first)) else {
                panic!("{first} passed")
            };
            assert_eq!(field, "first");
            assert!(message.contains("1 to 1000"), "{message}");
        }
    }

    #[test]
    fn a_surplus_row_means_another_page() {
        let request = PageRequest { rows: 2, after: None, with_total: false };
        let page = Page::of_surplus(vec![1, 2, 3], &request, None);
        assert_eq!((page.rows, page.has_next_page), (vec![1, 2], true));
        let page = Page::of_surplus(vec![1, 2], &request, None);
        assert_eq!((page.rows, page.has_next_page), (vec![1, 2], false));
    }

    proptest! {
        #[test]
        fn every_position_survives(micros in -2_000_000_000_000_000i64..9_000_000_000_000_000, id: u128) {
            let position = Position {
                time: DateTime::from_timestamp_micros(micros).unwrap(),
                id: Uuid::from_u128(id),
            };
            for list in LISTS {
                prop_assert_eq!(list.read_cursor(&list.cursor(position)), Some(position));
            }
        }
    }
}
