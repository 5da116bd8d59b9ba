//! Searching deliveries, the waiting and the finished, for people: in the order of their events,
//! which is that of their ids.

mod of_leads;

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};
use uuid::Uuid;

use super::error::StoreError;
use super::late_postbacks::first_change_at;
use super::resend::scope_columns;
use crate::domain::coded::coded_enum;
use crate::domain::event::Event;
use crate::graphql::paging::{Page, PageRequest, Position, Positioned};
use crate::graphql::scope::Scope;

pub use of_leads::of_leads;

coded_enum! {
    /// Where a delivery stands.
    DeliveryState {
        /// No attempt has been made yet.
        Waiting = "waiting",
        /// An attempt is under way.
        Sending = "sending",
        /// An attempt has failed, and another is due.
        Retrying = "retrying",
        Delivered = "delivered",
        Failed = "failed",
        Skipped = "skipped",
        /// Somebody has cancelled it.
        Cancelled = "cancelled",
    }
}

impl DeliveryState {
    /// Whether it stands in the queue.
    fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Sending | Self::Retrying)
    }
}

/// Which deliveries; what is empty or `None` restricts nothing.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    pub states: Vec<DeliveryState>,
    pub delivery_ids: Vec<Uuid>,
    pub postback_ids: Vec<Uuid>,
    pub offer_ids: Vec<Uuid>,
    pub partner_ids: Vec<Uuid>,
    pub advertiser_ids: Vec<Uuid>,
    pub events: Vec<Event>,
    pub lead_id: Option<Uuid>,
    pub job_id: Option<Uuid>,
    /// Resends of this delivery.
    pub resent_from: Option<Uuid>,
    pub attempts_at_least: Option<i32>,
    pub is_test: Option<bool>,
    /// A lead, click or request by its id.
    pub search: Option<String>,
    /// Inclusive, by the time of the event.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
pub struct DeliveryRecord {
    pub delivery_id: Uuid,
    pub postback_id: Uuid,
    pub event: Event,
    pub lead_id: Option<Uuid>,
    pub state: DeliveryState,
    pub reason: String,
    /// Attempts begun.
    pub attempts: u32,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub is_postback_paused: bool,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    pub resent_from: Option<Uuid>,
    pub resend_number: u32,
    pub job_id: Option<Uuid>,
    /// The revision of the postback it was last sent with.
    pub revision: Option<i32>,
    /// Of its event; `None` where the history has let them go.
    pub offer_id: Option<Uuid>,
    pub partner_id: Option<Uuid>,
    pub advertiser_id: Option<Uuid>,
    pub click_id: Option<Uuid>,
    pub txid: Option<String>,
    pub is_test: bool,
}

impl Positioned for DeliveryRecord {
    fn position(&self) -> Position {
        // The id alone says where it stands.
        Position { time: DateTime::UNIX_EPOCH, id: self.delivery_id }
    }
}

/// Deliveries in scope, those of the newest events first: an advertiser or partner sees those of
/// its own postbacks.
pub async fn deliveries(
    pool: &Pool,
    scope: Scope,
    filter: &DeliveryFilter,
    request: &PageRequest,
) -> Result<Page<DeliveryRecord>, StoreError> {
    let wants = |is_open: bool| {
        filter.states.is_empty() || filter.states.iter().any(|state| state.is_open() == is_open)
    };
    let mut client = pool.get().await?;
    // One snapshot: a delivery that is finished meanwhile is neither missed nor seen twice.
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    transaction.batch_execute("SET LOCAL statement_timeout = '15s'").await?;
    let mut parts = Vec::new();
    if wants(true) {
        parts.push(OPEN);
    }
    if wants(false) {
        parts.push(FINISHED);
    }
    let mut conditions = Conditions::of(scope, filter);
    let total = if request.with_total {
        let mut total = 0;
        for part in &parts {
            let statement = format!("SELECT count(*) FROM {} {}", part.from(), conditions.text(part));
            let count: i64 = transaction.query_one(&statement, &conditions.values()).await?.get(0);
            total += count.unsigned_abs();
        }
        Some(total)
    } else {
        None
    };
    if let Some(after) = request.after {
        conditions.add("{row}.delivery_id <", after.id);
    }
    let limit = request.rows + 1;
    let mut rows = Vec::new();
    for part in &parts {
        let statement = format!(
            "SELECT {} FROM {} {} ORDER BY {}.delivery_id DESC LIMIT {limit}",
            part.selected,
            part.from(),
            conditions.text(part),
            part.table,
        );
        for row in transaction.query(&statement, &conditions.values()).await? {
            rows.push(read(&row)?);
        }
    }
    transaction.commit().await?;
    rows.sort_unstable_by_key(|row: &DeliveryRecord| std::cmp::Reverse(row.delivery_id));
    rows.truncate(limit);
    Ok(Page::of_surplus(rows, request, total))
}

