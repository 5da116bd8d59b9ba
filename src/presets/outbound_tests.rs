use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::condition::Condition;
use crate::domain::facts::{EventFacts, EventMacros, POSTBACK_MACROS};
use crate::domain::postback::Owner;
use crate::domain::status::Status;
use crate::domain::template::UrlTemplate;
use crate::presets::inbound;

const ID: &str = "0198d5f0-0000-7000-8000-000000000000";

fn facts() -> EventFacts {
    serde_json::from_value(json!({
        "change_id": ID, "occurred_at": "2026-11-21T00:00:00Z", "advertiser_id": ID, "offer_id": ID,
        "partner_id": ID, "link_id": ID, "click_id": ID, "clickid": "click 1", "lead_id": ID, "action": "sale",
        "kind": "sale", "status": "approved", "request_id": "order-1", "customer_id": "", "amount": "25.00",
        "currency": "USD", "payout": "10.50", "payout_currency": "EUR", "comment": "",
        "subs": ["", "", "", "sub&4", ""], "country": "DE", "device": "mobile", "ip": "192.0.2.1",
        "user_agent": "", "tracker": "trID_66013#-#t#-#click 1#-#_trID", "fields": {}, "is_test": false,
    }))
    .unwrap()
}

fn examples(preset: &OutboundPreset) -> BTreeMap<String, String> {
    preset.values.iter().map(|value| (value.name.clone(), value.example.clone())).collect()
}

#[test]
fn every_file_is_listed_and_every_definition_can_be_used() {
    files::assert_all_are_listed::<OutboundPreset>(FILES);
    for preset in outbound() {
        assert_eq!(outbound_of(&preset.system.to_lowercase()).unwrap().source, preset.source);
        for value in &preset.values {
            let fits = |text: &str| value.kind.read(text).is_some();
            assert!(fits(&value.example), "{}: {}", preset.system, value.example);
            assert!(value.default.as_deref().is_none_or(fits), "{}: {}", preset.system, value.name);
        }
        for postback in preset.postbacks(&examples(preset), None).unwrap() {
            assert!(!postback.events.is_empty() && !postback.url_template.contains('<'), "{}", preset.system);
            if let Some(condition) = postback.condition {
                Condition::parse(&condition).unwrap();
            }
        }
    }
}

#[test]
fn every_preset_renders_as_its_system_reads_it() {
    let facts = facts();
    let mut rendered = String::new();
    for preset in outbound() {
        rendered += &format!("{}\n", preset.system);
        for postback in preset.postbacks(&examples(preset), None).unwrap() {
            let template = UrlTemplate::parse(&postback.url_template, POSTBACK_MACROS)
                .unwrap_or_else(|error| panic!("{}: {error}", preset.system));
            let condition =
                postback.condition.map(|condition| format!(" if {condition}")).unwrap_or_default();
            for event in postback.events {
                let status = match event {
                    Event::Hold => Status::Hold,
                    Event::Reject => Status::Rejected,
                    _ => Status::Approved,
                };
                let facts = EventFacts { status: Some(status), ..facts.clone() };
                let url = template.render(&EventMacros { event, facts: &facts, owner: Owner::Platform });
                rendered += &format!("  {} on {}{condition}\n    {url}\n", postback.name, event.code());
            }
        }
        let link = preset
            .registration_link("https://hub.example/click/L", &examples(preset), None, None, &[])
            .unwrap();
        rendered += &format!("  link {link}\n");
    }
    insta::assert_snapshot!(rendered);
}

#[test]
fn the_link_keeps_foreign_macros_and_encodes_the_rest() {
    let preset = outbound_of("chatterfy").unwrap();
    let values = [("uuid".to_owned(), ID.to_owned())].into();
    let extras = [("fields.userid".to_owned(), "{user_id}".to_owned()), ("source".into(), "a b&c".into())];
    let link = preset.registration_link("https://hub.example/click/L", &values, Some("sub3"), None, &extras);
    assert_eq!(
        link.unwrap(),
        "https://hub.example/click/L?sub3={{tracker.clickid}}&fields.userid={user_id}&source=a%20b%26c"
    );
    let postbacks = preset.postbacks(&values, Some("sub3")).unwrap();
    assert!(postbacks[0].url_template.ends_with("&clickid={sub3}"), "{}", postbacks[0].url_template);
    let postbacks = preset.postbacks(&values, Some("ref")).unwrap();
    assert!(postbacks[0].url_template.ends_with("&clickid={fields.ref}"), "{}", postbacks[0].url_template);
    let taken = [("sub3".to_owned(), "x".to_owned())];
    let error = preset.registration_link("/click/L", &values, Some("sub3"), None, &taken).unwrap_err();
    assert_eq!(error.to_string(), "sub3: sub3 carries the click id already; choose another parameter");
    for (value, written) in [
        ("##CLICK_ID##-[sub]-%id%-<x>-${y}-#s2#", "##CLICK_ID##-[sub]-%id%-<x>-${y}-#s2#"),
        ("trID_1#-##-#{clickid}#-#_trID", "trID_1%23-%23%23-%23{clickid}%23-%23_trID"),
        ("{not a macro} 50% [1]", "%7Bnot%20a%20macro%7D%2050%25%20%5B1%5D"),
    ] {
        assert_eq!(encoded_around_macros(value), written);
    }
}

