//! Time zones: where a day begins.

use std::str::FromStr;

use chrono::format::Item;
use chrono::{
    DateTime, FixedOffset, MappedLocalTime, NaiveDate, NaiveTime, Offset, SecondsFormat, TimeDelta, TimeZone,
    Utc,
};
use chrono_tz::{TZ_VARIANTS, Tz};

/// No zone has changed its clocks twice within this time.
const BETWEEN_CHANGES: TimeDelta = TimeDelta::hours(6);

/// A place of the tz database, with its summer time, or a fixed offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    Named(Tz),
    Offset(FixedOffset),
}

impl Zone {
    pub const UTC: Self = Self::Named(Tz::UTC);

    /// Reads `Europe/Berlin` or `+03:00`; small letters do as well. The error says what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(offset) = FixedOffset::from_str(text) {
            return Ok(Self::Offset(offset));
        }
        let known = TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(text));
        known.map(|zone| Self::Named(*zone)).ok_or_else(|| match nearest(text) {
            Some(meant) => format!("`{text}` is no time zone; did you mean {meant}?"),
            None => format!("`{text}` is no time zone; write one such as Europe/Berlin or +03:00"),
        })
    }

    /// As it is written: `Europe/Berlin` or `+03:00`.
    pub fn name(self) -> String {
        match self {
            Self::Named(zone) => zone.name().to_owned(),
            Self::Offset(offset) => offset.to_string(),
        }
    }

    /// A moment as its clocks show it, with their offset from UTC.
    pub fn rfc3339(self, time: DateTime<Utc>) -> String {
        match self {
            Self::Named(zone) => time.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, false),
            Self::Offset(offset) => time.with_timezone(&offset).to_rfc3339_opts(SecondsFormat::Secs, false),
        }
    }

    /// How far its clocks are ahead of UTC at a moment, in seconds.
    pub fn offset_s(self, time: DateTime<Utc>) -> i64 {
        match self {
            Self::Named(zone) => {
                zone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc().into()
            }
            Self::Offset(offset) => offset.local_minus_utc().into(),
        }
    }

    /// The day its calendar shows at a moment.
    pub fn date(self, time: DateTime<Utc>) -> NaiveDate {
        (time + TimeDelta::seconds(self.offset_s(time))).date_naive()
    }

    /// When a day begins there: at the first moment whose clocks show it, which is not midnight
    /// where they go forward over it.
    pub fn start_of(self, day: NaiveDate) -> DateTime<Utc> {
        let midnight = day.and_time(NaiveTime::MIN);
        let found = match self {
            Self::Named(zone) => zone.from_local_datetime(&midnight).map(|time| time.to_utc()),
            Self::Offset(offset) => offset.from_local_datetime(&midnight).map(|time| time.to_utc()),
        };
        match found {
            MappedLocalTime::Single(time) | MappedLocalTime::Ambiguous(time, _) => time,
            MappedLocalTime::None => {
                let around = midnight.and_utc();
                let changes = self.changes(around - TimeDelta::days(2), around + TimeDelta::days(2));
                let after_midnight =
                    |change: &&DateTime<Utc>| **change + TimeDelta::seconds(self.offset_s(**change)) > around;
                changes.iter().find(after_midnight).copied().unwrap_or(around)
            }
        }
    }

    /// The moments after `from` and not after `to` at which its clocks are changed.
    pub fn changes(self, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let mut changes = Vec::new();
        let mut start = from;
        while start < to {
            let end = (start + BETWEEN_CHANGES).min(to);
            if self.offset_s(start) != self.offset_s(end) {
                let (mut before, mut after) = (start.timestamp(), end.timestamp());
                let at = |second| DateTime::from_timestamp(second, 0).unwrap_or(end);
                while after - before > 1 {
                    let middle = before + (after - before) / 2;
                    match self.offset_s(at(middle)) == self.offset_s(start) {
                        true => before = middle,
                        false => after = middle,
                    }
                }
                changes.push(at(after));
            }
            start = end;
        }
        changes
    }

    /// A moment as its clocks show it.
    pub fn write(self, time: DateTime<Utc>, items: &[Item<'static>]) -> String {
        match self {
            Self::Named(zone) => shown(time.with_timezone(&zone), items),
            Self::Offset(offset) => shown(time.with_timezone(&offset), items),
        }
    }
}

