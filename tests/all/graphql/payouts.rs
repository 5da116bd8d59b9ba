//! What partners get, and who may know it: everybody but advertisers.

use ricochet::domain::ids::{AdvertiserId, PartnerId};
use ricochet::event_log::rows::AttemptRow;
use ricochet::graphql::scope::{Grant, Scope};
use serde_json::{Value, json};

use super::rows::{at, attempt, conversion, id, store, store_network};
use super::stage::{Stage, refusal};

#[actix_web::test]
async fn every_figure_of_a_payout_is_hidden_from_advertisers_alone() {
    let stage = Stage::set().await;
    store_network(&stage.pool).await;
    store(&stage.pool, [conversion("r", at(0))]).await;
    let owners = ["partner", "advertiser", "platform"];
    stage.log_rows(owners.map(|owner| AttemptRow { owner, ..attempt(owner, at(0)) })).await;
    let asked = "{ conversions { nodes { amount payout payoutCurrency } }
        postbackLog { nodes { amount payout payoutCurrency } }
        postbackStats { total { deliveredAmounts { amount } deliveredPayouts { amount } } }
        conversionStats(withClicks: true) { total { approvedAmounts { amount } approvedPayouts { amount }
            refundedPayouts { amount } settledPayouts { amount } epc { amount } } } }";
    let advertiser = AdvertiserId(id(1));
    for grant in [Grant::Advertiser(advertiser), Grant::Bi(Scope::Advertiser(advertiser))] {
        let seen = stage.data(grant, asked).await;
        for list in ["conversions", "postbackLog"] {
            let expected = json!([{ "amount": "25.00", "payout": null, "payoutCurrency": null }]);
            assert_eq!(seen[list]["nodes"], expected, "{grant:?} {list}");
        }
        assert_eq!(seen["postbackStats"]["total"]["deliveredPayouts"], Value::Null);
        assert_eq!(seen["postbackStats"]["total"]["deliveredAmounts"], json!([{ "amount": "25.00" }]));
        let total = &seen["conversionStats"]["total"];
        for sums in ["approvedPayouts", "refundedPayouts", "settledPayouts", "epc"] {
            assert_eq!(total[sums], Value::Null, "{sums}");
        }
        assert_eq!(total["approvedAmounts"], json!([]));
    }
    for grant in [Grant::Owner, Grant::Bi(Scope::Everything), Grant::Partner(PartnerId(id(1)))] {
        let seen = stage.data(grant, asked).await;
        assert_eq!(seen["conversions"]["nodes"][0]["payout"], "12.5", "{grant:?}");
        assert_eq!(seen["postbackLog"]["nodes"][0]["payout"], "12.50", "{grant:?}");
        assert!(seen["postbackStats"]["total"]["deliveredPayouts"][0]["amount"].is_string(), "{grant:?}");
        assert_eq!(seen["conversionStats"]["total"]["approvedPayouts"], json!([]), "{grant:?}");
    }
}

#[actix_web::test]
async fn an_advertiser_cannot_have_payouts_sent_to_itself() {
    let stage = Stage::set().await;
    store_network(&stage.pool).await;
    let advertiser = Grant::Advertiser(AdvertiserId(id(1)));
    let url = "https://crm.example/?cid={click_id}";
    let create = |fields: &str| {
        format!("mutation {{ createPostback(input: {{ events: [APPROVE], {fields} }}) {{ postbackId }} }}")
    };
    for (fields, field) in [
        (format!(r#"urlTemplate: "{url}&sum={{payout}}""#), "input.urlTemplate"),
        (format!(r#"urlTemplate: "{url}&sum=[payout]""#), "input.urlTemplate"),
        (
            format!(r#"urlTemplate: "{url}", headers: [{{name: "x-sum", value: "{{payout|round:2}}"}}]"#),
            "input.headers",
        ),
        (
            format!(r#"urlTemplate: "{url}", method: POST, bodyKind: FORM, bodyTemplate: "sum={{payout}}""#),
            "input.bodyTemplate",
        ),
        (format!(r#"urlTemplate: "{url}", condition: "payout > 10""#), "input.condition"),
        (
            format!(r#"urlTemplate: "{url}", condition: "payout_currency.startsWith(\"U\")""#),
            "input.condition",
        ),
        (format!(r#"urlTemplate: "{url}", requiredMacros: ["{{payout}}"]"#), "input.requiredMacros"),
    ] {
        let refused = stage.execute(advertiser, &create(&fields)).await;
        assert_eq!(refusal(&refused), ("BAD_INPUT".into(), field.into()), "{fields}");
    }
    let own = stage.data(advertiser, &create(&format!(r#"urlTemplate: "{url}&sum={{amount}}""#))).await;
    let change = |id: &Value, fields: &str| {
        format!("mutation {{ updatePostback(input: {{ postbackId: {id}, {fields} }}) {{ urlTemplate }} }}")
    };
    let own = &own["createPostback"]["postbackId"];
    let refused = stage.execute(advertiser, &change(own, r#"condition: "payout > 1""#)).await;
    assert_eq!(refusal(&refused).1, "input.condition");

    // What the network writes for it, it sees and may change in other things.
    let named = format!(r#"advertiserId: "{}", urlTemplate: "{url}&sum={{payout}}""#, id(1));
    let given = stage.data(Grant::Owner, &create(&named)).await["createPostback"]["postbackId"].clone();
    stage.data(advertiser, &change(&given, "timeoutMs: 5000")).await;
    let preview = format!("{{ previewPostback(input: {{ postbackId: {given} }}) {{ url emptyMacros }} }}");
    let seen = stage.data(advertiser, &preview).await;
    assert_eq!(seen["previewPostback"]["emptyMacros"], json!(["payout"]));
    assert_eq!(stage.data(Grant::Owner, &preview).await["previewPostback"]["emptyMacros"], json!([]));

    // Its condition is judged by what is, and says nothing of it.
    let preview = format!("{{ previewPostback(input: {{ postbackId: {given} }}) {{ skipReasons }} }}");
    for (condition, reasons) in [
        ("payout > 1", json!([])),
        ("payout > 1000", json!(["condition not met: payout > 1000 (payout = [redacted])"])),
    ] {
        stage.data(Grant::Owner, &change(&given, &format!("condition: \"{condition}\""))).await;
        assert_eq!(stage.data(advertiser, &preview).await["previewPostback"]["skipReasons"], reasons);
    }
}
