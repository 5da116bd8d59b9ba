use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::condition::Condition;
use crate::domain::event::status_event;
use crate::domain::facts::{EventFacts, EventMacros, POSTBACK_MACROS};
use crate::domain::party_names::NO_NAMES;
use crate::domain::postback::Owner;
use crate::domain::status::Status;
use crate::domain::template::{MacroValues, UrlTemplate};
use crate::presets::inbound;

const ID: &str = "0198d5f0-0000-7000-8000-000000000000";

fn facts() -> EventFacts {
    serde_json::from_value(json!({
        "change_id": ID, "occurred_at": "2026-11-21T00:00:00Z", "advertiser_id": ID, "offer_id": ID,
        "partner_id": ID, "link_id": ID, "click_id": ID, "clickid": "click 1", "lead_id": ID, "action": "sale",
        "kind": "sale", "kind_event": "sale", "status": "approved", "request_id": "order-1", "customer_id": "", "amount": "25.00",
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
            assert!(
                !postback.events.is_empty() && !postback.request.url_template.contains('<'),
                "{}",
                preset.system
            );
            if let Some(condition) = &postback.condition {
                Condition::parse(condition).unwrap();
            }
            postback.request.compile().unwrap_or_else(|faults| panic!("{}: {faults:?}", preset.system));
            assert_eq!(postback.request.required_macros[0], preset.link.parameter, "{}", preset.system);
            assert!(postback.request.url_template.contains(&format!("{{{}}}", preset.link.parameter)));
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
            let template = UrlTemplate::parse(&postback.request.url_template, POSTBACK_MACROS)
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
                let url = template.render(&EventMacros {
                    event,
                    facts: &facts,
                    owner: Owner::Platform,
                    names: &NO_NAMES,
                });
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

/// What a postback of a preset asks for, as an event comes with a status; `None` where it is not told.
fn told(postback: &PlannedPostback, event: Event, facts: &EventFacts) -> Option<String> {
    let macros = EventMacros { event, facts, owner: Owner::Platform, names: &NO_NAMES };
    let admits = |condition: &String| Condition::parse(condition).unwrap().judge(&macros).is_ok();
    let hears = postback.events.contains(&event) && postback.condition.as_ref().is_none_or(admits);
    hears
        .then(|| UrlTemplate::parse(&postback.request.url_template, POSTBACK_MACROS).unwrap().render(&macros))
}

/// The ways a conversion can go: its first status, and the one it changes to.
const WAYS: [(Status, Option<Status>); 6] = [
    (Status::Approved, None),
    (Status::Hold, None),
    (Status::Rejected, None),
    (Status::Hold, Some(Status::Approved)),
    (Status::Hold, Some(Status::Rejected)),
    (Status::Approved, Some(Status::Rejected)),
];

/// Everything a preset's postbacks ask for while a conversion of a sort goes its way.
fn told_along(
    preset: &OutboundPreset,
    kind_event: Event,
    (first, then): (Status, Option<Status>),
) -> Vec<(Status, String)> {
    // Prosper202 counts no other click ids.
    let facts = EventFacts { clickid: "4711".into(), kind_event: Some(kind_event), ..facts() };
    let new = [(kind_event, first), (status_event(first), first)];
    let changed = then.map(|status| (status_event(status), status));
    let is_asked_for = |value: &&PresetValue| value.kind != ValueKind::Added;
    let values = preset.values.iter().filter(is_asked_for);
    let values = values.map(|value| (value.name.clone(), value.example.clone())).collect();
    let postbacks = preset.postbacks(&values, None).unwrap();
    let mut requests = Vec::new();
    for (event, status) in new.into_iter().chain(changed) {
        let facts = EventFacts { status: Some(status), ..facts.clone() };
        let urls = postbacks.iter().filter_map(|postback| told(postback, event, &facts));
        requests.extend(urls.map(|url| (status, url)));
    }
    requests
}

#[test]
fn every_preset_tells_every_status_and_no_sum_that_is_not_paid() {
    let mut story = String::new();
    for preset in outbound() {
        let system = &preset.system;
        let mut hears_of_any = false;
        for kind_event in Event::KIND_EVENTS {
            for way in WAYS {
                let requests = told_along(preset, *kind_event, way);
                hears_of_any |= !requests.is_empty();
                let queries: Vec<&str> =
                    requests.iter().map(|(_, url)| url.split_once('?').unwrap().1).collect();
                let (first, then) = (way.0.code(), way.1.map_or("", Status::code));
                story += &format!("{system} {} {first} {then}\n", kind_event.code());
                queries.iter().for_each(|query| story += &format!("  {query}\n"));
                let mut steps = vec![way.0];
                steps.extend(way.1);
                // One request a step at most: a second would be a conversion more.
                assert!(steps.iter().all(|step| requests.iter().filter(|(at, _)| at == step).count() <= 1));
                for (status, url) in &requests {
                    // A sum comes with the word of a status, unless it is due.
                    let words = ["lead", "rejected", "hold", "Pending", "Declined"];
                    let says_so = words.iter().any(|word| {
                        ["status", "cnv_status"].iter().any(|name| url.contains(&format!("{name}={word}")))
                    });
                    assert!(*status == Status::Approved || says_so, "{system}: {status:?} {url}");
                }
            }
        }
        assert!(hears_of_any, "{system}");
    }
    insta::assert_snapshot!(story);
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
    assert!(
        postbacks[0].request.url_template.ends_with("&clickid={sub3}"),
        "{}",
        postbacks[0].request.url_template
    );
    let postbacks = preset.postbacks(&values, Some("ref")).unwrap();
    assert!(
        postbacks[0].request.url_template.ends_with("&clickid={fields.ref}"),
        "{}",
        postbacks[0].request.url_template
    );
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
fn any_parameter_of_the_link_can_carry_the_click_id() {
    for name in ["clickid", "sub3", "click-id", "a.b", "in", "2nd", "x_y"] {
        for preset in outbound() {
            for postback in preset.postbacks(&examples(preset), Some(name)).unwrap() {
                postback.request.compile().unwrap();
                let required = &postback.request.required_macros[0];
                assert!(postback.request.url_template.contains(&format!("{{{required}}}")), "{name}");
                let facts = EventFacts {
                    clickid: "7".into(),
                    subs: ["", "", "7", "", ""].map(str::to_owned),
                    fields: [(name.to_owned(), "7".to_owned())].into(),
                    kind_event: Some(Event::Sale),
                    ..facts()
                };
                let macros = EventMacros {
                    event: Event::Approve,
                    facts: &facts,
                    owner: Owner::Platform,
                    names: &NO_NAMES,
                };
                assert_eq!(macros.value(required), "7", "{name}");
                let condition = postback.condition.map(|text| Condition::parse(&text).unwrap());
                if let Some(condition) = condition.filter(|text| text.source().contains("double")) {
                    assert_eq!(condition.judge(&macros), Ok(()), "{name}");
                }
            }
        }
    }
}

#[test]
fn a_preset_can_say_everything_of_a_request() {
    let text = r#"
        name = "All"
        events = ["approve"]
        url = "<domain>/in?cid=<click>"
        method = "POST"
        required = ["txid"]
        headers = [{ name = "x-key", value = "<key>" }]
        body = { kind = "json", template = "{\"id\":\"<click>\"}" }
        success = [{ check = "contains", text = "OK", otherwise = "fail" }]
    "#;
    let definition: PostbackDefinition = toml::from_str(text).unwrap();
    let values =
        [("domain", "https://t.example"), ("key", "k1"), ("click", "{sub4}"), ("click_name", "sub4")];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let request = definition.request(&values, &[]);
    request.compile().unwrap();
    assert_eq!((request.method, request.body_kind), (Method::Post, BodyKind::Json));
    assert_eq!(request.required_macros, ["sub4", "txid"]);
    assert_eq!(
        (request.headers[0].value.as_str(), request.body_template.as_str()),
        ("k1", r#"{"id":"{sub4}"}"#)
    );
    assert_eq!(request.success_rules.len(), 1);
}

#[test]
fn a_parameter_is_added_where_it_is_given() {
    let voluum = outbound_of("Voluum").unwrap();
    let url = |values: &[(&str, &str)]| {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        voluum.postbacks(&values, None).unwrap()[0].request.url_template.clone()
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
        "uuid: Keitaro does not ask for this; it asks for domain, key, cost, return, \
         sub_id_1–sub_id_15"
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
            in_ranges(values.map(|value| value.name.as_str())).join(", ")
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

/// With `UPDATE_DOCS=1` the table is written instead of compared.
#[test]
fn the_documented_table_is_that_of_the_files() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/presets.md");
    let text = std::fs::read_to_string(&path).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let (before, _) = text.split_once("| system | direction |").unwrap();
        std::fs::write(&path, format!("{before}{}", table())).unwrap();
    } else {
        assert!(text.contains(&table()), "docs/presets.md is out of date; run this test with UPDATE_DOCS=1");
    }
}

proptest! {
    #[test]
    fn no_value_gets_out_of_its_place(text in "[ -~é]{0,30}") {
        let preset = outbound_of("RedTrack").unwrap();
        let values = [("domain".to_owned(), "t.example".to_owned()), ("type".to_owned(), text)].into();
        if let Ok(postbacks) = preset.postbacks(&values, None) {
            for postback in postbacks {
                let template = UrlTemplate::parse(&postback.request.url_template, POSTBACK_MACROS).unwrap();
                let url = Url::parse(&template.render(&EventMacros { event: Event::Approve, facts: &facts(), owner: Owner::Platform, names: &NO_NAMES })).unwrap();
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
