//! Figures of conversions, from their changes: how many were made, approved, refunded, settled,
//! and how many clicks they came of.
//!
//! A change carries several events (a sale that is approved at once is `sale` and `approve`), each
//! with a row of its own. Figures count the change once, whichever of its events the filter finds; only
//! the number of events is counted by rows, in a reading of its own.

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

/// A figure of a group of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversionFigure {
    Events,
    Changes,
    Conversions,
    ConvertedClicks,
    Held,
    Approved,
    Rejected,
    Refunded,
    Settled,
    ReportedAmounts,
    ApprovedAmounts,
    ApprovedPayouts,
    RefundedAmounts,
    RefundedPayouts,
    SettledPayouts,
    Clicks,
    BotClicks,
}

/// All that a row has.
const FIGURES: [ConversionFigure; 17] = [
    ConversionFigure::Events,
    ConversionFigure::Changes,
    ConversionFigure::Conversions,
    ConversionFigure::ConvertedClicks,
    ConversionFigure::Held,
    ConversionFigure::Approved,
    ConversionFigure::Rejected,
    ConversionFigure::Refunded,
    ConversionFigure::Settled,
    ConversionFigure::ReportedAmounts,
    ConversionFigure::ApprovedAmounts,
    ConversionFigure::ApprovedPayouts,
    ConversionFigure::RefundedAmounts,
    ConversionFigure::RefundedPayouts,
    ConversionFigure::SettledPayouts,
    ConversionFigure::Clicks,
    ConversionFigure::BotClicks,
];

/// A conversion that was not there before.
const IS_NEW: &str = "status_from = '' AND isNotNull(lead_id)";
const IS_APPROVED: &str = "status = 'approved' AND status_from != 'approved'";
const IS_REFUNDED: &str = "status = 'rejected' AND status_from = 'approved'";
/// Of all changes of an approved conversion, only its settlement leaves it as it is.
const IS_SETTLED: &str = "status = 'approved' AND status_from = 'approved'";

impl ConversionFigure {
    /// The name of its column in the answer.
    fn name(self) -> &'static str {
        match self {
            Self::Events => "event_count",
            Self::Changes => "change_count",
            Self::Conversions => "conversion_count",
            Self::ConvertedClicks => "converted_click_count",
            Self::Held => "held_count",
            Self::Approved => "approved_count",
            Self::Rejected => "rejected_count",
            Self::Refunded => "refunded_count",
            Self::Settled => "settled_count",
            Self::ReportedAmounts => "reported_amount_sums",
            Self::ApprovedAmounts => "approved_amount_sums",
            Self::ApprovedPayouts => "approved_payout_sums",
            Self::RefundedAmounts => "refunded_amount_sums",
            Self::RefundedPayouts => "refunded_payout_sums",
            Self::SettledPayouts => "settled_payout_sums",
            Self::Clicks => "click_count",
            Self::BotClicks => "bot_click_count",
        }
    }

    /// What stands in the answer where it is not counted.
    fn nothing(self) -> &'static str {
        if self.name().ends_with("_sums") { NO_SUMS } else { NO_COUNT }
    }

    /// Of changes, each of which is one row; `None` for what is counted otherwise.
    fn of_changes(self) -> Option<String> {
        Some(match self {
            Self::Events | Self::Clicks | Self::BotClicks => return None,
            Self::Changes => "count()".into(),
            Self::Conversions => format!("countIf({IS_NEW})"),
            Self::ConvertedClicks => format!("uniqExactIf(click_id, {IS_NEW})"),
            Self::Held => "countIf(status = 'hold' AND status_from != 'hold')".into(),
            Self::Approved => format!("countIf({IS_APPROVED})"),
            Self::Rejected => "countIf(status = 'rejected' AND status_from != 'rejected')".into(),
            Self::Refunded => format!("countIf({IS_REFUNDED})"),
            Self::Settled => format!("countIf({IS_SETTLED})"),
            Self::ReportedAmounts => sum_by_currency("amount", "currency", IS_NEW),
            Self::ApprovedAmounts => sum_by_currency("amount", "currency", IS_APPROVED),
            Self::ApprovedPayouts => sum_by_currency("payout", "payout_currency", IS_APPROVED),
            Self::RefundedAmounts => sum_by_currency("amount", "currency", IS_REFUNDED),
            Self::RefundedPayouts => sum_by_currency("payout", "payout_currency", IS_REFUNDED),
            Self::SettledPayouts => sum_by_currency("payout", "payout_currency", IS_SETTLED),
        })
    }

    /// Of rows, one for each event.
    fn of_events(self) -> Option<String> {
        (self == Self::Events).then(|| "count()".into())
    }

    fn of_clicks(self) -> Option<String> {
        match self {
            Self::Clicks => Some("count()".into()),
            Self::BotClicks => Some("countIf(device = 'bot')".into()),
            _ => None,
        }
    }
}

