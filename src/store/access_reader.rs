//! Reads what the requests of each advertiser must fulfil, for the catalogue.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Row;
use uuid::Uuid;

use super::advertiser_access::{read_allowlist, read_policy, read_rate};
use super::catalogue::count_unreadable;
use super::error::StoreError;
use super::secrets::{Keyring, Sealed, SecretError};
use super::session::Session;
use crate::domain::access::AdvertiserAccess;
use crate::domain::access::signature::SharedSecret;
use crate::domain::catalogue::Catalogue;
use crate::domain::ids::AdvertiserId;

/// Reads inside the caller's snapshot. Where an advertiser's row cannot be read, what `last` had holds
/// on; where that had nothing, it is an error: nobody gets in because a rule is unknown. A secret that
/// cannot be decrypted keeps its advertiser's signatures from being judged, and costs the others nothing.
pub(super) async fn load(
    session: &Session,
    keyring: &Keyring,
    last: Option<&Catalogue>,
) -> Result<HashMap<AdvertiserId, Arc<AdvertiserAccess>>, StoreError> {
    let advertisers = session
        .query(
            "SELECT advertiser_id, signature_policy, allowed_networks, requests_per_second FROM advertisers",
            &[],
        )
        .await?;
    let secrets = session
        .query(
            "SELECT secret_id, advertiser_id, master_key_id, ciphertext FROM advertiser_secrets
             WHERE retired_at IS NULL ORDER BY secret_id",
            &[],
        )
        .await?;
    let mut access = HashMap::with_capacity(advertisers.len());
    for row in &advertisers {
        let advertiser = AdvertiserId(row.get(0));
        let earlier = last.and_then(|last| last.access.get(&advertiser));
        let one = match (read_rules(row), earlier) {
            (Ok(rules), _) => rules,
            (Err(error @ StoreError::Unreadable(_)), Some(earlier)) => {
                tracing::error!(%error, %advertiser, "the access rules of an advertiser stay as they were last read");
                count_unreadable();
                AdvertiserAccess {
                    secrets: Vec::new(),
                    has_unreadable_secret: false,
                    ..AdvertiserAccess::clone(earlier)
                }
            }
            (Err(error), _) => return Err(error),
        };
        access.insert(advertiser, one);
    }
    for row in &secrets {
        let (secret_id, advertiser_id): (Uuid, Uuid) = (row.get(0), row.get(1));
        let Some(access) = access.get_mut(&AdvertiserId(advertiser_id)) else { continue };
        let sealed = Sealed { master_key_id: row.get(2), ciphertext: row.get(3) };
        let opened = keyring
            .open(secret_id, &sealed)
            .and_then(|secret| String::from_utf8(secret).map_err(|_| SecretError::Broken));
        match opened {
            Ok(secret) => access.secrets.push(SharedSecret::new(secret)),
            Err(error) => {
                tracing::error!(%error, %secret_id, %advertiser_id, "a secret cannot be read");
                access.has_unreadable_secret = true;
            }
        }
    }
    Ok(access.into_iter().map(|(id, access)| (id, Arc::new(access))).collect())
}

fn read_rules(row: &Row) -> Result<AdvertiserAccess, StoreError> {
    Ok(AdvertiserAccess {
        policy: read_policy(row.get(1))?,
        secrets: Vec::new(),
        has_unreadable_secret: false,
        allowlist: read_allowlist(row.get(2))?,
        requests_per_second: read_rate(row.get(3)),
    })
}
