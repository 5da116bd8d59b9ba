//! Where postbacks do not go, and what is logged of those that go.

mod by_proxy;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use ricochet::domain::event::Event;
use ricochet::domain::postback::{Owner, Scope};
use ricochet::store::network::{self, NewPostback};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::dns::{self, Reply};
use crate::support::eventually;
use crate::support::server::Server;
use crate::support::tracker::{OK, Tracker};
use crate::support::world::World;

/// Past the check at saving, as rows of older versions are.
async fn stored(world: &World, url: &str) {
    let postback = NewPostback {
        owner: Owner::Partner(world.partner),
        scope: Scope::Global,
        events: &[Event::Sale],
        url_template: url,
        retry_schedule_ms: Some(vec![100; 3]),
        timeout_ms: 10_000,
        max_in_flight: 4,
    };
    let db = world.databases.pool.get().await.unwrap();
    network::add_postback(&db, &postback).await.unwrap();
}

async fn logged(world: &World, server: &Server, count: usize) -> Vec<Value> {
    world.until_settled().await;
    let query =
        "{ postbackLog(first: 100) { edges { node { url outcome errorKind reason attempt responseCode peerIp
                   httpVersion dnsUs connectUs tlsUs firstByteUs totalUs requestHeaders requestBody } } } }";
    eventually("the attempts are in the log", || async {
        let log = world.graphql(server, &world.owner_token, query).await;
        let edges = log["postbackLog"]["edges"].as_array().unwrap().clone();
        let nodes: Vec<Value> = edges.into_iter().map(|edge| edge["node"].clone()).collect();
        Some(nodes).filter(|nodes| nodes.len() >= count)
    })
    .await
}

#[tokio::test]
async fn nothing_inside_the_network_is_called_however_it_is_written() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let port = tracker.url.rsplit(':').next().unwrap().to_owned();
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "localhost",
        "LocalHost.",
        "tracker.localhost",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "user:secret@tracker.example",
    ];
    for host in hosts {
        stored(&world, &format!("http://{host}:{port}/p?cid={{clickid}}")).await;
    }
    stored(&world, "http://tracker.example:22/").await;
    let server = Server::start_with(&world.databases, &[("RICOCHET_OUTBOUND_ALLOWED_NETWORKS", "")]).await;
    let click = world.click(&server, world.fixed.1).await;
    world.report(&server, &format!("click_id={click}&request_id=r&action=sale&status=new")).await;

    let attempts = logged(&world, &server, hosts.len() + 1).await;
    assert_eq!(attempts.len(), hosts.len() + 1);
    for attempt in &attempts {
        assert_eq!((&attempt["outcome"], &attempt["errorKind"]), (&"SKIPPED".into(), &"BLOCKED".into()));
        let reason = attempt["reason"].as_str().unwrap();
        assert!(reason.starts_with("not sent: ") && !reason.contains("secret"), "{reason}");
        assert_eq!((&attempt["attempt"], &attempt["peerIp"]), (&1.into(), &Value::Null), "{attempt}");
        assert!(!attempt["url"].as_str().unwrap().contains("secret"));
    }
    let metadata = attempts.iter().find(|attempt| attempt["url"].as_str().unwrap().contains("169.254"));
    assert_eq!(
        metadata.unwrap()["reason"],
        "not sent: 169.254.169.254 is a cloud's metadata service, which is not called; an owner can allow it by \
         RICOCHET_OUTBOUND_ALLOWED_NETWORKS"
    );
    assert_eq!(tracker.received().len(), 0);
}

#[tokio::test]
async fn a_network_that_is_allowed_is_called_and_its_exchange_timed() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let port = tracker.url.rsplit(':').next().unwrap().to_owned();
    stored(&world, &format!("http://localhost:{port}/p?cid={{clickid}}&token=s3cret")).await;
    let server =
        Server::start_with(&world.databases, &[("RICOCHET_OUTBOUND_ALLOWED_NETWORKS", "127.0.0.1,::1")])
            .await;
    let click = world.click(&server, world.fixed.1).await;
    for number in 0..3 {
        world.report(&server, &format!("click_id={click}&request_id={number}&action=sale&status=new")).await;
        tracker.until_received(number + 1).await;
        // One after the other. The first is sent as to one never heard of, from another thread than
        // the second, whose connection the third one uses.
        world.until_settled().await;
    }
    let attempts = logged(&world, &server, 3).await;
    for attempt in &attempts {
        assert_eq!((&attempt["outcome"], &attempt["peerIp"]), (&"DELIVERED".into(), &"127.0.0.1".into()));
        assert_eq!((&attempt["httpVersion"], &attempt["tlsUs"]), (&"1.1".into(), &0.into()));
        assert!(attempt["url"].as_str().unwrap().ends_with("&token=[redacted]"), "{attempt}");
        assert_eq!((&attempt["requestHeaders"], &attempt["requestBody"]), (&Value::Null, &Value::Null));
    }
    // Newest first.
    assert_eq!((&attempts[0]["connectUs"], &attempts[0]["dnsUs"]), (&0.into(), &0.into()));
    for opened in &attempts[1..] {
        assert!(opened["connectUs"].as_u64().unwrap() > 0 && opened["dnsUs"].as_u64().unwrap() > 0);
    }
}

/// A TLS server on loopback that answers only who shows a certificate of its authority; the file
/// of that authority, and a certificate with its key.
async fn tracker_that_asks_who_calls(directory: &Path) -> (u16, String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&authority_key).unwrap();
    std::fs::write(directory.join("ca.pem"), authority.pem()).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        (certificate, key)
    };
    let (certificate, key) = issue("localhost");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.unwrap())
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                head.push(byte);
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let (shown, shown_key) = issue("ricochet.example");
    (port, shown.pem(), shown_key.serialize_pem())
}

