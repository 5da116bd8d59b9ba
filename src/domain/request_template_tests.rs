use std::borrow::Cow;

use super::*;
use crate::domain::request_settings::*;
use crate::domain::success_rule::{Check, Otherwise, RuleSettings};

/// What was sent in, as hostile as it comes.
struct Hostile;

impl MacroValues for Hostile {
    fn value(&self, name: &str) -> Cow<'_, str> {
        match name {
            "clickid" => "a b&\"c\\\r\nX: y".into(),
            "amount" => "25.005".into(),
            "status" => "approved".into(),
            "datetime" => "2025-08-04T12:00:00.000Z".into(),
            "comment" => "".into(),
            _ => "v".into(),
        }
    }

    fn secret(&self) -> Option<&[u8]> {
        Some(b"secret")
    }
}

fn shown(request: &RenderedRequest) -> String {
    let mut shown = format!("{} {}\n", request.method.code(), request.url);
    for (name, value) in &request.headers {
        shown += &format!("{name}: {value}\n");
    }
    format!("{shown}\n{}", request.body)
}

fn rendered(settings: &RequestSettings) -> String {
    let rendering = settings.compile().unwrap().0.render(&Hostile);
    assert_eq!(rendering.skip, []);
    shown(&rendering.request)
}

fn post(kind: BodyKind, body: &str) -> RequestSettings {
    RequestSettings {
        method: Method::Post,
        body_kind: kind,
        body_template: body.into(),
        ..RequestSettings::get("https://t.example/{clickid}?s={status|map:approve=sale}#{clickid}")
    }
}

#[test]
fn a_form_request() {
    let settings = RequestSettings {
        headers: vec![HeaderSetting { name: "X-Click".into(), value: "id {clickid|raw}".into() }],
        ..post(BodyKind::Form, "cid={clickid}&sum={amount|round:2}&c={comment|default:none}")
    };
    insta::assert_snapshot!(rendered(&settings), @r#"
    POST https://t.example/a%20b%26%22c%5C%0D%0AX%3A%20y?s=sale#a%20b%26%22c%5C%0D%0AX%3A%20y
    content-type: application/x-www-form-urlencoded
    X-Click: id a b&"c\  X: y

    cid=a%20b%26%22c%5C%0D%0AX%3A%20y&sum=25.01&c=none
    "#);
}

#[test]
fn a_json_request() {
    let settings = RequestSettings {
        method: Method::Put,
        ..post(
            BodyKind::Json,
            r#"{"id":"{clickid}","sum":{amount},"note":{comment},"day":"{datetime|date:%F}"}"#,
        )
    };
    insta::assert_snapshot!(rendered(&settings), @r#"
    PUT https://t.example/a%20b%26%22c%5C%0D%0AX%3A%20y?s=sale#a%20b%26%22c%5C%0D%0AX%3A%20y
    content-type: application/json

    {"id":"a b&\"c\\\r\nX: y","sum":25.005,"note":null,"day":"2025-08-04"}
    "#);
}

#[test]
fn a_raw_request() {
    let settings = RequestSettings {
        content_type: Some("application/xml".into()),
        ..post(BodyKind::Raw, "<status>{status}</status><tag>{amount|hmac}</tag>")
    };
    insta::assert_snapshot!(rendered(&settings), @"
    POST https://t.example/a%20b%26%22c%5C%0D%0AX%3A%20y?s=sale#a%20b%26%22c%5C%0D%0AX%3A%20y
    content-type: application/xml

    <status>approved</status><tag>284523686d1a1d8b0b40adb34168454c71bf575ac709be21af477a0631522554</tag>
    ");
}

#[test]
fn all_faults_are_told_at_once_by_field() {
    let header = |name: &str, value: &str| HeaderSetting { name: name.into(), value: value.into() };
    let settings = RequestSettings {
        method: Method::Get,
        url_template: "https://t.example/?c={clikid}".into(),
        headers: vec![
            header("X-A", "fine"),
            header("Host", "evil.example"),
            header("x-a", "{payot}"),
            header("bad name", "a\nb"),
        ],
        body_kind: BodyKind::Json,
        body_template: "{".into(),
        content_type: Some("nonsense".into()),
        required_macros: vec!["clickid".into(), "clikid".into()],
        success_rules: vec![RuleSettings {
            check: Check::Matches,
            text: "(".into(),
            pointer: None,
            otherwise: Otherwise::Fail,
        }],
    };
    let faults = settings.compile().unwrap_err();
    let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "url_template",
            "headers[1].name",
            "headers[2].name",
            "headers[2].value",
            "headers[3].name",
            "headers[3].value",
            "body_kind",
            "body_template",
            "content_type",
            "required_macros[1]",
            "success_rules[0].text"
        ]
    );
    assert_eq!(faults[0].message, "the macro {clikid} does not exist; did you mean {clickid}?");
    assert_eq!(faults[1].message, "host is not yours to set: it is the URL's host");
}

#[test]
fn what_is_unfit_says_why() {
    struct Nothing;
    impl MacroValues for Nothing {
        fn value(&self, _: &str) -> Cow<'_, str> {
            "".into()
        }
    }
    let settings = RequestSettings {
        required_macros: vec!["txid".into()],
        ..RequestSettings::get("https://t.example/?c={clickid|default:x}&h={amount|hmac}&c2={clickid}")
    };
    let (template, _) = settings.compile().unwrap();
    let reasons: Vec<String> = template.render(&Nothing).skip.iter().map(SkipReason::to_string).collect();
    assert_eq!(
        reasons,
        [
            "the required macro {txid} is empty",
            "the filter hmac needs a secret of the postback, and it has none"
        ]
    );
    assert_eq!(template.empty_macros(&Nothing), ["clickid", "amount", "txid"]);

    struct Long;
    impl MacroValues for Long {
        fn value(&self, _: &str) -> Cow<'_, str> {
            "x".repeat(40_000).into()
        }
    }
    let (template, _) = RequestSettings::get("https://t.example/?c={clickid}").compile().unwrap();
    let skip = template.render(&Long).skip;
    assert!(matches!(skip[..], [SkipReason::TooLong { what: "URL", .. }]), "{skip:?}");
}

