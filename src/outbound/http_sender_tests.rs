use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::domain::access::allowlist::{Allowlist, parse_networks};
use crate::domain::request::Method;
use crate::outbound::resolver::LookupError;

const PATIENCE: Duration = Duration::from_secs(20);

/// Answers each look-up with the next of these, the last one for ever.
struct Script {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Script {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answers =
            answers.iter().map(|all| all.iter().map(|address| address.parse().unwrap()).collect()).collect();
        Arc::new(Self { answers, asked: AtomicUsize::new(0) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolve for Script {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, LookupError>> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
        let answer = self.answers[turn].clone();
        let name = name.to_owned();
        Box::pin(
            async move { if answer.is_empty() { Err(LookupError::NoSuchName(name)) } else { Ok(answer) } },
        )
    }
}

fn allowing(networks: &str) -> OutboundSettings {
    let allowed_networks = Allowlist::new(parse_networks(networks).unwrap());
    OutboundSettings {
        policy: Policy { allowed_networks, ..Policy::default() },
        ..OutboundSettings::default()
    }
}

fn sender(resolver: Arc<Script>) -> HttpSender {
    HttpSender::with_resolver(&allowing("127.0.0.1"), resolver).unwrap()
}

async fn get(sender: &HttpSender, url: &str) -> Sent {
    get_within(sender, url, PATIENCE).await
}

async fn get_within(sender: &HttpSender, url: &str, timeout: Duration) -> Sent {
    let url = Url::parse(url).unwrap();
    sender.send(&RenderedRequest::get(url.to_string()), url.clone(), timeout).await
}

fn kind(sent: &Sent) -> ErrorKind {
    match &sent.exchange {
        Exchange::Answered { .. } => ErrorKind::None,
        Exchange::Broken { kind, .. } | Exchange::Unfit { kind, .. } => *kind,
    }
}

fn words(sent: &Sent) -> &str {
    match &sent.exchange {
        Exchange::Answered { .. } => "",
        Exchange::Broken { message, .. } => message,
        Exchange::Unfit { reason, .. } => reason,
    }
}

fn status(sent: &Sent) -> u16 {
    match sent.exchange {
        Exchange::Answered { status, .. } => status,
        _ => panic!("{:?}", sent.exchange),
    }
}

/// Serves each connection by `serve`; counts them.
async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (u16, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counting = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counting.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream));
        }
    });
    (port, count)
}

