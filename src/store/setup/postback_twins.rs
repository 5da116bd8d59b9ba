//! Two postbacks that ask for the same thing tell their tracker everything twice, and it books every
//! sum twice. So the second is refused, unless it is meant.

use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::ChangeError;
use crate::domain::ids::PostbackId;

/// Whether a postback may ask for the same as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Twins {
    #[default]
    Refused,
    /// Somebody has said that it is meant.
    Allowed,
}

/// The first of two keys of the advisory locks, to keep them apart from others'.
const LOCK_CLASS: i32 = 0x5249_5057;

/// Refuses a postback, as it is written in the transaction, that asks for the same as another: of the
/// same owner, for the same offer, link or all, of an event that both hear of, by the same method, URL
/// and body, on the same condition. Those of one owner are looked at one after another, so of two that
/// are made at once the second finds the first.
pub(super) async fn refuse(
    transaction: &Transaction<'_>,
    id: PostbackId,
    twins: Twins,
) -> Result<(), ChangeError> {
    if twins == Twins::Allowed {
        return Ok(());
    }
    let lock = "SELECT pg_advisory_xact_lock($1, hashtext(COALESCE(partner_id, advertiser_id)::text))
                FROM (SELECT partner_id, COALESCE(advertiser_id, '00000000-0000-0000-0000-000000000000')
                                         AS advertiser_id
                      FROM postbacks WHERE postback_id = $2) AS this";
    transaction.query(lock, &[&LOCK_CLASS, &id.0]).await?;
    // A statement of its own: it sees what was committed before the lock was had.
    let find = "SELECT other.postback_id, other.name
                FROM postbacks AS this JOIN postbacks AS other
                  ON other.partner_id IS NOT DISTINCT FROM this.partner_id
                 AND other.advertiser_id IS NOT DISTINCT FROM this.advertiser_id
                 AND other.offer_id IS NOT DISTINCT FROM this.offer_id
                 AND other.link_id IS NOT DISTINCT FROM this.link_id
                 AND other.events && this.events
                 AND (other.method, other.url_template, other.body_kind, other.body_template,
                      COALESCE(other.condition, ''))
                   = (this.method, this.url_template, this.body_kind, this.body_template,
                      COALESCE(this.condition, ''))
                WHERE this.postback_id = $1 AND other.postback_id <> $1 AND other.deleted_at IS NULL
                ORDER BY other.created_at, other.postback_id LIMIT 1";
    let Some(other) = transaction.query_opt(find, &[&id.0]).await? else { return Ok(()) };
    let (other, name): (Uuid, Option<String>) = (other.get(0), other.get(1));
    let called = name.map(|name| format!(" ({name})")).unwrap_or_default();
    let message = format!(
        "postback {other}{called} sends the same request for the same events, so everything would be told \
         and counted twice; change or delete that one, or set this where two are meant"
    );
    Err(ChangeError::bad("allow_duplicate", message))
}