/// Those of `ids` that are in scope.
pub async fn by_ids(pool: &Pool, scope: Scope, ids: &[Uuid]) -> Result<Vec<DeliveryRecord>, StoreError> {
    let filter = DeliveryFilter { delivery_ids: ids.to_vec(), ..DeliveryFilter::default() };
    let request = PageRequest { rows: ids.len(), after: None, with_total: false };
    Ok(deliveries(pool, scope, &filter, &request).await?.rows)
}

/// One of the two tables.
struct Part {
    table: &'static str,
    state: &'static str,
    attempts: &'static str,
    selected: &'static str,
}

impl Part {
    fn from(&self) -> String {
        format!(
            "{} JOIN postbacks USING (postback_id) LEFT JOIN conversion_history USING (change_id)",
            self.table
        )
    }
}

macro_rules! common_columns {
    ($table:literal) => {
        concat!(
            $table,
            ".delivery_id, postback_id, ",
            $table,
            ".event, ",
            $table,
            ".lead_id, ",
            $table,
            ".created_at, resent_from, resend_number, job_id, sent_revision, is_paused, facts, "
        )
    };
}

const OPEN: Part = Part {
    table: "deliveries",
    state: "CASE WHEN claimed_by IS NOT NULL THEN 'sending' WHEN attempt > 0 THEN 'retrying' ELSE 'waiting' END",
    attempts: "deliveries.attempt",
    selected: concat!(
        common_columns!("deliveries"),
        "CASE WHEN claimed_by IS NOT NULL THEN 'sending' WHEN attempt > 0 THEN 'retrying' ELSE 'waiting' END \
         AS state, attempt AS attempts, '' AS reason, \
         CASE WHEN claimed_by IS NULL THEN next_attempt_at END AS next_attempt_at, \
         NULL::timestamptz AS finished_at"
    ),
};

const FINISHED: Part = Part {
    table: "deliveries_finished",
    state: "deliveries_finished.state",
    attempts: "deliveries_finished.attempts",
    selected: concat!(
        common_columns!("deliveries_finished"),
        "deliveries_finished.state, deliveries_finished.attempts, deliveries_finished.reason, \
         NULL::timestamptz AS next_attempt_at, finished_at"
    ),
};

/// What is asked of either table: `{row}` stands for its name, `{state}` for its state.
struct Conditions {
    texts: Vec<String>,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Conditions {
    fn of(scope: Scope, filter: &DeliveryFilter) -> Self {
        let mut all = Self { texts: Vec::new(), values: Vec::new() };
        let (advertiser, partner) = scope_columns(scope);
        all.optional("postbacks.advertiser_id =", advertiser);
        all.optional("postbacks.partner_id =", partner);
        all.one_of("{state}", filter.states.iter().map(|state| state.code()).collect());
        all.one_of("{row}.delivery_id", filter.delivery_ids.clone());
        all.one_of("{row}.postback_id", filter.postback_ids.clone());
        all.one_of("{row}.event", filter.events.iter().map(|event| event.code()).collect());
        all.optional("{row}.job_id =", filter.job_id);
        all.optional("{row}.resent_from =", filter.resent_from);
        let texts = |ids: &[Uuid]| ids.iter().map(Uuid::to_string).collect::<Vec<_>>();
        all.one_of("facts ->> 'offer_id'", texts(&filter.offer_ids));
        all.one_of("facts ->> 'partner_id'", texts(&filter.partner_ids));
        all.one_of("facts ->> 'advertiser_id'", texts(&filter.advertiser_ids));
        all.optional("{row}.delivery_id >=", filter.from.map(first_change_at));
        all.optional("{row}.delivery_id <", filter.to.map(first_change_at));
        all.optional("{attempts} >=", filter.attempts_at_least);
        all.optional("coalesce((facts ->> 'is_test')::boolean, false) =", filter.is_test);
        if let Some(sought) = &filter.search {
            all.of_leads(sought);
        }
        if let Some(lead_id) = filter.lead_id {
            all.values.push(Box::new(lead_id));
            let number = all.values.len();
            // The history knows a lead's changes, and a delivery's id begins with its change's time:
            // no index on leads has to be kept for every delivery.
            all.texts.push(format!(
                "{{row}}.lead_id = ${number} AND EXISTS (
                     SELECT FROM conversion_history AS own
                     WHERE own.lead_id = ${number} AND own.change_id = {{row}}.change_id)
                 AND {{row}}.delivery_id >= (SELECT (left(min(change_id::text), 13) || '-0000-0000-000000000000')::uuid
                                             FROM conversion_history WHERE lead_id = ${number})
                 AND {{row}}.delivery_id <= (SELECT (left(max(change_id::text), 13) || '-ffff-ffff-ffffffffffff')::uuid
                                             FROM conversion_history WHERE lead_id = ${number})"
            ));
        }
        all
    }

