//! What each filter finds.

use ricochet::event_log::rows::{AttemptRow, InboundRow};
use ricochet::graphql::scope::Grant;
use serde_json::json;

use super::rows::{StoredConversion, at, attempt, conversion, id, inbound, store};
use super::stage::{Stage, refusal};

fn quoted(number: u128) -> String {
    format!("\"{}\"", id(number))
}

#[actix_web::test]
async fn the_postback_log_is_found_by_every_filter() {
    let stage = Stage::set().await;
    let failed = |txid, seconds| AttemptRow {
        outcome: "failed",
        error_kind: "status",
        reason: "answered 404, which another try would not change".into(),
        response_code: 404,
        ..attempt(txid, at(seconds))
    };
    let (lead, click, delivery) = (id(71), id(72), id(73));
    stage
        .log_rows([
            attempt("plain", at(0)),
            AttemptRow { status: "hold", event: "hold", ..attempt("held", at(1)) },
            AttemptRow {
                offer_id: id(2),
                partner_id: id(2),
                advertiser_id: id(2),
                ..attempt("offer 2", at(2))
            },
            AttemptRow {
                postback_id: id(2),
                event: "ftd",
                total_us: 90_000_000_000,
                ..attempt("ftd", at(3))
            },
            failed("failed", 4),
            AttemptRow {
                status: "rejected",
                event: "reject",
                offer_id: id(3),
                ..failed("refused reject", 5)
            },
            AttemptRow {
                outcome: "retrying",
                error_kind: "timeout",
                response_code: 0,
                attempt: 3,
                ..attempt("retrying", at(6))
            },
            AttemptRow {
                lead_id: None,
                status: "",
                event: "customer_activate",
                outcome: "skipped",
                error_kind: "internal",
                ..attempt("customer", at(7))
            },
            AttemptRow {
                lead_id: Some(lead),
                click_id: click,
                delivery_id: delivery,
                ..attempt("' OR 1=1 --\\", at(8))
            },
            AttemptRow { is_test: true, ..attempt("test", at(9)) },
        ])
        .await;
    let all = [
        "plain",
        "held",
        "offer 2",
        "ftd",
        "failed",
        "refused reject",
        "retrying",
        "customer",
        "' OR 1=1 --\\",
    ];
    let with_test: Vec<&str> = all.into_iter().chain(["test"]).collect();

    let cases: Vec<(String, Vec<&str>)> = vec![
        ("".into(), all.to_vec()),
        ("statuses: [], outcomes: [], events: [], offerIds: [], partnerIds: null".into(), all.to_vec()),
        ("includeTests: false".into(), all.to_vec()),
        ("includeTests: true".into(), with_test),
        ("statuses: [HOLD]".into(), vec!["held"]),
        ("statuses: [HOLD, REJECTED]".into(), vec!["held", "refused reject"]),
        ("outcomes: [DELIVERED]".into(), vec!["plain", "held", "offer 2", "ftd", "' OR 1=1 --\\"]),
        ("outcomes: [FAILED]".into(), vec!["failed", "refused reject"]),
        ("outcomes: [RETRYING, SKIPPED]".into(), vec!["retrying", "customer"]),
        ("events: [FTD, CUSTOMER_ACTIVATE]".into(), vec!["ftd", "customer"]),
        (format!("offerIds: [{}]", quoted(2)), vec!["offer 2"]),
        (format!("offerIds: [{}, {}]", quoted(2), quoted(3)), vec!["offer 2", "refused reject"]),
        (format!("partnerIds: [{}]", quoted(2)), vec!["offer 2"]),
        (format!("advertiserIds: [{}]", quoted(2)), vec!["offer 2"]),
        (format!("postbackIds: [{}]", quoted(2)), vec!["ftd"]),
        (format!("offerIds: [{}]", quoted(99)), vec![]),
        (format!("leadId: \"{lead}\""), vec!["' OR 1=1 --\\"]),
        (format!("leadId: \"{}\"", lead.to_string().to_uppercase()), vec!["' OR 1=1 --\\"]),
        (format!("clickId: \"{click}\""), vec!["' OR 1=1 --\\"]),
        (format!("deliveryId: \"{delivery}\""), vec!["' OR 1=1 --\\"]),
        (r#"txid: "' OR 1=1 --\\""#.into(), vec!["' OR 1=1 --\\"]),
        (r#"txid: "' OR 1=1 --""#.into(), vec![]),
        ("errorKinds: [STATUS, TIMEOUT]".into(), vec!["failed", "refused reject", "retrying"]),
        ("responseCodes: [404, 500]".into(), vec!["failed", "refused reject"]),
        ("attemptAtLeast: 2".into(), vec!["retrying"]),
        ("totalUsAtLeast: 90000000000".into(), vec!["ftd"]),
        // From is inclusive, to is exclusive, and offsets are understood.
        (r#"from: "2026-03-01T12:00:02Z", to: "2026-03-01T13:00:04+01:00""#.into(), vec!["offer 2", "ftd"]),
        (r#"to: "2026-03-01T12:00:00.000001Z""#.into(), vec!["plain"]),
        (r#"from: "0001-01-01T00:00:00Z", to: "9999-12-31T23:59:59Z""#.into(), all.to_vec()),
        (r#"from: "9999-12-31T23:59:59Z""#.into(), vec![]),
        (r#"to: "0001-01-01T00:00:00Z""#.into(), vec![]),
        (format!("outcomes: [FAILED], statuses: [APPROVED], offerIds: [{}]", quoted(1)), vec!["failed"]),
        // Pairs are looked up together, up to a number of them.
        (format!("partnerIds: [{}], offerIds: [{}]", quoted(2), quoted(2)), vec!["offer 2"]),
        (format!("partnerIds: [{}], offerIds: [{}]", quoted(2), quoted(3)), vec![]),
        (
            format!("partnerIds: [{}, {}], offerIds: [{}, {}]", quoted(1), quoted(2), quoted(2), quoted(3)),
            vec!["offer 2", "refused reject"],
        ),
        (
            format!(
                "partnerIds: [{}], offerIds: [{}]",
                quoted(1),
                (2..40).map(quoted).collect::<Vec<_>>().join(", ")
            ),
            vec!["refused reject"],
        ),
    ];
    for (filter, expected) in cases {
        assert_eq!(stage.found(Grant::Owner, "postbackLog", &filter, "txid").await, expected, "{filter}");
    }
}

#[actix_web::test]
async fn a_postback_attempt_is_shown_as_it_was_logged() {
    let stage = Stage::set().await;
    let full = AttemptRow {
        attempt_id: id(1),
        delivery_id: id(2),
        lead_id: Some(id(3)),
        click_id: id(4),
        amount: Some("25.125".parse().unwrap()),
        total_us: 5_000_000_000,
        ..attempt("t-1", at(0) + chrono::Duration::microseconds(1))
    };
    let empty = AttemptRow {
        lead_id: None,
        status: "",
        event: "customer_deactivate",
        amount: None,
        currency: "",
        outcome: "retrying",
        reason: "no answer within 10 s".into(),
        error_kind: "timeout",
        response_code: 0,
        response_body: String::new(),
        first_byte_us: 0,
        ..attempt("t-2", at(-1))
    };
    stage.log_rows([full, empty]).await;
    let query =
        "{ postbackLog { edges { node { attemptId deliveryId leadId clickId txid event status outcome reason
        errorKind attempt responseCode method url offerId partnerId advertiserId postbackId startedAt queuedUs
        totalUs amount currency payout responseBody firstByteUs isTest } } } }";
    let data = stage.data(Grant::Owner, query).await;
    let node = |row: usize| &data["postbackLog"]["edges"][row]["node"];
    assert_eq!(
        *node(0),
        json!({
            "attemptId": id(1), "deliveryId": id(2), "leadId": id(3), "clickId": id(4), "txid": "t-1",
            "event": "SALE", "status": "APPROVED", "outcome": "DELIVERED", "reason": "", "errorKind": "NONE",
            "attempt": 1, "responseCode": 200, "method": "GET", "url": "http://tracker.example/postback?cid=1",
            "offerId": id(1), "partnerId": id(1), "advertiserId": id(1), "postbackId": id(1),
            "startedAt": "2026-03-01T12:00:00.000001Z", "queuedUs": 1500, "totalUs": 5_000_000_000u64,
            "amount": "25.125", "currency": "USD", "payout": "12.50", "responseBody": "OK", "firstByteUs": 20000,
            "isTest": false,
        })
    );
    for field in ["leadId", "status", "responseCode", "responseBody", "firstByteUs", "amount", "currency"] {
        assert!(node(1)[field].is_null(), "{field}: {}", node(1));
    }
    assert_eq!(
        (&node(1)["errorKind"], &node(1)["event"]),
        (&json!("TIMEOUT"), &json!("CUSTOMER_DEACTIVATE"))
    );
}

#[actix_web::test]
async fn the_inbound_log_is_found_by_every_filter() {
    let stage = Stage::set().await;
    let lead = id(71);
    stage
        .log_rows([
            InboundRow { lead_id: Some(lead), ..inbound("accepted", at(0)) },
            InboundRow { verdict: "duplicate", ..inbound("duplicate", at(1)) },
            InboundRow { verdict: "conflict", advertiser_id: Some(id(2)), ..inbound("conflict", at(2)) },
            InboundRow {
                verdict: "rejected",
                http_status: 401,
                advertiser_id: None,
                offer_id: None,
                partner_id: None,
                lead_id: None,
                reason_code: "unknown_key",
                reason: "this API key is not known".into(),
                ..inbound("refused", at(3))
            },
            InboundRow { verdict: "quarantined", offer_id: Some(id(2)), ..inbound("quarantined", at(4)) },
            InboundRow { click_id: "their-own".into(), is_test: true, ..inbound("test", at(5)) },
        ])
        .await;
    let all = vec!["accepted", "duplicate", "conflict", "refused", "quarantined", "test"];
    let cases: Vec<(String, Vec<&str>)> = vec![
        ("".into(), all.clone()),
        ("verdicts: [ACCEPTED]".into(), vec!["accepted", "test"]),
        ("verdicts: [DUPLICATE, CONFLICT]".into(), vec!["duplicate", "conflict"]),
        ("verdicts: [QUARANTINED]".into(), vec!["quarantined"]),
        ("verdicts: [REJECTED]".into(), vec!["refused"]),
        (format!("offerIds: [{}]", quoted(2)), vec!["quarantined"]),
        (format!("advertiserIds: [{}]", quoted(2)), vec!["conflict"]),
        (format!("partnerIds: [{}]", quoted(99)), vec![]),
        ("requestId: \"duplicate\"".into(), vec!["duplicate"]),
        ("clickId: \"their-own\"".into(), vec!["test"]),
        (format!("leadId: \"{lead}\""), vec!["accepted"]),
        ("isTest: true".into(), vec!["test"]),
        ("isTest: false".into(), all[..5].to_vec()),
        (r#"from: "2026-03-01T12:00:01Z", to: "2026-03-01T12:00:03Z""#.into(), vec!["duplicate", "conflict"]),
    ];
    for (filter, expected) in cases {
        assert_eq!(stage.found(Grant::Owner, "inboundLog", &filter, "requestId").await, expected, "{filter}");
    }
    let query = "{ inboundLog(filter: { verdicts: [REJECTED] }) { edges { node {
        requestId clickId leadId verdict httpStatus reason sourceIp receivedAt } } } }";
    assert_eq!(
        stage.data(Grant::Owner, query).await["inboundLog"]["edges"][0]["node"],
        json!({
            "requestId": "refused", "clickId": "abc123", "leadId": null, "verdict": "REJECTED",
            "httpStatus": 401, "reason": "this API key is not known", "sourceIp": "192.0.2.1",
            "receivedAt": "2026-03-01T12:00:03.000000Z",
        })
    );
}

