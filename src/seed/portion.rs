//! Stories on their way to the databases: lines for ClickHouse, and rows of COPY for PostgreSQL.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::story::{End, Story};
use crate::domain::money::Currency;
use crate::domain::status::Status;
use crate::event_log::rows::{ClickRow, ConversionEventRow, Log};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tables {
    LogAndState,
    LogOnly,
}

/// The tables of PostgreSQL that stories fill, with the columns that are written.
pub const STATE_TABLES: [(&str, &str); 5] = [
    (
        "clicks",
        "click_id, link_id, offer_id, partner_id, advertiser_id, partner_clickid, sub1, sub2, sub3, sub4, sub5, ip, \
         user_agent, referrer, country, device, parameters, clicked_at, tracker",
    ),
    (
        "conversions",
        "lead_id, advertiser_id, offer_id, partner_id, link_id, action_id, action, action_kind, click_id, \
         request_id, customer_id, status, amount, currency, payout, payout_currency, comment, fields, is_test, \
         is_once_per_click, created_at, updated_at, occurred_at",
    ),
    (
        "conversion_history",
        "change_id, lead_id, customer_id, status_from, status_to, events, facts, recorded_at",
    ),
    (
        "deliveries",
        "delivery_id, postback_id, change_id, event, lead_id, attempt, next_attempt_at, fence, created_at",
    ),
    (
        "deliveries_finished",
        "delivery_id, postback_id, change_id, event, lead_id, state, reason, attempts, created_at, finished_at",
    ),
];

pub struct Portion {
    tables: Tables,
    lines: [Vec<u8>; Log::ALL.len()],
    counts: [usize; Log::ALL.len()],
    copies: [String; STATE_TABLES.len()],
}

impl Portion {
    pub fn new(tables: Tables) -> Self {
        Self { tables, lines: Default::default(), counts: Default::default(), copies: Default::default() }
    }

    /// Rows of its largest log.
    pub fn rows(&self) -> usize {
        self.counts.into_iter().max().unwrap_or(0)
    }

    pub fn count(&self, log: Log) -> usize {
        self.counts[log as usize]
    }

    pub fn lines(&self, log: Log) -> &[u8] {
        &self.lines[log as usize]
    }

    /// Rows of COPY in text format, by the order of [`STATE_TABLES`].
    pub fn copies(&self) -> &[String; STATE_TABLES.len()] {
        &self.copies
    }

    pub fn add(&mut self, story: &Story) {
        self.line(Log::Clicks, &ClickRow::from(&story.click));
        for request in &story.inbound {
            self.line(Log::InboundRequests, request);
        }
        for change in &story.changes {
            for event in &change.events {
                let recorded_at = change.facts.occurred_at;
                let row = ConversionEventRow::of(&change.facts, *event, change.status_from, recorded_at);
                self.line(Log::ConversionEvents, &row);
            }
        }
        for attempt in &story.attempts {
            self.line(Log::Attempts, attempt);
        }
        if self.tables == Tables::LogAndState {
            self.copy(story);
        }
    }

    fn line(&mut self, log: Log, row: &impl Serialize) {
        let lines = &mut self.lines[log as usize];
        serde_json::to_writer(&mut *lines, row).expect("log rows hold nothing JSON cannot");
        lines.push(b'\n');
        self.counts[log as usize] += 1;
    }

