use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::status::Refunds;
use crate::domain::template::UrlTemplate;

const CLICK_ID: ClickId = ClickId(Uuid::from_u128(7));

fn offer(landing_url: &str) -> Offer {
    Offer {
        offer_id: OfferId(Uuid::from_u128(2)),
        advertiser_id: AdvertiserId(Uuid::from_u128(1)),
        name: "offer".into(),
        landing_url: UrlTemplate::parse(landing_url, LANDING_MACROS).unwrap(),
        click_id_parameter: "cid".into(),
        refunds: Refunds::Allowed,
        offer_postbacks: crate::domain::postback::OfferPostbacks::Join,
        actions: Vec::new(),
    }
}

fn click_with(query: &str, composite: Option<Composite>) -> Click {
    let link = Link {
        link_id: LinkId(Uuid::from_u128(3)),
        offer_id: OfferId(Uuid::from_u128(2)),
        partner_id: PartnerId(Uuid::from_u128(4)),
        composite: composite.map(Arc::new),
    };
    let visit = Visit {
        query: Query::read(query),
        ip: "192.0.2.7".into(),
        user_agent: "curl/8.0".into(),
        referrer: String::new(),
        country: "DE".into(),
    };
    Click::of(visit, CLICK_ID, &link, &offer("https://shop.example/"), DateTime::UNIX_EPOCH)
}

fn click(query: &str) -> Click {
    click_with(query, None)
}

fn landing(click: &Click, template: &str) -> String {
    click.landing_url(&offer(template), "net-1")
}

/// Raw composites stand in queries percent-encoded.
fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[test]
fn every_landing_macro_has_its_value() {
    let click = click(
        "sub1=1&sub2=2&sub3=3&sub4=4&sub5=5&clickid=theirs&utm_source=s&utm_medium=m&utm_campaign=c&utm_term=t\
         &utm_content=k&utm_id=i&utm_source_platform=p&utm_creative_format=f&utm_marketing_tactic=q&tracker=raw",
    );
    let expected = |name: &str| match name {
        "click_id" => CLICK_ID.to_string(),
        "clickid" => "theirs".into(),
        "campaign_id" | "offer_id" => Uuid::from_u128(2).to_string(),
        "promo_id" => Uuid::from_u128(3).to_string(),
        "partner_id" => Uuid::from_u128(4).to_string(),
        "network_id" => "net-1".into(),
        "timestamp" => "0".into(),
        "traffic_source" | "utm_source" => "s".into(),
        "ip" => "192.0.2.7".into(),
        "country" => "DE".into(),
        "device" => "bot".into(),
        "user_agent" => "curl%2F8.0".into(),
        "utm_medium" => "m".into(),
        "utm_campaign" => "c".into(),
        "utm_term" => "t".into(),
        "utm_content" => "k".into(),
        "utm_id" => "i".into(),
        "utm_source_platform" => "p".into(),
        "utm_creative_format" => "f".into(),
        "utm_marketing_tactic" => "q".into(),
        "tracker" => "raw".into(),
        sub => sub.strip_prefix("sub").expect("a macro without an expected value").to_owned(),
    };
    for name in LANDING_MACROS {
        let url = landing(&click, &format!("https://shop.example/?id={{click_id}}&x={{{name}}}"));
        assert_eq!(url, format!("https://shop.example/?id={CLICK_ID}&x={}", expected(name)), "{name}");
    }
    assert_eq!(
        landing(&click, "https://shop.example/{fields.utm_id}"),
        format!("https://shop.example/i?cid={CLICK_ID}")
    );
}

#[test]
fn the_visitors_url_can_say_more_than_the_network() {
    let click = click("campaign_id=c1&promo_id=p1&traffic_source=ts&utm_source=us&network_id=evil");
    let url = landing(
        &click,
        "https://a.example/{campaign_id}/{promo_id}/{traffic_source}/{network_id}/{click_id}",
    );
    assert_eq!(url, format!("https://a.example/c1/p1/ts/net-1/{CLICK_ID}"));
}

#[test]
fn a_preview_tells_no_click_id() {
    let url = click("sub1=a").preview_url(&offer("https://a.example/?c={click_id}&t={clickid}&s={sub1}"), "");
    assert_eq!(url, "https://a.example/?c=&t=&s=a");
    assert_eq!(click("").preview_url(&offer("https://a.example/"), ""), "https://a.example/");
}

