use chrono::TimeDelta;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::request::Method;

/// Key and signature are those of the specification's own example.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn secret(text: &str) -> SigningSecret {
    SigningSecret { secret: SharedSecret::new(text.into()), signs_until: None }
}

fn stamp() -> Stamp {
    Stamp {
        delivery_id: DeliveryId(Uuid::from_u128(0x0198_d5f0_0000_7000_8000_0000_0000_0001)),
        now: DateTime::from_timestamp(1_614_265_330, 999_000_000).unwrap(),
        nonce: 0xab,
    }
}

fn post(url: &str, body: &str) -> RenderedRequest {
    RenderedRequest { method: Method::Post, body: body.into(), ..RenderedRequest::get(url.into()) }
}

fn header<'a>(request: &'a RenderedRequest, name: &str) -> &'a str {
    let mut found = request.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    let (_, value) = found.next().unwrap();
    assert_eq!(found.next(), None, "{name} stands once");
    value
}

#[test]
fn the_tag_is_that_of_the_specification() {
    let message = "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
    let tag = hmac(&SharedSecret::new(SECRET.into()).webhook_key(), message);
    assert_eq!(STANDARD.encode(tag), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn standard_webhooks_sign_the_body_and_a_header_of_ours_the_request() {
    let request = post("https://t.example/p?a=1", "{\"test\": 2432232314}");
    let signed = sign(&request, &Signing::StandardWebhooks, &[secret(SECRET)], &stamp()).unwrap();
    let key = SharedSecret::new(SECRET.into()).webhook_key();
    let id = "0198d5f0-0000-7000-8000-000000000001";
    assert_eq!(header(&signed.request, "webhook-id"), id);
    assert_eq!(header(&signed.request, "webhook-timestamp"), "1614265330");
    let tag = |message: &str| format!("v1,{}", STANDARD.encode(hmac(&key, message)));
    let standard = tag(&format!("{id}.1614265330.{{\"test\": 2432232314}}"));
    assert_eq!(header(&signed.request, "webhook-signature"), standard);
    let whole = tag(&format!("request.{id}.1614265330.POST /p?a=1\n{{\"test\": 2432232314}}"));
    assert_eq!(header(&signed.request, "ricochet-signature"), whole);
    assert_eq!((&signed.request.url, &signed.request.body), (&request.url, &request.body));
    assert_eq!(signed.tags.len(), 2);
}

#[test]
fn headers_of_a_template_do_not_stand_beside_ours() {
    let mut request = post("https://t.example/", "x");
    request.headers = vec![("Webhook-Signature".into(), "v1,forged".into()), ("accept".into(), "*/*".into())];
    let signed = sign(&request, &Signing::StandardWebhooks, &[secret(SECRET)], &stamp()).unwrap();
    assert_ne!(header(&signed.request, "webhook-signature"), "v1,forged");
    assert_eq!(header(&signed.request, "accept"), "*/*");
}

#[test]
fn a_url_is_signed_as_it_is_sent() {
    let signing = Signing::Url(UrlParameters::default());
    let key = SECRET.as_bytes();
    for (written, body, target) in [
        ("https://t.example/p?a=1", "", "/p?a=1&ts=1614265330&nonce=000000000000000000000000000000ab"),
        ("https://t.example", "", "/?ts=1614265330&nonce=000000000000000000000000000000ab"),
        (
            "https://t.example/p?a=é b&#end",
            "{}",
            "/p?a=%C3%A9%20b&ts=1614265330&nonce=000000000000000000000000000000ab",
        ),
        // Ours stand once, whoever wrote them first and however.
        (
            "https://t.example/p?sig=x&%74s=1&a=1&nonce=",
            "",
            "/p?a=1&ts=1614265330&nonce=000000000000000000000000000000ab",
        ),
    ] {
        let signed = sign(&post(written, body), &signing, &[secret(SECRET)], &stamp()).unwrap();
        let tag = hex::encode(hmac(key, &format!("{target}\n{body}")));
        assert_eq!(signed.request.url, format!("https://t.example{target}&sig={tag}"), "{written}");
        // Parsing it again, which is what sending does, changes nothing.
        assert_eq!(Url::parse(&signed.request.url).unwrap().as_str(), signed.request.url);
        assert_eq!(signed.tags, [tag]);
    }
}

#[test]
fn both_secrets_sign_until_one_ends() {
    let now = stamp().now;
    let ending = SigningSecret { signs_until: Some(now + TimeDelta::seconds(1)), ..secret(OTHER) };
    let ended = SigningSecret { signs_until: Some(now), ..secret(OTHER) };
    let url = Signing::Url(UrlParameters::new("t", "n", "s").unwrap());
    let request = RenderedRequest::get("https://t.example/p".into());
    for (other, tags) in [(ending, 2), (ended.clone(), 1)] {
        let secrets = [secret(SECRET), other];
        let signed = sign(&request, &url, &secrets, &stamp()).unwrap();
        let (_, value) = signed.request.url.rsplit_once("&s=").unwrap();
        assert_eq!(value.split('.').count(), tags);
        let signed = sign(&request, &Signing::StandardWebhooks, &secrets, &stamp()).unwrap();
        assert_eq!(header(&signed.request, "webhook-signature").split(' ').count(), tags);
    }
    for signing in [url, Signing::StandardWebhooks] {
        assert_eq!(sign(&request, &signing, std::slice::from_ref(&ended), &stamp()), Err(NoSecret));
    }
    assert_eq!(sign(&request, &Signing::None, &[ended], &stamp()).unwrap().request, request);
}

#[test]
fn parameters_have_plain_names_of_their_own() {
    assert!(UrlParameters::new("ts", "nonce", "x-sig_1.~").is_ok());
    assert_eq!(UrlParameters::new("ts", "ts", "sig"), Err(UnfitParameters::Repeated));
    for name in ["", "a b", "a=b", "a&b", "é", "{ts}", &"x".repeat(65)] {
        assert_eq!(UrlParameters::new("ts", name, "sig"), Err(UnfitParameters::Name(name.into())));
    }
}

#[test]
fn nobody_sees_a_secret() {
    assert!(!format!("{:?}", secret(SECRET)).contains("MfKQ"));
}

proptest! {
    /// What is signed is what a receiver gets by cutting the signature off the end.
    #[test]
    fn a_receiver_finds_the_message_by_cutting(path in "[ -~é]{0,20}", body in "\\PC{0,20}") {
        let request = post(&format!("https://t.example/{path}"), &body);
        let signed = sign(&request, &Signing::Url(UrlParameters::default()), &[secret(SECRET)], &stamp()).unwrap();
        let sent = Url::parse(&signed.request.url).unwrap();
        let (message, tag) = target(&sent).rsplit_once("&sig=").unwrap();
        prop_assert_eq!(tag, hex::encode(hmac(SECRET.as_bytes(), &format!("{message}\n{body}"))));
        prop_assert_eq!(message.matches("nonce=").count() >= 1, true);
        prop_assert_eq!(sent.query_pairs().filter(|(name, _)| name == "ts").count(), 1);
    }
}
