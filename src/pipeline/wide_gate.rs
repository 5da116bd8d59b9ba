//! The way beside its lane for conversions that very many destinations hear of: to write one takes
//! tens of milliseconds, which the lane's other requests do not wait for. It runs on another thread.

use actix::prelude::*;

use super::batcher::Batcher;
use super::inbound::NotDurable;
use super::intake::{LaneIsFree, LaneTicket};
use super::status_mapper::{MapBatch, StatusMapper};
use super::validator::Validated;
use crate::domain::catalogue::Catalogue;
use crate::domain::click::Click;
use crate::domain::postback::Owner;

/// More destinations than this may hear of a conversion that goes this way.
const WIDE: usize = 64;
/// Written in one transaction.
const LARGEST_BATCH: usize = 4;

/// Bound: `bound` conversions wait (past it the caller gets [`NotDurable::QueueFull`]), and one batch is
/// under way.
pub struct WideGate {
    batcher: Batcher<Validated>,
    mapper: Addr<StatusMapper>,
}

/// Requests that go this way, in their order.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Widely(pub Vec<Validated>);

/// Whether what is told of a click may go to very many. All requests about a click go the same way, so
/// they keep their order; only where somebody's postbacks pass the bound just then do they not.
pub fn is_wide(catalogue: &Catalogue, click: &Click) -> bool {
    let owners = [Owner::Partner(click.partner_id), Owner::Advertiser(click.advertiser_id), Owner::Platform];
    let postbacks = owners.into_iter().flat_map(|owner| catalogue.postbacks_of(owner));
    postbacks.filter(|postback| postback.scope.covers(click.offer_id, click.link_id)).nth(WIDE).is_some()
}

impl WideGate {
    pub fn new(mapper: Addr<StatusMapper>, bound: usize) -> Self {
        Self { batcher: Batcher::new(bound, LARGEST_BATCH), mapper }
    }

    fn send_next_batch(&mut self, ctx: &mut Context<Self>) {
        if let Some(items) = self.batcher.next_batch() {
            let ticket = LaneTicket::of(ctx.address().recipient());
            self.mapper.do_send(MapBatch { items, ticket });
        }
    }
}

impl Actor for WideGate {
    type Context = Context<Self>;
}

impl Handler<Widely> for WideGate {
    type Result = ();

    fn handle(&mut self, Widely(items): Widely, ctx: &mut Self::Context) {
        for item in items {
            if let Err(refused) = self.batcher.push(item) {
                let _ = refused.reply.send(Err(NotDurable::QueueFull));
            }
        }
        self.send_next_batch(ctx);
    }
}

impl Handler<LaneIsFree> for WideGate {
    type Result = ();

    fn handle(&mut self, _: LaneIsFree, ctx: &mut Self::Context) {
        self.batcher.pipe_is_free();
        self.send_next_batch(ctx);
    }
}