    /// Of the conversions that bear the id. Their history says when their deliveries were made, so
    /// that only those are read.
    fn of_leads(&mut self, sought: &str) {
        self.values.push(Box::new(sought.to_owned()));
        let text = self.values.len();
        let mut condition = format!("request_id = ${text}");
        if let Ok(id) = Uuid::try_parse(sought) {
            self.values.push(Box::new(id));
            let id = self.values.len();
            condition += &format!(" OR lead_id = ${id} OR click_id = ${id}");
        }
        let leads = format!("SELECT lead_id FROM conversions WHERE {condition}");
        let bound = |which: &str, rest: &str| {
            format!(
                "(SELECT (left({which}(change_id::text), 13) || '{rest}')::uuid FROM conversion_history
                  WHERE lead_id IN ({leads}))"
            )
        };
        self.texts.push(format!(
            "{{row}}.lead_id IN ({leads}) AND {{row}}.delivery_id >= {} AND {{row}}.delivery_id <= {}",
            bound("min", "-0000-0000-000000000000"),
            bound("max", "-ffff-ffff-ffffffffffff"),
        ));
    }

    fn add(&mut self, comparison: &str, value: impl ToSql + Sync + Send + 'static) {
        self.values.push(Box::new(value));
        self.texts.push(format!("{comparison} ${}", self.values.len()));
    }

    fn optional(&mut self, comparison: &str, value: Option<impl ToSql + Sync + Send + 'static>) {
        if let Some(value) = value {
            self.add(comparison, value);
        }
    }

    fn one_of(&mut self, column: &str, values: Vec<impl ToSql + Sync + Send + 'static>) {
        if !values.is_empty() {
            self.values.push(Box::new(values));
            self.texts.push(format!("{column} = ANY(${})", self.values.len()));
        }
    }

    fn text(&self, part: &Part) -> String {
        if self.texts.is_empty() {
            return String::new();
        }
        let text = format!("WHERE {}", self.texts.join(" AND "));
        text.replace("{row}", part.table).replace("{state}", part.state).replace("{attempts}", part.attempts)
    }

    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

fn read(row: &Row) -> Result<DeliveryRecord, StoreError> {
    let unreadable = |column: &str, why: &str| StoreError::Unreadable(format!("deliveries.{column}: {why}"));
    let event: &str = row.try_get("event")?;
    let state: &str = row.try_get("state")?;
    let facts: Option<serde_json::Value> = row.try_get("facts")?;
    let fact = |name: &str| facts.as_ref().and_then(|facts| facts[name].as_str()).map(str::to_owned);
    let id = |name: &str| fact(name).and_then(|text| text.parse::<Uuid>().ok());
    let lead_id: Option<Uuid> = row.try_get("lead_id")?;
    let request_id = fact("request_id");
    let txid = match request_id {
        Some(empty) if empty.is_empty() => lead_id.map(|id| id.to_string()),
        request_id => request_id,
    };
    let number = |column: &str| Ok::<_, StoreError>(row.try_get::<_, i32>(column)?.unsigned_abs());
    Ok(DeliveryRecord {
        delivery_id: row.try_get("delivery_id")?,
        postback_id: row.try_get("postback_id")?,
        event: Event::from_code(event).ok_or_else(|| unreadable("event", event))?,
        lead_id,
        state: DeliveryState::from_code(state).ok_or_else(|| unreadable("state", state))?,
        reason: row.try_get("reason")?,
        attempts: number("attempts")?,
        next_attempt_at: row.try_get("next_attempt_at")?,
        is_postback_paused: row.try_get("is_paused")?,
        created_at: row.try_get("created_at")?,
        finished_at: row.try_get("finished_at")?,
        resent_from: row.try_get("resent_from")?,
        resend_number: number("resend_number")?,
        job_id: row.try_get("job_id")?,
        revision: row.try_get("sent_revision")?,
        offer_id: id("offer_id"),
        partner_id: id("partner_id"),
        advertiser_id: id("advertiser_id"),
        click_id: id("click_id"),
        txid,
        is_test: facts.as_ref().is_some_and(|facts| facts["is_test"] == true),
    })
}