#[test]
fn the_first_value_has_the_name_and_the_others_are_kept() {
    let click = click("sub1=&sub1=a&sub1=b&zone=1&zone=1&zone=2&clickid=x&clickid=y&link=l&format=json");
    assert_eq!((click.subs[0].as_str(), click.partner_clickid.as_str()), ("a", "x"));
    let expected = [("clickid[2]", "y"), ("sub1[2]", "b"), ("zone", "1"), ("zone[2]", "2")];
    let kept: Vec<(&str, &str)> = click.parameters.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(kept, expected);
}

#[test]
fn a_field_is_named_by_its_prefix() {
    let click =
        click("fields.userid=501&fields.sub1=free&fields.clickid=f&sub1=link&fields.=x&FIELDS.Zone=z");
    let kept: Vec<(&str, &str)> = click.parameters.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let expected = [("Zone", "z"), ("clickid", "f"), ("fields.", "x"), ("sub1", "free"), ("userid", "501")];
    assert_eq!(kept, expected);
    assert_eq!((click.subs[0].as_str(), click.partner_clickid), ("link", CLICK_ID.to_string()));
}

#[test]
fn the_prefix_comes_before_the_bare_name_wherever_it_stands() {
    for query in ["userid=1&fields.userid=2", "fields.userid=2&userid=1"] {
        let click = click(query);
        assert_eq!((click.parameters["userid"].as_str(), click.parameters["userid[2]"].as_str()), ("2", "1"));
        assert_eq!(click.parameters.len(), 2, "{query}");
    }
    assert_eq!(click("userid=1&fields.userid=").parameters["userid"], "1", "an empty value beats nobody");
    let landed = landing(&click("fields.userid=501"), "https://a.example/?u={fields.userid}&id={click_id}");
    assert!(landed.starts_with("https://a.example/?u=501&"), "{landed}");
}

#[test]
fn what_is_too_much_is_cut_and_marked() {
    let many: Vec<String> = (0..250).map(|number| format!("p{number}=1")).collect();
    let click = click(&format!("{}&sub1={}", many.join("&"), "x".repeat(8_192)));
    assert_eq!(click.parameters.len(), KEPT_PARAMETERS + 1);
    assert_eq!(click.parameters["ricochet.dropped"], "151");
    let long = click_with(&format!("sub1={}", "ü".repeat(8_192)), None);
    assert_eq!(long.subs[0].chars().count(), KEPT_CHARS);
}

#[test]
fn a_click_id_fits_its_index() {
    let click = click(&format!("clickid=x{}", "ü".repeat(1_500)));
    assert_eq!((click.partner_clickid.len(), click.parameters["ricochet.clickid"].as_str()), (1_499, "cut"));
}

#[test]
fn broken_escapes_are_kept_and_marked() {
    let click = click("sub1=%CF%F0&sub2=a%00b&clickid=%");
    assert_eq!((click.subs[0].as_str(), click.subs[1].as_str()), ("%CF%F0", "ab"));
    assert_eq!(
        (click.partner_clickid.as_str(), click.parameters["ricochet.encoding"].as_str()),
        ("%", "invalid")
    );
}

#[test]
fn a_revshare_composite_fills_the_click() {
    let text = "trID_AFF#-#TRANS#-#CLICK#-#ANY_trID";
    let click = click_with(&format!("id=500&tracker={}", encoded(text)), Some(Composite::revshare()));
    assert_eq!(click.partner_clickid, "CLICK");
    for (name, value) in [
        ("affiliate_id", "AFF"),
        ("transaction_id", "TRANS"),
        ("any", "ANY"),
        ("account_id", "500"),
        ("id", "500"),
        ("tracker", text),
    ] {
        assert_eq!(click.parameters[name], value, "{name}");
    }
    assert_eq!(click.tracker, text);
    let url = landing(&click, "https://a.example/?id={fields.account_id}&tracker={tracker}");
    assert!(url.starts_with(
        "https://a.example/?id=500&tracker=trID_AFF%23-%23TRANS%23-%23CLICK%23-%23ANY_trID&cid="
    ));
}