fn shown<Z: TimeZone<Offset: std::fmt::Display>>(time: DateTime<Z>, items: &[Item<'static>]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    // The items were checked when the template was parsed.
    let _ = write!(text, "{}", time.format_with_items(items.iter()));
    text
}

/// A zone that is nearly spelled so, or whose city is.
fn nearest(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase().replace(' ', "_");
    let likeness = |zone: &Tz| {
        let name = zone.name().to_lowercase();
        let city = name.rsplit('/').next().unwrap_or_default();
        strsim::jaro_winkler(&name, &text).max(strsim::jaro_winkler(city, &text))
    };
    let scored = TZ_VARIANTS.iter().map(|zone| (likeness(zone), zone.name()));
    let best = scored.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (best.0 >= 0.9).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use chrono::format::StrftimeItems;
    use proptest::prelude::*;

    use super::*;

    fn at(zone: &str, time: &str, format: &str) -> String {
        let items = StrftimeItems::new(format).parse_to_owned().unwrap();
        let time = DateTime::parse_from_rfc3339(time).unwrap().to_utc();
        Zone::parse(zone).unwrap().write(time, &items)
    }

    #[test]
    fn clocks_go_forward_and_back() {
        let shown = |zone, time| at(zone, time, "%Y-%m-%d %H:%M:%S %z");
        for (zone, time, expected) in [
            // The last second of winter, and the first of summer.
            ("Europe/Berlin", "2025-03-30T00:59:59Z", "2025-03-30 01:59:59 +0100"),
            ("Europe/Berlin", "2025-03-30T01:00:00Z", "2025-03-30 03:00:00 +0200"),
            // The hour that is there twice.
            ("Europe/Berlin", "2025-10-26T00:30:00Z", "2025-10-26 02:30:00 +0200"),
            ("Europe/Berlin", "2025-10-26T01:30:00Z", "2025-10-26 02:30:00 +0100"),
            ("America/New_York", "2025-03-09T07:00:00Z", "2025-03-09 03:00:00 -0400"),
            ("America/New_York", "2025-11-02T06:00:00Z", "2025-11-02 01:00:00 -0500"),
            // No summer time, and no whole hour.
            ("Asia/Kolkata", "2025-07-01T18:30:00Z", "2025-07-02 00:00:00 +0530"),
            ("Australia/Lord_Howe", "2025-04-05T15:00:00Z", "2025-04-06 01:30:00 +1030"),
            // Moscow gave its summer time up in 2014.
            ("Europe/Moscow", "2014-07-01T00:00:00Z", "2014-07-01 04:00:00 +0400"),
            ("Europe/Moscow", "2025-07-01T00:00:00Z", "2025-07-01 03:00:00 +0300"),
            ("utc", "2025-07-01T00:00:00Z", "2025-07-01 00:00:00 +0000"),
            ("europe/berlin", "2025-07-01T00:00:00Z", "2025-07-01 02:00:00 +0200"),
            (" -03:30 ", "2025-07-01T00:00:00Z", "2025-06-30 20:30:00 -0330"),
        ] {
            assert_eq!(shown(zone, time), expected, "{zone} at {time}");
        }
        assert_eq!(at("Europe/Berlin", "2025-07-01T00:00:00Z", "%Z"), "CEST");
    }

    #[test]
    fn a_day_begins_when_it_does_there() {
        // A sale of half past eleven at night in Berlin counts for that day, in summer and winter.
        assert_eq!(at("Europe/Berlin", "2025-07-01T21:30:00Z", "%F"), "2025-07-01");
        assert_eq!(at("Europe/Berlin", "2025-07-01T22:30:00Z", "%F"), "2025-07-02");
        assert_eq!(at("Europe/Berlin", "2025-12-01T22:30:00Z", "%F"), "2025-12-01");
    }

    #[test]
    fn a_day_without_midnight_begins_when_the_clocks_have_gone_forward() {
        let start = |zone, day: &str| {
            let start = Zone::parse(zone).unwrap().start_of(day.parse().unwrap());
            start.to_rfc3339_opts(SecondsFormat::Secs, true)
        };
        // São Paulo went from 00:00 to 01:00; Havana has midnight twice in autumn; Samoa left out a
        // whole day.
        assert_eq!(start("America/Sao_Paulo", "2018-11-04"), "2018-11-04T03:00:00Z");
        assert_eq!(start("America/Havana", "2025-11-02"), "2025-11-02T04:00:00Z");
        assert_eq!(start("Pacific/Apia", "2011-12-30"), start("Pacific/Apia", "2011-12-31"));
        assert_eq!(start("Europe/Berlin", "2025-03-30"), "2025-03-29T23:00:00Z");
        assert_eq!(start("+05:45", "2025-03-30"), "2025-03-29T18:15:00Z");
    }

    #[test]
    fn changes_of_the_clocks_are_found_to_the_second() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let changes = Zone::parse("Europe/Berlin")
            .unwrap()
            .changes(time("2025-01-01T00:00:00Z"), time("2026-01-01T00:00:00Z"));
        assert_eq!(changes, [time("2025-03-30T01:00:00Z"), time("2025-10-26T01:00:00Z")]);
    }

    #[test]
    fn what_is_no_zone_is_told_with_what_was_meant() {
        for (text, meant) in [
            ("Europe/Berln", "did you mean Europe/Berlin?"),
            ("berlin", "did you mean Europe/Berlin?"),
            ("new york", "did you mean America/New_York?"),
            ("Mars", "write one such as Europe/Berlin or +03:00"),
            ("", "write one such as Europe/Berlin or +03:00"),
        ] {
            let said = Zone::parse(text).unwrap_err();
            assert_eq!(said, format!("`{text}` is no time zone; {meant}"));
        }
    }

    proptest! {
        /// Whatever the zone and the moment, the clock and its offset name that moment.
        #[test]
        fn a_clock_and_its_offset_name_the_moment(
            zone in prop::sample::select(TZ_VARIANTS.to_vec()),
            // 1973 to 2099; older offsets had seconds, which RFC 3339 cannot say.
            seconds in 100_000_000i64..4_102_444_800,
        ) {
            let time = DateTime::from_timestamp(seconds, 0).unwrap();
            let items = StrftimeItems::new("%Y-%m-%dT%H:%M:%S%:z").parse_to_owned().unwrap();
            let shown = Zone::Named(zone).write(time, &items);
            prop_assert_eq!(DateTime::parse_from_rfc3339(&shown).unwrap().to_utc(), time);
            prop_assert_eq!(Zone::parse(zone.name()), Ok(Zone::Named(zone)));
        }

        /// Also at the ends of time nothing panics.
        #[test]
        fn any_moment_can_be_written(
            zone in prop::sample::select(TZ_VARIANTS.to_vec()),
            seconds in prop_oneof![
                any::<i64>(),
                Just(DateTime::<Utc>::MIN_UTC.timestamp()),
                Just(DateTime::<Utc>::MAX_UTC.timestamp()),
            ],
        ) {
            let items = StrftimeItems::new("%Y-%m-%d %H:%M:%S %z %Z").parse_to_owned().unwrap();
            if let Some(time) = DateTime::from_timestamp(seconds, 0) {
                prop_assert!(!Zone::Named(zone).write(time, &items).is_empty());
                prop_assert!(!Zone::Offset(FixedOffset::east_opt(86_399).unwrap()).write(time, &items).is_empty());
            }
        }
    }
}
