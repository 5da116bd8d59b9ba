//! How postbacks are signed, and the secrets they are signed with.

use std::time::Duration;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use super::caller::{caller, change, keyring, pool, writer};
use crate::domain::ids::PostbackId;
use crate::domain::signing::{self, UnfitParameters, UrlParameters};
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::uuid_at;
use crate::graphql::scalars::Time;
use crate::store::setup::postback_signing::{self as store, Former, SigningSettings};

/// Where a postback's signature stands; docs/verifying-signatures.md tells how it is checked.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "signing::SigningForm")]
pub enum SigningForm {
    /// It is not signed.
    None,
    /// In the headers of Standard Webhooks, and in one of ours that covers method and URL too.
    StandardWebhooks,
    /// In parameters of the URL.
    Url,
}

/// A secret that signs; the secret itself is shown once, when it is made.
#[derive(SimpleObject)]
pub struct PostbackSecret {
    secret_id: ID,
    created_at: Time,
    /// When it ends by itself; null until it is retired.
    signs_until: Option<Time>,
}

/// How a postback is signed.
#[derive(SimpleObject)]
pub struct PostbackSigning {
    postback_id: ID,
    form: SigningForm,
    /// The URL parameter of the time, in Unix seconds.
    time_parameter: String,
    /// The URL parameter of a text that is another at every attempt.
    nonce_parameter: String,
    /// The URL parameter of the signature.
    signature_parameter: String,
    /// Those that sign, newest first.
    secrets: Vec<PostbackSecret>,
}

impl From<SigningSettings> for PostbackSigning {
    fn from(settings: SigningSettings) -> Self {
        let secrets = settings.secrets.into_iter().map(|secret| PostbackSecret {
            secret_id: secret.secret_id.into(),
            created_at: secret.created_at.into(),
            signs_until: secret.signs_until.map(Time::from),
        });
        Self {
            postback_id: settings.postback_id.0.into(),
            form: settings.form.into(),
            time_parameter: settings.parameters.time().to_owned(),
            nonce_parameter: settings.parameters.nonce().to_owned(),
            signature_parameter: settings.parameters.signature().to_owned(),
            secrets: secrets.collect(),
        }
    }
}

/// A new secret. It cannot be shown again.
#[derive(SimpleObject)]
pub struct CreatedPostbackSecret {
    secret: String,
    secret_id: ID,
}

/// The three names stay as they are where all are left out; one that is given leaves the others
/// at `ts`, `nonce` and `sig`.
#[derive(InputObject)]
struct SetPostbackSigningInput {
    postback_id: ID,
    form: SigningForm,
    time_parameter: Option<String>,
    nonce_parameter: Option<String>,
    signature_parameter: Option<String>,
}

#[derive(InputObject)]
struct CreatePostbackSecretInput {
    postback_id: ID,
    /// Seconds that the secret there is signs on beside the new one; until it is retired where
    /// this is left out.
    overlap_s: Option<u32>,
}

#[derive(Default)]
pub struct PostbackSigningQuery;

#[Object]
impl PostbackSigningQuery {
    /// How a postback is signed. Whoever sees the postback.
    async fn postback_signing(&self, ctx: &Context<'_>, postback_id: ID) -> Result<PostbackSigning, Failure> {
        let id = PostbackId(uuid_at("postbackId", &postback_id)?);
        let settings = read_store(store::settings(pool(ctx), caller(ctx)?.scope(), id)).await?;
        Ok(settings.into())
    }
}

#[derive(Default)]
pub struct PostbackSigningMutations;

#[Object]
impl PostbackSigningMutations {
    /// Says how a postback is signed. Its owner and owners of the network.
    async fn set_postback_signing(
        &self,
        ctx: &Context<'_>,
        input: SetPostbackSigningInput,
    ) -> Result<PostbackSigning, Failure> {
        let caller = writer(ctx)?;
        let id = PostbackId(uuid_at("input.postbackId", &input.postback_id)?);
        let named = [&input.time_parameter, &input.nonce_parameter, &input.signature_parameter];
        let parameters = match named {
            [None, None, None] => None,
            [time, nonce, signature] => {
                let or = |given: &'_ Option<String>, default: &str| {
                    given.clone().unwrap_or_else(|| default.to_owned())
                };
                let (time, nonce, signature) = (or(time, "ts"), or(nonce, "nonce"), or(signature, "sig"));
                let parameters = UrlParameters::new(&time, &nonce, &signature).map_err(|error| {
                    let field = match &error {
                        UnfitParameters::Name(name) if *name == time => "timeParameter",
                        UnfitParameters::Name(name) if *name == nonce => "nonceParameter",
                        UnfitParameters::Name(_) | UnfitParameters::Repeated => "signatureParameter",
                    };
                    Failure::bad_input(format!("input.{field}"), error.to_string())
                })?;
                Some(parameters)
            }
        };
        let form = input.form.into();
        let setting = store::set_signing(pool(ctx), caller.into(), caller.scope(), id, form, parameters);
        Ok(change(ctx, setting).await?.into())
    }

    /// Makes a secret to sign with, beside the one there may be: both sign until the former
    /// ends. The postback's owner and owners of the network.
    async fn create_postback_secret(
        &self,
        ctx: &Context<'_>,
        input: CreatePostbackSecretInput,
    ) -> Result<CreatedPostbackSecret, Failure> {
        let caller = writer(ctx)?;
        let id = PostbackId(uuid_at("input.postbackId", &input.postback_id)?);
        let former = match input.overlap_s {
            None => Former::Stays,
            Some(seconds) => Former::EndsAfter(Duration::from_secs(seconds.into())),
        };
        let keyring = keyring(ctx);
        let creating = store::create_secret(pool(ctx), caller.into(), caller.scope(), &keyring, id, former);
        let new = change(ctx, creating).await?;
        Ok(CreatedPostbackSecret { secret: new.secret, secret_id: new.secret_id.into() })
    }

    /// Ends a secret for good. The postback's owner and owners of the network.
    async fn retire_postback_secret(
        &self,
        ctx: &Context<'_>,
        secret_id: ID,
    ) -> Result<PostbackSigning, Failure> {
        let caller = writer(ctx)?;
        let id = uuid_at("secretId", &secret_id)?;
        Ok(change(ctx, store::retire_secret(pool(ctx), caller.into(), caller.scope(), id)).await?.into())
    }
}
