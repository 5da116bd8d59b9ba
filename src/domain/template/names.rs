//! Names of macros: ours, and what other systems call the same thing.

use super::FIELDS_PREFIX;

/// What other systems call our macros; read when a template is entered, never later. Case does
/// not count. The table in `docs/postbacks.md` is tested against this one.
pub const ALIASES: &[(&str, &[&str])] = &[
    (
        "clickid",
        &[
            "cid",
            "subid",
            "sub_id",
            "transaction_id",
            "externalid",
            "external_id",
            "aff_click_id",
            "tracker.clickid",
        ],
    ),
    ("txid", &["tid", "transaction", "transactionid", "order_id", "orderid", "tracker.tid"]),
    ("amount", &["price", "sale_amount", "order_sum", "tracker.cost"]),
    // Affise's `{sum}` is what its affiliate gets, and trackers have it for that.
    ("payout", &["sum", "revenue", "reward", "commission", "conversion_revenue"]),
    ("currency", &["cur", "currency_code", "tracker.currency"]),
    ("amount_currency", &["price_currency", "sale_currency", "order_currency"]),
    ("payout_currency", &["revenue_currency", "commission_currency"]),
    ("action", &["goal", "goal_name"]),
    ("event", &["event_name", "event_type", "tracker.event"]),
    ("status", &["conversion_status", "lead_status"]),
    ("old_status", &["previous_status"]),
    ("lead_id", &["leadid", "conversion_id"]),
    ("customer_id", &["customer", "player_id"]),
    ("offer_id", &["offer", "offerid"]),
    ("partner_id", &["partner", "aff_id", "affiliate_id", "affid"]),
    ("advertiser_id", &["advertiser", "adv_id"]),
    // Affise's, of its cross-postbacks; its `{offer_name}` is ours.
    ("partner_name", &["affiliate_name"]),
    ("country", &["country_code"]),
    ("device", &["device_type"]),
    ("ip", &["ip_address", "user_ip"]),
    ("user_agent", &["ua", "useragent", "uagent"]),
    ("timestamp", &["unixtime", "unix_time"]),
    ("datetime", &["date_time"]),
    ("sub1", &["subid1", "sub_id1", "sub_id_1", "aff_sub", "aff_sub1", "s1"]),
    ("sub2", &["subid2", "sub_id2", "sub_id_2", "aff_sub2", "s2"]),
    ("sub3", &["subid3", "sub_id3", "sub_id_3", "aff_sub3", "s3"]),
    ("sub4", &["subid4", "sub_id4", "sub_id_4", "aff_sub4", "s4"]),
    ("sub5", &["subid5", "sub_id5", "sub_id_5", "aff_sub5", "s5"]),
];

/// Whether a template may name it: on the list `known`, or a custom field.
pub(super) fn is_known(name: &str, known: &[&str]) -> bool {
    known.contains(&name) || is_field(name)
}

pub(super) fn is_field(name: &str) -> bool {
    name.strip_prefix(FIELDS_PREFIX).is_some_and(|field| !field.is_empty())
}

/// Our name of what somebody calls `name`; `None` where we know no such thing.
pub fn canonical(name: &str, known: &[&'static str]) -> Option<String> {
    if is_known(name, known) {
        return Some(name.to_owned());
    }
    let lower = name.to_ascii_lowercase();
    if known.contains(&lower.as_str()) {
        return Some(lower);
    }
    if is_field(&lower) {
        return Some(format!("{FIELDS_PREFIX}{}", &name[FIELDS_PREFIX.len()..]));
    }
    // What came with the click, by the name it has in a landing URL.
    if lower.starts_with("utm_") && lower.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Some(format!("{FIELDS_PREFIX}{lower}"));
    }
    let (ours, _) = ALIASES.iter().find(|(_, aliases)| aliases.contains(&lower.as_str()))?;
    known.contains(ours).then(|| (*ours).to_owned())
}

/// The macro that was meant, where one is much like `name`.
pub fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    similar(name, known, 0.8)
}

/// How like a macro's name a bracketed word must be to be taken for a slip of the pen.
const SLIP: f64 = 0.93;

/// The macro that `name` is a slip of the pen for.
pub(super) fn slip_of(name: &str, known: &[&'static str]) -> Option<&'static str> {
    similar(name, known, SLIP)
}

fn similar(name: &str, known: &[&'static str], least: f64) -> Option<&'static str> {
    let name = name.to_lowercase();
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&name, candidate), *candidate))
        .filter(|(similarity, _)| *similarity > least)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::facts::POSTBACK_MACROS;

    #[test]
    fn every_alias_has_one_meaning_and_hides_no_macro() {
        let mut seen = std::collections::HashSet::new();
        for (ours, aliases) in ALIASES {
            assert!(POSTBACK_MACROS.contains(ours), "{ours}");
            for alias in *aliases {
                assert!(seen.insert(*alias), "{alias} stands twice");
                assert!(!POSTBACK_MACROS.contains(alias), "{alias} is a macro");
                assert_eq!(*alias, alias.to_lowercase());
                assert_eq!(canonical(&alias.to_uppercase(), POSTBACK_MACROS).as_deref(), Some(*ours));
            }
        }
    }

    #[test]
    fn names_are_found_whatever_their_case() {
        assert_eq!(canonical("ClickID", POSTBACK_MACROS).as_deref(), Some("clickid"));
        assert_eq!(canonical("Fields.UserId", POSTBACK_MACROS).as_deref(), Some("fields.UserId"));
        assert_eq!(canonical("fields.", POSTBACK_MACROS), None);
        assert_eq!(canonical("sum", &["clickid"]), None, "an alias of what may not stand here");
        assert_eq!(canonical("UTM_Source", POSTBACK_MACROS).as_deref(), Some("fields.utm_source"));
        assert_eq!(canonical("utm_source", &["utm_source"]).as_deref(), Some("utm_source"));
    }
}