#[actix_web::test]
async fn conversions_are_found_by_every_filter() {
    let stage = Stage::set().await;
    let (lead, click) = (id(71), id(72));
    store(
        &stage.pool,
        [
            StoredConversion { lead_id: lead, click_id: click, ..conversion("hold", at(0)) },
            StoredConversion { status: "approved", amount: None, ..conversion("approved", at(1)) },
            StoredConversion { status: "rejected", ..conversion("rejected", at(2)) },
            StoredConversion { offer_id: id(2), partner_id: id(2), ..conversion("offer 2", at(3)) },
            StoredConversion { customer_id: Some("c-1".into()), is_test: true, ..conversion("test", at(4)) },
        ],
    )
    .await;
    let all = vec!["hold", "approved", "rejected", "offer 2", "test"];
    let cases: Vec<(String, Vec<&str>)> = vec![
        ("".into(), all.clone()),
        ("statuses: []".into(), all.clone()),
        ("statuses: [APPROVED, REJECTED]".into(), vec!["approved", "rejected"]),
        (format!("offerIds: [{}]", quoted(2)), vec!["offer 2"]),
        (format!("partnerIds: [{}, {}]", quoted(2), quoted(9)), vec!["offer 2"]),
        (format!("advertiserIds: [{}]", quoted(9)), vec![]),
        ("requestId: \"approved\"".into(), vec!["approved"]),
        (format!("leadId: \"{lead}\""), vec!["hold"]),
        (format!("clickId: \"{click}\""), vec!["hold"]),
        ("customerId: \"c-1\"".into(), vec!["test"]),
        ("isTest: false".into(), all[..4].to_vec()),
        (r#"from: "2026-03-01T12:00:01Z", to: "2026-03-01T12:00:03Z""#.into(), vec!["approved", "rejected"]),
        (r#"from: "0001-01-01T00:00:00Z", to: "9999-12-31T23:59:59Z""#.into(), all.clone()),
        ("statuses: [HOLD], isTest: true".into(), vec!["test"]),
    ];
    for (filter, expected) in cases {
        assert_eq!(
            stage.found(Grant::Owner, "conversions", &filter, "requestId").await,
            expected,
            "{filter}"
        );
    }
    let query = format!(
        "{{ conversions(filter: {{ leadId: \"{lead}\" }}) {{ edges {{ node {{
            leadId requestId clickId action status amount currency payout createdAt updatedAt }} }} }} }}"
    );
    assert_eq!(
        stage.data(Grant::Owner, &query).await["conversions"]["edges"][0]["node"],
        json!({
            "leadId": lead, "requestId": "hold", "clickId": click, "action": "sale", "status": "HOLD",
            "amount": "25.00", "currency": "USD", "payout": "12.5",
            "createdAt": "2026-03-01T12:00:00.000000Z", "updatedAt": "2026-03-01T12:00:00.000000Z",
        })
    );
}