/// The head of a request; `None` where the connection is closed.
async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// Answers every request alike and then waits for the next one.
async fn answering(answer: &'static [u8]) -> (u16, Arc<AtomicUsize>) {
    server(move |mut stream| async move {
        while read_head(&mut stream).await.is_some() {
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    })
    .await
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK";

#[tokio::test]
async fn a_name_that_changes_its_answer_gains_nothing() {
    let (port, _) = answering(OK).await;
    // What was vetted is what is called: one look-up a connection.
    let script = Script::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let rebinding = sender(script.clone());
    let url = format!("http://tracker.example:{port}/");
    let first = get(&rebinding, &url).await;
    assert_eq!((status(&first), script.asked()), (200, 1));
    assert_eq!(first.timings.peer, Some(Ipv4Addr::LOCALHOST.into()));
    // The next request goes over the connection that was vetted: nothing is looked up.
    let second = get(&rebinding, &url).await;
    assert_eq!((status(&second), script.asked()), (200, 1));
    // A new connection is a new look-up, and its answer is judged.
    rebinding.inner.pool.clear();
    let third = get(&rebinding, &url).await;
    assert_eq!((kind(&third), script.asked()), (ErrorKind::Blocked, 2));
    assert_eq!(
        words(&third),
        "not sent: tracker.example is 127.0.0.2, a loopback address, which is not called; an owner can allow \
         it by RICOCHET_OUTBOUND_ALLOWED_NETWORKS"
    );
}

#[tokio::test]
async fn one_bad_address_among_good_ones_is_refused() {
    let (port, connections) = answering(OK).await;
    for answers in [["127.0.0.1", "10.0.0.1"], ["169.254.169.254", "127.0.0.1"], ["127.0.0.1", "::1"]] {
        let sent = get(&sender(Script::new(&[&answers])), &format!("http://t.example:{port}/")).await;
        assert_eq!(kind(&sent), ErrorKind::Blocked, "{answers:?}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_without_an_address_is_tried_again() {
    let sent = get(&sender(Script::new(&[&[]])), "http://nobody.example/").await;
    assert_eq!(kind(&sent), ErrorKind::Dns);
    assert_eq!(words(&sent), "nobody.example does not exist, or has no address");
}

#[tokio::test]
async fn a_dead_address_gives_way_to_a_live_one() {
    let (port, _) = answering(OK).await;
    let settings = allowing("127.0.0.0/8");
    // Nobody listens on 127.0.0.9.
    let script = Script::new(&[&["127.0.0.9", "127.0.0.1"]]);
    let sent =
        get(&HttpSender::with_resolver(&settings, script).unwrap(), &format!("http://t.example:{port}/"))
            .await;
    assert_eq!((status(&sent), sent.timings.peer), (200, Some(Ipv4Addr::LOCALHOST.into())));
}

#[tokio::test]
async fn the_request_says_what_the_postback_says() {
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let hearing = heard.clone();
    let (port, _) = server(move |mut stream| {
        let hearing = hearing.clone();
        async move {
            let head = read_head(&mut stream).await.unwrap();
            let mut body = [0; 4];
            stream.read_exact(&mut body).await.unwrap();
            hearing.lock().unwrap().push((head, body));
            stream.write_all(OK).await.unwrap();
        }
    })
    .await;
    let url = Url::parse(&format!("http://Tracker.Example.:{port}/p?a=%20b#fragment")).unwrap();
    let request = RenderedRequest {
        path_secrets: Vec::new(),
        method: Method::Post,
        url: url.to_string(),
        headers: vec![("X-Id".into(), "ü".into()), ("user-agent".into(), "mine".into())],
        body: "body".into(),
    };
    let sent = sender(Script::new(&[&["127.0.0.1"]])).send(&request, url, PATIENCE).await;
    assert_eq!((status(&sent), sent.response_body.as_str()), (200, "OK"));
    let (head, body) = heard.lock().unwrap().pop().unwrap();
    assert_eq!(&body, b"body");
    let mut lines: Vec<_> = head.trim_end().split("\r\n").collect();
    lines[1..].sort_unstable();
    assert_eq!(
        lines,
        [
            "POST /p?a=%20b HTTP/1.1",
            "accept-encoding: identity",
            "accept: */*",
            "content-length: 4",
            &format!("host: tracker.example:{port}"),
            "user-agent: mine",
            "x-id: ü",
        ]
    );
}

#[tokio::test]
async fn headers_that_cannot_be_sent_are_named() {
    let sender = sender(Script::new(&[&["127.0.0.1"]]));
    for (name, value, expected) in [
        ("X-A", "a\r\nHost: b", "not sent: the value of the header X-A has a line break"),
        ("X A", "a", "not sent: \"X A\" is no name of a header"),
        ("Host", "elsewhere", "not sent: the header Host is set by Ricochet itself"),
        ("Transfer-Encoding", "chunked", "not sent: the header Transfer-Encoding is set by Ricochet itself"),
    ] {
        let url = Url::parse("http://tracker.example/").unwrap();
        let mut request = RenderedRequest::get(url.to_string());
        request.headers.push((name.into(), value.into()));
        let sent = sender.send(&request, url, PATIENCE).await;
        assert!(words(&sent).starts_with(expected), "{sent:?}");
        assert!(matches!(sent.exchange, Exchange::Unfit { kind: ErrorKind::None, .. }));
    }
}

#[tokio::test]
async fn a_connection_is_used_again_and_costs_nothing_then() {
    let (port, connections) = answering(OK).await;
    let sender = sender(Script::new(&[&["127.0.0.1"]]));
    let url = format!("http://tracker.example:{port}/");
    let first = get(&sender, &url).await;
    assert!(first.timings.connect_us > 0);
    for _ in 0..20 {
        let next = get(&sender, &url).await;
        let timings = &next.timings;
        assert_eq!((timings.dns_us, timings.connect_us, timings.tls_us), (0, 0, 0));
        assert!(timings.first_byte_us > 0 && timings.first_byte_us <= next.total_us);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_waited_is_no_failure() {
    let (port, connections) = server(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(OK).await.unwrap();
    })
    .await;
    let sender = sender(Script::new(&[&["127.0.0.1"]]));
    for _ in 0..5 {
        let sent = get(&sender, &format!("http://tracker.example:{port}/")).await;
        // Closed at the very moment it is used again it would be `Reset`: wait for the close.
        assert_eq!(status(&sent), 200);
        while sender.inner.pool.take(&destination(port)).is_some() {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), 5);
}

fn destination(port: u16) -> Arc<Destination> {
    Arc::new(Destination::of(&Url::parse(&format!("http://tracker.example:{port}/")).unwrap(), None))
}

#[tokio::test]
async fn connections_that_wait_are_bounded_over_all_destinations() {
    let pool = Pool::new(3);
    let mut ports = Vec::new();
    for _ in 0..5 {
        let (port, _) = answering(OK).await;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect(address).await.unwrap();
        let connection = Connection::open(stream, address, Version::HTTP_11).await.unwrap();
        pool.put(&destination(port), connection);
        ports.push(port);
    }
    let kept: Vec<bool> = ports.iter().map(|port| pool.take(&destination(*port)).is_some()).collect();
    assert_eq!(kept, [false, false, true, true, true], "the longest waiting are closed");
}

/// Trackers at their worst, and what each comes to.
#[tokio::test]
async fn every_fault_has_its_kind() {
    let huge: &'static [u8] =
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(200_000)).into_bytes().leak();
    let many: &'static [u8] =
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(500)).into_bytes().leak();
    for (answer, expected_kind, expected) in [
        (&b"HTTP/9.9 what\r\n\r\n"[..], ErrorKind::Reset, "its answer is no HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", ErrorKind::Reset, "its answer is no HTTP"),
        (b"SSH-2.0-OpenSSH\r\n", ErrorKind::Reset, "its answer is no HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5x\r\n\r\n", ErrorKind::Reset, "its answer is no HTTP"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            ErrorKind::Reset,
            "its answer is no HTTP",
        ),
        (huge, ErrorKind::Reset, "the head of its answer is longer"),
        (many, ErrorKind::Reset, "the head of its answer is longer"),
        (b"", ErrorKind::Reset, "it closed the connection before its answer was complete"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nOK",
            ErrorKind::Reset,
            "answered 200, then not to the end: ",
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            ErrorKind::Reset,
            "answered 200, then not to the end: ",
        ),
    ] {
        let (port, _) = server(move |mut stream| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
            // Not closed before it is read, which would make it a reset.
            let _ = stream.read_u8().await;
        })
        .await;
        let sent = get(&sender(Script::new(&[&["127.0.0.1"]])), &format!("http://t.example:{port}/")).await;
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(60)]).into_owned();
        assert_eq!(kind(&sent), expected_kind, "{shown:?}: {sent:?}");
        assert!(words(&sent).starts_with(expected), "{shown:?}: {}", words(&sent));
    }
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let (port, _) = answering(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 None\r\n\r\n",
    )
    .await;
    let sent = get(&sender(Script::new(&[&["127.0.0.1"]])), &format!("http://t.example:{port}/")).await;
    assert_eq!(status(&sent), 204);
}

