//! Figures of conversions, from their changes: how many were made, approved, refunded, settled,
//! and how many clicks they came of.
//!
//! A change carries several events (a sale that is approved at once is `sale` and `approve`), each
//! with a row of its own. Figures count the change once, whichever of its events the filter finds.

use chrono::{DateTime, Utc};
use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::grouping::{Aggregation, GroupRow, Grouping, Question, Stats, group_row};
use super::{Dimension, NO_COUNT, NO_SUMS, SumsInMillionths, sum_by_currency};
use crate::domain::device::Device;
use crate::domain::event::Event;
use crate::domain::status::Status;
use crate::event_log::reader::TestRows;
use crate::event_log::reader::search::{Search, Table};
use crate::graphql::scope::Scope;

const EVENTS: Table = Table { name: "conversion_events", time_column: "recorded_at", id_column: "change_id" };
const CLICKS: Table = Table { name: "clicks", time_column: "clicked_at", id_column: "click_id" };

/// Which changes of conversions; what is empty or `None` restricts nothing.
#[derive(Debug, Clone, Default)]
pub struct ChangeFilter {
    /// What the conversion became.
    pub statuses: Vec<Status>,
    pub events: Vec<Event>,
    pub offer_ids: Vec<Uuid>,
    pub partner_ids: Vec<Uuid>,
    pub advertiser_ids: Vec<Uuid>,
    pub link_ids: Vec<Uuid>,
    pub actions: Vec<String>,
    pub countries: Vec<String>,
    pub devices: Vec<Device>,
    pub lead_id: Option<Uuid>,
    pub click_id: Option<Uuid>,
    pub request_id: Option<String>,
    pub customer_id: Option<String>,
    /// Inclusive, by the time of recording.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
    pub tests: TestRows,
}

impl ChangeFilter {
    /// The first of its fields that clicks do not have.
    pub fn beyond_clicks(&self) -> Option<&'static str> {
        [
            ("statuses", !self.statuses.is_empty()),
            ("events", !self.events.is_empty()),
            ("actions", !self.actions.is_empty()),
            ("leadId", self.lead_id.is_some()),
            ("clickId", self.click_id.is_some()),
            ("requestId", self.request_id.is_some()),
            ("customerId", self.customer_id.is_some()),
        ]
        .into_iter()
        .find_map(|(field, is_asked)| is_asked.then_some(field))
    }
}

/// Whether clicks have the dimension too, so that they can be counted beside conversions.
pub fn clicks_have(dimension: Dimension) -> bool {
    matches!(
        dimension,
        Dimension::Offer
            | Dimension::Partner
            | Dimension::Advertiser
            | Dimension::Link
            | Dimension::Country
            | Dimension::Device
            | Dimension::HourOfDay
    )
}

/// Whether clicks are counted beside conversions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clicks {
    Counted,
    LeftOut,
}

#[derive(Debug, Clone, Default, Row, Deserialize)]
pub struct ConversionFigures {
    pub group_keys: Vec<String>,
    /// Seconds since 1970; 0 without buckets.
    pub bucket_start: i64,
    pub event_count: u64,
    pub change_count: u64,
    pub conversion_count: u64,
    pub converted_click_count: u64,
    pub held_count: u64,
    pub approved_count: u64,
    pub rejected_count: u64,
    pub refunded_count: u64,
    pub settled_count: u64,
    pub reported_amount_sums: SumsInMillionths,
    pub approved_amount_sums: SumsInMillionths,
    pub approved_payout_sums: SumsInMillionths,
    pub refunded_amount_sums: SumsInMillionths,
    pub refunded_payout_sums: SumsInMillionths,
    pub settled_payout_sums: SumsInMillionths,
    pub click_count: u64,
    pub bot_click_count: u64,
}
group_row!(ConversionFigures);

/// A conversion that was not there before.
const IS_NEW: &str = "status_from = '' AND isNotNull(lead_id)";
const IS_APPROVED: &str = "status = 'approved' AND status_from != 'approved'";
const IS_REFUNDED: &str = "status = 'rejected' AND status_from = 'approved'";
/// Of all changes of an approved conversion, only its settlement leaves it as it is.
const IS_SETTLED: &str = "status = 'approved' AND status_from = 'approved'";

fn figures_of_changes(event_count: &str) -> Vec<(&'static str, String)> {
    vec![
        ("event_count", event_count.into()),
        ("change_count", "uniqExact(change_id)".into()),
        ("conversion_count", format!("uniqExactIf(change_id, {IS_NEW})")),
        ("converted_click_count", format!("uniqExactIf(click_id, {IS_NEW})")),
        ("held_count", "uniqExactIf(change_id, status = 'hold' AND status_from != 'hold')".into()),
        ("approved_count", format!("uniqExactIf(change_id, {IS_APPROVED})")),
        (
            "rejected_count",
            "uniqExactIf(change_id, status = 'rejected' AND status_from != 'rejected')".into(),
        ),
        ("refunded_count", format!("uniqExactIf(change_id, {IS_REFUNDED})")),
        ("settled_count", format!("uniqExactIf(change_id, {IS_SETTLED})")),
        ("reported_amount_sums", sum_by_currency("amount", "currency", IS_NEW)),
        ("approved_amount_sums", sum_by_currency("amount", "currency", IS_APPROVED)),
        ("approved_payout_sums", sum_by_currency("payout", "payout_currency", IS_APPROVED)),
        ("refunded_amount_sums", sum_by_currency("amount", "currency", IS_REFUNDED)),
        ("refunded_payout_sums", sum_by_currency("payout", "payout_currency", IS_REFUNDED)),
        ("settled_payout_sums", sum_by_currency("payout", "payout_currency", IS_SETTLED)),
        ("click_count", NO_COUNT.into()),
        ("bot_click_count", NO_COUNT.into()),
    ]
}

