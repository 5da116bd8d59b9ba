//! Trying postbacks out.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::caller::{pool, writer};
use super::postback_request::{Header, PostbackWarning, RequestInput, Translated};
use crate::domain::background::Background;
use crate::domain::ids::{LeadId, PostbackId};
use crate::domain::retry;
use crate::graphql::enums::{ErrorKind, Event, Outcome};
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::uuid_at;
use crate::outbound::{HttpSender, attempt};
use crate::pipeline::services::Services;
use crate::store::setup::postback_trial::{self, Occasion};
use crate::store::setup::{ChangeError, postbacks};

/// What a postback would send. Values of secret names are redacted.
#[derive(SimpleObject)]
pub struct PostbackPreview {
    method: String,
    url: String,
    /// In the order they are sent in, beside those that every request has.
    headers: Vec<Header>,
    body: String,
    /// The event it was told as.
    event: Event,
    /// Why it would not be sent, its condition included; empty: it would be.
    skip_reasons: Vec<String>,
    /// Macros without a value, each once.
    empty_macros: Vec<String>,
    translated: Vec<Translated>,
    /// What likely says something else than was meant.
    warnings: Vec<PostbackWarning>,
}

impl From<postback_trial::Preview> for PostbackPreview {
    fn from(preview: postback_trial::Preview) -> Self {
        Self {
            method: preview.method.to_owned(),
            url: preview.url,
            headers: preview.headers.into_iter().map(Header::from).collect(),
            body: preview.body,
            event: preview.event.into(),
            skip_reasons: preview.skip_reasons,
            empty_macros: preview.empty_macros,
            translated: preview.translated.into_iter().map(Translated::from).collect(),
            warnings: preview.warnings.into_iter().map(PostbackWarning::from).collect(),
        }
    }
}

/// A postback as it is, a draft, or a postback with what is given here changed.
#[derive(InputObject)]
struct PreviewPostbackInput {
    postback_id: Option<ID>,
    /// The conversion to fill it with, as it stands now; a sample where there is none.
    lead_id: Option<ID>,
    /// The event to tell it as; the conversion's last, or APPROVE for a sample.
    event: Option<Event>,
    url_template: Option<String>,
    #[graphql(flatten)]
    request: RequestInput,
}

/// What came of a test.
#[derive(SimpleObject)]
pub struct PostbackTest {
    /// Where the log has it.
    attempt_id: ID,
    method: &'static str,
    /// Values of secret names are redacted.
    url: String,
    /// A JSON list of [name, value]; values of secret names are redacted.
    request_headers: String,
    /// Its first 4 KiB; values of secret names are redacted.
    request_body: String,
    event: Event,
    outcome: Outcome,
    /// Why it was not delivered; empty for a delivery.
    reason: String,
    error_kind: ErrorKind,
    /// Null where no answer came.
    response_code: Option<u16>,
    /// In the order they came in; values of secret names are redacted.
    response_headers: Vec<Header>,
    /// The first 4 KiB.
    response_body: String,
    /// Microseconds of the name look-up, of the connection and of TLS; 0 where an open
    /// connection served.
    dns_us: u64,
    connect_us: u64,
    tls_us: u64,
    /// Microseconds until the head of the answer; null where none came.
    first_byte_us: Option<u64>,
    /// Microseconds in all.
    total_us: u64,
}

#[derive(InputObject)]
struct TestPostbackInput {
    postback_id: ID,
    /// The conversion to fill it with, as it stands now; a sample where there is none.
    lead_id: Option<ID>,
    /// The event to tell it as; the conversion's last, or APPROVE for a sample.
    event: Option<Event>,
}

#[derive(Default)]
pub struct PostbackTrialMutation;

