//! The parameters of an export: the filters of the GraphQL lists, in the words of an address.
//!
//! Lists are separated by commas or repeated; names are taken as `offer_ids` and as `offerIds`, codes in
//! any case. What is wrong is told all at once.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::parameters::names;
use crate::domain::device::Device;
use crate::domain::event::Event;
use crate::domain::fields::parse_time;
use crate::domain::retry::{ErrorKind, Outcome};
use crate::domain::status::Status;
use crate::domain::verdict::{FieldError, VerdictKind};
use crate::event_log::reader::export::{Dataset, Export, ExportFormat};
use crate::event_log::reader::stats::conversions::ChangeFilter;
use crate::event_log::reader::{AttemptFilter, ClickFilter, InboundFilter, PrivateFilter, TestRows};
use crate::graphql::paging::within_databases;
use crate::store::conversion_export::Counting;
use crate::store::conversion_search::ConversionFilter;

/// What was asked for.
#[derive(Debug)]
pub struct Asked {
    pub wanted: Wanted,
    pub format: ExportFormat,
    pub counts: Counting,
}

/// Which rows, and where they are.
#[derive(Debug)]
pub enum Wanted {
    Log(Box<Export>),
    Conversions(Box<ConversionFilter>),
}

impl Wanted {
    /// The first parameter that looks for what only the partner and the owner may know: finding would
    /// tell.
    pub fn private_parameter(&self) -> Option<&'static str> {
        let Self::Log(export) = self else { return None };
        let Export::Clicks(filter) = &**export else { return None };
        filter.private.first_field()
    }
}

/// Reads the parameters, or names every fault.
pub fn read(dataset: Dataset, parameters: &[(String, String)]) -> Result<Asked, Vec<FieldError>> {
    let known = names(dataset);
    let mut reading = Reading { values: Vec::new(), faults: Vec::new() };
    for (name, value) in parameters {
        let name = in_snake_case(name);
        match known.iter().find(|known| **known == name) {
            Some(known) => reading.values.push((known, value.trim())),
            None => reading.faults.push(unknown(&name, &known)),
        }
    }
    let format =
        reading.one("format", ExportFormat::from_code, &codes(ExportFormat::ALL, |item| item.code()));
    let counts = match reading.flag("count") {
        Some(true) => Counting::Counted,
        Some(false) | None => Counting::Uncounted,
    };
    let log = |export| Wanted::Log(Box::new(export));
    let wanted = match dataset {
        Dataset::PostbackLog => log(Export::PostbackLog(reading.attempts())),
        Dataset::InboundLog => log(Export::InboundLog(reading.inbound())),
        Dataset::Clicks => log(Export::Clicks(reading.clicks())),
        Dataset::ConversionEvents => log(Export::ConversionEvents(reading.changes())),
        Dataset::Conversions => Wanted::Conversions(Box::new(reading.conversions())),
    };
    if reading.faults.is_empty() {
        Ok(Asked { wanted, format: format.unwrap_or(ExportFormat::Csv), counts })
    } else {
        Err(reading.faults)
    }
}

struct Reading<'a> {
    values: Vec<(&'static str, &'a str)>,
    faults: Vec<FieldError>,
}

impl<'a> Reading<'a> {
    fn attempts(&mut self) -> AttemptFilter {
        AttemptFilter {
            statuses: self.list("statuses", Status::from_code, &codes(&Status::ALL, |item| item.code())),
            outcomes: self.list("outcomes", Outcome::from_code, &codes(Outcome::ALL, |item| item.code())),
            events: self.list("events", Event::from_code, &codes(Event::ALL, |item| item.code())),
            error_kinds: self.list(
                "error_kinds",
                ErrorKind::from_code,
                &codes(ErrorKind::ALL, |item| item.code()),
            ),
            response_codes: self.list("response_codes", |text| text.parse().ok(), "numbers such as 200"),
            offer_ids: self.ids("offer_ids"),
            partner_ids: self.ids("partner_ids"),
            advertiser_ids: self.ids("advertiser_ids"),
            postback_ids: self.ids("postback_ids"),
            delivery_id: self.id("delivery_id"),
            lead_id: self.id("lead_id"),
            click_id: self.id("click_id"),
            txid: self.text("txid"),
            attempt_at_least: self.number("attempt_at_least", "a number such as 2"),
            total_us_at_least: self.number("total_us_at_least", "microseconds, a whole number"),
            attempt_at_most: self.number("attempt_at_most", "a number such as 2"),
            total_us_at_most: self.number("total_us_at_most", "microseconds, a whole number"),
            link_ids: self.ids("link_ids"),
            actions: self.texts("actions"),
            countries: self.countries(),
            devices: self.devices(),
            search: self.text("search"),
            from: self.time("from"),
            to: self.time("to"),
            tests: match self.flag("is_test") {
                None => self.tests(),
                is_test => is_test.into(),
            },
        }
    }

