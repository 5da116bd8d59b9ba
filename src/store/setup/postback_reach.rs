//! Whose postbacks are whose: what an owner's may hear of, and who may touch them.

use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::ChangeError;
use crate::domain::event::Event;
use crate::domain::ids::{LinkId, PostbackId};
use crate::domain::postback::{Owner, Scope as PostbackScope};
use crate::graphql::scope::Scope;
use crate::store::audit::{self, Entity};

/// What happens to destinations is the platform's business, and of no offer.
pub(super) fn check_audience(
    is_global_of_platform: bool,
    events: Option<&[Event]>,
) -> Result<(), ChangeError> {
    match events.unwrap_or_default().iter().find(|event| event.is_operational()) {
        Some(event) if !is_global_of_platform => {
            let message = format!(
                "{} is heard of only by the platform's own postbacks for all offers; leave it out",
                event.code()
            );
            Err(ChangeError::bad("events", message))
        }
        _ => Ok(()),
    }
}

/// A scope outside its owner's reach would never hear of anything.
pub(super) async fn check_owner_and_scope(
    transaction: &Transaction<'_>,
    owner: Owner,
    scope: PostbackScope,
) -> Result<(), ChangeError> {
    let (exists, field, what, id) = match owner {
        Owner::Platform => ("", "", "", Uuid::nil()),
        Owner::Partner(id) => {
            ("SELECT 1 FROM partners WHERE partner_id = $1 FOR KEY SHARE", "partner_id", "partner", id.0)
        }
        Owner::Advertiser(id) => (
            "SELECT 1 FROM advertisers WHERE advertiser_id = $1 FOR KEY SHARE",
            "advertiser_id",
            "advertiser",
            id.0,
        ),
    };
    if !exists.is_empty() && transaction.query_opt(exists, &[&id]).await?.is_none() {
        return Err(ChangeError::NotFound { field, what });
    }
    match scope {
        PostbackScope::Global => Ok(()),
        PostbackScope::Offer(offer) => {
            let advertiser = "SELECT advertiser_id FROM offers WHERE offer_id = $1 FOR KEY SHARE";
            let row = transaction.query_opt(advertiser, &[&offer.0]).await?;
            match (row.map(|row| row.get::<_, Uuid>(0)), owner) {
                (None, _) => Err(ChangeError::NotFound { field: "offer_id", what: "offer" }),
                (Some(of_offer), Owner::Advertiser(id)) if of_offer != id.0 => {
                    Err(ChangeError::NotFound { field: "offer_id", what: "offer of this advertiser" })
                }
                _ => Ok(()),
            }
        }
        PostbackScope::Link(link) => {
            let partner = "SELECT links.partner_id, offers.advertiser_id FROM links JOIN offers USING (offer_id) \
                           WHERE link_id = $1 FOR KEY SHARE";
            let row = transaction.query_opt(partner, &[&link.0]).await?;
            let owners = row.map(|row| (row.get::<_, Uuid>(0), row.get::<_, Uuid>(1)));
            match (owners, owner) {
                (None, _) => Err(ChangeError::NotFound { field: "link_id", what: "link" }),
                (Some((partner, _)), Owner::Partner(id)) if partner != id.0 => {
                    Err(ChangeError::NotFound { field: "link_id", what: "link of this partner" })
                }
                (Some((_, advertiser)), Owner::Advertiser(id)) if advertiser != id.0 => {
                    Err(ChangeError::NotFound {
                        field: "link_id",
                        what: "link to an offer of this advertiser",
                    })
                }
                _ => Ok(()),
            }
        }
    }
}

/// Who is no owner makes postbacks for itself only, and of offers it has to do with.
pub(super) async fn check_reach(
    transaction: &Transaction<'_>,
    reach: Scope,
    owner: Owner,
    scope: PostbackScope,
) -> Result<(), ChangeError> {
    let is_own = match (reach, owner) {
        (Scope::Everything, _) => return Ok(()),
        (Scope::Advertiser(id), Owner::Advertiser(of)) => id == of,
        (Scope::Partner(id), Owner::Partner(of)) => id == of,
        (Scope::Advertiser(_) | Scope::Partner(_), _) => false,
    };
    if !is_own {
        return Err(match owner {
            Owner::Partner(_) => ChangeError::NotFound { field: "partner_id", what: "partner" },
            Owner::Advertiser(_) | Owner::Platform => {
                ChangeError::NotFound { field: "advertiser_id", what: "advertiser" }
            }
        });
    }
    if let (Scope::Partner(partner), PostbackScope::Offer(offer)) = (reach, scope) {
        let linked = "SELECT 1 FROM links WHERE offer_id = $1 AND partner_id = $2 LIMIT 1";
        if transaction.query_opt(linked, &[&offer.0, &partner.0]).await?.is_none() {
            return Err(ChangeError::NotFound {
                field: "offer_id",
                what: "offer this partner has a link to",
            });
        }
    }
    Ok(())
}

/// A link that somebody may know of.
pub(super) async fn check_link(
    transaction: &Transaction<'_>,
    reach: Scope,
    link: Option<LinkId>,
) -> Result<(), ChangeError> {
    let Some(link) = link else { return Ok(()) };
    let (advertiser, partner) = owners_in(reach);
    let known = "SELECT 1 FROM links JOIN offers USING (offer_id) WHERE link_id = $1 \
                 AND ($2::uuid IS NULL OR offers.advertiser_id = $2) AND ($3::uuid IS NULL OR partner_id = $3)";
    match transaction.query_opt(known, &[&link.0, &advertiser, &partner]).await? {
        Some(_) => Ok(()),
        None => Err(ChangeError::NotFound { field: "registration_link_id", what: "link" }),
    }
}

/// The advertiser or partner that postbacks of this scope belong to.
pub(super) fn owners_in(scope: Scope) -> (Option<Uuid>, Option<Uuid>) {
    match scope {
        Scope::Everything => (None, None),
        Scope::Advertiser(id) => (Some(id.0), None),
        Scope::Partner(id) => (None, Some(id.0)),
    }
}

/// The postback as it is, locked; one that is deleted or another's does not exist.
pub(super) async fn lock_in_scope(
    transaction: &Transaction<'_>,
    scope: Scope,
    id: PostbackId,
) -> Result<serde_json::Value, ChangeError> {
    let not_found = ChangeError::NotFound { field: "postback_id", what: "postback" };
    let (advertiser, partner) = owners_in(scope);
    let visible = "SELECT 1 FROM postbacks WHERE postback_id = $1 AND deleted_at IS NULL \
                   AND ($2::uuid IS NULL OR advertiser_id = $2) AND ($3::uuid IS NULL OR partner_id = $3) \
                   FOR UPDATE";
    if transaction.query_opt(visible, &[&id.0, &advertiser, &partner]).await?.is_none() {
        return Err(not_found);
    }
    audit::snapshot(transaction, Entity::Postback, id.0).await?.ok_or(not_found)
}
