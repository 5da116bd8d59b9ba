use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NOW: i64 = 1_614_265_330;
const ADVERTISER: AdvertiserId = AdvertiserId(Uuid::from_u128(1));

fn judge(signed: &Signed, policy: SignaturePolicy, now: i64) -> Result<Vec<UsedSignature>, SignatureFault> {
    let secrets = ["another secret that is live", SECRET].map(|text| SharedSecret::new(text.to_owned()));
    verify(signed, ADVERTISER, policy, &secrets, now)
}

fn required(signed: &Signed) -> Result<Vec<UsedSignature>, SignatureFault> {
    judge(signed, SignaturePolicy::Required, NOW)
}

fn hmac_hex(key: &[u8], message: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(message);
    hex::encode(mac.finalize().into_bytes())
}

fn ricochet_header(time: i64, body: &str) -> String {
    format!("t={time},v1={}", hmac_hex(SECRET.as_bytes(), format!("{time}.{body}").as_bytes()))
}

#[test]
fn hmac_is_that_of_rfc_4231() {
    let tag = hmac_hex(b"Jefe", b"what do ya want for nothing?");
    assert_eq!(tag, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

/// The example of the Standard Webhooks libraries.
#[test]
fn the_standard_webhooks_example_is_right_and_nothing_like_it_is() {
    let right = Signed {
        webhook_id: vec!["msg_p5jXN8AQM9LWM0D4loKWxJek"],
        webhook_timestamp: vec!["1614265330"],
        webhook_signature: vec!["v1a,xyz v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="],
        body: br#"{"test": 2432232314}"#,
        ..Signed::default()
    };
    assert_eq!(required(&right).unwrap().len(), 1);
    assert_eq!(required(&Signed { body: b"{}", ..right.clone() }), Err(SignatureFault::Wrong));
    assert_eq!(required(&Signed { webhook_id: vec!["msg_x"], ..right.clone() }), Err(SignatureFault::Wrong));
    let shortened = Signed { webhook_signature: vec!["v1,g0hM9SsE+OTPJTGt/tmIKg=="], ..right.clone() };
    assert_eq!(required(&shortened), Err(SignatureFault::Wrong));
    let without_id = Signed { webhook_id: vec![], ..right.clone() };
    assert_eq!(required(&without_id).unwrap_err().code(), "bad_signature");
    let stale = SignatureFault::Stale { signed_at: NOW, now: NOW + 301 };
    assert_eq!(judge(&right, SignaturePolicy::Optional, NOW + 301), Err(stale));
    assert!(judge(&right, SignaturePolicy::Required, NOW + 300).is_ok());
    assert!(judge(&right, SignaturePolicy::Required, NOW - 300).is_ok());
    assert_eq!(judge(&right, SignaturePolicy::Required, NOW - 301).unwrap_err().code(), "stale_signature");
}

#[test]
fn the_header_covers_time_and_body() {
    let header = ricochet_header(NOW, "body");
    let right = Signed { ricochet_signature: vec![&header], body: b"body", ..Signed::default() };
    let used = required(&right).unwrap();
    assert_eq!(used[0].signed_at, NOW);
    let dressed_up = format!("v0=abc, {header} ,v1={}", "00".repeat(32));
    let same = Signed { ricochet_signature: vec![&dressed_up], ..right.clone() };
    assert_eq!(required(&same).unwrap(), used, "the same request, whatever stands around it");
    assert_eq!(required(&Signed { body: b"Body", ..right.clone() }), Err(SignatureFault::Wrong));
    for unreadable in ["", "t=1", "v1=00", "t=x,v1=00", &header[..40], "t=1,t=2,v1=00"] {
        let signed = Signed { ricochet_signature: vec![unreadable], ..right.clone() };
        assert_eq!(required(&signed).unwrap_err().code(), "bad_signature", "{unreadable}");
        assert!(judge(&signed, SignaturePolicy::Optional, NOW).is_err(), "{unreadable}");
        assert_eq!(judge(&signed, SignaturePolicy::Off, NOW), Ok(vec![]));
    }
    let twice = Signed { ricochet_signature: vec![&header, &header], ..right.clone() };
    assert_eq!(required(&twice).unwrap_err().code(), "bad_signature");
    assert_eq!(required(&Signed { query: "status=approved", ..right }), Err(SignatureFault::UnsignedQuery));
}

#[test]
fn a_query_is_signed_raw_or_sorted_and_with_its_time() {
    let sign = |text: &str| hmac_hex(SECRET.as_bytes(), text.as_bytes());
    let raw = format!("b=%20&ts={NOW}&sig={}&a=1", sign(&format!("b=%20&ts={NOW}&a=1")));
    let sorted = format!("b=%20&ts={NOW}&a=1&sig={}", sign(&format!("a=1&b=%20&ts={NOW}")).to_uppercase());
    for query in [&raw, &sorted] {
        assert_eq!(required(&Signed { query, ..Signed::default() }).unwrap().len(), 1, "{query}");
    }
    let wrong = [raw.replace("a=1", "a=2"), raw.replace("%20", "+"), raw.replace("&a=1", "")];
    for query in &wrong {
        assert_eq!(required(&Signed { query, ..Signed::default() }), Err(SignatureFault::Wrong), "{query}");
    }
    let with_body = Signed { query: &raw, body: b"status=approved", ..Signed::default() };
    assert_eq!(required(&with_body), Err(SignatureFault::UnsignedBody));

    let undated = format!("a=1&sig={}", sign("a=1"));
    let undated = Signed { query: &undated, ..Signed::default() };
    assert_eq!(required(&undated), Err(SignatureFault::MissingTimestamp));
    assert_eq!(judge(&undated, SignaturePolicy::Optional, NOW), Ok(vec![]));
}

#[test]
fn what_is_not_signed_is_let_in_where_signatures_are_optional() {
    let unsigned = Signed { query: "a=1&ts=1", body: b"x", ..Signed::default() };
    assert_eq!(required(&unsigned), Err(SignatureFault::Missing));
    assert_eq!(judge(&unsigned, SignaturePolicy::Optional, NOW), Ok(vec![]));
}

proptest! {
    #[test]
    fn no_header_panics_or_passes(header in "[ -~]{0,90}", signatures in "[ -~]{0,60}", query in "[ -~]{0,60}") {
        let signed = Signed {
            ricochet_signature: vec![&header],
            webhook_id: vec!["id"],
            webhook_timestamp: vec!["1614265330"],
            webhook_signature: vec![&signatures],
            query: &query,
            body: b"body",
        };
        prop_assert!(judge(&signed, SignaturePolicy::Optional, NOW).is_err());
    }

    #[test]
    fn one_changed_bit_is_seen(body in "[ -~]{1,40}", place in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let header = ricochet_header(NOW, &body);
        let mut changed = body.clone().into_bytes();
        let at = place.index(changed.len());
        changed[at] ^= 1 << bit;
        let right = Signed { ricochet_signature: vec![&header], body: body.as_bytes(), ..Signed::default() };
        prop_assert!(required(&right).is_ok());
        prop_assert_eq!(required(&Signed { body: &changed, ..right }), Err(SignatureFault::Wrong));
    }
}
