//! Buckets of time: how a range is cut into minutes, days or months as the clocks of a zone show
//! them.
//!
//! Where a bucket begins is decided here, by one calendar, and not by a database's own: a day has
//! 23 or 25 hours where the clocks are changed in it, and begins at one where midnight is left out.

use chrono::{DateTime, Datelike, Days, Months, TimeDelta, Utc};

use super::coded::coded_enum;
use super::zone::Zone;

coded_enum! {
    /// How long a bucket is.
    TimeBucket {
        Minute = "minute",
        FiveMinutes = "five_minutes",
        Hour = "hour",
        Day = "day",
        /// From Monday.
        Week = "week",
        Month = "month",
    }
}

impl TimeBucket {
    /// Its length in seconds where the clocks are not changed; the least of a month.
    pub fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 7 * 86_400,
            Self::Month => 28 * 86_400,
        }
    }
}

/// The buckets of a range, one after another without a gap. The first may begin before the range,
/// and the last end after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    pub length: TimeBucket,
    pub zone: Zone,
    /// When each begins; there is at least one.
    starts: Vec<DateTime<Utc>>,
    /// When the last one ends.
    end: DateTime<Utc>,
}

/// More buckets than are allowed: about so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyBuckets {
    pub about: i64,
}

impl Buckets {
    /// From `from` on and before `to`, which is later.
    pub fn over(
        length: TimeBucket,
        zone: Zone,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        most: usize,
    ) -> Result<Self, TooManyBuckets> {
        // Counted before they are made.
        let about = Self::about(length, from, to);
        if about > i64::try_from(most).unwrap_or(i64::MAX) {
            return Err(TooManyBuckets { about });
        }
        let (starts, end) = match length {
            TimeBucket::Minute | TimeBucket::FiveMinutes | TimeBucket::Hour => {
                by_the_clock(zone, length.seconds(), from, to)
            }
            TimeBucket::Day | TimeBucket::Week | TimeBucket::Month => by_the_calendar(zone, length, from, to),
        };
        Ok(Self { length, zone, starts, end })
    }

    /// How many a range has, more or less.
    pub fn about(length: TimeBucket, from: DateTime<Utc>, to: DateTime<Utc>) -> i64 {
        (to - from).num_seconds() / length.seconds() + 1
    }

    pub fn starts(&self) -> &[DateTime<Utc>] {
        &self.starts
    }

    /// How long each is in seconds, where all are equally long.
    pub fn even_s(&self) -> Option<i64> {
        let ends = self.starts.iter().skip(1).chain([&self.end]);
        let mut lengths = self.starts.iter().zip(ends).map(|(start, end)| (*end - *start).num_seconds());
        let first = lengths.next()?;
        lengths.all(|length| length == first).then_some(first)
    }
}

