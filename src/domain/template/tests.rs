use std::collections::BTreeMap;

use proptest::prelude::*;

use super::brackets::{Setting, Translated, translate};
use super::*;

const KNOWN: &[&str] =
    &["clickid", "click_id", "payout", "amount", "status", "datetime", "timestamp", "sub1"];

#[derive(Default)]
struct Values(BTreeMap<&'static str, String>);

impl MacroValues for Values {
    fn value(&self, name: &str) -> Cow<'_, str> {
        self.0.get(name).map(|value| Cow::Borrowed(value.as_str())).unwrap_or_default()
    }

    fn secret(&self) -> Option<&[u8]> {
        Some(b"secret")
    }
}

fn of(name: &'static str, value: &str) -> Values {
    Values([(name, value.to_owned())].into())
}

/// Every macro is this.
struct Always<'a>(&'a str);

impl MacroValues for Always<'_> {
    fn value(&self, _name: &str) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }
}

fn url(template: &str, value: &str) -> String {
    let template = format!("https://t.example/?v={template}");
    UrlTemplate::parse_with_secret(&template, KNOWN)
        .unwrap()
        .render(&Values(KNOWN.iter().map(|name| (*name, value.to_owned())).collect()))
        .strip_prefix("https://t.example/?v=")
        .unwrap()
        .to_owned()
}

#[test]
fn values_are_encoded_for_a_url() {
    let template = UrlTemplate::parse("https://t.example/p?c={clickid}&s={payout}", KNOWN).unwrap();
    assert_eq!(
        template.render(&of("clickid", "a b&c=ü/#")),
        "https://t.example/p?c=a%20b%26c%3D%C3%BC%2F%23&s="
    );
}

#[test]
fn an_unknown_macro_is_refused_with_the_nearest_name() {
    let error = |template: &str| {
        UrlTemplate::parse(&format!("https://t.example/?c={template}"), KNOWN).unwrap_err().to_string()
    };
    assert_eq!(error("{Click_ID}"), "the macro {Click_ID} does not exist; did you mean {click_id}?");
    assert_eq!(error("{zzz}"), "the macro {zzz} does not exist");
    assert_eq!(error("{{clikid}}"), "the macro {clikid} does not exist; did you mean {clickid}?");
    assert_eq!(error("{clickid"), "a macro starts at character 22 and its closing brace is missing");
    assert_eq!(
        error("{clickid|uper}"),
        "the filter uper does not exist; there are default, map, lower, upper, urlencode, raw, sha256, hmac, \
         round, date"
    );
}

#[test]
fn the_host_is_never_left_to_a_macro() {
    for source in [
        "{clickid}",
        "https://{clickid}/",
        "https://a{clickid}.example/",
        "ftp://x/",
        "//x/",
        "https://",
        "https:///a{clickid}.example/",
        "https:///{clickid}",
        "https://\\a{clickid}/",
        "https://\t/a{clickid}/",
    ] {
        assert_eq!(UrlTemplate::parse(source, KNOWN), Err(TemplateError::NotAUrl), "{source}");
    }
    assert!(UrlTemplate::parse("https://t.example", KNOWN).is_ok());
    assert!(UrlTemplate::parse("https://t.example?c={clickid}", KNOWN).is_ok());
}

#[test]
fn parameters_go_before_the_fragment() {
    assert_eq!(append_parameter("https://a.example/x#f", "c", "1"), "https://a.example/x?c=1#f");
    assert_eq!(append_parameter("https://a.example/?b=2", "c", "&"), "https://a.example/?b=2&c=%26");
}