    fn copy(&mut self, story: &Story) {
        let [clicks, conversions, history, deliveries, finished] = &mut self.copies;
        let click = &story.click;
        let mut row = Row::of(clicks);
        for id in
            [click.click_id.0, click.link_id.0, click.offer_id.0, click.partner_id.0, click.advertiser_id.0]
        {
            row.plain(id);
        }
        row.text(&click.partner_clickid);
        for sub in &click.subs {
            row.text(sub);
        }
        for text in [&click.ip, &click.user_agent, &click.referrer, &click.country, &click.device] {
            row.text(text);
        }
        row.json(&click.parameters).time(click.clicked_at).text(&click.tracker).end();

        if let Some(conversion) = &story.conversion {
            let facts = &conversion.facts;
            let mut row = Row::of(conversions);
            row.optional(facts.lead_id.map(|lead| lead.0));
            for id in [facts.advertiser_id.0, facts.offer_id.0, facts.partner_id.0, facts.link_id.0] {
                row.plain(id);
            }
            row.plain(conversion.action_id)
                .text(&facts.action)
                .text(conversion.kind.code())
                .plain(facts.click_id.0)
                .text(&facts.request_id)
                .optional(None::<String>)
                .optional(facts.status.map(Status::code))
                .optional(facts.amount)
                .optional(facts.currency.map(Currency::code))
                .optional(facts.payout)
                .optional(facts.payout_currency.map(Currency::code))
                .text(&facts.comment)
                .json(&facts.fields)
                .plain(facts.is_test)
                .plain(conversion.is_once_per_click)
                .time(conversion.created_at)
                .time(conversion.updated_at)
                .time(conversion.created_at)
                .end();
        }
        for change in &story.changes {
            let facts = &change.facts;
            let events: Vec<&str> = change.events.iter().map(|event| event.code()).collect();
            Row::of(history)
                .plain(facts.change_id.0)
                .optional(facts.lead_id.map(|lead| lead.0))
                .optional(None::<String>)
                .optional(change.status_from.map(Status::code))
                .optional(facts.status.map(Status::code))
                .text(&format!("{{{}}}", events.join(",")))
                .json(facts)
                .time(facts.occurred_at)
                .end();
        }
        for delivery in &story.deliveries {
            let table = match delivery.end {
                End::Waiting { .. } => &mut *deliveries,
                End::Finished { .. } => &mut *finished,
            };
            let mut row = Row::of(table);
            row.plain(delivery.delivery_id)
                .plain(delivery.postback_id)
                .plain(delivery.change_id)
                .text(delivery.event)
                .optional(delivery.lead_id);
            match &delivery.end {
                End::Waiting { next_attempt_at } => row
                    .plain(delivery.attempts)
                    .time(*next_attempt_at)
                    .plain(i64::from(delivery.attempts))
                    .time(delivery.created_at)
                    .end(),
                End::Finished { state, reason, at } => row
                    .text(state)
                    .text(reason)
                    .plain(delivery.attempts)
                    .time(delivery.created_at)
                    .time(*at)
                    .end(),
            }
        }
    }
}

/// One row of COPY in text format, field by field.
struct Row<'a> {
    line: &'a mut String,
    is_empty: bool,
}

impl<'a> Row<'a> {
    fn of(line: &'a mut String) -> Self {
        Self { line, is_empty: true }
    }

    fn field(&mut self) -> &mut String {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.line.push('\t');
        }
        self.line
    }

    /// A value whose text has no backslash and no control character.
    fn plain(&mut self, value: impl std::fmt::Display) -> &mut Self {
        write!(self.field(), "{value}").expect("a String can always be written to");
        self
    }

    fn optional(&mut self, value: Option<impl std::fmt::Display>) -> &mut Self {
        match value {
            Some(value) => self.plain(value),
            None => self.plain(r"\N"),
        }
    }

    fn text(&mut self, text: &str) -> &mut Self {
        let line = self.field();
        for character in text.chars() {
            match character {
                '\\' => line.push_str(r"\\"),
                '\t' => line.push_str(r"\t"),
                '\n' => line.push_str(r"\n"),
                '\r' => line.push_str(r"\r"),
                character => line.push(character),
            }
        }
        self
    }

    fn json(&mut self, value: &impl Serialize) -> &mut Self {
        let text = serde_json::to_string(value).expect("facts hold nothing JSON cannot");
        self.text(&text)
    }

    fn time(&mut self, time: DateTime<Utc>) -> &mut Self {
        self.plain(time.format("%Y-%m-%d %H:%M:%S%.6f+00"))
    }

    fn end(&mut self) {
        self.line.push('\n');
    }
}