/// Minutes and hours: the clock's own, and a new one where the clock is changed within.
fn by_the_clock(
    zone: Zone,
    seconds: i64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> (Vec<DateTime<Utc>>, DateTime<Utc>) {
    // A change before the range may begin the bucket that the range begins in, and one after it end
    // the last.
    let changes = zone.changes(from - TimeDelta::seconds(seconds), to + TimeDelta::seconds(seconds));
    let start_of = |time: DateTime<Utc>| {
        let offset = zone.offset_s(time);
        let shown = time.timestamp() + offset;
        at(shown - shown.rem_euclid(seconds) - offset)
    };
    let mut ahead = changes.into_iter().peekable();
    let mut start = start_of(from);
    while let Some(change) = ahead.next_if(|change| *change <= from) {
        start = start.max(change);
    }
    let mut starts = Vec::new();
    while start < to {
        starts.push(start);
        let whole = start_of(start) + TimeDelta::seconds(seconds);
        start = ahead.next_if(|change| *change <= whole).unwrap_or(whole);
    }
    (starts, start)
}

/// Days, weeks and months: from the beginning of a day to that of another.
fn by_the_calendar(
    zone: Zone,
    length: TimeBucket,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> (Vec<DateTime<Utc>>, DateTime<Utc>) {
    let today = zone.date(from);
    let mut day = match length {
        TimeBucket::Week => today - Days::new(today.weekday().num_days_from_monday().into()),
        TimeBucket::Month => today.with_day(1).unwrap_or(today),
        _ => today,
    };
    let mut starts = Vec::new();
    loop {
        let start = zone.start_of(day);
        if start >= to {
            return (starts, start);
        }
        // A day that a zone has left out begins and ends at once.
        if starts.last() == Some(&start) {
            starts.pop();
        }
        starts.push(start);
        let next = match length {
            TimeBucket::Week => day.checked_add_days(Days::new(7)),
            TimeBucket::Month => day.checked_add_months(Months::new(1)),
            _ => day.checked_add_days(Days::new(1)),
        };
        let Some(next) = next else { return (starts, to) };
        day = next;
    }
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use chrono::Timelike;
    use chrono_tz::TZ_VARIANTS;
    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn buckets(length: TimeBucket, zone: &str, from: &str, to: &str) -> Buckets {
        Buckets::over(length, Zone::parse(zone).unwrap(), time(from), time(to), 100_000).unwrap()
    }

    fn starts(length: TimeBucket, zone: &str, from: &str, to: &str) -> Vec<String> {
        let buckets = buckets(length, zone, from, to);
        buckets.starts.iter().map(|start| start.format("%dT%H:%M").to_string()).collect()
    }

    #[test]
    fn a_day_has_as_many_hours_as_the_clocks_give_it() {
        let hours = |from, to| starts(TimeBucket::Hour, "Europe/Berlin", from, to).len();
        assert_eq!(hours("2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z"), 23);
        assert_eq!(hours("2025-10-25T22:00:00Z", "2025-10-26T23:00:00Z"), 25);
        let days = starts(TimeBucket::Day, "Europe/Berlin", "2025-03-29T12:00:00Z", "2025-03-31T12:00:00Z");
        assert_eq!(days, ["28T23:00", "29T23:00", "30T22:00"]);
        let uneven =
            buckets(TimeBucket::Day, "Europe/Berlin", "2025-03-29T12:00:00Z", "2025-03-31T12:00:00Z");
        assert_eq!(uneven.even_s(), None);
        // Also where only the last is longer, or the only one.
        let last = buckets(TimeBucket::Day, "Europe/Berlin", "2025-10-24T12:00:00Z", "2025-10-26T12:00:00Z");
        assert_eq!(last.even_s(), None);
        let only = buckets(TimeBucket::Day, "Europe/Berlin", "2025-10-26T12:00:00Z", "2025-10-26T13:00:00Z");
        assert_eq!(only.even_s(), Some(25 * 3_600));
    }

    #[test]
    fn zones_of_half_hours_have_hours_of_their_own() {
        let hours = starts(TimeBucket::Hour, "Asia/Kolkata", "2025-07-01T00:00:00Z", "2025-07-01T02:00:00Z");
        assert_eq!(hours, ["30T23:30", "01T00:30", "01T01:30"]);
        // Lord Howe puts its clocks back by half an hour, from 02:00 to 01:30 (15:00 UTC).
        let hours =
            starts(TimeBucket::Hour, "Australia/Lord_Howe", "2025-04-05T14:00:00Z", "2025-04-05T17:00:00Z");
        assert_eq!(hours, ["05T14:00", "05T15:00", "05T15:30", "05T16:30"]);
        let from_within =
            starts(TimeBucket::Hour, "Australia/Lord_Howe", "2025-04-05T15:10:00Z", "2025-04-05T16:00:00Z");
        assert_eq!(from_within, ["05T15:00", "05T15:30"]);
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let weeks = starts(TimeBucket::Week, "utc", "2026-03-04T10:00:00Z", "2026-03-16T00:00:00.000001Z");
        assert_eq!(weeks, ["02T00:00", "09T00:00", "16T00:00"]);
        let months = starts(TimeBucket::Month, "utc", "2025-12-31T23:59:59Z", "2026-03-01T00:00:00Z");
        assert_eq!(months, ["01T00:00", "01T00:00", "01T00:00"]);
    }

    #[test]
    fn too_many_are_counted_and_not_made() {
        let (from, to) = (time("2000-01-01T00:00:00Z"), time("2026-01-01T00:00:00Z"));
        let refused = Buckets::over(TimeBucket::Minute, Zone::UTC, from, to, 1_000).unwrap_err();
        assert_eq!(refused.about, 13_675_681);
    }

    proptest! {
        /// Whatever the zone: they cover the range, one after another, and a clock shows what they
        /// are named after.
        #[test]
        fn buckets_cover_their_range(
            zone in prop::sample::select(TZ_VARIANTS.to_vec()),
            length in prop::sample::select(TimeBucket::ALL.to_vec()),
            from in 500_000_000i64..2_500_000_000,
            buckets in 1i64..60,
            rest in 0i64..86_400,
        ) {
            let zone = Zone::Named(zone);
            let (from, to) = (at(from), at(from + buckets * length.seconds() + rest));
            let made = Buckets::over(length, zone, from, to, 100_000).unwrap();
            let starts = made.starts();
            prop_assert!(starts[0] <= from && *starts.last().unwrap() < to);
            prop_assert!(starts.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(made.end >= to && *starts.last().unwrap() < made.end);
            // Only the first may begin before the range.
            prop_assert!(starts.get(1).is_none_or(|second| *second > from));
            let changes = zone.changes(starts[0] - TimeDelta::days(3), to);
            for start in starts {
                let shown = *start + TimeDelta::seconds(zone.offset_s(*start));
                let is_changed = changes.contains(start);
                let seconds = shown.timestamp();
                match length {
                    TimeBucket::Minute | TimeBucket::FiveMinutes | TimeBucket::Hour => {
                        prop_assert!(is_changed || seconds.rem_euclid(length.seconds()) == 0, "{start}");
                    }
                    TimeBucket::Day => {
                        prop_assert!(is_changed || shown.num_seconds_from_midnight() == 0, "{start}");
                        // The moment before belongs to another day.
                        prop_assert!(zone.date(*start) != zone.date(*start - TimeDelta::seconds(1))
                            || is_changed || changes.iter().any(|change| *change > *start - TimeDelta::hours(2)));
                    }
                    TimeBucket::Week => prop_assert_eq!(shown.weekday(), chrono::Weekday::Mon),
                    TimeBucket::Month => prop_assert_eq!(shown.day(), 1),
                }
            }
        }
    }
}
