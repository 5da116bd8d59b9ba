//! The parameters that an export has, and what each is, for people.

use crate::event_log::reader::export::Dataset;

/// Parameters of every export.
const COMMON: &[&str] = &["format", "count", "offer_ids", "partner_ids", "advertiser_ids", "from", "to"];

/// Further ones of each, in the order they are described.
pub fn names(dataset: Dataset) -> Vec<&'static str> {
    let own: &[&str] = match dataset {
        Dataset::PostbackLog => &[
            "statuses",
            "outcomes",
            "events",
            "error_kinds",
            "response_codes",
            "postback_ids",
            "delivery_id",
            "lead_id",
            "click_id",
            "txid",
            "attempt_at_least",
            "attempt_at_most",
            "total_us_at_least",
            "total_us_at_most",
            "link_ids",
            "actions",
            "countries",
            "devices",
            "search",
            "include_tests",
            "is_test",
        ],
        Dataset::InboundLog => &[
            "verdicts",
            "request_id",
            "click_id",
            "lead_id",
            "integration_ids",
            "doors",
            "reason_codes",
            "http_statuses",
            "source_ip",
            "search",
            "is_test",
        ],
        Dataset::Clicks => &[
            "click_id",
            "partner_clickid",
            "sub1",
            "sub2",
            "sub3",
            "sub4",
            "sub5",
            "link_ids",
            "countries",
            "devices",
            "is_bot",
            "search",
        ],
        Dataset::ConversionEvents => &[
            "events",
            "statuses",
            "click_id",
            "lead_id",
            "request_id",
            "customer_id",
            "link_ids",
            "actions",
            "countries",
            "devices",
            "include_tests",
        ],
        Dataset::Conversions => &[
            "statuses",
            "click_id",
            "lead_id",
            "request_id",
            "customer_id",
            "link_ids",
            "actions",
            "search",
            "is_test",
        ],
    };
    COMMON.iter().chain(own).copied().collect()
}

/// What a parameter is, for people.
pub fn about_parameter(name: &str) -> &'static str {
    match name {
        "format" => "Format of the file",
        "count" => "1: count the rows first, and tell them in the header X-Ricochet-Rows",
        "offer_ids" => "Ids of offers, separated by commas",
        "partner_ids" => "Ids of partners, separated by commas",
        "advertiser_ids" => "Ids of advertisers, separated by commas",
        "from" => "At this time or later (RFC 3339)",
        "to" => "Before this time",
        "statuses" => "hold, approved, rejected, separated by commas",
        "outcomes" => "delivered, retrying, failed, skipped, separated by commas",
        "events" => "Events such as sale,approve",
        "error_kinds" => "What went wrong, such as timeout,dns",
        "response_codes" => "HTTP codes that were answered, separated by commas",
        "postback_ids" => "Ids of postbacks, separated by commas",
        "delivery_id" => "Id of a delivery",
        "lead_id" => "Id of a conversion",
        "click_id" => "Our click id; in the inbound log, as it was sent",
        "txid" => "Transaction id, exactly",
        "attempt_at_least" => "Attempts of this number and later ones",
        "attempt_at_most" => "Attempts of this number and earlier ones",
        "total_us_at_least" => "Attempts that took these microseconds or longer",
        "total_us_at_most" => "Attempts that took these microseconds or shorter",
        "link_ids" => "Ids of links, separated by commas",
        "integration_ids" => "Ids of integrations, separated by commas",
        "actions" => "Names of actions, exactly, separated by commas",
        "countries" => "Countries of the click by ISO 3166-1, such as DE,AT",
        "devices" => "desktop, mobile, tablet, bot, other, separated by commas",
        "partner_clickid" => "The partner's own click id, exactly; not for advertisers",
        "sub1" | "sub2" | "sub3" | "sub4" | "sub5" => "Of the click, exactly; not for advertisers",
        "is_bot" => "Only bots (true) or all but bots (false)",
        "search" => "Any id at hand, exactly, as in the GraphQL list",
        "customer_id" => "The advertiser's own id of the recurring customer, exactly",
        "doors" => "Doors such as s2s, separated by commas",
        "reason_codes" => "Reasons such as unknown_click, separated by commas",
        "http_statuses" => "HTTP codes they were answered with, separated by commas",
        "source_ip" => "IP address they came from, exactly",
        "include_tests" => "true: those of test conversions too",
        "verdicts" => "accepted, duplicate, conflict, quarantined, rejected, separated by commas",
        "request_id" => "The advertiser's own id of the request, exactly",
        "is_test" => "Only tests (true) or only what is real (false)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_described() {
        for dataset in Dataset::ALL {
            for name in names(*dataset) {
                assert!(!about_parameter(name).is_empty(), "{name}");
            }
        }
    }
}
