//! The secrets that postbacks are signed with, opened for the catalogue.

use std::collections::HashMap;

use deadpool_postgres::Pool;
use uuid::Uuid;

use super::error::StoreError;
use super::secrets::{Keyring, Sealed, SecretError};
use super::session::Session;
use crate::domain::access::signature::SharedSecret;
use crate::domain::ids::PostbackId;
use crate::domain::signing::SigningSecret;

/// Reads inside the caller's snapshot, newest first. A secret that cannot be decrypted does not
/// sign; where it was the last one, its postback's deliveries are tried again until it can be.
pub(super) async fn load(
    session: &Session,
    keyring: &Keyring,
) -> Result<HashMap<PostbackId, Vec<SigningSecret>>, StoreError> {
    let rows = session.query(LIVE, &[&None::<Uuid>]).await?;
    let mut secrets: HashMap<PostbackId, Vec<SigningSecret>> = HashMap::new();
    for row in &rows {
        let (secret_id, postback): (Uuid, Uuid) = (row.get(0), row.get(1));
        let sealed = Sealed { master_key_id: row.get(2), ciphertext: row.get(3) };
        match open(keyring, PostbackId(postback), &sealed) {
            Ok(secret) => {
                let signing = SigningSecret { secret, signs_until: row.get(4) };
                secrets.entry(PostbackId(postback)).or_default().push(signing);
            }
            // Whoever loads a catalogue without any key does not mean to send.
            Err(_) if keyring.is_empty() => {}
            Err(error) => tracing::error!(%error, %secret_id, %postback, "a secret cannot be read"),
        }
    }
    Ok(secrets)
}

/// Those that sign now, newest first; of one postback or of all.
const LIVE: &str =
    "SELECT secret_id, postback_id, master_key_id, ciphertext, signs_until FROM postback_secrets
     WHERE (signs_until IS NULL OR signs_until > now()) AND ($1::uuid IS NULL OR postback_id = $1)
     ORDER BY created_at DESC, secret_id DESC";

/// Why the secret of a postback is not at hand.
#[derive(Debug, thiserror::Error)]
pub enum NoSecret {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It has one, and it cannot be decrypted here.
    #[error(transparent)]
    Sealed(#[from] SecretError),
}

/// The newest secret of a postback that can be decrypted, as its templates use it; `None` where it
/// has no secret.
pub async fn newest(
    pool: &Pool,
    keyring: &Keyring,
    postback: PostbackId,
) -> Result<Option<SharedSecret>, NoSecret> {
    let client = pool.get().await.map_err(StoreError::from)?;
    let rows = client.query(LIVE, &[&Some(postback.0)]).await.map_err(StoreError::from)?;
    let mut fault = None;
    for row in &rows {
        let sealed = Sealed { master_key_id: row.get(2), ciphertext: row.get(3) };
        match open(keyring, postback, &sealed) {
            Ok(secret) => return Ok(Some(secret)),
            Err(error) => fault = Some(error),
        }
    }
    fault.map_or(Ok(None), |error| Err(error.into()))
}

fn open(keyring: &Keyring, postback: PostbackId, sealed: &Sealed) -> Result<SharedSecret, SecretError> {
    let text = String::from_utf8(keyring.open(postback.0, sealed)?).map_err(|_| SecretError::Broken)?;
    Ok(SharedSecret::new(text))
}
