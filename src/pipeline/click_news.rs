//! Who wants to hear of a click: the `click` event, recorded with the click itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use crate::domain::catalogue::Catalogue;
use crate::domain::click::Click;
use crate::domain::event::{Cause, Event};
use crate::domain::facts::EventFacts;
use crate::domain::ids::{ChangeId, DeliveryId, NodeId, PostbackId};
use crate::domain::postback::subscribers;
use crate::outbound::attempt;
use crate::store::clicks::ClickNews;
use crate::store::deliveries::{Claimed, NewDelivery};
use crate::store::recording::ChangeRow;

/// What to write, and the postbacks it is for. A click nobody subscribed to leaves nothing
/// here, so clicks stay cheap.
pub fn of_clicks(clicks: &[Click], catalogue: &Catalogue, node: NodeId) -> (ClickNews, BTreeSet<PostbackId>) {
    let mut news = ClickNews::default();
    let mut postbacks = BTreeSet::new();
    for click in clicks {
        let change_id = ChangeId(Uuid::now_v7());
        let facts = Arc::new(EventFacts::of_visit(click, change_id));
        let mut is_news = false;
        for (postback, event) in subscribers(catalogue, &facts, &[Event::Click]) {
            is_news = true;
            if let Err(unmet) = postback.admits(event, &facts, catalogue) {
                news.skipped.push(attempt::kept_back(
                    postback,
                    event,
                    &facts,
                    &unmet,
                    node,
                    click.clicked_at,
                ));
                continue;
            }
            postbacks.insert(postback.postback_id);
            news.deliveries.push(NewDelivery {
                delivery_id: DeliveryId::of(change_id, postback.postback_id, event.code()),
                postback_id: postback.postback_id,
                change_id,
                event,
                lead_id: None,
                is_claimed: Claimed::waiting_for(postback),
            });
        }
        if is_news {
            news.changes.push(ChangeRow {
                change_id,
                lead_id: None,
                customer_id: None,
                status_from: None,
                status_to: None,
                events: vec![Event::Click.code()],
                facts: serde_json::to_string(&*facts).expect("facts are JSON"),
                cause: Cause::Request,
                actor: String::new(),
                note: String::new(),
            });
        }
    }
    (news, postbacks)
}
