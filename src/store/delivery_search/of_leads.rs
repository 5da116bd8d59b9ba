//! The deliveries of many conversions at once.

use deadpool_postgres::Pool;
use uuid::Uuid;

use super::{DeliveryRecord, FINISHED, OPEN, Part, read};
use crate::graphql::scope::Scope;
use crate::store::error::StoreError;
use crate::store::resend::scope_columns;
use crate::store::search::read_only;

/// The first `each` deliveries in scope of each of `leads`, in the order of their events.
pub async fn of_leads(
    pool: &Pool,
    scope: Scope,
    leads: &[Uuid],
    each: usize,
) -> Result<Vec<DeliveryRecord>, StoreError> {
    let (advertiser, partner) = scope_columns(scope);
    let each = i64::try_from(each).unwrap_or(i64::MAX);
    let statement = format!(
        "SELECT * FROM (
             SELECT *, row_number() OVER (PARTITION BY lead_id ORDER BY delivery_id) AS place
             FROM ({} UNION ALL {}) AS both_tables) AS placed
         WHERE place <= $4 ORDER BY lead_id, place",
        of_changes(&OPEN),
        of_changes(&FINISHED),
    );
    let rows = read_only(pool, &statement, &[&leads, &advertiser, &partner, &each]).await?;
    rows.iter().map(read).collect()
}

/// One of the tables, change by change: a delivery's id begins with the time of its change, to the
/// millisecond, so each change reads the few deliveries of its own millisecond. `OFFSET 0` keeps the
/// planner from turning that into one pass over everything.
fn of_changes(part: &Part) -> String {
    let Part { table, selected, .. } = part;
    format!(
        "(SELECT {selected} FROM conversion_history
          CROSS JOIN LATERAL (
              SELECT * FROM {table}
              WHERE delivery_id >= (left(conversion_history.change_id::text, 13) || '-0000-0000-000000000000')::uuid
                AND delivery_id <= (left(conversion_history.change_id::text, 13) || '-ffff-ffff-ffffffffffff')::uuid
                AND change_id = conversion_history.change_id
              OFFSET 0) AS {table}
          JOIN postbacks USING (postback_id)
          WHERE conversion_history.lead_id = ANY($1) AND ($2::uuid IS NULL OR postbacks.advertiser_id = $2)
            AND ($3::uuid IS NULL OR postbacks.partner_id = $3))"
    )
}