#[tokio::test]
async fn one_deadline_covers_everything() {
    let sender = sender(Script::new(&[&["127.0.0.1"]]));
    let short = Duration::from_millis(300);
    let (silent, _) = server(|stream| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let sent = get_within(&sender, &format!("http://t.example:{silent}/"), short).await;
    assert_eq!((kind(&sent), words(&sent)), (ErrorKind::Timeout, "no answer within 300 ms"));
    let sent = get_within(&sender, &format!("https://t.example:{silent}/"), short).await;
    assert_eq!((kind(&sent), words(&sent)), (ErrorKind::Timeout, "no TLS handshake within 300 ms"));

    // A byte now and then does not buy more time, neither in the head nor in the body.
    for (head, expected) in [
        (&b"HTTP/1.1 200 O"[..], "no answer within 300 ms"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n",
            "answered 200, but not to the end within 300 ms",
        ),
    ] {
        let (trickling, _) = server(move |mut stream| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(head).await;
            while stream.write_all(b"K").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let sent = get_within(&sender, &format!("http://t.example:{trickling}/"), short).await;
        assert_eq!((kind(&sent), words(&sent)), (ErrorKind::Timeout, expected));
        assert!(sent.total_us < 5_000_000, "{sent:?}");
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_and_its_connection_closed() {
    let (port, connections) = server(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 10_000]).await.is_ok() {}
    })
    .await;
    let sender = sender(Script::new(&[&["127.0.0.1"]]));
    for _ in 0..2 {
        let sent = get(&sender, &format!("http://tracker.example:{port}/")).await;
        assert_eq!((status(&sent), sent.response_body.len()), (200, 4096));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

/// An authority and the certificates it gives out.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), certificate, directory }
    }

    fn issue(&self, name: &str, is_expired: bool) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if is_expired {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn trusting(&self) -> OutboundSettings {
        OutboundSettings { ca_file: Some(self.directory.path().join("ca.pem")), ..allowing("127.0.0.1") }
    }

    /// A TLS server for `tracker.example` that offers `alpn`, and asks for a certificate of this
    /// authority where `wants_certificate`.
    async fn serve(
        &self,
        is_expired: bool,
        alpn: &[&[u8]],
        wants_certificate: bool,
    ) -> (u16, Arc<AtomicUsize>) {
        use rustls::pki_types::pem::PemObject as _;
        let (certificate, key) = self.issue("tracker.example", is_expired);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if wants_certificate {
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        server(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let io = hyper_util::rt::TokioIo::new(stream);
                let answer =
                    hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                        let host = match request.uri().host() {
                            Some(host) => host.to_owned(),
                            None => request.headers()["host"].to_str().unwrap().to_owned(),
                        };
                        let shown = host.split(':').next().unwrap().to_owned();
                        Ok::<_, std::convert::Infallible>(http::Response::new(shown))
                    });
                if is_http2 {
                    let executor = hyper_util::rt::TokioExecutor::new();
                    let _ =
                        hyper::server::conn::http2::Builder::new(executor).serve_connection(io, answer).await;
                } else {
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, answer).await;
                }
            }
        })
        .await
    }
}