#[test]
fn filters_follow_each_other() {
    for (template, value, expected) in [
        ("{amount|default:0}", "", "0"),
        ("{amount|default:0}", "5", "5"),
        ("{amount|default:}", "", ""),
        ("{amount|default:'a|b}, c''d'}", "", "a%7Cb%7D%2C%20c%27d"),
        ("{status|map:approved=sale,rejected=trash}", "approved", "sale"),
        ("{status|map:approve=sale,reject=trash}", "approved", "sale"),
        ("{status|map:approve=sale,reject=trash}", "rejected", "trash"),
        ("{status|map:approve=sale,reject=trash}", "hold", "hold"),
        ("{status|map:approve=sale,*=other}", "hold", "other"),
        ("{sub1|map:'a,b'='c=d',\"*\"=x}", "a,b", "c%3Dd"),
        ("{sub1|map:=none}", "", "none"),
        ("{sub1|lower}", "ÄB", "%C3%A4b"),
        ("{sub1|map:A=b|upper|default:x}", "A", "B"),
        ("{sub1|sha256}", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("{sub1|sha256}", "", ""),
        ("{sub1|hmac}", "abc", "9946dad4e00e913fc8be8e5d3f7e110a4a9e832f83fb09c345285d78638d8a0e"),
        ("{amount|round:2}", "2.675", "2.68"),
        ("{amount|round:2}", "-2.675", "-2.68"),
        ("{amount|round:2}", "2.5", "2.50"),
        ("{amount|round:0}", "0.5", "1"),
        ("{amount|round:0}", "99999999999999999999.5", "100000000000000000000"),
        ("{amount|round:2}", "1e5", "1e5"),
        ("{amount|round:2}", "1_0", "1_0"),
        ("{datetime|date:%Y-%m-%d}", "2025-08-04T22:30:00.123Z", "2025-08-04"),
        ("{timestamp|date:%d.%m.%Y %H:%M}", "1754346600", "04.08.2025%2022%3A30"),
        ("{datetime|date:'%Y-%m-%d %H:%M',+03:00}", "2025-08-04T22:30:00Z", "2025-08-05%2001%3A30"),
        ("{datetime|date:%F %H:%M,Europe/Berlin}", "2025-08-04T22:30:00Z", "2025-08-05%2000%3A30"),
        ("{timestamp|date:%F,America/New_York}", "1754352000", "2025-08-04"),
        ("{sub1|date:%Y}", "yesterday", "yesterday"),
    ] {
        assert_eq!(url(template, value), expected, "{template} of {value:?}");
    }
}

#[test]
fn nothing_is_encoded_twice_but_on_purpose() {
    assert_eq!(url("{sub1}", "a b"), "a%20b");
    assert_eq!(url("{sub1|urlencode}", "a b"), "a%20b", "once, not twice");
    assert_eq!(url("{sub1|urlencode|upper}", "a b/"), "A%20B%2F", "a change of case keeps it encoded");
    assert_eq!(url("{sub1|urlencode|default:x y}", ""), "x%20y", "what replaces it is encoded");
    assert_eq!(url("{sub1|urlencode|urlencode}", "a b"), "a%2520b", "a URL within a URL");
    assert_eq!(url("{sub1|raw}", "a%20b&c=\r\nd"), "a%20b&c=d", "raw, without line breaks");
}

#[test]
fn arguments_that_cannot_be_read_say_what_to_write() {
    for (template, message) in [
        ("{sub1|default}", "the filter default cannot be read: write default:TEXT"),
        ("{sub1|map:a}", "the filter map cannot be read: `a` has no `=`; write map:a=b,c=d"),
        ("{sub1|map:a=b,a=c}", "the filter map cannot be read: `a` stands twice"),
        ("{sub1|lower:x}", "the filter lower cannot be read: it takes no argument; leave the colon out"),
        (
            "{sub1|round:11}",
            "the filter round cannot be read: write round:N with a number of decimals from 0 to 10",
        ),
        (
            "{sub1|date:%Q}",
            "the filter date cannot be read: `%Q` is no format; write one such as %Y-%m-%d %H:%M:%S",
        ),
        (
            "{sub1|date:%Y,Mars}",
            "the filter date cannot be read: `Mars` is no time zone; write one such as Europe/Berlin or +03:00",
        ),
        ("{sub1|default:'a}", "the filter default cannot be read: the quote ' is not closed"),
        (
            "{sub1|default:'a'b}",
            "the filter default cannot be read: nothing may follow the closing '; write a quote inside as ''",
        ),
    ] {
        let error = UrlTemplate::parse(&format!("https://t.example/{template}"), KNOWN).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let keyless = UrlTemplate::parse("https://t.example/?s={sub1|hmac}", KNOWN).unwrap_err();
    assert_eq!(keyless.to_string(), "the filter hmac cannot stand here: only postbacks have a secret");
}

#[test]
fn json_bodies_are_json_whatever_the_values() {
    for (template, value, expected) in [
        (r#"{"id": "{sub1}"}"#, "a\"b\\\n\u{1}é", r#"{"id": "a\"b\\\n\u0001é"}"#),
        (r#"{"sum":{amount}}"#, "25.00", r#"{"sum":25.00}"#),
        (r#"{"sum":{amount}}"#, "", r#"{"sum":null}"#),
        (r#"{"sum":{amount}}"#, "-1.5", r#"{"sum":-1.5}"#),
        (r#"{"sum":{amount}}"#, "007", r#"{"sum":"007"}"#),
        (r#"{"sum":{amount}}"#, "1e5", r#"{"sum":"1e5"}"#),
        (r#"{"sum":{amount}}"#, "12345678901234567", r#"{"sum":"12345678901234567"}"#),
        (r#"{"ok":{sub1}}"#, "true", r#"{"ok":"true"}"#),
        (r#"[{sub1},{"a":{"b":{amount|default:0}}}]"#, "", r#"[null,{"a":{"b":0}}]"#),
        (r#"{"{sub1}":"x"}"#, "k", r#"{"k":"x"}"#),
        (r#"{"u":"{sub1|urlencode}"}"#, "a b", r#"{"u":"a%20b"}"#),
        (r#"{"q":"\"{sub1}\""}"#, "a", r#"{"q":"\"a\""}"#),
    ] {
        let rendered = JsonTemplate::parse(template, KNOWN).unwrap().render(&Always(value));
        assert_eq!(rendered, expected);
        serde_json::from_str::<serde_json::Value>(&rendered).unwrap();
    }
    for (template, message) in [
        (r#"{"a":1{amount}}"#, "the body is not JSON where {macros} are filled with nothing"),
        (r#"{"a":{amount}{sub1}}"#, "the body is not JSON where {macros} are filled with nothing"),
        (r#"{{amount}:1}"#, "the body is not JSON"),
        (r#"{"a":"\{sub1}"}"#, "a macro cannot follow a backslash"),
        (r#"{"a":"{sub1|raw}"}"#, "the filter raw cannot stand here"),
        (r#"{"a":"{sub9}"}"#, "the macro {sub9} does not exist; did you mean {sub1}?"),
        ("", "the body is not JSON"),
    ] {
        let error = JsonTemplate::parse(template, KNOWN).unwrap_err().to_string();
        assert!(error.starts_with(message), "{template}: {error}");
    }
}

#[test]
fn headers_and_raw_bodies_keep_to_their_place() {
    let header = TextTemplate::header("Bearer {sub1|raw}; {amount}", KNOWN).unwrap();
    assert_eq!(header.render(&Always("a\r\nX: b\u{7f}é")), "Bearer a  X: b é; a  X: b é");
    let raw = TextTemplate::raw("<a>{sub1}</a>{\n}", KNOWN).unwrap();
    assert_eq!(raw.render(&Always("1<2\r\n")), "<a>1<2\r\n</a>{\n}");
}

fn translated(text: &str) -> Translated {
    translate(text, KNOWN, setting_of(text)).unwrap()
}

fn setting_of(text: &str) -> Setting {
    if text.starts_with("https://") { Setting::Url } else { Setting::Text }
}

#[test]
fn every_foreign_bracket_is_read_as_ours() {
    for written in [
        "{payout}",
        "{{payout}}",
        "{{ payout }}",
        "{ payout }",
        "[payout]",
        "##payout##",
        "#payout#",
        "${payout}",
        "%payout%",
        "<payout>",
        "{PAYOUT}",
        "[Revenue]",
        "%REVENUE%",
    ] {
        let read = translated(&format!("https://t.example/?p={written}&x=1"));
        assert_eq!(read.text, "https://t.example/?p={payout}&x=1", "{written}");
        assert_eq!(read.translations.len(), usize::from(written != "{payout}"), "{written}");
    }
    let read =
        translated("https://t.example/?a={{cid}}&b=[sum]&c={fields.user}&d=[FIELDS.User]&e=${sub1|upper}");
    assert_eq!(
        read.text,
        "https://t.example/?a={clickid}&b={payout}&c={fields.user}&d={fields.User}&e={sub1|upper}"
    );
    assert_eq!(
        (read.translations[0].from.as_str(), read.translations[0].to.as_str()),
        ("{{cid}}", "{clickid}")
    );
}

#[test]
fn what_is_no_macro_stays_as_it_is() {
    for text in [
        "https://t.example/a%20b%C3%A4?x[]=1&y[0]=2#top",
        "https://t.example/?items[sum]=1&items[payout][status]=2",
        "https://t.example/?price%5Bsum%5D=1",
        "https://t.example/?q=%E2%82%ac%20x",
        "https://t.example/#a#b",
        "<status>{status}</status><amount>{amount}</amount>",
        r#"{"a":{"b":[1,2]},"c":"50% of [x] <b>"}"#,
        "{datetime|date:%Y-%m-%d %H}",
        "{sub1|default:'[payout]'}",
        "https://t.example/?v={sub1|default:'[nobody]'}",
        "https://t.example/?rows[first]=1&rows[first][last]=2&a[]=3&b[0]=4",
        "https://t.example/?q=%E2%adid%20off&r=100%25sure%25",
        "https://t.example/page?a=1#top#2",
        "https://t.example/?tracker=trID_AFF#-#TRANS#-#{clickid}#-#ANY_trID",
        "https://[2001:db8::1]/x",
        "query { viewer { id } } [note] #tag# <br> 100%sure%",
    ] {
        assert_eq!(translated(text).text, text);
    }
}

#[test]
fn what_was_meant_as_a_macro_is_not_sent_as_it_is() {
    for (text, message) in [
        ("https://t.example/?c=##nobody##", "the macro {nobody} does not exist"),
        ("https://t.example/?c=[clickd]", "the macro {clickd} does not exist; did you mean {clickid}?"),
        ("https://t.example/?c=%payuot%", "the macro {payuot} does not exist; did you mean {payout}?"),
        ("X { clikid } Y", "the macro {clikid} does not exist; did you mean {clickid}?"),
        (r#"{"id":"{clikid |lower}"}"#, "the macro {clikid} does not exist; did you mean {clickid}?"),
        (
            "https://t.example/?c=[sub6]",
            "the macro {sub6} does not exist; did you mean {sub1}? For a field of that name write {fields.sub6}, \
             for the text [sub6] itself %5Bsub6%5D",
        ),
        (
            "https://t.example/?o=%offer_title%&x=1",
            "the macro {offer_title} does not exist. For a field of that name write {fields.offer_title}, for the \
             text %offer_title% itself %25offer_title%25",
        ),
    ] {
        assert_eq!(translate(text, KNOWN, setting_of(text)).unwrap_err().to_string(), message);
    }
    for text in ["{{nobody}}", "${nobody}", "{nobody}"] {
        let url = translated(&format!("https://t.example/?c={text}")).text;
        let error = UrlTemplate::parse(&url, KNOWN).unwrap_err().to_string();
        assert_eq!(error, "the macro {nobody} does not exist", "{text}");
        assert!(JsonTemplate::parse(&format!("\"{text}\""), KNOWN).is_err(), "{text}");
    }
}

#[test]
fn a_name_that_nobody_knows_is_refused_in_every_bracket_of_a_url() {
    for written in
        ["{{zzz}}", "{zzz}", "${zzz}", "##zzz##", "#zzz#", "[zzz]", "%zzz%", "<zzz>", "[adid]", "%adid%"]
    {
        for url in [
            format!("https://t.example/p?c={written}&d=1"),
            format!("https://t.example/p?c={{clickid}}_{written}"),
            format!("https://t.example/p?d=1&c={written}"),
        ] {
            let read = translate(&url, KNOWN, Setting::Url);
            let refused = match &read {
                Ok(read) => UrlTemplate::parse(&read.text, KNOWN).is_err(),
                Err(error) => error.to_string().contains("does not exist"),
            };
            assert!(refused, "{url}: {read:?}");
        }
    }
    for path in ["/[zzz]/x", "/%zzz%/x", "/<zzz>/x"] {
        assert!(translate(&format!("https://t.example{path}"), KNOWN, Setting::Url).is_err(), "{path}");
    }
}

fn wild_template() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        r#"[\]\[{}<>\#%$|:,'" =a-z.]{0,3}"#,
        prop::sample::select(vec!["clickid", "sum", "Payout", "fields.a b", "sub1|upper", "status|map:a=b"])
            .prop_map(str::to_owned),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

/// Brackets of every kind that still stand around a name we know.
fn is_left(text: &str) -> bool {
    let brackets =
        [("{", "}"), ("{{", "}}"), ("[", "]"), ("#", "#"), ("##", "##"), ("${", "}"), ("%", "%"), ("<", ">")];
    brackets
        .iter()
        .any(|(open, close)| KNOWN.iter().any(|name| text.contains(&format!("{open}{name}{close}"))))
}

proptest! {
    #[test]
    fn a_value_comes_back_whole_and_alone(value in ".{0,60}") {
        let template = UrlTemplate::parse("https://t.example/p?c={clickid}&s=1", KNOWN).unwrap();
        let url = ::url::Url::parse(&template.render(&of("clickid", &value))).unwrap();
        let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        prop_assert_eq!(query, [("c".to_owned(), value), ("s".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn the_host_stays_whatever_the_values(value in r"[\\/@:?#.\r\n\t a-z%é]{0,30}", place in 0usize..4) {
        let source = [
            "https://t.example/{sub1|raw}",
            "https://t.example?{sub1|raw}",
            "https://t.example#{sub1|raw}",
            "https://u:p@t.example:8443/{sub1}/{sub1|raw}/x",
        ][place];
        let url = UrlTemplate::parse(source, KNOWN).unwrap().render(&Always(&value));
        let parsed = ::url::Url::parse(&url);
        prop_assert!(parsed.is_ok(), "{}", url);
        let parsed = parsed.unwrap();
        prop_assert_eq!(parsed.host_str(), Some("t.example"));
    }

    #[test]
    fn translating_again_changes_nothing(text in wild_template(), is_url in any::<bool>()) {
        let setting = if is_url { Setting::Url } else { Setting::Text };
        if let Ok(once) = translate(&text, KNOWN, setting) {
            let twice = translate(&once.text, KNOWN, setting).unwrap();
            prop_assert_eq!(&twice.text, &once.text);
            prop_assert!(twice.translations.is_empty());
        }
    }

    #[test]
    fn no_unknown_name_is_sent_in_anybodys_brackets(name in "[a-z][a-z0-9_]{1,14}", bracket in 0usize..8) {
        let (open, close) = [
            ("{", "}"), ("{{", "}}"), ("[", "]"), ("#", "#"), ("##", "##"), ("${", "}"), ("%", "%"), ("<", ">"),
        ][bracket];
        let url = format!("https://t.example/?c={open}{name}{close}&d=1");
        // Two digits of an escape are no name.
        let is_escape = open == "%" && name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        prop_assume!(!is_escape);
        if let Ok(read) = translate(&url, KNOWN, Setting::Url)
            && let Ok(template) = UrlTemplate::parse(&read.text, KNOWN)
        {
            let rendered = template.render(&Always("7"));
            let left = format!("{open}{name}{close}");
            prop_assert!(!rendered.contains(&left), "{} of {}", rendered, url);
        }
    }

    #[test]
    fn what_is_encoded_is_never_taken_for_a_macro(value in "[^a-zA-Z0-9]{0,6}.{0,20}", fragment in "[a-z0-9-]{0,8}") {
        let value = percent_encoding::utf8_percent_encode(&value, place::COMPONENT);
        let url = format!("https://t.example/a/{value}?q={value}&list[]={value}#{fragment}");
        let read = translate(&url, KNOWN, Setting::Url);
        prop_assert!(read.is_ok(), "{}: {:?}", url, read);
    }

    #[test]
    fn no_template_panics_or_leaves_a_macro(text in wild_template()) {
        // Guarded on purpose: the index of `items[sum]=`, and tags of XML.
        prop_assume!(!text.contains(']') && !text.contains('>') && !text.contains('%'));
        let Ok(read) = translate(&text, KNOWN, Setting::Text) else { return Ok(()) };
        let header = TextTemplate::header(&read.text, KNOWN);
        let raw = TextTemplate::raw(&read.text, KNOWN);
        let url = UrlTemplate::parse(&format!("https://t.example/{}", read.text), KNOWN);
        let _ = JsonTemplate::parse(&read.text, KNOWN);
        for rendered in [
            header.map(|template| template.render(&Always("7"))),
            raw.map(|template| template.render(&Always("7"))),
            url.map(|template| template.render(&Always("7"))),
        ].into_iter().flatten() {
            prop_assert!(!is_left(&rendered), "{} of {}", rendered, text);
        }
    }

    #[test]
    fn no_text_panics(text in ".{0,60}") {
        let _ = translate(&text, KNOWN, Setting::Text);
        let _ = UrlTemplate::parse(&text, KNOWN);
        let _ = JsonTemplate::parse(&text, KNOWN);
        let _ = TextTemplate::raw(&text, KNOWN);
    }

    #[test]
    fn json_holds_exactly_the_value(value in ".{0,40}") {
        let template = JsonTemplate::parse(r#"{"in":"<{sub1}>","alone":{sub1},"[{sub1}]":1}"#, KNOWN).unwrap();
        let body: serde_json::Value = serde_json::from_str(&template.render(&Always(&value))).unwrap();
        prop_assert_eq!(&body["in"], &serde_json::json!(format!("<{value}>")));
        prop_assert_eq!(&body[format!("[{value}]")], &serde_json::json!(1));
        match &body["alone"] {
            serde_json::Value::Null => prop_assert_eq!(value, ""),
            serde_json::Value::String(text) => prop_assert_eq!(text, &value),
            number => prop_assert_eq!(number.as_f64().unwrap(), value.parse::<f64>().unwrap()),
        }
    }

    #[test]
    fn a_number_alone_is_that_number(whole in -99_999_999i64..99_999_999, cents in 0u32..100) {
        let value = format!("{whole}.{cents:02}");
        let body = JsonTemplate::parse("{amount}", KNOWN).unwrap().render(&Always(&value));
        prop_assert_eq!(body, value);
    }

    #[test]
    fn a_form_is_read_as_the_values(value in ".{0,40}") {
        let template = TextTemplate::form("a={sub1}&{sub1}=b", KNOWN).unwrap();
        let body = template.render(&Always(&value));
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&body).unwrap();
        prop_assert_eq!(pairs, [("a".to_owned(), value.clone()), (value, "b".to_owned())]);
    }

    #[test]
    fn headers_hold_no_control_character(value in "(?s).{0,40}", raw in any::<bool>()) {
        let source = if raw { "x{sub1|raw}" } else { "x{sub1}" };
        let header = TextTemplate::header(source, KNOWN).unwrap().render(&Always(&value));
        prop_assert!(!header.contains(char::is_control));
        prop_assert!(reqwest::header::HeaderValue::from_str(&header).is_ok());
    }
}
