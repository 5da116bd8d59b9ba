//! How a postback is signed and with what: each change of it with its audit entry.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Pool, Transaction};
use serde::Serialize;
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use super::ChangeError;
use super::postback_reach::lock_in_scope;
use crate::domain::ids::PostbackId;
use crate::domain::signing::{SigningForm, UrlParameters};
use crate::graphql::scope::Scope;
use crate::store::advertiser_access::SECRET_PREFIX;
use crate::store::audit::{self, Actor, Entity};
use crate::store::error::StoreError;
use crate::store::secrets::Keyring;

/// Longest that a secret may sign beside its successor.
pub const LONGEST_OVERLAP: Duration = Duration::from_secs(30 * 24 * 3_600);

/// How a postback is signed; no secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SigningSettings {
    pub postback_id: PostbackId,
    pub form: SigningForm,
    pub parameters: UrlParameters,
    /// Those that sign, newest first.
    pub secrets: Vec<LiveSecret>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LiveSecret {
    pub secret_id: Uuid,
    pub created_at: DateTime<Utc>,
    /// `None`: until it is retired.
    pub signs_until: Option<DateTime<Utc>>,
}

/// A new secret; `secret` is to be shown once.
#[derive(Clone, PartialEq, Eq)]
pub struct NewSecret {
    pub secret_id: Uuid,
    pub secret: String,
}

/// What becomes of the secret there is when another is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Former {
    /// It signs until somebody retires it.
    Stays,
    /// It signs for this long.
    EndsAfter(Duration),
}

pub async fn settings(pool: &Pool, scope: Scope, id: PostbackId) -> Result<SigningSettings, ChangeError> {
    let (advertiser, partner) = super::postback_reach::owners_in(scope);
    let client = pool.get().await?;
    let visible = "SELECT * FROM postbacks WHERE postback_id = $1 AND deleted_at IS NULL \
                   AND ($2::uuid IS NULL OR advertiser_id = $2) AND ($3::uuid IS NULL OR partner_id = $3)";
    let row = client.query_opt(visible, &[&id.0, &advertiser, &partner]).await?;
    let row = row.ok_or(ChangeError::NotFound { field: "postback_id", what: "postback" })?;
    read(&client, &row).await
}

/// Says how a postback is signed. Anything but none needs a secret that stays.
pub async fn set_signing(
    pool: &Pool,
    actor: Actor,
    scope: Scope,
    id: PostbackId,
    form: SigningForm,
    parameters: Option<UrlParameters>,
) -> Result<SigningSettings, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let before = lock_in_scope(&transaction, scope, id).await?;
    if form != SigningForm::None && lasting(&transaction, id, None).await? == 0 {
        let message = "this postback has no secret to sign with yet; create one first";
        return Err(ChangeError::bad("form", message));
    }
    transaction
        .execute(
            "UPDATE postbacks SET signing = $2, signing_time_parameter = COALESCE($3, signing_time_parameter),
                                  signing_nonce_parameter = COALESCE($4, signing_nonce_parameter),
                                  signing_signature_parameter = COALESCE($5, signing_signature_parameter)
             WHERE postback_id = $1",
            &[
                &id.0,
                &form.code(),
                &parameters.as_ref().map(UrlParameters::time),
                &parameters.as_ref().map(UrlParameters::nonce),
                &parameters.as_ref().map(UrlParameters::signature),
            ],
        )
        .await?;
    audit::record(&transaction, actor, Entity::Postback, id.0, "set_signing", Some(before)).await?;
    finish(transaction, id).await
}

/// Makes a secret beside the one there may be; both sign from within a second on, on every node.
/// It is shown in the answer and never again.
pub async fn create_secret(
    pool: &Pool,
    actor: Actor,
    scope: Scope,
    keyring: &Keyring,
    id: PostbackId,
    former: Former,
) -> Result<NewSecret, ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    lock_in_scope(&transaction, scope, id).await?;
    let secret = format!("{SECRET_PREFIX}{}", STANDARD.encode(rand::random::<[u8; 32]>()));
    let sealed = keyring
        .seal(id.0, secret.as_bytes())
        .map_err(|error| ChangeError::bad("secret", error.to_string()))?;
    if let Former::EndsAfter(overlap) = former {
        if overlap > LONGEST_OVERLAP {
            return Err(ChangeError::bad("overlap_s", "write at most 30 days, which is 2592000 seconds"));
        }
        transaction
            .execute(
                "UPDATE postback_secrets SET signs_until = now() + make_interval(secs => $2)
                 WHERE postback_id = $1 AND (signs_until IS NULL OR signs_until > now() + make_interval(secs => $2))",
                &[&id.0, &overlap.as_secs_f64()],
            )
            .await?;
    }
    let secret_id = Uuid::now_v7();
    let inserted = transaction
        .execute(
            "INSERT INTO postback_secrets (secret_id, postback_id, master_key_id, ciphertext)
             VALUES ($1, $2, $3, $4)",
            &[&secret_id, &id.0, &sealed.master_key_id, &sealed.ciphertext],
        )
        .await;
    if let Err(error) = inserted {
        let violated =
            error.as_db_error().and_then(|error| error.constraint()) == Some("two_signing_secrets");
        return Err(match violated {
            true => {
                let message = "a postback has at most two secrets that sign; retire one first";
                ChangeError::bad("postback_id", message)
            }
            false => error.into(),
        });
    }
    let overlap_s = match former {
        Former::Stays => None,
        Former::EndsAfter(overlap) => Some(overlap.as_secs()),
    };
    let after = json!({ "secret_id": secret_id, "postback_id": id, "others_end_after_s": overlap_s });
    let entity_id = secret_id.to_string();
    audit::record_values(&transaction, actor, Entity::Secret, &entity_id, "create", None, Some(after))
        .await?;
    transaction.commit().await?;
    Ok(NewSecret { secret_id, secret })
}

