//! The arguments that all statistics share, and what is too much of them.

use chrono::{DateTime, Utc};

use crate::domain::time_bucket::{Buckets, TimeBucket, TooManyBuckets};
use crate::domain::zone::Zone;
use crate::event_log::reader::stats::{Dimension, Grouping};
use crate::graphql::failure::Failure;
use crate::graphql::filter::Bounds;

/// Most rows of an answer: groups times buckets.
pub const MAX_ROWS: usize = 50_000;
const MAX_GROUPS: usize = 10_000;
const DEFAULT_GROUPS: usize = 1_000;
const MAX_DIMENSIONS: usize = 8;

/// As they were written.
pub struct Arguments<'a> {
    pub dimensions: Vec<Dimension>,
    pub bucket: Option<TimeBucket>,
    pub time_zone: Option<&'a str>,
    pub limit: Option<i32>,
    pub bounds: Bounds,
    pub now: DateTime<Utc>,
}

impl Arguments<'_> {
    pub fn read(self) -> Result<Grouping, Failure> {
        let zone = match self.time_zone {
            None => Zone::UTC,
            Some(name) => Zone::parse(name).map_err(|message| Failure::bad_input("timeZone", message))?,
        };
        let mut dimensions: Vec<Dimension> = Vec::new();
        for dimension in self.dimensions {
            if !dimensions.contains(&dimension) {
                dimensions.push(dimension);
            }
        }
        if dimensions.len() > MAX_DIMENSIONS {
            let message = format!(
                "{} properties at once; group by {MAX_DIMENSIONS} at most, and filter by the others",
                dimensions.len()
            );
            return Err(Failure::bad_input("groupBy", message));
        }
        let (from, to) = (self.bounds.0, self.bounds.1.unwrap_or(self.now));
        if from.is_some_and(|from| from >= to) {
            let message = match self.bounds.1 {
                Some(_) => "nothing lies between from and to; write an earlier from or a later to",
                None => "it is in the future; write an earlier one, or a later filter.to",
            };
            return Err(Failure::bad_input("filter.from", message));
        }
        let buckets = self.bucket.map(|bucket| buckets(bucket, zone, from, to)).transpose()?;
        let limit = limit(self.limit, &dimensions, buckets.as_ref())?;
        Ok(Grouping { dimensions, buckets, zone, from, to, limit })
    }
}

fn buckets(
    bucket: TimeBucket,
    zone: Zone,
    from: Option<DateTime<Utc>>,
    to: DateTime<Utc>,
) -> Result<Buckets, Failure> {
    let Some(from) = from else {
        let message = "buckets need a beginning; write the time of the first, such as 2025-08-04T00:00:00Z";
        return Err(Failure::bad_input("filter.from", message));
    };
    Buckets::over(bucket, zone, from, to, MAX_ROWS).map_err(|TooManyBuckets { about }| {
        let fits = |coarser: &&TimeBucket| Buckets::about(**coarser, from, to) <= MAX_ROWS as i64;
        let coarser = TimeBucket::ALL.iter().find(fits);
        let instead = coarser.map_or(String::new(), |coarser| {
            format!(", or bucket: {} (about {})", coarser.code().to_uppercase(), Buckets::about(*coarser, from, to))
        });
        Failure::bad_input(
            "bucket",
            format!(
                "about {about} buckets; {MAX_ROWS} can be had at once: take a shorter time between filter.from and \
                 filter.to{instead}"
            ),
        )
    })
}

fn limit(limit: Option<i32>, dimensions: &[Dimension], buckets: Option<&Buckets>) -> Result<usize, Failure> {
    let buckets = buckets.map_or(1, |buckets| buckets.starts().len());
    let most = (MAX_ROWS / buckets).clamp(1, MAX_GROUPS);
    let Some(limit) = limit else { return Ok(DEFAULT_GROUPS.min(most)) };
    let groups = usize::try_from(limit).ok().filter(|groups| (1..=MAX_GROUPS).contains(groups));
    let Some(groups) = groups else {
        return Err(Failure::bad_input(
            "limit",
            format!("{limit} groups cannot be had; take 1 to {MAX_GROUPS}"),
        ));
    };
    if groups > most && !dimensions.is_empty() {
        let message = format!(
            "{groups} groups of {buckets} buckets are {} rows, and {MAX_ROWS} can be had at once: take limit: {most}, \
             a longer bucket, or a shorter time between filter.from and filter.to",
            groups * buckets
        );
        return Err(Failure::bad_input("limit", message));
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Option<DateTime<Utc>> {
        Some(text.parse().unwrap())
    }

    fn arguments() -> Arguments<'static> {
        Arguments {
            dimensions: vec![Dimension::Partner],
            bucket: None,
            time_zone: None,
            limit: None,
            bounds: (time("2026-01-01T00:00:00Z"), time("2026-01-08T00:00:00Z")),
            now: time("2026-06-01T00:00:00Z").unwrap(),
        }
    }

    fn refusal(arguments: Arguments) -> (String, String) {
        match arguments.read() {
            Err(Failure::BadInput { field, message }) => (field, message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_left_out_is_bounded_by_what_an_answer_can_hold() {
        assert_eq!(arguments().read().unwrap().limit, 1_000);
        let by_minute = Arguments { bucket: Some(TimeBucket::Minute), ..arguments() }.read().unwrap();
        assert_eq!((by_minute.buckets.unwrap().starts().len(), by_minute.limit), (10_080, 4));
        let to_now = Arguments { bounds: (None, None), ..arguments() }.read().unwrap();
        assert_eq!((to_now.from, to_now.to), (None, arguments().now));
        let twice = Arguments { dimensions: vec![Dimension::Offer, Dimension::Offer], ..arguments() };
        assert_eq!(twice.read().unwrap().dimensions, [Dimension::Offer]);
    }

    #[test]
    fn what_is_too_much_says_what_to_change() {
        let minutes = Some(TimeBucket::Minute);
        let year = (time("2025-01-01T00:00:00Z"), time("2026-01-01T00:00:00Z"));
        for (arguments, field, remedy) in [
            (Arguments { limit: Some(0), ..arguments() }, "limit", "take 1 to 10000"),
            (Arguments { limit: Some(10_001), ..arguments() }, "limit", "take 1 to 10000"),
            (Arguments { limit: Some(5), bucket: minutes, ..arguments() }, "limit", "take limit: 4"),
            (
                Arguments { bucket: minutes, bounds: year, ..arguments() },
                "bucket",
                "bucket: HOUR (about 8761)",
            ),
            (
                Arguments { bucket: minutes, bounds: (None, None), ..arguments() },
                "filter.from",
                "the time of the first",
            ),
            (Arguments { bounds: (year.1, year.0), ..arguments() }, "filter.from", "write an earlier from"),
            (
                Arguments { time_zone: Some("Europe/Berln"), ..arguments() },
                "timeZone",
                "did you mean Europe/Berlin?",
            ),
        ] {
            let (named, message) = refusal(arguments);
            assert_eq!(named, field, "{message}");
            assert!(message.contains(remedy), "{message}");
        }
    }
}
