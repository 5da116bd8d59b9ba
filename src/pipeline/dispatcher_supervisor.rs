//! Knows every destination's dispatcher, starts them as they are needed and again if one dies.

use std::collections::HashMap;
use std::sync::Arc;

use actix::prelude::*;

use super::dispatcher::{ClaimDue, Dispatcher, SendClaimed};
use super::outcome_recorder::OutcomeRecorder;
use super::services::Services;
use super::slots::Slot;
use crate::domain::ids::PostbackId;
use crate::outbound::HttpSender;
use crate::store::deliveries::ClaimedDelivery;

/// Bound: its mailbox holds hints only. A hint to send carries as many deliveries as
/// destinations have places; a lost one is made up for by the rescuer.
pub struct DispatcherSupervisor {
    services: Arc<Services>,
    sender: HttpSender,
    outcomes: Addr<OutcomeRecorder>,
    dispatchers: HashMap<PostbackId, Addr<Dispatcher>>,
}

/// Deliveries this node has claimed: to be sent now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Send(pub Vec<(ClaimedDelivery, Slot)>);

/// Postbacks with deliveries in PostgreSQL that are due.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Due(pub Vec<PostbackId>);

impl DispatcherSupervisor {
    pub fn new(services: Arc<Services>, sender: HttpSender, outcomes: Addr<OutcomeRecorder>) -> Self {
        Self { services, sender, outcomes, dispatchers: HashMap::new() }
    }

    fn dispatcher(&mut self, postback: PostbackId) -> &Addr<Dispatcher> {
        let start = || {
            Dispatcher::new(self.services.clone(), postback, self.sender.clone(), self.outcomes.clone())
                .start()
        };
        let dispatcher = self.dispatchers.entry(postback).or_insert_with(start);
        if !dispatcher.connected() {
            tracing::error!(%postback, "a dispatcher died and is started again");
            *dispatcher = start();
        }
        dispatcher
    }
}

impl Actor for DispatcherSupervisor {
    type Context = Context<Self>;
}

impl Handler<Send> for DispatcherSupervisor {
    type Result = ();

    fn handle(&mut self, Send(claimed): Send, _: &mut Self::Context) {
        for (delivery, slot) in claimed {
            self.dispatcher(delivery.postback_id).do_send(SendClaimed { delivery, slot });
        }
    }
}

impl Handler<Due> for DispatcherSupervisor {
    type Result = ();

    fn handle(&mut self, Due(postbacks): Due, _: &mut Self::Context) {
        for postback in postbacks {
            self.dispatcher(postback).do_send(ClaimDue);
        }
    }
}