#[test]
fn a_change_leaves_the_rest_and_lets_go_of_a_body() {
    let before =
        RequestSettings { content_type: Some("application/xml".into()), ..post(BodyKind::Raw, "<a/>") };
    let change = RequestChange { method: Some(Method::Put), ..RequestChange::default() };
    assert_eq!(change.over(before.clone()), RequestSettings { method: Method::Put, ..before.clone() });
    let change = RequestChange {
        method: Some(Method::Get),
        body_kind: Some(BodyKind::None),
        ..RequestChange::default()
    };
    assert_eq!(change.over(before.clone()), RequestSettings::get(before.url_template));
}

#[test]
fn foreign_notation_is_read_in_every_setting() {
    let mut settings = RequestSettings {
        headers: vec![HeaderSetting { name: "X-Id".into(), value: "[lead_id]".into() }],
        required_macros: vec!["{cid}".into()],
        ..post(BodyKind::Json, r#"{"sum":"${sum}","a":[1]}"#)
    };
    settings.url_template = "https://t.example/?c={{clickid}}".into();
    let translated = settings.translate().unwrap();
    assert_eq!(settings.url_template, "https://t.example/?c={clickid}");
    assert_eq!(settings.headers[0].value, "{lead_id}");
    assert_eq!(settings.body_template, r#"{"sum":"{payout}","a":[1]}"#);
    assert_eq!(settings.required_macros, ["clickid"]);
    let fields: Vec<&str> = translated.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(fields, ["url_template", "headers[0].value", "body_template", "required_macros[0]"]);
    settings.compile().unwrap();
}
