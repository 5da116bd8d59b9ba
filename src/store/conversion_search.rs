//! Searching conversions, for people. The pipeline reads them by its own ways.

use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::StoreError;
use super::search::{Columns, Search, page, read_only};
use crate::domain::status::Status;
use crate::event_log::reader::TestRows;
use crate::graphql::paging::{Page, PageRequest, Position, Positioned};
use crate::graphql::scope::Scope;

/// Which conversions; what is empty or `None` restricts nothing.
#[derive(Debug, Clone, Default)]
pub struct ConversionFilter {
    pub statuses: Vec<Status>,
    pub offer_ids: Vec<Uuid>,
    pub partner_ids: Vec<Uuid>,
    pub advertiser_ids: Vec<Uuid>,
    pub lead_id: Option<Uuid>,
    pub click_id: Option<Uuid>,
    pub request_id: Option<String>,
    pub customer_id: Option<String>,
    pub link_ids: Vec<Uuid>,
    /// Names, exactly.
    pub actions: Vec<String>,
    /// A lead, click, request or customer by its id.
    pub search: Option<String>,
    /// Inclusive, by the time of creation.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
    pub tests: TestRows,
}

#[derive(Debug, Clone)]
pub struct ConversionRecord {
    pub lead_id: Uuid,
    pub advertiser_id: Uuid,
    pub offer_id: Uuid,
    pub partner_id: Uuid,
    pub link_id: Uuid,
    pub click_id: Uuid,
    pub request_id: String,
    pub customer_id: Option<String>,
    pub action: String,
    pub status: Status,
    pub amount: Option<Decimal>,
    pub currency: Option<String>,
    pub payout: Option<Decimal>,
    pub payout_currency: Option<String>,
    pub comment: String,
    pub is_test: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

const SELECTED: &str = "lead_id, advertiser_id, offer_id, partner_id, link_id, click_id, request_id, \
    customer_id, action, status, amount, currency, payout, payout_currency, comment, is_test, created_at, \
    updated_at";

impl ConversionRecord {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let status: &str = row.try_get("status")?;
        let unknown = || StoreError::Unreadable(format!("conversions.status is {status:?}"));
        Ok(Self {
            lead_id: row.try_get("lead_id")?,
            advertiser_id: row.try_get("advertiser_id")?,
            offer_id: row.try_get("offer_id")?,
            partner_id: row.try_get("partner_id")?,
            link_id: row.try_get("link_id")?,
            click_id: row.try_get("click_id")?,
            request_id: row.try_get("request_id")?,
            customer_id: row.try_get("customer_id")?,
            action: row.try_get("action")?,
            status: Status::from_code(status).ok_or_else(unknown)?,
            amount: row.try_get("amount")?,
            currency: row.try_get("currency")?,
            payout: row.try_get("payout")?,
            payout_currency: row.try_get("payout_currency")?,
            comment: row.try_get("comment")?,
            is_test: row.try_get("is_test")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

impl Positioned for ConversionRecord {
    fn position(&self) -> Position {
        Position { time: self.created_at, id: self.lead_id }
    }
}

/// Conversions in scope, newest first: an advertiser's own, or those of a partner's clicks.
pub async fn conversions(
    pool: &Pool,
    scope: Scope,
    filter: &ConversionFilter,
    request: &PageRequest,
) -> Result<Page<ConversionRecord>, StoreError> {
    const COLUMNS: Columns =
        Columns { selected: SELECTED, from: "conversions", time: "created_at", id: "lead_id" };
    page(pool, COLUMNS, search(scope, filter), request, ConversionRecord::from_row).await
}

/// Those of `leads` that are in scope.
pub async fn by_ids(pool: &Pool, scope: Scope, leads: &[Uuid]) -> Result<Vec<ConversionRecord>, StoreError> {
    let mut search = search(scope, &ConversionFilter::default());
    search.one_of("lead_id", leads.to_vec());
    let statement = format!("SELECT {SELECTED} FROM conversions{}", search.where_clause());
    let rows = read_only(pool, &statement, &search.values()).await?;
    rows.iter().map(ConversionRecord::from_row).collect()
}

fn search(scope: Scope, filter: &ConversionFilter) -> Search {
    let mut search = Search::default();
    match scope {
        Scope::Everything => {}
        Scope::Advertiser(id) => search.compare("advertiser_id =", Some(id.0)),
        Scope::Partner(id) => search.compare("partner_id =", Some(id.0)),
    }
    search.one_of("status", filter.statuses.iter().map(|status| status.code()).collect());
    search.one_of("offer_id", filter.offer_ids.clone());
    search.one_of("partner_id", filter.partner_ids.clone());
    search.one_of("advertiser_id", filter.advertiser_ids.clone());
    search.compare("lead_id =", filter.lead_id);
    search.compare("click_id =", filter.click_id);
    search.compare("request_id =", filter.request_id.clone());
    search.compare("customer_id =", filter.customer_id.clone());
    search.one_of("link_id", filter.link_ids.clone());
    search.one_of("action", filter.actions.clone());
    if let Some(sought) = &filter.search {
        let text = search.value(sought.clone());
        let mut condition = format!("(request_id = ${text} OR customer_id = ${text}");
        if let Ok(id) = Uuid::try_parse(sought) {
            let id = search.value(id);
            condition += &format!(" OR lead_id = ${id} OR click_id = ${id}");
        }
        search.condition(condition + ")");
    }
    search.compare("created_at >=", filter.from);
    search.compare("created_at <", filter.to);
    match filter.tests {
        TestRows::Included => {}
        TestRows::LeftOut => search.condition("NOT is_test"),
        TestRows::Only => search.condition("is_test"),
    }
    search
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::PartnerId;

    #[test]
    fn nothing_asked_restricts_nothing() {
        let search = search(Scope::Everything, &ConversionFilter::default());
        assert_eq!((search.where_clause().as_str(), search.values().len()), ("", 0));
    }

    #[test]
    fn the_scope_stands_beside_what_a_filter_asks_of_the_same_column() {
        let filter = ConversionFilter {
            partner_ids: vec![Uuid::from_u128(2)],
            request_id: Some("' OR true --".into()),
            tests: TestRows::LeftOut,
            ..ConversionFilter::default()
        };
        let mut search = search(Scope::Partner(PartnerId(Uuid::from_u128(1))), &filter);
        search.go_on_after(
            "created_at",
            "lead_id",
            Some(Position { time: DateTime::UNIX_EPOCH, id: Uuid::nil() }),
        );
        let expected = " WHERE partner_id = $1 AND partner_id = $2 AND request_id = $3 AND NOT is_test \
                        AND (created_at, lead_id) < ($4, $5)";
        assert_eq!((search.where_clause().as_str(), search.values().len()), (expected, 5));
    }
}