#[test]
fn a_pay_per_sale_composite_has_the_account_first() {
    let text = "trID_500#-##-##-#_trID";
    let click = click_with(&format!("id=66013&tracker={}", encoded(text)), Some(Composite::pps()));
    assert_eq!(click.parameters["account_id"], "500");
    assert_eq!(click.partner_clickid, CLICK_ID.to_string(), "an empty click id is filled with ours");
    assert_eq!(click.tracker, text, "but stays empty in the composite");
    assert!(!click.parameters.contains_key("ricochet.account"));
    let click = click_with(&format!("id=7&tracker={}", encoded(text)), Some(Composite::pps()));
    assert_eq!(click.parameters["ricochet.account"], "unexpected");
}

#[test]
fn a_broken_composite_is_kept_and_marked() {
    for (text, mark) in [
        ("trID_AFF#-#TRANS#-#CL", "no_end_marker"),
        ("AFF", "no_start_marker"),
        ("trID_A#-#B_trID", "field_count"),
    ] {
        let click = click_with(&format!("sub1=s&tracker={}", encoded(text)), Some(Composite::revshare()));
        assert_eq!((click.parameters["tracker"].as_str(), click.tracker.as_str()), (text, text));
        assert_eq!(click.parameters["ricochet.composite"], mark);
        assert_eq!((click.subs[0].as_str(), click.partner_clickid), ("s", CLICK_ID.to_string()));
    }
}

#[test]
fn without_a_composite_the_click_makes_one() {
    let fields = ["_", "sub1", "clickid", "click_id", "zone", "partner_id"];
    let composite = Composite { fields: fields.map(str::to_owned).to_vec(), ..Composite::revshare() };
    let click = click_with("sub1=a%23-%23b&clickid=theirs&zone=z", Some(composite.clone()));
    let partner = Uuid::from_u128(4);
    assert_eq!(click.tracker, format!("trID_#-#a%23-%23b#-#theirs#-#{CLICK_ID}#-#z#-#{partner}_trID"));
    assert!(!click.parameters.contains_key("ricochet.composite"));
    // What came in keeps its place; only our id is ours to write.
    let query = format!("tracker={}", encoded("trID_x#-#y#-#z#-#?#-#w#-#v_trID"));
    let click = click_with(&query, Some(composite));
    assert_eq!(click.tracker, format!("trID_x#-#y#-#z#-#{CLICK_ID}#-#w#-#v_trID"));
    assert_eq!((click.subs[0].as_str(), click.partner_clickid.as_str()), ("y", "z"));
    assert_eq!(click.partner_id, PartnerId(partner), "a visitor does not choose the partner");
}

#[test]
fn a_parameter_of_its_own_comes_before_the_composite() {
    let query = format!("clickid=own&tracker={}", encoded("trID_A#-#B#-#C#-#D_trID"));
    let click = click_with(&query, Some(Composite::revshare()));
    assert_eq!((click.partner_clickid.as_str(), click.parameters["clickid[2]"].as_str()), ("own", "C"));
}

#[test]
fn the_documented_macros_are_the_real_ones() {
    let documented = include_str!("../../docs/clicks.md");
    let table = documented.split("<!-- landing macros -->").nth(1).expect("the table stands between marks");
    let macros: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `{")?.split_once("}`"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(macros, LANDING_MACROS);
}

proptest! {
    #[test]
    fn no_value_moves_the_visitor_elsewhere(
        values in proptest::collection::vec("(\\PC|[\r\n\0\t@:/\\\\?#.]|javascript:|//evil[.]example|%0d%0a){0,30}", 6),
        raw in "[ -~]{0,60}",
    ) {
        let names = ["sub1", "utm_source", "clickid", "campaign_id", "x", "tracker"];
        let query = serde_urlencoded::to_string(names.iter().zip(&values).collect::<Vec<_>>()).unwrap();
        let template = "https://shop.example/{sub1}/{campaign_id}?a={utm_source}&b={clickid}&t={tracker}#{fields.x}";
        for query in [query, raw] {
            let url = landing(&click(&query), template);
            let parsed = url::Url::parse(&url).unwrap();
            prop_assert_eq!(parsed.origin().ascii_serialization(), "https://shop.example");
            prop_assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "not a header: {}", url);
            prop_assert!(parsed.query_pairs().any(|(name, value)| name == "cid" && value == CLICK_ID.to_string()));
        }
    }
}