#[tokio::test]
async fn a_postback_shows_the_certificate_that_was_set_for_it() {
    let world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (port, certificate, key) = tracker_that_asks_who_calls(directory.path()).await;
    stored(&world, &format!("https://localhost:{port}/p?cid={{clickid}}")).await;
    let master_key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let ca_file = directory.path().join("ca.pem");
    let settings =
        [("RICOCHET_MASTER_KEY", master_key), ("RICOCHET_OUTBOUND_CA_FILE", ca_file.to_str().unwrap())];
    let server = Server::start_with(&world.databases, &settings).await;
    let click = world.click(&server, world.fixed.1).await;
    world.report(&server, &format!("click_id={click}&request_id=1&action=sale&status=new")).await;
    let refused = logged(&world, &server, 4).await;
    assert!(refused.iter().all(|attempt| attempt["errorKind"] == "TLS"), "{refused:?}");

    let db = world.databases.pool.get().await.unwrap();
    let postback: uuid::Uuid = db.query_one("SELECT postback_id FROM postbacks", &[]).await.unwrap().get(0);
    let set = async |certificate: &str, key: &str| {
        let query = format!(
            "mutation {{ setPostbackCertificate(input: {{postbackId: \"{postback}\", certificatePem: {}, \
             privateKeyPem: {}}}) }}",
            Value::from(certificate),
            Value::from(key)
        );
        let request = world.client.post(server.url("/graphql")).bearer_auth(&world.owner_token);
        let answer = request.json(&serde_json::json!({ "query": query })).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    for (certificate, key, field) in [
        ("nonsense", key.as_str(), "input.certificatePem"),
        (certificate.as_str(), "nonsense", "input.privateKeyPem"),
        (certificate.as_str(), &KeyPair::generate().unwrap().serialize_pem(), "input.privateKeyPem"),
    ] {
        let answer = set(certificate, key).await;
        assert_eq!(answer["errors"][0]["extensions"]["field"], field, "{answer}");
    }
    let answer = set(&certificate, &key).await;
    assert_eq!(answer["data"]["setPostbackCertificate"], postback.to_string(), "{answer}");
    let sealed: Vec<u8> =
        db.query_one("SELECT ciphertext FROM postback_certificates", &[]).await.unwrap().get(0);
    assert!(!String::from_utf8_lossy(&sealed).contains("PRIVATE KEY"));

    world.report(&server, &format!("click_id={click}&request_id=2&action=sale&status=new")).await;
    let attempts = logged(&world, &server, 5).await;
    assert_eq!(attempts[0]["outcome"], "DELIVERED", "{attempts:?}");
    assert!(attempts[0]["tlsUs"].as_u64().unwrap() > 0);
    // Sent again as it was then, it is shown all the same: how a request is sent is of today.
    let update = format!(
        "mutation {{ updatePostback(input: {{postbackId: \"{postback}\", urlTemplate: \"https://localhost:{port}/new\"}}) {{ postbackId }} }}"
    );
    world.graphql(&server, &world.owner_token, &update).await;
    let delivered = "{ deliveries(filter: {states: [DELIVERED]}) { nodes { deliveryId } } }";
    let delivered = world.graphql(&server, &world.owner_token, delivered).await;
    let resend = format!(
        "mutation {{ resendDeliveries(deliveryIds: [{}], request: ORIGINAL) {{ job {{ made }} }} }}",
        delivered["deliveries"]["nodes"][0]["deliveryId"]
    );
    world.graphql(&server, &world.owner_token, &resend).await;
    let attempts = logged(&world, &server, 6).await;
    assert_eq!((&attempts[0]["outcome"], attempts.len()), (&Value::from("DELIVERED"), 6), "{attempts:?}");
    let remove = format!("mutation {{ removePostbackCertificate(postbackId: \"{postback}\") }}");
    world.graphql(&server, &world.owner_token, &remove).await;
    assert_eq!(world.count("SELECT count(*) FROM postback_certificates").await, 0);
    let audited = "SELECT count(*) FROM audit_log WHERE action LIKE '%certificate%'";
    assert_eq!(world.count(audited).await, 2);
}

#[tokio::test]
async fn names_are_asked_of_the_name_servers_that_are_set() {
    let world = World::new().await;
    let tracker = Tracker::start(OK).await;
    let questions = Arc::new(AtomicUsize::new(0));
    let asked = questions.clone();
    // IPv4 and IPv6 are asked for at once.
    let name_server = dns::start(move || match asked.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Reply::Failure,
        2..8 => Reply::AddressAfter(Duration::from_millis(20)),
        _ => Reply::Address,
    })
    .await;
    stored(&world, &tracker.url.replace("127.0.0.1", "tracker.ricochet.example")).await;
    let settings = [("RICOCHET_OUTBOUND_NAME_SERVERS", name_server.to_string())];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let server = Server::start_with(&world.databases, &settings).await;
    let click = world.click(&server, world.fixed.1).await;
    world.report(&server, &format!("click_id={click}&request_id=r&action=sale&status=new")).await;
    let attempts = logged(&world, &server, 1).await;
    assert_eq!(attempts[0]["outcome"], "DELIVERED", "{attempts:?}");
    assert_eq!(attempts[0]["peerIp"], "127.0.0.1");
    assert!(attempts[0]["dnsUs"].as_i64().unwrap() > 0, "{attempts:?}");
    assert!(questions.load(Ordering::Relaxed) >= 3);
}