    fn inbound(&mut self) -> InboundFilter {
        InboundFilter {
            verdicts: self.list(
                "verdicts",
                VerdictKind::from_code,
                &codes(VerdictKind::ALL, |item| item.code()),
            ),
            offer_ids: self.ids("offer_ids"),
            partner_ids: self.ids("partner_ids"),
            advertiser_ids: self.ids("advertiser_ids"),
            request_id: self.text("request_id"),
            click_id: self.text("click_id"),
            lead_id: self.id("lead_id"),
            integration_ids: self.ids("integration_ids"),
            doors: self.texts("doors"),
            reason_codes: self.texts("reason_codes"),
            http_statuses: self.list("http_statuses", |text| text.parse().ok(), "numbers such as 200"),
            source_ip: self.text("source_ip"),
            search: self.text("search"),
            from: self.time("from"),
            to: self.time("to"),
            tests: self.flag("is_test").into(),
        }
    }

    fn clicks(&mut self) -> ClickFilter {
        ClickFilter {
            offer_ids: self.ids("offer_ids"),
            partner_ids: self.ids("partner_ids"),
            advertiser_ids: self.ids("advertiser_ids"),
            link_ids: self.ids("link_ids"),
            countries: self.countries(),
            devices: self.devices(),
            is_bot: self.flag("is_bot"),
            click_id: self.id("click_id"),
            private: PrivateFilter {
                partner_clickid: self.text("partner_clickid"),
                subs: PrivateFilter::SUBS.map(|sub| self.text(sub)),
            },
            search: self.text("search"),
            from: self.time("from"),
            to: self.time("to"),
        }
    }

    fn changes(&mut self) -> ChangeFilter {
        ChangeFilter {
            statuses: self.list("statuses", Status::from_code, &codes(&Status::ALL, |item| item.code())),
            events: self.list("events", Event::from_code, &codes(Event::ALL, |item| item.code())),
            offer_ids: self.ids("offer_ids"),
            partner_ids: self.ids("partner_ids"),
            advertiser_ids: self.ids("advertiser_ids"),
            link_ids: self.ids("link_ids"),
            actions: self.texts("actions"),
            countries: self.countries(),
            devices: self.devices(),
            lead_id: self.id("lead_id"),
            click_id: self.id("click_id"),
            request_id: self.text("request_id"),
            customer_id: self.text("customer_id"),
            from: self.time("from"),
            to: self.time("to"),
            tests: self.tests(),
        }
    }

    fn conversions(&mut self) -> ConversionFilter {
        ConversionFilter {
            statuses: self.list("statuses", Status::from_code, &codes(&Status::ALL, |item| item.code())),
            offer_ids: self.ids("offer_ids"),
            partner_ids: self.ids("partner_ids"),
            advertiser_ids: self.ids("advertiser_ids"),
            lead_id: self.id("lead_id"),
            click_id: self.id("click_id"),
            request_id: self.text("request_id"),
            customer_id: self.text("customer_id"),
            link_ids: self.ids("link_ids"),
            actions: self.texts("actions"),
            search: self.text("search"),
            from: self.time("from"),
            to: self.time("to"),
            tests: self.flag("is_test").into(),
        }
    }