#[tokio::test]
async fn tls_is_spoken_with_the_name_over_either_version() {
    let authority = Authority::new();
    for (alpn, version) in
        [(&[&b"http/1.1"[..]][..], Version::HTTP_11), (&[b"h2", b"http/1.1"], Version::HTTP_2)]
    {
        let (port, connections) = authority.serve(false, alpn, false).await;
        let sender =
            HttpSender::with_resolver(&authority.trusting(), Script::new(&[&["127.0.0.1"]])).unwrap();
        let url = format!("https://tracker.example:{port}/p");
        let first = get(&sender, &url).await;
        assert_eq!((status(&first), first.response_body.as_str()), (200, "tracker.example"));
        assert_eq!(first.timings.version, Some(version));
        assert!(first.timings.tls_us > 0 && first.timings.connect_us > 0);
        let second = get(&sender, &url).await;
        assert_eq!((status(&second), second.timings.tls_us), (200, 0));
        if version == Version::HTTP_2 {
            let together = futures_util::future::join_all((0..20).map(|_| get(&sender, &url))).await;
            assert!(together.iter().all(|sent| status(sent) == 200));
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_certificate_that_proves_nothing_is_refused() {
    let authority = Authority::new();
    let script = || Script::new(&[&["127.0.0.1"]]);
    let (valid, _) = authority.serve(false, &[], false).await;
    let (expired, _) = authority.serve(true, &[], false).await;
    let trusting = HttpSender::with_resolver(&authority.trusting(), script()).unwrap();
    for (sender, url, expected) in [
        (sender(script()), format!("https://tracker.example:{valid}/"), "UnknownIssuer"),
        (trusting.clone(), format!("https://tracker.example:{expired}/"), "expired"),
        (trusting.clone(), format!("https://other.example:{valid}/"), "not valid for name"),
    ] {
        let sent = get(&sender, &url).await;
        assert_eq!(kind(&sent), ErrorKind::Tls, "{sent:?}");
        assert!(words(&sent).contains(expected), "{}", words(&sent));
    }
    // No TLS at all.
    let (plain, _) = server(|mut stream| async move {
        let _ = stream.write_all(OK).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let sent = get(&trusting, &format!("https://tracker.example:{plain}/")).await;
    assert_eq!(kind(&sent), ErrorKind::Tls, "{sent:?}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_only_where_it_is_set() {
    let authority = Authority::new();
    let (port, _) = authority.serve(false, &[], true).await;
    let sender = HttpSender::with_resolver(&authority.trusting(), Script::new(&[&["127.0.0.1"]])).unwrap();
    let (certificate, key) = authority.issue("ricochet.example", false);
    let own = ClientCertificate::new(certificate, key);
    let url = Url::parse(&format!("https://tracker.example:{port}/")).unwrap();
    let request = RenderedRequest::get(url.to_string());
    let shown = sender.send_as(&request, url.clone(), PATIENCE, Some(&own)).await;
    assert_eq!(status(&shown), 200);
    // Its connection waits, but for nobody without the certificate.
    let anonymous = sender.send(&request, url, PATIENCE).await;
    assert_eq!(kind(&anonymous), ErrorKind::Tls, "{anonymous:?}");
}

#[tokio::test]
async fn a_proxy_is_asked_for_vetted_addresses_only() {
    let (port, _) = answering(OK).await;
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let asking = asked.clone();
    let (proxy, _) = server(move |mut stream| {
        let asking = asking.clone();
        async move {
            let Some(head) = read_head(&mut stream).await else { return };
            let target = head.split(' ').nth(1).unwrap().to_owned();
            asking.lock().unwrap().push(head);
            let mut onward = TcpStream::connect(target).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
    .await;
    let settings = OutboundSettings {
        proxy: Some(format!("http://user:pass@127.0.0.1:{proxy}").parse().unwrap()),
        ..allowing("127.0.0.1")
    };
    let sender = HttpSender::with_resolver(&settings, Script::new(&[&["127.0.0.1"]])).unwrap();
    assert_eq!(status(&get(&sender, &format!("http://tracker.example:{port}/")).await), 200);
    assert_eq!(
        asked.lock().unwrap().as_slice(),
        [format!(
            "CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
             Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n"
        )]
    );
    let blocked = HttpSender::with_resolver(&settings, Script::new(&[&["10.0.0.1"]])).unwrap();
    assert_eq!(kind(&get(&blocked, "http://tracker.example/").await), ErrorKind::Blocked);
    assert_eq!(asked.lock().unwrap().len(), 1);

    let (refusing, _) = answering(b"HTTP/1.1 407 No\r\n\r\n").await;
    let settings = OutboundSettings {
        proxy: Some(format!("http://127.0.0.1:{refusing}").parse().unwrap()),
        ..allowing("127.0.0.1")
    };
    let sender = HttpSender::with_resolver(&settings, Script::new(&[&["127.0.0.1"]])).unwrap();
    let sent = get(&sender, &format!("http://tracker.example:{port}/")).await;
    assert_eq!(kind(&sent), ErrorKind::Connect);
    assert!(words(&sent).contains("wants a user name and password"), "{}", words(&sent));
}
