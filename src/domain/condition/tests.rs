use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::event::Event;
use crate::domain::facts::EventFacts;
use crate::domain::postback::Owner;
use crate::domain::sample::sample_names;

const ID: &str = "0198d5f0-0000-7000-8000-000000000000";

fn facts() -> EventFacts {
    serde_json::from_value(json!({
        "change_id": ID, "occurred_at": "2026-11-21T00:00:00Z", "advertiser_id": ID, "offer_id": ID,
        "partner_id": ID, "link_id": ID, "click_id": ID, "clickid": "abc", "lead_id": ID,
        "action": "First deposit", "kind": "deposit", "status": "approved", "request_id": "r-1",
        "customer_id": "", "amount": "25.00", "currency": "USD", "payout": "4.5", "payout_currency": "USD",
        "comment": "", "subs": ["tiktok", "", "", "", ""], "country": "DE", "device": "mobile", "ip": "192.0.2.1",
        "user_agent": "", "fields": { "userid": "77", "utm_source": "news", "token": "s3cret" }, "is_test": false,
    }))
    .unwrap()
}

fn judged(condition: &str, facts: &EventFacts) -> Result<(), String> {
    let condition = Condition::parse(condition).unwrap_or_else(|error| panic!("{condition}: {error}"));
    condition
        .judge(&EventMacros {
            event: Event::FirstDeposit,
            facts,
            owner: Owner::Platform,
            names: &sample_names(),
        })
        .map_err(|unmet| unmet.to_string())
}

#[test]
fn what_holds_is_let_through() {
    for condition in [
        "payout >= 4.5 && payout < 5 && payout == 4.50",
        "amount in [10, 25] || false",
        "country in [\"AT\", 'DE'] && geo == country",
        "status == \"approved\" && event == \"ftd\" && kind == \"deposit\" && device != \"bot\"",
        "!is_test && is_test == false && is_test != true",
        "fields.missing == \"\" && !has(fields.missing) && has(fields.userid)",
        "double(fields.userid) > 76.5 && fields[\"userid\"] == '77'",
        "utm_source == \"news\" && utm_medium == \"\" && sub1.startsWith(\"tik\") && sub1.endsWith('tok')",
        "action.lowerAscii().contains(\"deposit\") && action.upperAscii() == 'FIRST DEPOSIT' && size(sub1) == 6",
        "amount - payout * 2 == 16 && amount / 5 == 5 && amount % 10 == 5 && -payout < -4",
        "sub2 in [\"\"] && \"tiktok\" in [sub1, sub2]",
        // What cannot be told does not matter where another part decides.
        "double(sub1) > 1 || amount == 25",
        "timestamp >= 1763683200",
    ] {
        assert_eq!(judged(condition, &facts()), Ok(()), "{condition}");
    }
}

#[test]
fn an_advertiser_is_not_told_what_the_partner_gets() {
    let facts = EventFacts { payout_currency: crate::domain::money::Currency::parse("EUR"), ..facts() };
    let told = |condition: &str, owner| {
        let names = &sample_names();
        let event = EventMacros { event: Event::FirstDeposit, facts: &facts, owner, names };
        let unmet = Condition::parse(condition).unwrap().judge(&event).unwrap_err();
        unmet.to_string().replace(crate::domain::redact::REDACTED, "[redacted]")
    };
    let advertiser = Owner::Advertiser(facts.advertiser_id);
    for (condition, expected) in [
        ("payout >= 10", "not met: payout >= 10 (payout = [redacted])"),
        (
            "payout > 9 || amount > 30",
            "not met: payout > 9 || amount > 30 (payout = [redacted], amount = 25.00)",
        ),
        ("payout_currency == \"USD\"", "not met: payout_currency == \"USD\" (payout_currency = [redacted])"),
        ("amount / (payout - payout) > 1", "not decidable: (amount / (payout - payout)) is divided by zero"),
        ("double(fields.token) > 1", "not decidable: double(fields.token), but [redacted] is not a number"),
        ("currency == \"EUR\"", "not met: currency == \"EUR\" (currency = \"USD\")"),
    ] {
        assert_eq!(told(condition, advertiser), format!("condition {expected}"));
    }
    let partner = Owner::Partner(facts.partner_id);
    assert!(told("payout >= 10", partner).ends_with("(payout = 4.5)"));
    assert!(told("currency == \"USD\"", partner).ends_with("(currency = \"EUR\")"));
    assert!(!told("double(fields.token) > 1", partner).contains("s3cret"));
}

#[test]
fn sums_are_compared_exactly() {
    let mut facts = facts();
    facts.amount = Some("1234567890123456789.123456789".parse().unwrap());
    assert_eq!(judged("amount == 1234567890123456789.123456789", &facts), Ok(()));
    assert!(judged("amount > 1234567890123456789.123456789", &facts).is_err());
    assert_eq!(judged("amount > 1234567890123456789.123456788", &facts), Ok(()));
    facts.amount = Some("0.3".parse().unwrap());
    assert_eq!(judged("amount == 0.1 + 0.2", &facts), Ok(()));
}