#[test]
fn a_parameter_is_added_where_it_is_given() {
    let voluum = outbound_of("Voluum").unwrap();
    let url = |values: &[(&str, &str)]| {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        voluum.postbacks(&values, None).unwrap()[0].url_template.clone()
    };
    let plain = url(&[("domain", "t.example")]);
    assert!(plain.ends_with("&currency={currency}"), "{plain}");
    let with = url(&[("domain", "t.example"), ("et", "first deposit"), ("param1", "{fields.user}")]);
    assert_eq!(with, format!("{plain}&et=first%20deposit&param1={{fields.user}}"));
}

#[test]
fn a_wrong_value_is_refused_with_an_example() {
    let keitaro = outbound_of("Keitaro").unwrap();
    let refusal = |values: &[(&str, &str)]| {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        keitaro.postbacks(&values, None).unwrap_err().to_string()
    };
    assert_eq!(refusal(&[("key", "k")]), "domain: The tracker's domain; write one such as tracker.example");
    for domain in
        ["t.example/path", "https://u:p@t.example", "ftp://t.example", "a b", "{clickid}.example", ""]
    {
        assert!(refusal(&[("domain", domain), ("key", "k")]).starts_with("domain: "), "{domain}");
    }
    for key in ["a/b", "{clickid}", "a?b", ""] {
        assert!(refusal(&[("domain", "t.example"), ("key", key)]).starts_with("key: "), "{key}");
    }
    assert_eq!(
        refusal(&[("domain", "t.example"), ("key", "k"), ("uuid", "1")]),
        "uuid: Keitaro does not ask for this; it asks for domain, key, cost, return, sub_id_1, sub_id_2, sub_id_3, \
         sub_id_4, sub_id_5"
    );
    let values = [("domain".to_owned(), "t.example".to_owned()), ("key".to_owned(), "k".to_owned())].into();
    assert!(keitaro.postbacks(&values, Some("a b")).is_err());
}

/// What docs/presets.md has to show.
fn table() -> String {
    let mark = |verified: Verified| match verified {
        Verified::Vendor => "yes",
        Verified::Code => "no: public code",
        Verified::ThirdParty => "no: third parties",
    };
    let told = outbound().iter().map(|preset| {
        let names_of = |is_added: bool| {
            let values = preset.values.iter().filter(|value| (value.kind == ValueKind::Added) == is_added);
            values.map(|value| value.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let added = names_of(true);
        let added = if added.is_empty() { added } else { format!("; adds {added} where given") };
        let names: Vec<&str> = preset.postbacks.iter().map(|postback| postback.name.as_str()).collect();
        (
            &preset.system,
            "told",
            format!("{} (asks for {}{added})", names.join(", "), names_of(false)),
            &preset.source,
            preset.verified,
        )
    });
    let tells = inbound().iter().map(|preset| {
        let events: Vec<&str> = preset.urls.keys().map(String::as_str).collect();
        (&preset.system, "tells us", events.join(", "), &preset.source, preset.verified)
    });
    let rows = told.chain(tells).map(|(system, direction, what, source, verified)| {
        format!("| {system} | {direction} | {what} | {source} | {} |\n", mark(verified))
    });
    format!(
        "| system | direction | what | source | verified |\n|---|---|---|---|---|\n{}",
        rows.collect::<String>()
    )
}

#[test]
fn the_documented_table_is_that_of_the_files() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/presets.md");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(&table()), "docs/presets.md has to hold this table:\n{}", table());
}

proptest! {
    #[test]
    fn no_value_gets_out_of_its_place(text in "[ -~é]{0,30}") {
        let preset = outbound_of("RedTrack").unwrap();
        let values = [("domain".to_owned(), "t.example".to_owned()), ("type".to_owned(), text)].into();
        if let Ok(postbacks) = preset.postbacks(&values, None) {
            for postback in postbacks {
                let template = UrlTemplate::parse(&postback.url_template, POSTBACK_MACROS).unwrap();
                let url = Url::parse(&template.render(&EventMacros { event: Event::Approve, facts: &facts(), owner: Owner::Platform })).unwrap();
                prop_assert_eq!(url.query_pairs().count(), 4);
                prop_assert_eq!(url.host_str(), Some("t.example"));
            }
        }
    }

    #[test]
    fn a_link_has_no_parameters_but_its_own(value in ".{0,30}") {
        let link = link_with("https://hub.example/click/L", &[("a".into(), value), ("b".into(), "1".into())]);
        prop_assert!(link.ends_with("&b=1"));
        prop_assert_eq!(link.matches('&').count(), 1);
    }
}
