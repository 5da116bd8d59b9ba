use proptest::prelude::*;

use super::*;

fn values(text: &str) -> Vec<String> {
    Composite::revshare().parse(text).unwrap()
}

#[test]
fn a_composite_is_taken_apart_and_put_together() {
    for (text, expected) in [
        ("trID_AFF#-#TRANS#-#CLICK#-#ANY_trID", ["AFF", "TRANS", "CLICK", "ANY"]),
        ("trID_#-##-##-#_trID", ["", "", "", ""]),
        ("trID_AFF#-##-#c-1#-#_trID", ["AFF", "", "c-1", ""]),
        ("trID_a b#-#ü#-#%23#-#trID__trID_trID", ["a b", "ü", "%23", "trID__trID"]),
    ] {
        assert_eq!(values(text), expected, "{text}");
        assert_eq!(Composite::revshare().rebuild(&expected), text);
    }
}

#[test]
fn too_much_encoding_is_taken_off() {
    for text in [
        "trID_A%23-%23B%23-%23C%23-%23D_trID",
        "trID_A%2523-%2523B%2523-%2523C%2523-%2523D_trID",
        " trID_A#-#B#-#C#-#D_trID ",
        "trID_A%23-%23B%23-%23C%23-%23D_trID ",
    ] {
        assert_eq!(values(text), ["A", "B", "C", "D"], "{text}");
    }
    assert_eq!(values("trID_A+1%23-%23B%20%2B%23-%23C%23-%23_trID"), ["A 1", "B +", "C", ""]);
    let plus =
        Composite { separator: "+++".into(), fields: vec!["a".into(), "b".into()], ..Composite::pps() };
    assert_eq!(plus.parse("trID_1   2_trID").unwrap(), ["1", "2"]);
}

#[test]
fn what_is_cut_or_wrong_says_what_is_wrong() {
    let fault = |text: &str| Composite::pps().parse(text).unwrap_err();
    assert_eq!(fault("AFF#-#TRANS#-#CLICK#-#ANY_trID"), Malformed::NoStart);
    assert_eq!(fault("trID_AFF#-#TRANS#-#CL"), Malformed::NoEnd);
    assert_eq!(fault("trID_AFF"), Malformed::NoEnd);
    assert_eq!(fault("trID"), Malformed::NoStart);
    assert_eq!(fault("trID_trID"), Malformed::NoEnd);
    assert_eq!(fault("trID_AFF#-#TRANS_trID"), Malformed::FieldCount);
    assert_eq!(fault("trID_1#-#2#-#3#-#4#-#5_trID"), Malformed::FieldCount);
    assert_eq!(fault(""), Malformed::NoStart);
    assert_eq!(fault(&format!("trID_{}#-##-##-#_trID", "x".repeat(8_000))), Malformed::TooLong);
}

#[test]
fn a_value_cannot_break_the_composite_up() {
    let composite = Composite::revshare();
    for wild in ["a#-#b", "a#", "#-", "-#", "#-#"] {
        let rebuilt = composite.rebuild(&[wild, "t", wild, ""]);
        let encoded = wild.replace('#', "%23");
        let parsed = composite.parse(&rebuilt).unwrap();
        assert!(
            parsed == [wild, "t", wild, ""] || parsed == [encoded.as_str(), "t", &encoded, ""],
            "{rebuilt}"
        );
    }
}

#[test]
fn settings_are_checked_and_every_fault_is_named() {
    assert_eq!(Composite::revshare().check(), Ok(()));
    assert_eq!(Composite::pps().check(), Ok(()));
    let wrong = Composite {
        parameter: "link".into(),
        start: "a\n".into(),
        separator: "x".into(),
        fields: vec!["sub1".into(), "sub1".into(), "_".into(), "_".into(), "a b".into()],
        ..Composite::pps()
    };
    let errors = wrong.check().unwrap_err();
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["parameter", "separator", "start", "fields", "fields", "fields"]);
    assert!(Composite { separator: String::new(), ..Composite::pps() }.check().is_err());
    assert!(Composite { fields: Vec::new(), ..Composite::revshare() }.check().is_err());
}

#[test]
fn settings_are_stored_as_json() {
    for composite in [Composite::revshare(), Composite::pps()] {
        let json = serde_json::to_string(&composite).unwrap();
        assert_eq!(serde_json::from_str::<Composite>(&json).unwrap(), composite);
    }
    let json = serde_json::to_value(Composite::pps()).unwrap();
    assert_eq!(json["layout"], serde_json::json!({ "kind": "pps", "parameter": "id", "value": "66013" }));
}

/// Settings that `check` accepts, with the values of their fields.
fn composite_and_values() -> impl Strategy<Value = (Composite, Vec<String>)> {
    (".{0,6}", ".{0,6}", "[^\\p{L}\\p{N}\\p{C}%].{0,3}", 1..6_usize)
        .prop_map(|(start, end, separator, count)| Composite {
            parameter: "tracker".into(),
            start,
            end,
            separator,
            fields: (0..count).map(|number| format!("f{number}")).collect(),
            layout: Layout::Plain,
        })
        .prop_filter("settings are legal", |composite| composite.check().is_ok())
        .prop_flat_map(|composite| {
            let count = composite.fields.len();
            (Just(composite), proptest::collection::vec("[a-z#%|_ü-]{0,8}", count))
        })
}

proptest! {
    #[test]
    fn what_was_parsed_is_rebuilt_to_the_byte(values in proptest::collection::vec("[a-zA-Z0-9_%é -]{0,12}", 4)) {
        let composite = Composite::pps();
        let text = composite.rebuild(&values);
        prop_assert_eq!(composite.parse(&text).unwrap(), values.clone());
        prop_assert_eq!(composite.rebuild(&composite.parse(&text).unwrap()), text.clone());
        // The same through a query, encoded twice.
        let once: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        prop_assert_eq!(composite.parse(&once).unwrap(), values);
    }

    #[test]
    fn rebuilding_never_changes_the_number_of_fields((composite, values) in composite_and_values()) {
        let text = composite.rebuild(&values);
        let parsed = composite.parse_exactly(&text).unwrap();
        prop_assert_eq!(parsed.len(), values.len());
        prop_assert_eq!(composite.rebuild(&parsed), text);
    }

    #[test]
    fn no_text_panics_and_what_is_understood_comes_back(text in "(trID_)?[#%-9a-c+ ]{0,30}(_trID)?") {
        let composite = Composite { fields: vec!["a".into(), "b".into()], ..Composite::revshare() };
        if let Ok(values) = composite.parse(&text) {
            let rebuilt = composite.rebuild(&values);
            prop_assert_eq!(composite.parse(&rebuilt).unwrap(), values);
        }
    }
}
