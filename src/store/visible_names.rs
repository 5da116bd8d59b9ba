//! Names by ids, as far as the asker may list what bears them.

use deadpool_postgres::Pool;
use uuid::Uuid;

use super::error::StoreError;
use super::resend::scope_columns;
use crate::graphql::scope::Scope;

/// What has a name; a postback is known by its URL template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Named {
    Offer,
    Partner,
    Advertiser,
    Postback,
}

impl Named {
    /// Id, name and condition: `$2` is the asking advertiser and `$3` the asking partner, or NULL.
    fn statement(self) -> &'static str {
        match self {
            // A partner sees all offers, to choose from.
            Self::Offer => {
                "SELECT offer_id, name FROM offers
                 WHERE offer_id = ANY($1) AND ($2::uuid IS NULL OR advertiser_id = $2)
                   AND ($3::uuid IS NULL OR true)"
            }
            Self::Partner => {
                "SELECT partner_id, name FROM partners
                 WHERE partner_id = ANY($1) AND $2::uuid IS NULL AND ($3::uuid IS NULL OR partner_id = $3)"
            }
            Self::Advertiser => {
                "SELECT advertiser_id, name FROM advertisers
                 WHERE advertiser_id = ANY($1) AND ($2::uuid IS NULL OR advertiser_id = $2) AND $3::uuid IS NULL"
            }
            Self::Postback => {
                "SELECT postback_id, url_template FROM postbacks
                 WHERE postback_id = ANY($1) AND ($2::uuid IS NULL OR advertiser_id = $2)
                   AND ($3::uuid IS NULL OR partner_id = $3)"
            }
        }
    }
}

/// The names of those of `ids` that `scope` may list.
pub async fn find(
    pool: &Pool,
    named: Named,
    scope: Scope,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, String)>, StoreError> {
    let (advertiser, partner) = scope_columns(scope);
    let client = pool.get().await?;
    let statement = client.prepare_cached(named.statement()).await?;
    let rows = client.query(&statement, &[&ids, &advertiser, &partner]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