#[actix_web::test]
async fn what_makes_no_sense_is_refused_by_its_name() {
    let stage = Stage::set().await;
    for (arguments, field) in [
        ("postbackLog(filter: { offerIds: [\"42\"] })", "filter.offerIds"),
        ("postbackLog(filter: { leadId: \"x\" })", "filter.leadId"),
        ("conversions(filter: { partnerIds: [\"\"] })", "filter.partnerIds"),
        ("conversions(filter: { to: \"tomorrow\" })", "filter.to"),
        ("inboundLog(filter: { from: \"2026-03-01\" })", "filter.from"),
        ("inboundLog(filter: { requestId: \"\\u0000\" })", "filter.requestId"),
        ("postbackLog(first: 0)", "first"),
        ("postbackLog(first: -5)", "first"),
        ("conversions(first: 1001)", "first"),
        ("conversions(after: \"here\")", "after"),
    ] {
        let response = stage.execute(Grant::Owner, &format!("{{ {arguments} {{ totalCount }} }}")).await;
        assert_eq!(refusal(&response), ("BAD_INPUT".into(), field.into()), "{arguments}");
    }
    for query in [
        "{ postbackLog(filter: { statuses: [PAID] }) { totalCount } }",
        "{ a: postbackLog(first: 1000) { totalCount } b: postbackLog(first: 1000) { totalCount }
           c: postbackLog(first: 1000) { totalCount } d: postbackLog(first: 1000) { totalCount }
           e: postbackLog(first: 1000) { totalCount } }",
    ] {
        assert!(!stage.execute(Grant::Owner, query).await.errors.is_empty(), "{query}");
    }
}
