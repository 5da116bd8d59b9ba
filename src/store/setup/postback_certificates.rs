//! Certificates that postbacks show their destinations.

use std::collections::HashMap;
use std::sync::Arc;

use deadpool_postgres::Pool;
use serde_json::json;
use uuid::Uuid;

use super::ChangeError;
use super::postback_reach::lock_in_scope;
use crate::domain::client_certificate::ClientCertificate;
use crate::domain::ids::PostbackId;
use crate::graphql::scope::Scope;
use crate::outbound::tls::{self, NotACertificate};
use crate::store::audit::{self, Actor, Entity};
use crate::store::error::StoreError;
use crate::store::secrets::{Keyring, Sealed, SecretError};
use crate::store::session::Session;

/// Bytes of a certificate chain or a key, as PEM.
const MOST_PEM_BYTES: usize = 64 * 1024;

/// Sets the certificate, in place of the one there may be; attempts from now on show it.
pub async fn set(
    pool: &Pool,
    actor: Actor,
    reach: Scope,
    keyring: &Keyring,
    id: PostbackId,
    certificate: &ClientCertificate,
) -> Result<(), ChangeError> {
    for (field, pem) in
        [("certificate_pem", &certificate.certificate_pem), ("private_key_pem", &certificate.private_key_pem)]
    {
        if pem.len() > MOST_PEM_BYTES {
            return Err(ChangeError::bad(field, format!("write at most {MOST_PEM_BYTES} bytes")));
        }
    }
    tls::check(certificate).map_err(|error| match &error {
        NotACertificate::Certificate => ChangeError::bad("certificate_pem", error.to_string()),
        NotACertificate::PrivateKey | NotACertificate::Mismatch(_) => {
            ChangeError::bad("private_key_pem", error.to_string())
        }
    })?;
    let sealed = keyring
        .seal(id.0, certificate.private_key_pem.as_bytes())
        .map_err(|error| ChangeError::bad("private_key_pem", error.to_string()))?;
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    lock_in_scope(&transaction, reach, id).await?;
    transaction
        .execute(
            "INSERT INTO postback_certificates (postback_id, certificate_pem, master_key_id, ciphertext)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (postback_id) DO UPDATE
             SET certificate_pem = EXCLUDED.certificate_pem, master_key_id = EXCLUDED.master_key_id,
                 ciphertext = EXCLUDED.ciphertext, created_at = now()",
            &[&id.0, &certificate.certificate_pem, &sealed.master_key_id, &sealed.ciphertext],
        )
        .await?;
    let after = json!({ "certificate_pem": certificate.certificate_pem });
    let id = id.0.to_string();
    audit::record_values(&transaction, actor, Entity::Postback, &id, "set_certificate", None, Some(after))
        .await?;
    transaction.commit().await?;
    Ok(())
}

/// Shows none any more. A repeat changes nothing.
pub async fn remove(pool: &Pool, actor: Actor, reach: Scope, id: PostbackId) -> Result<(), ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    lock_in_scope(&transaction, reach, id).await?;
    let delete = "DELETE FROM postback_certificates WHERE postback_id = $1 RETURNING certificate_pem";
    if let Some(row) = transaction.query_opt(delete, &[&id.0]).await? {
        let before = json!({ "certificate_pem": row.get::<_, String>(0) });
        let id = id.0.to_string();
        audit::record_values(
            &transaction,
            actor,
            Entity::Postback,
            &id,
            "remove_certificate",
            Some(before),
            None,
        )
        .await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Reads all inside the caller's snapshot. One whose key cannot be decrypted is there without it:
/// its postback is not sent as nobody instead, but fails with a reason and is tried again.
pub async fn load(
    session: &Session,
    keyring: &Keyring,
) -> Result<HashMap<PostbackId, Arc<ClientCertificate>>, StoreError> {
    let rows = session
        .query(
            "SELECT postback_id, certificate_pem, master_key_id, ciphertext FROM postback_certificates",
            &[],
        )
        .await?;
    let read = rows.iter().map(|row| {
        let id: Uuid = row.get(0);
        let sealed = Sealed { master_key_id: row.get(2), ciphertext: row.get(3) };
        let key = keyring
            .open(id, &sealed)
            .and_then(|key| String::from_utf8(key).map_err(|_| SecretError::Broken))
            .unwrap_or_else(|error| {
                tracing::error!(%error, postback = %id, "the key of a client certificate cannot be read");
                String::new()
            });
        (PostbackId(id), Arc::new(ClientCertificate::new(row.get(1), key)))
    });
    Ok(read.collect())
}
