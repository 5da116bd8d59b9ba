//! What the parties of events are called: today, for those who have no catalogue at hand, and in what was
//! sent before.

use deadpool_postgres::Pool;
use serde_json::Value;
use tokio_postgres::Row;

use super::error::StoreError;
use crate::domain::ids::DeliveryId;
use crate::domain::party_names::PartyNames;

/// An expression of SQL beside a column `facts`: what its parties are called today.
pub(super) const OF_FACTS: &str = "jsonb_build_object(
    'offer', (SELECT name FROM offers WHERE offers.offer_id = (facts->>'offer_id')::uuid),
    'partner', (SELECT name FROM partners WHERE partners.partner_id = (facts->>'partner_id')::uuid),
    'advertiser', (SELECT name FROM advertisers WHERE advertisers.advertiser_id = (facts->>'advertiser_id')::uuid))";

/// The column `names`, as [`OF_FACTS`] makes it; NULL where nobody asks for them.
pub(super) fn read(row: &Row) -> Result<PartyNames, StoreError> {
    parse("names", row.try_get("names")?)
}

/// Those that a delivery is bound to tell, as it is sent again as it was; none where it was sent without
/// them, or before they were kept.
pub async fn as_sent(pool: &Pool, delivery: DeliveryId) -> Result<PartyNames, StoreError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached("SELECT sent_names FROM deliveries WHERE delivery_id = $1").await?;
    match client.query_opt(&statement, &[&delivery.0]).await? {
        Some(row) => parse("deliveries.sent_names", row.try_get(0)?),
        None => Ok(PartyNames::default()),
    }
}

fn parse(column: &str, names: Option<Value>) -> Result<PartyNames, StoreError> {
    let read = names.map(serde_json::from_value).transpose();
    Ok(read.map_err(|error| StoreError::Unreadable(format!("{column}: {error}")))?.unwrap_or_default())
}
