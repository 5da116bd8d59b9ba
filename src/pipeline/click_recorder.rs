//! Records clicks in batches; a click is durable before its visitor is sent on.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::batcher::Batcher;
use super::click_news;
use super::dispatcher_supervisor::Due;
use super::inbound::NotDurable;
use super::services::Services;
use crate::domain::click::Click;
use crate::panics::as_failure;
use crate::store::{StoreError, clicks};

/// Bound: `bound` clicks wait; past it the visitor's request gets [`NotDurable::QueueFull`].
pub struct ClickRecorder {
    services: Arc<Services>,
    /// Hears of deliveries of the event `click`.
    dispatching: Recipient<Due>,
    batcher: Batcher<RecordClick>,
}

/// Record a click; the reply comes after the commit.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RecordClick {
    pub click: Click,
    pub reply: oneshot::Sender<Result<(), NotDurable>>,
}

impl ClickRecorder {
    pub fn new(
        services: Arc<Services>,
        dispatching: Recipient<Due>,
        bound: usize,
        largest_batch: usize,
    ) -> Self {
        Self { services, dispatching, batcher: Batcher::new(bound, largest_batch) }
    }

    fn record_next_batch(&mut self, ctx: &mut Context<Self>) {
        let Some(batch) = self.batcher.next_batch() else {
            return;
        };
        let services = self.services.clone();
        let dispatching = self.dispatching.clone();
        let recording = async move {
            let (clicks, replies): (Vec<Click>, Vec<_>) =
                batch.into_iter().map(|item| (item.click, item.reply)).unzip();
            let results = record(&services, &dispatching, &clicks).await;
            for (reply, result) in replies.into_iter().zip(results) {
                let _ = reply.send(result);
            }
        };
        ctx.spawn(recording.into_actor(self).map(|(), this, ctx| {
            this.batcher.pipe_is_free();
            this.record_next_batch(ctx);
        }));
    }
}

/// One result a click; where PostgreSQL refuses the batch, or it ends by an internal error, its clicks
/// are tried one by one.
async fn record(
    services: &Services,
    dispatching: &Recipient<Due>,
    clicks: &[Click],
) -> Vec<Result<(), NotDurable>> {
    let inserting = async {
        let (news, postbacks) = click_news::of_clicks(clicks, &services.catalogue(), services.node);
        clicks::insert(&services.lane_pool, services.node, clicks, &news).await?;
        Ok(postbacks)
    };
    match as_failure(inserting).await {
        Ok(postbacks) => {
            if !postbacks.is_empty() {
                // A hint: the rescuer's scan would find them too.
                dispatching.do_send(Due(postbacks.into_iter().collect()));
            }
            metrics::counter!("ricochet_clicks_total").increment(clicks.len() as u64);
            vec![Ok(()); clicks.len()]
        }
        Err(StoreError::Refused(_) | StoreError::Panicked(_)) if clicks.len() > 1 => {
            let mut results = Vec::with_capacity(clicks.len());
            for click in clicks {
                results.extend(Box::pin(record(services, dispatching, std::slice::from_ref(click))).await);
            }
            results
        }
        Err(error) => {
            tracing::warn!(%error, clicks = clicks.len(), "clicks get 503: nothing was recorded");
            let reason = match error {
                StoreError::Refused(_) | StoreError::Panicked(_) => NotDurable::Refused,
                _ => NotDurable::StoreAway,
            };
            vec![Err(reason); clicks.len()]
        }
    }
}

impl Actor for ClickRecorder {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // The real bound is the batcher's.
        ctx.set_mailbox_capacity(1024);
    }
}

impl Handler<RecordClick> for ClickRecorder {
    type Result = ();

    fn handle(&mut self, item: RecordClick, ctx: &mut Self::Context) {
        if let Err(refused) = self.batcher.push(item) {
            let _ = refused.reply.send(Err(NotDurable::QueueFull));
            return;
        }
        self.record_next_batch(ctx);
    }
}
