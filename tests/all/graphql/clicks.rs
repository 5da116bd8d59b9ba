//! `clicks`: what each filter finds, and what each role is shown.

use ricochet::domain::ids::{AdvertiserId, PartnerId};
use ricochet::event_log::rows::ClickRow;
use ricochet::graphql::scope::{Grant, Scope};
use serde_json::{Value, json};

use super::rows::{at, click, id};
use super::stage::{Stage, refusal};

#[actix_web::test]
async fn clicks_are_found_by_every_filter() {
    let stage = Stage::set().await;
    let other_subs = ["other", "", "", "", "' OR 1=1"].map(str::to_owned);
    let looked_up = id(71);
    stage
        .log_rows([
            click("plain", at(0)),
            ClickRow { offer_id: id(2), partner_id: id(2), ..click("offer 2", at(1)) },
            ClickRow { advertiser_id: id(2), link_id: id(2), ..click("link 2", at(2)) },
            ClickRow { country: "US", device: "bot", ..click("bot", at(3)) },
            ClickRow { subs: &other_subs, partner_clickid: "abc", ..click("sub", at(4)) },
            ClickRow { click_id: looked_up, country: "", device: "tablet", ..click("id", at(5)) },
        ])
        .await;
    let all = vec!["plain", "offer 2", "link 2", "bot", "sub", "id"];
    let cases: Vec<(String, Vec<&str>)> = vec![
        ("".into(), all.clone()),
        (format!("offerIds: [\"{}\"]", id(2)), vec!["offer 2"]),
        (format!("partnerIds: [\"{}\"]", id(2)), vec!["offer 2"]),
        (format!("advertiserIds: [\"{}\"]", id(2)), vec!["link 2"]),
        (format!("linkIds: [\"{}\", \"{}\"]", id(2), id(9)), vec!["link 2"]),
        ("countries: [\"us\"]".into(), vec!["bot"]),
        ("devices: [TABLET, BOT]".into(), vec!["bot", "id"]),
        ("isBot: true".into(), vec!["bot"]),
        ("isBot: false".into(), vec!["plain", "offer 2", "link 2", "sub", "id"]),
        ("sub1: \"other\"".into(), vec!["sub"]),
        ("sub5: \"' OR 1=1\"".into(), vec!["sub"]),
        ("sub2: \"campaign\", sub1: \"other\"".into(), vec![]),
        ("partnerClickid: \"abc\"".into(), vec!["sub"]),
        ("search: \" abc \"".into(), vec!["sub"]),
        (format!("clickId: \"{looked_up}\""), vec!["id"]),
        (format!("search: \"{looked_up}\""), vec!["id"]),
        (r#"from: "2026-03-01T12:00:01Z", to: "2026-03-01T12:00:03Z""#.into(), vec!["offer 2", "link 2"]),
    ];
    for (filter, expected) in cases {
        assert_eq!(stage.found(Grant::Owner, "clicks", &filter, "userAgent").await, expected, "{filter}");
    }
    for (filter, field) in [
        ("countries: [\"Germany\"]", "filter.countries"),
        ("search: \" \"", "filter.search"),
        ("sub3: \"\\u0000\"", "filter.sub3"),
        ("linkIds: [\"x\"]", "filter.linkIds"),
    ] {
        let query = format!("{{ clicks(filter: {{ {filter} }}) {{ totalCount }} }}");
        assert_eq!(refusal(&stage.execute(Grant::Owner, &query).await), ("BAD_INPUT".into(), field.into()));
    }
}

#[actix_web::test]
async fn an_advertiser_sees_who_came_and_not_how_the_partner_runs_its_traffic() {
    let stage = Stage::set().await;
    stage
        .log_rows([click("mine", at(0)), ClickRow { advertiser_id: id(2), ..click("foreign", at(1)) }])
        .await;
    let query =
        "{ clicks { edges { node { userAgent ip country device isBot partnerClickid sub1 sub2 sub3 sub4 sub5
        referrer parameters { name value } } } } }";
    let shown = async |grant| stage.data(grant, query).await["clicks"]["edges"].clone();
    let seen = json!({
        "userAgent": "mine", "ip": "203.0.113.9", "country": "DE", "device": "mobile", "isBot": false,
        "partnerClickid": null, "sub1": null, "sub2": null, "sub3": null, "sub4": null, "sub5": null,
        "referrer": null, "parameters": null,
    });
    let advertiser = Scope::Advertiser(AdvertiserId(id(1)));
    for grant in [Grant::Advertiser(AdvertiserId(id(1))), Grant::Bi(advertiser)] {
        assert_eq!(shown(grant).await, json!([{ "node": seen }]), "{grant:?}");
        for private in ["sub1: \"tiktok\"", "partnerClickid: \"their-own\""] {
            let query = format!("{{ clicks(filter: {{ {private} }}) {{ totalCount }} }}");
            assert_eq!(refusal(&stage.execute(grant, &query).await).0, "FORBIDDEN", "{private}");
        }
        // What it may not look for by name it does not find by `search` either.
        assert!(stage.found(grant, "clicks", "search: \"their-own\"", "userAgent").await.is_empty());
    }
    let partners = shown(Grant::Partner(PartnerId(id(1)))).await;
    assert_eq!(partners.as_array().map(Vec::len), Some(2));
    let node = &partners[0]["node"];
    assert_eq!((&node["sub1"], &node["sub3"]), (&json!("tiktok"), &Value::Null));
    assert_eq!(
        (&node["partnerClickid"], &node["referrer"]),
        (&json!("their-own"), &json!("https://feed.example/"))
    );
    assert_eq!(node["parameters"], json!([{ "name": "utm_source", "value": "feed" }]));
    assert_eq!(shown(Grant::Partner(PartnerId(id(2)))).await, json!([]));
}