    fn countries(&mut self) -> Vec<String> {
        let read = |text: &str| {
            let is_code = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_lowercase());
            is_code.then(|| text.to_uppercase())
        };
        self.list("countries", read, "two letters by ISO 3166-1, such as DE")
    }

    fn devices(&mut self) -> Vec<Device> {
        self.list("devices", Device::from_code, &codes(Device::ALL, |item| item.code()))
    }

    /// As in the GraphQL lists: tests are left out where nothing is said.
    fn tests(&mut self) -> TestRows {
        match self.flag("include_tests") {
            Some(true) => TestRows::Included,
            Some(false) | None => TestRows::LeftOut,
        }
    }

    /// Texts that others wrote, as they are.
    fn texts(&self, name: &str) -> Vec<String> {
        self.words(name).into_iter().map(str::to_owned).collect()
    }

    fn words(&self, name: &str) -> Vec<&'a str> {
        self.values
            .iter()
            .filter(|(known, _)| *known == name)
            .flat_map(|(_, value)| value.split(','))
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .collect()
    }

    fn list<T>(&mut self, name: &'static str, read: impl Fn(&str) -> Option<T>, expected: &str) -> Vec<T> {
        let mut list = Vec::new();
        for word in self.words(name) {
            match read(&word.to_lowercase()) {
                Some(value) => list.push(value),
                None => self.faults.push(wrong(name, word, expected)),
            }
        }
        list
    }

    fn one<T>(&mut self, name: &'static str, read: impl Fn(&str) -> Option<T>, expected: &str) -> Option<T> {
        let text = self.text(name)?;
        let value = read(&text.to_lowercase());
        if value.is_none() {
            self.faults.push(wrong(name, &text, expected));
        }
        value
    }

    fn number(&mut self, name: &'static str, expected: &str) -> Option<u64> {
        self.one(name, |text| text.parse().ok(), expected)
    }

    fn ids(&mut self, name: &'static str) -> Vec<Uuid> {
        self.list(name, |text| Uuid::try_parse(text).ok(), UUID)
    }

    fn id(&mut self, name: &'static str) -> Option<Uuid> {
        self.one(name, |text| Uuid::try_parse(text).ok(), UUID)
    }

    fn flag(&mut self, name: &'static str) -> Option<bool> {
        let read = |text: &str| match text {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        };
        self.one(name, read, "true or false")
    }

    fn time(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        let time = parse_time(&text).map(within_databases);
        if time.is_none() {
            self.faults.push(wrong(name, &text, "a time by RFC 3339, such as 2026-11-21T00:00:00Z"));
        }
        time
    }

    /// The last of them, as it is; nothing where it is empty.
    fn text(&self, name: &str) -> Option<String> {
        let last = self.values.iter().rev().find(|(known, _)| *known == name);
        last.map(|(_, value)| (*value).to_owned()).filter(|value| !value.is_empty())
    }
}

const UUID: &str = "a UUID such as 0198d5f0-0000-7000-8000-000000000000";

fn codes<T: Copy>(all: &[T], code: impl Fn(T) -> &'static str) -> String {
    let all: Vec<_> = all.iter().map(|item| code(*item)).collect();
    format!("one of {}", all.join(", "))
}

fn wrong(name: &str, value: &str, expected: &str) -> FieldError {
    let shown: String = value.chars().take(60).collect();
    FieldError::new(name, "invalid", format!("{shown:?} does not do for {name}; write {expected}"))
}

fn unknown(name: &str, known: &[&str]) -> FieldError {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let message = match nearest {
        Some((_, nearest)) => format!("there is no such parameter; did you mean {nearest}?"),
        None => format!("there is no such parameter; there are {}", known.join(", ")),
    };
    FieldError::new(name, "unknown_parameter", message)
}

/// `offerIds` is `offer_ids`.
fn in_snake_case(name: &str) -> String {
    let mut snake = String::new();
    for char in name.chars().take(60) {
        if char.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(char.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dataset: Dataset, query: &[(&str, &str)]) -> Result<Asked, Vec<FieldError>> {
        let parameters: Vec<_> =
            query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        super::read(dataset, &parameters)
    }

    #[test]
    fn names_are_read_as_in_graphql_and_lists_by_commas_or_again() {
        let id = "0198d5f0-0000-7000-8000-000000000000";
        let asked = read(
            Dataset::PostbackLog,
            &[("outcomes", "FAILED,retrying"), ("offerIds", id), ("offer_ids", id), ("format", "NDJSON")],
        )
        .unwrap();
        let Wanted::Log(export) = asked.wanted else { panic!("another dataset") };
        let Export::PostbackLog(filter) = *export else { panic!("another dataset") };
        assert_eq!(filter.outcomes, [Outcome::Failed, Outcome::Retrying]);
        assert_eq!(filter.offer_ids.len(), 2);
        assert_eq!(filter.tests, TestRows::LeftOut);
        assert_eq!(asked.format, ExportFormat::Ndjson);
    }

    #[test]
    fn every_fault_is_named() {
        let query = [("outcome", "failed"), ("from", "yesterday"), ("partner_ids", "42"), ("format", "xlsx")];
        let faults = read(Dataset::PostbackLog, &query).unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["outcome", "format", "partner_ids", "from"]);
        assert!(faults[0].message.contains("outcomes"), "{}", faults[0].message);
        assert!(read(Dataset::Clicks, &[("txid", "x")]).is_err(), "not a parameter of clicks");
    }
}
