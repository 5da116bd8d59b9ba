//! What a postback's requests were made from at an earlier time.

use deadpool_postgres::Pool;

use super::catalogue;
use super::error::StoreError;
use crate::domain::postback::Postback;

/// A postback with the request of an earlier revision; how it is sent and signed is of today.
/// `None`: no such revision was kept.
pub async fn load(pool: &Pool, today: &Postback, revision: i32) -> Result<Option<Postback>, StoreError> {
    let client = pool.get().await?;
    let statement = client
        .prepare_cached(
            "SELECT (jsonb_populate_record(postbacks, postback_revisions.settings)).*
             FROM postbacks JOIN postback_revisions USING (postback_id)
             WHERE postback_id = $1 AND postback_revisions.revision = $2",
        )
        .await?;
    let Some(row) = client.query_opt(&statement, &[&today.postback_id.0, &revision]).await? else {
        return Ok(None);
    };
    let earlier = catalogue::postback(&row, today.secrets.clone())?;
    Ok(Some(Postback {
        revision,
        signing: today.signing.clone(),
        certificate: today.certificate.clone(),
        ..earlier
    }))
}