/// The wanted ones of all figures as a reading counts them; nothing in place of the rest.
fn figures(
    wanted: &[ConversionFigure],
    counted: impl Fn(ConversionFigure) -> Option<String>,
) -> Vec<(&'static str, String)> {
    let figure = |figure: ConversionFigure| {
        let counted = wanted.contains(&figure).then(|| counted(figure)).flatten();
        (figure.name(), counted.unwrap_or_else(|| figure.nothing().to_owned()))
    };
    FIGURES.into_iter().map(figure).collect()
}

/// A question about changes in scope, as a filter finds them: an advertiser's own, or those of a
/// partner's clicks. With clicks, a group that has clicks only is there too; the filter and the
/// dimensions must be such as clicks have. `wanted` are the figures that are looked at, those that
/// order the groups included.
pub fn conversion_stats(
    scope: Scope,
    filter: &ChangeFilter,
    grouping: Grouping,
    clicks: Clicks,
    wanted: &[ConversionFigure],
) -> Stats<ConversionFigures> {
    let search = changes(scope, filter);
    let by_event = grouping.dimensions.contains(&Dimension::Event);
    let mut parts = vec![once_each(&search, wanted)];
    if wanted.contains(&ConversionFigure::Events) {
        parts.push(of_rows(&search, figures(wanted, ConversionFigure::of_events)));
    }
    if clicks == Clicks::Counted {
        parts.push(Aggregation {
            table: CLICKS.name.to_owned(),
            conditions: clicks_beside(scope, filter).conditions(),
            seconds: "toUnixTimestamp(clicked_at)",
            figures: figures(wanted, ConversionFigure::of_clicks),
        });
    }
    let of_changes = question(search.clone(), parts);
    if !by_event {
        return Stats::of(of_changes, grouping);
    }
    // Every row is of a group of its own event: no change has two in one.
    let figures = figures(wanted, |figure| figure.of_changes().or(figure.of_events()));
    let of_events = question(search.clone(), vec![of_rows(&search, figures)]);
    Stats::of(of_events, grouping).with_ungrouped(of_changes)
}

fn of_rows(search: &Search, figures: Vec<(&'static str, String)>) -> Aggregation {
    Aggregation {
        table: EVENTS.name.to_owned(),
        conditions: search.conditions(),
        seconds: "toUnixTimestamp(recorded_at)",
        figures,
    }
}

/// The rows of a change are one: but for the event they are the same, and they lie side by side in the
/// table's own order, so that the first of each is picked as they are read. The conditions stand inside:
/// whichever of its events the filter finds.
fn once_each(search: &Search, wanted: &[ConversionFigure]) -> Aggregation {
    let table = format!(
        "(SELECT * FROM {} ORDER BY recorded_at, change_id LIMIT 1 BY recorded_at, change_id)",
        search.from()
    );
    Aggregation {
        table,
        conditions: Vec::new(),
        seconds: "toUnixTimestamp(recorded_at)",
        figures: figures(wanted, ConversionFigure::of_changes),
    }
}

fn question(search: Search, parts: Vec<Aggregation>) -> Question {
    let added = |name: &str| match name.ends_with("_sums") {
        true => format!("sumMap(part_{name})"),
        false => format!("sum(part_{name})"),
    };
    Question { search, parts, added }
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