/// The figures of a click: none of a conversion, and itself.
fn figures_of_clicks() -> Vec<(&'static str, String)> {
    let nothing = |name: &str| if name.ends_with("_sums") { NO_SUMS } else { NO_COUNT };
    figures_of_changes("")
        .into_iter()
        .map(|(name, _)| match name {
            "click_count" => (name, "count()".to_owned()),
            "bot_click_count" => (name, "countIf(device = 'bot')".to_owned()),
            name => (name, nothing(name).to_owned()),
        })
        .collect()
}

/// What a change has besides its events: the same in every row of it.
const OF_A_CHANGE: &str = "any(recorded_at) AS recorded_at, any(lead_id) AS lead_id, \
    any(click_id) AS click_id, any(advertiser_id) AS advertiser_id, any(offer_id) AS offer_id, \
    any(partner_id) AS partner_id, any(link_id) AS link_id, any(action) AS action, \
    any(status_from) AS status_from, any(status) AS status, any(amount) AS amount, \
    any(currency) AS currency, any(payout) AS payout, any(payout_currency) AS payout_currency, \
    any(country) AS country, any(device) AS device";

/// A question about changes in scope, as a filter finds them: an advertiser's own, or those of a
/// partner's clicks. With clicks, a group that has clicks only is there too; the filter and the
/// dimensions must be such as clicks have.
pub fn conversion_stats(
    scope: Scope,
    filter: &ChangeFilter,
    grouping: Grouping,
    clicks: Clicks,
) -> Stats<ConversionFigures> {
    let by_event = grouping.dimensions.contains(&Dimension::Event);
    let of_changes = question(scope, filter, clicks, by_change(&changes(scope, filter)));
    if !by_event {
        return Stats::of(of_changes, grouping);
    }
    let of_events = question(scope, filter, clicks, by_row(&changes(scope, filter)));
    Stats::of(of_events, grouping).with_ungrouped(of_changes)
}

/// Every row is of a group of its own event: no change has two in one.
fn by_row(search: &Search) -> Aggregation {
    Aggregation {
        table: EVENTS.name.to_owned(),
        conditions: search.conditions(),
        seconds: "toUnixTimestamp(recorded_at)",
        figures: figures_of_changes("count()"),
    }
}

/// The rows of a change are one. The conditions stand inside, where the columns are still the table's.
fn by_change(search: &Search) -> Aggregation {
    let table = format!(
        "(SELECT change_id, count() AS events_carried, {OF_A_CHANGE} FROM (SELECT * FROM {}) GROUP BY change_id)",
        search.from()
    );
    Aggregation {
        table,
        conditions: Vec::new(),
        seconds: "toUnixTimestamp(recorded_at)",
        figures: figures_of_changes("sum(events_carried)"),
    }
}

fn question(scope: Scope, filter: &ChangeFilter, clicks: Clicks, changes_part: Aggregation) -> Question {
    let mut parts = vec![changes_part];
    if clicks == Clicks::Counted {
        parts.push(Aggregation {
            table: CLICKS.name.to_owned(),
            conditions: clicks_beside(scope, filter).conditions(),
            seconds: "toUnixTimestamp(clicked_at)",
            figures: figures_of_clicks(),
        });
    }
    let added = |name: &str| match name.ends_with("_sums") {
        true => format!("sumMap(part_{name})"),
        false => format!("sum(part_{name})"),
    };
    Question { search: changes(scope, filter), parts, added }
}

/// The search for changes in scope, by a filter.
pub fn changes(scope: Scope, filter: &ChangeFilter) -> Search {
    let mut search = Search::of(EVENTS);
    common(&mut search, scope, filter);
    search.code_in("status", filter.statuses.iter().map(|item| item.code()));
    search.code_in("event", filter.events.iter().map(|item| item.code()));
    search.text_in("action", &filter.actions);
    search.id_is("lead_id", filter.lead_id);
    search.id_is("click_id", filter.click_id);
    search.text_is("request_id", filter.request_id.as_deref());
    search.text_is("customer_id", filter.customer_id.as_deref());
    search.tests(filter.tests);
    search
}

/// The same of clicks, in parameters of the same names and values.
fn clicks_beside(scope: Scope, filter: &ChangeFilter) -> Search {
    let mut search = Search::of(CLICKS);
    common(&mut search, scope, filter);
    search
}

fn common(search: &mut Search, scope: Scope, filter: &ChangeFilter) {
    match scope {
        Scope::Everything => {}
        Scope::Advertiser(id) => search.scope_id_is("advertiser_id", id.0),
        Scope::Partner(id) => search.scope_id_is("partner_id", id.0),
    }
    search.id_in("offer_id", &filter.offer_ids);
    search.id_in("partner_id", &filter.partner_ids);
    search.id_in("advertiser_id", &filter.advertiser_ids);
    search.id_in("link_id", &filter.link_ids);
    search.text_in("country", &filter.countries);
    search.code_in("device", filter.devices.iter().map(|item| item.code()));
    search.between(filter.from, filter.to);
}