#[test]
fn what_does_not_hold_says_which_part_and_by_what_values() {
    for (condition, explanation) in [
        ("payout >= 10", "payout >= 10 (payout = 4.5)"),
        ("amount > 1 && payout >= 10 && country == \"AT\"", "payout >= 10 (payout = 4.5)"),
        (
            "country in [\"AT\", \"CH\"] || sub1 == \"fb\"",
            "country in [\"AT\", \"CH\"] || sub1 == \"fb\" (country = \"DE\", sub1 = \"tiktok\")",
        ),
        ("!(is_test || amount > 1)", "!(is_test || amount > 1) (is_test = false, amount = 25.00)"),
        ("fields.token != 's3cret'", "fields.token != \"s3cret\" (fields.token = [redacted])"),
        ("has(fields.zone)", "has(fields.zone) (fields.zone = \"\")"),
        ("1 > 2", "1 > 2"),
    ] {
        assert_eq!(judged(condition, &facts()), Err(format!("condition not met: {explanation}")));
    }
    let nothing_paid = EventFacts { payout: None, ..facts() };
    assert_eq!(
        judged("payout > 0", &nothing_paid).unwrap_err(),
        "condition not met: payout > 0 (payout = 0, as none is known)"
    );
    let long = EventFacts { comment: "x".repeat(5_000), ..facts() };
    assert!(judged("comment == ''", &long).unwrap_err().len() < 200);
}

#[test]
fn what_cannot_be_told_says_why() {
    for (condition, explanation) in [
        ("double(sub1) > 1", "double(sub1), but \"tiktok\" is not a number"),
        ("amount / (payout - payout) > 1", "(amount / (payout - payout)) is divided by zero (25.00 and 0.0)"),
        (
            "amount * 7000000000000000000000000000.0 > 1",
            "(amount * 7000000000000000000000000000.0) is too large (25.00 and 7000000000000000000000000000.0)",
        ),
    ] {
        assert_eq!(judged(condition, &facts()), Err(format!("condition not decidable: {explanation}")));
    }
}

#[test]
fn what_is_no_condition_is_refused_with_place_and_remedy() {
    let refusals: Vec<String> = [
        "",
        "payout",
        "payout = 10",
        "payout >= 10 AND is_test",
        "is_test or payout > 1",
        "{payout} > 1",
        "payout >",
        "(payout > 1",
        "country == “DE”",
        "payot > 1",
        "field.userid == \"1\"",
        "zone == \"1\"",
        "fields == \"1\"",
        "payout == \"10\"",
        "fields.score > 5",
        "sub1 > \"a\"",
        "status == \"approve\"",
        "event in [\"lead\", \"deposit\"]",
        "country == \"Germany\"",
        "is_test > true",
        "payout && is_test",
        "country in \"DE\"",
        "[1, 2].exists(x, x > payout)",
        "payout > 1 ? true : false",
        "sub1.matches(\"a+\")",
        "sub1 == null",
        "payout > 99999999999999999999999999999999",
    ]
    .iter()
    .map(|text| format!("{text}\n    {}", Condition::parse(text).unwrap_err()))
    .collect();
    insta::assert_snapshot!(refusals.join("\n"));
    let deep = format!("{}payout > 1{}", "!(".repeat(200), ")".repeat(200));
    assert!(Condition::parse(&deep).is_err());
    assert!(Condition::parse(&format!("sub1 == '{}'", "x".repeat(MAX_CHARS))).is_err());
}

/// Text that is a condition more often than chance would have it.
fn text() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "payout",
        "amount",
        "country",
        "sub1",
        "fields.userid",
        "fields[\"a b\"]",
        "utm_source",
        "is_test",
        "true",
        "\"DE\"",
        "'x'",
        "10",
        "-2.5",
        "1e3",
        "0x1F",
        "5u",
        "\"\\u00e9\"",
        "[\"DE\", \"AT\"]",
        "[1, 2.5]",
        "(",
        ")",
        "&&",
        "||",
        "!",
        "==",
        "!=",
        "<",
        ">=",
        "in",
        "+",
        "-",
        "*",
        "/",
        "%",
        "?",
        ":",
        ".contains(",
        "size(",
        "double(",
        "has(",
        ",",
        ".lowerAscii()",
        "{",
        "}",
        "\"",
        "é",
        "\n",
        "status",
        "event",
        "AND",
    ]);
    prop_oneof![
        ".{0,80}",
        prop::collection::vec(word, 0..12).prop_map(|words| words.join(" ")),
        comparisons(),
    ]
}

fn comparisons() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "payout >= 10",
        "country in [\"DE\"]",
        "!is_test",
        "double(sub1) > 1",
        "amount / payout < 3.5",
        "fields.a == sub2",
        "sub1.contains('\\n')",
        "size(comment) == 0",
        "is_test == (payout > 1)",
        "-(amount) != 1 - -2",
        "has(fields.a)",
        "fields[\"a \\\"b\"] != 'c'",
        "timestamp in [1, amount]",
    ]);
    let leaf = part.prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} && {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_and_no_facts_make_it_panic(
        text in text(),
        value in ".{0,30}",
        amount in prop::option::of((any::<i64>(), 0u32..28)),
        lacks_payout: bool,
    ) {
        if let Ok(condition) = Condition::parse(&text) {
            let facts = EventFacts {
                subs: [value.clone(), value.clone(), String::new(), String::new(), value.clone()],
                fields: [("userid".to_owned(), value.clone())].into(),
                comment: value,
                amount: amount.map(|(number, scale)| rust_decimal::Decimal::new(number, scale)),
                payout: (!lacks_payout).then_some(rust_decimal::Decimal::MAX),
                ..facts()
            };
            let _ = condition.judge(&EventMacros { event: Event::Sale, facts: &facts, owner: Owner::Platform, names: &sample_names() });
        }
    }

    #[test]
    fn written_out_it_is_the_same_condition(text in comparisons()) {
        let condition = Condition::parse(&text).unwrap();
        let written = condition.test.to_string();
        let again = Condition::parse(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
        prop_assert_eq!(again.test, condition.test, "{}", written);
    }
}
