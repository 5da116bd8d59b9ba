//! Who may report for an advertiser: signatures, addresses, rates.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use super::caller::{caller, change, forbidden, keyring, owner, pool};
use crate::domain::access::allowlist::parse_network;
use crate::domain::access::signature_policy;
use crate::domain::ids::AdvertiserId;
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::uuid_at;
use crate::graphql::scalars::Time;
use crate::graphql::scope::{Grant, Principal, Scope};
use crate::store::advertiser_access::{self as store, SecretSource};
use crate::store::setup::access;

/// What is asked of an advertiser's requests.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "signature_policy::SignaturePolicy")]
pub enum SignaturePolicy {
    /// Signatures are not looked at.
    Off,
    /// Requests may be unsigned; a signature that is there must be right.
    Optional,
    /// Every request is signed, with its time.
    Required,
}

/// A live secret to sign with; the secret itself is shown once, when it is made.
#[derive(SimpleObject)]
pub struct AdvertiserSecret {
    secret_id: ID,
    created_at: Time,
}

/// How an advertiser's requests prove themselves.
#[derive(SimpleObject)]
pub struct AdvertiserAccess {
    advertiser_id: ID,
    signature_policy: SignaturePolicy,
    /// Networks in CIDR notation; empty: from anywhere.
    allowed_networks: Vec<String>,
    /// Null: as the server's settings say.
    requests_per_second: Option<u32>,
    secrets: Vec<AdvertiserSecret>,
}

impl AdvertiserAccess {
    fn of(advertiser: AdvertiserId, settings: store::AccessSettings) -> Self {
        let secrets = settings.live_secrets.into_iter().map(|secret| AdvertiserSecret {
            secret_id: secret.secret_id.into(),
            created_at: secret.created_at.into(),
        });
        Self {
            advertiser_id: advertiser.0.into(),
            signature_policy: settings.signature_policy.into(),
            allowed_networks: settings.allowed_networks.iter().map(ToString::to_string).collect(),
            requests_per_second: settings.requests_per_second,
            secrets: secrets.collect(),
        }
    }
}

/// A new secret. It cannot be shown again.
#[derive(SimpleObject)]
pub struct CreatedSecret {
    secret: String,
    secret_id: ID,
}

#[derive(InputObject)]
struct SetSignaturePolicyInput {
    advertiser_id: ID,
    policy: SignaturePolicy,
}

#[derive(InputObject)]
struct SetAllowlistInput {
    advertiser_id: ID,
    /// Addresses or networks in CIDR notation; none: from anywhere.
    networks: Vec<String>,
}

#[derive(InputObject)]
struct SetRateLimitInput {
    advertiser_id: ID,
    /// On each node; null: as the server's settings say.
    requests_per_second: Option<u32>,
}

#[derive(InputObject)]
struct CreateAdvertiserSecretInput {
    advertiser_id: ID,
    /// The advertiser's own, of 24 to 255 characters; one is made where it is not given.
    secret: Option<String>,
}

#[derive(InputObject)]
struct RetireAdvertiserSecretInput {
    advertiser_id: ID,
    secret_id: ID,
}

/// The advertiser of an input, which must be the caller's own or the caller an owner.
fn advertiser_of(ctx: &Context<'_>, id: &ID) -> Result<(Principal, AdvertiserId), Failure> {
    let caller = caller(ctx)?;
    let id = AdvertiserId(uuid_at("input.advertiserId", id)?);
    match caller.grant {
        Grant::Owner => Ok((caller, id)),
        Grant::Advertiser(own) if own == id => Ok((caller, id)),
        Grant::Advertiser(_) => Err(no_such_advertiser("input.advertiserId")),
        grant @ (Grant::Partner(_) | Grant::Bi(_)) => Err(forbidden(grant, "an owner or advertiser")),
    }
}

fn no_such_advertiser(field: &str) -> Failure {
    let message = "there is no such advertiser; take the id of one there is".into();
    Failure::NotFound { field: field.into(), message }
}

#[derive(Default)]
pub struct AccessQuery;

