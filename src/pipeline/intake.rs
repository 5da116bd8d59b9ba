//! The head of a lane: gathers submissions into batches.

use actix::prelude::*;

use super::batcher::Batcher;
use super::inbound::{NotDurable, Submission};
use super::validator::{ValidateBatch, Validator};

/// Bound: `bound` submissions wait (past it the caller gets [`NotDurable::QueueFull`] at once),
/// and one batch is under way.
pub struct Intake {
    batcher: Batcher<Submission>,
    validator: Addr<Validator>,
}

/// Asks for a verdict on one request.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Submit(pub Submission);

/// The lane has finished its batch.
#[derive(Message)]
#[rtype(result = "()")]
pub struct LaneIsFree;

/// Travels with a batch; wherever the batch ends, well or badly, the lane is free again.
pub struct LaneTicket(Recipient<LaneIsFree>);

impl LaneTicket {
    pub fn of(lane: Recipient<LaneIsFree>) -> Self {
        Self(lane)
    }
}

impl Drop for LaneTicket {
    fn drop(&mut self) {
        self.0.do_send(LaneIsFree);
    }
}

impl Intake {
    pub fn new(validator: Addr<Validator>, bound: usize, largest_batch: usize) -> Self {
        Self { batcher: Batcher::new(bound, largest_batch), validator }
    }

    fn send_next_batch(&mut self, ctx: &mut Context<Self>) {
        if let Some(submissions) = self.batcher.next_batch() {
            metrics::histogram!("ricochet_batch_requests").record(submissions.len() as f64);
            let ticket = LaneTicket::of(ctx.address().recipient());
            self.validator.do_send(ValidateBatch { submissions, ticket });
        }
    }
}

impl Actor for Intake {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // The real bound is the batcher's; a mailbox of 16 would refuse a burst of one instant.
        ctx.set_mailbox_capacity(1024);
    }
}

impl Handler<Submit> for Intake {
    type Result = ();

    fn handle(&mut self, Submit(submission): Submit, ctx: &mut Self::Context) {
        if let Err(refused) = self.batcher.push(submission) {
            // The caller may have hung up; then nobody is left to be told.
            let _ = refused.reply.send(Err(NotDurable::QueueFull));
            return;
        }
        self.send_next_batch(ctx);
    }
}

impl Handler<LaneIsFree> for Intake {
    type Result = ();

    fn handle(&mut self, _: LaneIsFree, ctx: &mut Self::Context) {
        self.batcher.pipe_is_free();
        self.send_next_batch(ctx);
    }
}
