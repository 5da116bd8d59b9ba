//! Why a postback is told of an event, or is not.

use super::catalogue::Catalogue;
use super::coded::coded_enum;
use super::event::Event;
use super::facts::EventFacts;
use super::postback::{Owner, Postback, Scope, replaces_global};

coded_enum! {
    /// What a postback would do with an event.
    Hearing {
        Sent = "sent",
        /// Its postback is paused.
        Waits = "waits",
        /// It leaves a line in the log that says why.
        Skipped = "skipped",
        /// It is none of the postback's business, and leaves no trace.
        NotTold = "not_told",
    }
}

coded_enum! {
    /// What it hangs on, in the order it is looked at.
    Concern {
        Owner = "owner",
        Scope = "scope",
        Replaced = "replaced",
        Events = "events",
        Condition = "condition",
        Paused = "paused",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    pub concern: Concern,
    pub passes: bool,
    pub message: String,
}

/// What each concern says; they do not stop at the first that fails.
pub fn findings(
    catalogue: &Catalogue,
    postback: &Postback,
    facts: &EventFacts,
    event: Event,
) -> Vec<Finding> {
    let finding = |concern, passes, message: String| Finding { concern, passes, message };
    let (is_owners, owner) = match postback.owner {
        Owner::Partner(id) => (id == facts.partner_id, format!("of partner {id}")),
        Owner::Advertiser(id) => (id == facts.advertiser_id, format!("of advertiser {id}")),
        Owner::Platform => (true, "the platform's own".to_owned()),
    };
    let (scope, place) = match postback.scope {
        Scope::Global => ("global: it hears of every offer".to_owned(), String::new()),
        Scope::Offer(id) => (format!("for offer {id}"), format!("offer {}", facts.offer_id)),
        Scope::Link(id) => (format!("for link {id}"), format!("link {}", facts.link_id)),
    };
    let covers = postback.scope.covers(facts.offer_id, facts.link_id);
    let is_replaced = postback.scope == Scope::Global && replaces_global(catalogue, postback.owner, facts);
    let hears = postback.events.contains(&event);
    let asked: Vec<&str> = postback.events.iter().map(|event| event.code()).collect();
    let condition = match (&postback.condition, postback.admits(event, facts, catalogue)) {
        (None, _) => "it has no condition".to_owned(),
        (Some(condition), Ok(())) => format!("condition met: {}", condition.source()),
        (Some(_), Err(unmet)) => unmet.to_string(),
    };
    vec![
        finding(
            Concern::Owner,
            is_owners,
            match (is_owners, postback.owner) {
                (true, _) => format!("the postback is {owner}"),
                (false, Owner::Partner(_)) => {
                    format!("the postback is {owner}, the conversion of partner {}", facts.partner_id)
                }
                (false, _) => {
                    format!("the postback is {owner}, the conversion of advertiser {}", facts.advertiser_id)
                }
            },
        ),
        finding(
            Concern::Scope,
            covers,
            if covers { scope } else { format!("the postback is {scope}, the conversion of {place}") },
        ),
        finding(
            Concern::Replaced,
            !is_replaced,
            match is_replaced {
                true => "the offer's postbacks replace the global ones, and its owner has some".into(),
                false => "no other postback replaces it".into(),
            },
        ),
        finding(
            Concern::Events,
            hears,
            match (hears, asked.is_empty()) {
                (true, _) => format!("it asks for {}", event.code()),
                (false, true) => "it was deleted".into(),
                (false, false) => format!("it asks for {}, not for {}", asked.join(", "), event.code()),
            },
        ),
        finding(Concern::Condition, postback.admits(event, facts, catalogue).is_ok(), condition),
        finding(
            Concern::Paused,
            !postback.paused,
            if postback.paused { "it is paused: its deliveries wait" } else { "it is not paused" }.into(),
        ),
    ]
}

/// What follows from the findings, and the sentence of the first that stands in the way.
pub fn conclusion(findings: &[Finding]) -> (Hearing, String) {
    match findings.iter().find(|finding| !finding.passes) {
        None => (Hearing::Sent, "it hears of this".into()),
        Some(finding) => {
            let hearing = match finding.concern {
                Concern::Owner | Concern::Scope | Concern::Replaced | Concern::Events => Hearing::NotTold,
                Concern::Condition => Hearing::Skipped,
                Concern::Paused => Hearing::Waits,
            };
            (hearing, finding.message.clone())
        }
    }
}
