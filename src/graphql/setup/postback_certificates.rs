//! Client certificates of postbacks.

use async_graphql::{Context, ID, InputObject, Object};

use super::caller::{change, keyring, pool, writer};
use crate::domain::client_certificate::ClientCertificate;
use crate::domain::ids::PostbackId;
use crate::graphql::failure::Failure;
use crate::graphql::filter::uuid_at;
use crate::store::setup::postback_certificates;

#[derive(InputObject)]
struct SetPostbackCertificateInput {
    postback_id: ID,
    /// The certificate and those that vouch for it, as PEM.
    certificate_pem: String,
    /// Its private key, as PEM without a passphrase. It is encrypted and never shown again.
    private_key_pem: String,
}

#[derive(Default)]
pub struct PostbackCertificateMutations;

#[Object]
impl PostbackCertificateMutations {
    /// Has a postback show a client certificate over TLS to a destination that asks for one. Its owner
    /// and owners of the network. Answers the postback's id.
    async fn set_postback_certificate(
        &self,
        ctx: &Context<'_>,
        input: SetPostbackCertificateInput,
    ) -> Result<ID, Failure> {
        let caller = writer(ctx)?;
        let id = PostbackId(uuid_at("input.postbackId", &input.postback_id)?);
        let keyring = keyring(ctx);
        let certificate = ClientCertificate::new(input.certificate_pem, input.private_key_pem);
        let (actor, reach) = (caller.into(), caller.scope());
        change(ctx, postback_certificates::set(pool(ctx), actor, reach, &keyring, id, &certificate)).await?;
        Ok(id.0.into())
    }

    /// Shows no client certificate any more. Its owner and owners of the network. Answers the
    /// postback's id.
    async fn remove_postback_certificate(&self, ctx: &Context<'_>, postback_id: ID) -> Result<ID, Failure> {
        let caller = writer(ctx)?;
        let id = PostbackId(uuid_at("postbackId", &postback_id)?);
        change(ctx, postback_certificates::remove(pool(ctx), caller.into(), caller.scope(), id)).await?;
        Ok(id.0.into())
    }
}
