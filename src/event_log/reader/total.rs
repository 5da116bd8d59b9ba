//! How many attempts a search finds, counted by the day as far as days are whole.
//!
//! A range of thirty days has at most two days that are not whole: those are counted row by row, the
//! days between from `attempts_by_day`, which has a thousandth of the rows to read. Both are exact,
//! so their sum is.

use super::search::{Search, where_clause};

/// What `attempts_by_day` can be filtered by.
const COLUMNS: [&str; 10] = [
    "owner",
    "partner_id",
    "advertiser_id",
    "offer_id",
    "postback_id",
    "event",
    "status",
    "outcome",
    "error_kind",
    "is_test",
];

/// The statement that counts what the search finds; its parameters are those of the search.
pub(super) fn statement(search: &Search) -> String {
    if search.table().name != "attempts" || !search.columns().iter().all(|column| COLUMNS.contains(column)) {
        return format!("SELECT count() FROM {}", search.from());
    }
    let rows = search.conditions();
    let filters = search.conditions_beside_time();
    // Rows that retention has let go are still counted by the day, so the days begin with what is left.
    let first = match search.bounds(">=") {
        bounds if bounds.is_empty() => "oldest".to_owned(),
        bounds => format!("greatest(oldest, {})", bounds.join(", ")),
    };
    let last = search.bounds("<").into_iter().reduce(|one, other| format!("least({one}, {other})"));
    let last = last.map(|bound| format!("toStartOfDay({bound})"));
    let mut whole = filters.clone();
    whole.push("bucket >= first_day".into());
    let mut edges = rows;
    match &last {
        Some(_) => {
            whole.push("bucket < last_day".into());
            edges.push("(started_at < first_day OR started_at >= last_day)".into());
        }
        None => edges.push("started_at < first_day".into()),
    }
    let last = last.map(|day| format!(", {day} AS last_day")).unwrap_or_default();
    format!(
        "WITH (SELECT min(started_at) FROM attempts) AS oldest, \
         toStartOfDay({first} + toIntervalMicrosecond(86399999999)) AS first_day{last} \
         SELECT assumeNotNull(toUInt64((SELECT sum(attempts) FROM attempts_by_day{})) + (SELECT count() FROM attempts{}))",
        where_clause(&whole),
        where_clause(&edges)
    )
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::event_log::reader::search::Table;

    const TABLE: Table = Table { name: "attempts", time_column: "started_at", id_column: "attempt_id" };

    #[test]
    fn whole_days_are_counted_by_the_day_and_the_rest_by_the_row() {
        let mut search = Search::of(TABLE);
        search.where_is("is_test", "NOT is_test");
        search.between(Some(DateTime::UNIX_EPOCH), None);
        let from = "fromUnixTimestamp64Micro({time_from:Int64}, 'UTC')";
        let bound = format!(
            "least(greatest({from}, toDateTime64('1970-01-01 00:00:00', 6, 'UTC')), \
             toDateTime64('2105-01-01 00:00:00', 6, 'UTC'))"
        );
        assert_eq!(
            statement(&search),
            format!(
                "WITH (SELECT min(started_at) FROM attempts) AS oldest, \
                 toStartOfDay(greatest(oldest, {bound}) + toIntervalMicrosecond(86399999999)) AS first_day \
                 SELECT assumeNotNull(toUInt64((SELECT sum(attempts) FROM attempts_by_day \
                 WHERE NOT is_test AND bucket >= first_day)) + (SELECT count() FROM attempts \
                 WHERE NOT is_test AND started_at >= {from} AND started_at < first_day))"
            )
        );
    }

    #[test]
    fn what_days_do_not_tell_is_counted_by_the_row() {
        let mut search = Search::of(TABLE);
        search.where_is("response_code", "response_code = 200");
        assert_eq!(statement(&search), "SELECT count() FROM attempts WHERE response_code = 200");
    }
}