#[Object]
impl AccessQuery {
    /// How an advertiser's requests prove themselves. Owners, who reads the whole network, and
    /// the advertiser itself.
    async fn advertiser_access(
        &self,
        ctx: &Context<'_>,
        advertiser_id: ID,
    ) -> Result<AdvertiserAccess, Failure> {
        let id = AdvertiserId(uuid_at("advertiserId", &advertiser_id)?);
        match caller(ctx)?.scope() {
            Scope::Everything => {}
            Scope::Advertiser(own) if own == id => {}
            Scope::Advertiser(_) | Scope::Partner(_) => return Err(no_such_advertiser("advertiserId")),
        }
        Ok(AdvertiserAccess::of(id, read_store(access::settings(pool(ctx), id)).await?))
    }
}

#[derive(Default)]
pub struct AccessMutations;

#[Object]
impl AccessMutations {
    /// Says whether an advertiser's requests are signed. Owners and the advertiser itself.
    async fn set_signature_policy(
        &self,
        ctx: &Context<'_>,
        input: SetSignaturePolicyInput,
    ) -> Result<AdvertiserAccess, Failure> {
        let (caller, id) = advertiser_of(ctx, &input.advertiser_id)?;
        let setting = access::set_signature_policy(pool(ctx), caller.into(), id, input.policy.into());
        Ok(AdvertiserAccess::of(id, change(ctx, setting).await?))
    }

    /// Says where an advertiser's requests may come from. Owners and the advertiser itself.
    async fn set_allowlist(
        &self,
        ctx: &Context<'_>,
        input: SetAllowlistInput,
    ) -> Result<AdvertiserAccess, Failure> {
        let (caller, id) = advertiser_of(ctx, &input.advertiser_id)?;
        let networks = input.networks.iter().map(|text| parse_network(text)).collect::<Result<Vec<_>, _>>();
        let networks = networks.map_err(|error| Failure::bad_input("input.networks", error.to_string()))?;
        let setting = access::set_allowlist(pool(ctx), caller.into(), id, &networks);
        Ok(AdvertiserAccess::of(id, change(ctx, setting).await?))
    }

    /// Sets the most requests a second of an advertiser, on each node. Owners only.
    async fn set_rate_limit(
        &self,
        ctx: &Context<'_>,
        input: SetRateLimitInput,
    ) -> Result<AdvertiserAccess, Failure> {
        let caller = owner(ctx)?;
        let (_, id) = advertiser_of(ctx, &input.advertiser_id)?;
        let setting = access::set_rate_limit(pool(ctx), caller.into(), id, input.requests_per_second);
        Ok(AdvertiserAccess::of(id, change(ctx, setting).await?))
    }

    /// Makes a secret to sign with, beside the one there may be. Owners and the advertiser itself.
    async fn create_advertiser_secret(
        &self,
        ctx: &Context<'_>,
        input: CreateAdvertiserSecretInput,
    ) -> Result<CreatedSecret, Failure> {
        let (caller, id) = advertiser_of(ctx, &input.advertiser_id)?;
        let source = input.secret.as_deref().map_or(SecretSource::MadeHere, SecretSource::Given);
        let keyring = keyring(ctx);
        let adding = access::add_secret(pool(ctx), caller.into(), &keyring, id, source);
        let new = change(ctx, adding).await?;
        Ok(CreatedSecret { secret: new.secret, secret_id: new.secret_id.into() })
    }

    /// Ends a secret for good. Owners and the advertiser itself.
    async fn retire_advertiser_secret(
        &self,
        ctx: &Context<'_>,
        input: RetireAdvertiserSecretInput,
    ) -> Result<AdvertiserAccess, Failure> {
        let (caller, id) = advertiser_of(ctx, &input.advertiser_id)?;
        let secret = uuid_at("input.secretId", &input.secret_id)?;
        let retiring = access::retire_secret(pool(ctx), caller.into(), id, secret);
        Ok(AdvertiserAccess::of(id, change(ctx, retiring).await?))
    }
}
