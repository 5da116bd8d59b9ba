use proptest::prelude::*;

use super::*;
use crate::domain::ids::LeadId;

fn map(entries: &[(&str, &str)]) -> FieldMap {
    let entries: Vec<(String, Vec<String>)> =
        entries.iter().map(|(field, template)| (field.to_string(), vec![template.to_string()])).collect();
    FieldMap::parse(entries.iter().map(|(field, templates)| (field, templates))).unwrap()
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn sent(query: &str) -> Vec<(String, String)> {
    serde_urlencoded::from_str(query).unwrap()
}

fn pairs(translated: &Translated) -> Vec<(&str, &str)> {
    translated.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn foreign_names_become_ours_and_the_rest_is_kept() {
    let map = map(&[("clickid", "{sub1}"), ("status", "approved"), ("fields.player", "{user_id}")]);
    let translated = map.translate(&sent("SUB1=c-1&user_id=7&status=2&currency=EUR&zone=eu&secret=s"), now());
    assert_eq!(
        pairs(&translated),
        [
            ("click_id", "c-1"),
            ("status", "approved"),
            ("fields.player", "7"),
            ("fields.status", "2"),
            ("currency", "EUR"),
            ("zone", "eu"),
        ]
    );
    assert_eq!(translated.errors, []);
}

#[test]
fn the_minute_of_arrival_tells_reports_apart_and_takes_no_parameter() {
    let map = map(&[("request_id", "{click}:{received_minute}")]);
    let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
    let parameters = sent("click=c&received_minute=x");
    let translated = map.translate(&parameters, at("2026-11-21T15:04:59.9Z"));
    assert_eq!(pairs(&translated), [("request_id", "c:2026-11-21T15:04Z"), ("received_minute", "x")]);
    assert_eq!(map.translate(&parameters, at("2026-11-21T15:04:00Z")), translated);
    assert_ne!(map.translate(&parameters, at("2026-11-21T15:05:00Z")), translated);
}

#[test]
fn a_macro_sent_as_it_stands_and_a_contradiction_are_refused() {
    let map = map(&[("click_id", "{sub1}")]);
    for value in ["{sub1}", "##CLICK_ID##", "[click]", "${visit_id}", "%s2%", "<id>"] {
        let translated = map.translate(&[("sub1".to_owned(), value.to_owned())], now());
        assert_eq!(translated.errors[0].code, "unreplaced_macro", "{value}");
    }
    assert_eq!(map.translate(&sent("sub1=a&sub1=b"), now()).errors[0].code, "repeated");
    assert_eq!(map.translate(&sent("sub1=a&sub1=a"), now()).errors, []);
}

#[test]
fn a_map_names_its_faults() {
    let fault = |field: &str, template: &str| {
        let entries = [(field.to_owned(), vec![template.to_owned()])];
        FieldMap::parse(entries.iter().map(|(field, templates)| (field, templates))).unwrap_err().to_string()
    };
    assert!(fault("clik", "{a}").starts_with("field_map.clik: there is no such field"));
    assert!(fault("status", "{a").starts_with("field_map.status: the brace"));
}

#[test]
fn senders_hear_what_they_want_to_hear() {
    let lead_id = LeadId(uuid::Uuid::nil());
    let fixed = Answers {
        success_body: Some("success=true;".into()),
        refusal_code: Some(200),
        refusal_body: Some("success=false;".into()),
        ..Answers::default()
    };
    let accepted = fixed.of(&Verdict::Accepted { lead_id });
    assert_eq!((accepted.code, accepted.body.as_str()), (200, "success=true;"));
    assert_eq!(fixed.of(&Verdict::Quarantined { word: "x".into() }).body, "success=true;");
    let refused = fixed.of(&Verdict::Invalid(vec![]));
    assert_eq!((refused.code, refused.body.as_str()), (200, "success=false;"));
    let plain = Answers::default();
    assert_eq!(plain.of(&Verdict::Invalid(vec![])).code, 422);
    assert_eq!(plain.of(&Verdict::Quarantined { word: "x".into() }).code, 202);
    assert_eq!(plain.of(&Verdict::Duplicate { lead_id }).content_type, "application/json");
}

proptest! {
    /// Whatever is sent, nothing is lost but what a template read and the secret, and no value
    /// is invented.
    #[test]
    fn nothing_is_lost_in_translation(
        parameters in proptest::collection::vec(("[a-z_.]{1,10}", ".{0,20}"), 0..12)
    ) {
        let map = map(&[("click_id", "{sub}"), ("action", "{goal}_{kind}"), ("status", "approved")]);
        let translated = map.translate(&parameters, now());
        for (name, value) in &parameters {
            let is_read = ["sub", "goal", "kind", SECRET_PARAMETER].contains(&name.as_str());
            let is_kept = translated.parameters.iter().any(|(kept_name, kept)| {
                kept == value && (kept_name == name || *kept_name == format!("fields.{name}"))
            });
            prop_assert!(is_read || is_kept, "{name}={value}");
        }
        prop_assert!(translated.parameters.iter().any(|(name, value)| name == "status" && value == "approved"));
    }
}