#[Object]
impl PostbackTrialMutation {
    /// Sends a postback once, marked as a test: over the same way as every other, into the log, and
    /// never repeated, also where the postback is paused. Its owner and owners of the network.
    async fn test_postback(
        &self,
        ctx: &Context<'_>,
        input: TestPostbackInput,
    ) -> Result<PostbackTest, Failure> {
        let caller = writer(ctx)?;
        let scope = caller.scope();
        let id = PostbackId(uuid_at("input.postbackId", &input.postback_id)?);
        let lead = input.lead_id.as_ref().map(|id| uuid_at("input.leadId", id)).transpose()?.map(LeadId);
        let event = input.event.map(Into::into);
        let occasion = read_store(async {
            let record = postbacks::get(pool(ctx), scope, id).await?;
            Ok::<_, ChangeError>(
                Occasion::of(pool(ctx), scope, lead, event).await?.for_postback(&record, lead),
            )
        })
        .await?;
        let (Some(services), Some(sender)) = (ctx.data_opt::<Arc<Services>>(), ctx.data_opt::<HttpSender>())
        else {
            return Err(Failure::StoreUnavailable {
                detail: "this schema is no node's, and sends nothing".into(),
            });
        };
        read_store(services.refresh_catalogue()).await?;
        let postback = services.catalogue().postbacks.get(&id).cloned().ok_or_else(|| Failure::NotFound {
            field: "input.postbackId".into(),
            message: "there is no such postback; take the id of one there is".into(),
        })?;
        let Occasion { event, facts, composite, names } = occasion;
        // A sample has those of the place it is told of.
        let names = services.catalogue().party_names(&facts).or(&names);
        let background = Background { composite: composite.map(Arc::new), names };
        let tested = attempt::test(sender, &postback, &background, event, facts, services.node).await;
        let attempt::Tested { row, response_headers } = tested;
        read_store(postback_trial::record_test(&services.pool, caller.into(), id, &row)).await?;
        Ok(PostbackTest {
            attempt_id: row.attempt_id.into(),
            method: row.method,
            url: row.url,
            request_headers: row.request_headers,
            request_body: row.request_body,
            event: event.into(),
            outcome: retry::Outcome::from_code(row.outcome).unwrap_or(retry::Outcome::Failed).into(),
            reason: row.reason,
            error_kind: retry::ErrorKind::from_code(row.error_kind)
                .unwrap_or(retry::ErrorKind::Internal)
                .into(),
            response_code: Some(row.response_code).filter(|code| *code > 0),
            response_headers: response_headers.into_iter().map(Header::from).collect(),
            response_body: row.response_body,
            dns_us: row.dns_us,
            connect_us: row.connect_us,
            tls_us: row.tls_us,
            first_byte_us: Some(row.first_byte_us).filter(|us| *us > 0),
            total_us: row.total_us,
        })
    }
}

#[derive(Default)]
pub struct PostbackTrialQuery;

#[Object]
impl PostbackTrialQuery {
    /// What a postback would send, without sending it; `{payout}` is empty for advertisers. Its owner and
    /// owners of the network.
    async fn preview_postback(
        &self,
        ctx: &Context<'_>,
        input: PreviewPostbackInput,
    ) -> Result<PostbackPreview, Failure> {
        let scope = writer(ctx)?.scope();
        let id = |field: &str, id: &Option<ID>| id.as_ref().map(|id| uuid_at(field, id)).transpose();
        let postback = id("input.postbackId", &input.postback_id)?.map(PostbackId);
        let lead = id("input.leadId", &input.lead_id)?.map(LeadId);
        let event = input.event.map(Into::into);
        let change = input.request.with_url(input.url_template);
        let previewing = async {
            let occasion = Occasion::of(pool(ctx), scope, lead, event).await?;
            let stored = ctx
                .data_opt::<Arc<Services>>()
                .zip(postback)
                .and_then(|(services, id)| services.catalogue().postbacks.get(&id).cloned());
            let secret = stored.as_ref().and_then(|stored| stored.template_secret());
            postback_trial::preview(pool(ctx), scope, postback, change, &occasion, secret).await
        };
        Ok(read_store(previewing).await?.into())
    }
}