/// Ends a secret. The last one that stays is needed while the postback is signed.
pub async fn retire_secret(
    pool: &Pool,
    actor: Actor,
    scope: Scope,
    secret_id: Uuid,
) -> Result<SigningSettings, ChangeError> {
    let not_found = || ChangeError::NotFound { field: "secret_id", what: "secret that signs" };
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let of = "SELECT postback_id FROM postback_secrets WHERE secret_id = $1";
    let row = transaction.query_opt(of, &[&secret_id]).await?.ok_or_else(not_found)?;
    let id = PostbackId(row.get(0));
    match lock_in_scope(&transaction, scope, id).await {
        Err(ChangeError::NotFound { .. }) => return Err(not_found()),
        locked => locked?,
    };
    let signing: String =
        transaction.query_one("SELECT signing FROM postbacks WHERE postback_id = $1", &[&id.0]).await?.get(0);
    if signing != SigningForm::None.code() && lasting(&transaction, id, Some(secret_id)).await? == 0 {
        let message = "the postback is signed and this is the last secret that stays; create another one or \
                       turn signing off first";
        return Err(ChangeError::bad("secret_id", message));
    }
    let retire = "UPDATE postback_secrets SET signs_until = now()
                  WHERE secret_id = $1 AND (signs_until IS NULL OR signs_until > now())";
    if transaction.execute(retire, &[&secret_id]).await? == 0 {
        return Err(not_found());
    }
    let before = json!({ "secret_id": secret_id, "postback_id": id });
    let entity_id = secret_id.to_string();
    audit::record_values(&transaction, actor, Entity::Secret, &entity_id, "retire", Some(before), None)
        .await?;
    finish(transaction, id).await
}

/// The secrets besides `other_than` that sign without an end.
async fn lasting(
    transaction: &Transaction<'_>,
    id: PostbackId,
    other_than: Option<Uuid>,
) -> Result<i64, StoreError> {
    let row = transaction
        .query_one(
            "SELECT count(*) FROM postback_secrets
             WHERE postback_id = $1 AND signs_until IS NULL AND secret_id IS DISTINCT FROM $2",
            &[&id.0, &other_than],
        )
        .await?;
    Ok(row.get(0))
}

async fn finish(transaction: Transaction<'_>, id: PostbackId) -> Result<SigningSettings, ChangeError> {
    let row = transaction.query_one("SELECT * FROM postbacks WHERE postback_id = $1", &[&id.0]).await?;
    let settings = read(&transaction, &row).await?;
    transaction.commit().await?;
    Ok(settings)
}

async fn read(client: &impl GenericClient, row: &Row) -> Result<SigningSettings, ChangeError> {
    let (form, parameters) = read_signing(row)?;
    let id: Uuid = row.get("postback_id");
    let secrets = client
        .query(
            "SELECT secret_id, created_at, signs_until FROM postback_secrets
             WHERE postback_id = $1 AND (signs_until IS NULL OR signs_until > now())
             ORDER BY created_at DESC, secret_id DESC",
            &[&id],
        )
        .await?;
    let secrets = secrets.iter().map(|row| LiveSecret {
        secret_id: row.get(0),
        created_at: row.get(1),
        signs_until: row.get(2),
    });
    Ok(SigningSettings { postback_id: PostbackId(id), form, parameters, secrets: secrets.collect() })
}

/// The form and the names of the parameters of a row of `postbacks`.
pub fn read_signing(row: &Row) -> Result<(SigningForm, UrlParameters), StoreError> {
    let unreadable = |what: String| StoreError::Unreadable(format!("postbacks.signing: {what}"));
    let code: String = row.try_get("signing")?;
    let form = SigningForm::from_code(&code).ok_or_else(|| unreadable(code))?;
    let parameters = UrlParameters::new(
        row.try_get("signing_time_parameter")?,
        row.try_get("signing_nonce_parameter")?,
        row.try_get("signing_signature_parameter")?,
    )
    .map_err(|error| unreadable(error.to_string()))?;
    Ok((form, parameters))
}
