//! The code of docs/verifying-signatures.md on requests that a server has sent.

use std::io::Write;
use std::process::{Command, Stdio};

use chrono::{DateTime, TimeDelta, Utc};
use ricochet::domain::access::signature::SharedSecret;
use ricochet::domain::ids::DeliveryId;
use ricochet::domain::request::{Method, RenderedRequest};
use ricochet::domain::signing::{self, Signing, SigningSecret, Stamp, UrlParameters};
use serde::Serialize;
use serde_json::{Map, Value};
use url::{Position, Url};
use uuid::Uuid;

use super::stage::Stage;
use super::verify::{verify_headers, verify_url};
use crate::support::tracker::{OK, Received, Tracker};

const DOCUMENT: &str = include_str!("../../../docs/verifying-signatures.md");

/// A request as it reached a receiver, and whether it must be taken.
#[derive(Debug, Clone, Serialize)]
struct Case {
    #[serde(skip)]
    what: String,
    #[serde(skip)]
    is_genuine: bool,
    in_url: bool,
    method: String,
    target: String,
    headers: Map<String, Value>,
    body: String,
    secret: String,
    now: i64,
}

impl Case {
    fn new(what: &str, in_url: bool, received: &Received, secret: &str, now: DateTime<Utc>) -> Self {
        let headers =
            received.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone().into()));
        Self {
            what: format!("{what}, {}", if in_url { "url" } else { "headers" }),
            is_genuine: true,
            in_url,
            method: received.method.clone(),
            target: received.target.clone(),
            headers: headers.collect(),
            body: received.body.clone(),
            secret: secret.to_owned(),
            now: now.timestamp(),
        }
    }

    /// This case changed so that it must be refused.
    fn forged(&self, what: &str, change: impl FnOnce(&mut Self)) -> Self {
        let mut forged =
            Self { what: format!("{} with {what}", self.what), is_genuine: false, ..self.clone() };
        let before = serde_json::to_value(&forged).unwrap();
        change(&mut forged);
        assert_ne!(before, serde_json::to_value(&forged).unwrap(), "{}", forged.what);
        forged
    }

    fn with_forgeries(self) -> Vec<Self> {
        let other_secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let mut forgeries = vec![
            self.forged("another body", |case| case.body.push(' ')),
            self.forged("another sum", |case| case.target = case.target.replace("payout=10", "payout=99")),
            self.forged("another path", |case| case.target = case.target.replacen('/', "/x", 1)),
            self.forged("another secret", |case| case.secret = other_secret.into()),
            self.forged("a clock ahead", |case| case.now += 400),
            self.forged("a clock behind", |case| case.now -= 400),
        ];
        if self.in_url {
            let at = self.target.find("&ts=").unwrap() + "&ts=".len();
            let later = |case: &mut Self| {
                let seconds: i64 = case.target[at..at + 10].parse().unwrap();
                case.target.replace_range(at..at + 10, &(seconds + 1).to_string());
            };
            let end = self.target.rfind("&sig=").unwrap();
            forgeries.extend([
                self.forged("another time", later),
                self.forged("another nonce", |case| case.target = case.target.replace("nonce=", "nonce=0")),
                self.forged("one parameter more", |case| case.target.insert_str(end, "&x=1")),
                self.forged("a short signature", |case| case.target.truncate(end + "&sig=".len() + 32)),
                self.forged("an empty signature", |case| case.target.truncate(end + "&sig=".len())),
                self.forged("no signature", |case| case.target.truncate(end)),
            ]);
        } else {
            let set = |name: &'static str, value: String| {
                move |case: &mut Self| drop(case.headers.insert(name.into(), value.into()))
            };
            let said = |name: &str| self.headers[name].as_str().unwrap().to_owned();
            let later: i64 = said("webhook-timestamp").parse::<i64>().unwrap() + 1;
            forgeries.extend([
                self.forged("another time", set("webhook-timestamp", later.to_string())),
                self.forged("another id", set("webhook-id", Uuid::now_v7().to_string())),
                self.forged("another method", |case| case.method = "PUT".into()),
                self.forged("the wrong signature", set("ricochet-signature", said("webhook-signature"))),
                self.forged(
                    "a short signature",
                    set("webhook-signature", said("webhook-signature")[..24].into()),
                ),
                self.forged("an empty signature", set("webhook-signature", String::new())),
                self.forged("no signature", |case| drop(case.headers.remove("ricochet-signature"))),
            ]);
        }
        [vec![self], forgeries].concat()
    }
}

/// Requests with a body, which the server's own postback has not.
fn signed_posts(secrets: &[&str], now: DateTime<Utc>) -> [(bool, Received); 2] {
    let secrets: Vec<SigningSecret> = secrets
        .iter()
        .map(|secret| SigningSecret { secret: SharedSecret::new((*secret).into()), signs_until: None })
        .collect();
    let request = RenderedRequest {
        method: Method::Post,
        body: "{\"name\":\"Zoë\",\"payout\":\"10\"}".into(),
        ..RenderedRequest::get("https://t.example/p?cid=a%20b&payout=10".into())
    };
    let stamp = Stamp { delivery_id: DeliveryId(Uuid::now_v7()), now, nonce: rand::random() };
    [(false, Signing::StandardWebhooks), (true, Signing::Url(UrlParameters::default()))].map(
        |(in_url, signing)| {
            let sent = signing::sign(&request, &signing, &secrets, &stamp).unwrap().request;
            let url = Url::parse(&sent.url).unwrap();
            let target = url[Position::BeforePath..Position::AfterQuery].to_owned();
            let method = sent.method.code().to_owned();
            (in_url, Received { url, method, target, headers: sent.headers, body: sent.body })
        },
    )
}

/// The code block of a language.
fn code(language: &str) -> &'static str {
    let (_, rest) = DOCUMENT.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// What the code of `language` says of all cases, followed by `main`, which reads them as JSON.
fn run(interpreter: &str, file: &str, language: &str, main: &str, cases: &[Case]) -> Vec<bool> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file);
    std::fs::write(&path, format!("{}\n{main}", code(language))).unwrap();
    let mut program = Command::new(interpreter)
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{interpreter}: {error}"));
    let input = serde_json::to_vec(cases).unwrap();
    program.stdin.take().unwrap().write_all(&input).unwrap();
    let output = program.wait_with_output().unwrap();
    assert!(output.status.success(), "{interpreter}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

const PYTHON: &str = "
import json, sys
print(json.dumps([
    verify_url(case['target'], case['body'].encode(), case['secret'], case['now']) if case['in_url'] else
    verify_headers(case['method'], case['target'], case['headers'], case['body'].encode(), case['secret'], case['now'])
    for case in json.load(sys.stdin)
]))";

const NODE: &str = "
import { readFileSync } from 'node:fs';
const bytes = (text) => Buffer.from(text);
const verdict = (c) => c.in_url ? verifyUrl(c.target, bytes(c.body), c.secret, c.now)
  : verifyHeaders(c.method, c.target, c.headers, bytes(c.body), c.secret, c.now);
console.log(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(verdict)));";

const PHP: &str = "
echo json_encode(array_map(fn (array $c) => $c['in_url']
    ? verify_url($c['target'], $c['body'], $c['secret'], $c['now'])
    : verify_headers($c['method'], $c['target'], $c['headers'], $c['body'], $c['secret'], $c['now']),
    json_decode(file_get_contents('php://stdin'), true)));";

fn rust(case: &Case) -> bool {
    let now = u64::try_from(case.now).unwrap();
    match case.in_url {
        true => verify_url(&case.target, case.body.as_bytes(), &case.secret, now),
        false => {
            let header = |name: &str| case.headers.get(name).and_then(Value::as_str).unwrap_or_default();
            verify_headers(&case.method, &case.target, header, case.body.as_bytes(), &case.secret, now)
        }
    }
}

fn is_at_hand(interpreter: &str) -> bool {
    Command::new(interpreter).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

#[test]
fn the_rust_code_that_is_tested_is_that_of_the_document() {
    assert_eq!(include_str!("verify.rs"), code("rust"));
}

#[tokio::test]
async fn receivers_in_four_languages_tell_our_requests_from_forged_ones() {
    let tracker = Tracker::start(OK).await;
    let stage = Stage::on(&tracker).await;
    let mut cases = Vec::new();
    let mut requests = 0;
    let (first, _) = stage.create_secret("").await;
    let (second, _) = stage.create_secret("").await;
    for (form, in_url) in [("STANDARD_WEBHOOKS", false), ("URL", true)] {
        stage.sign(form).await;
        stage.convert(form).await;
        requests += 1;
        let received = tracker.until_received(requests).await.pop().unwrap();
        for secret in [&first, &second] {
            cases.extend(Case::new("as received", in_url, &received, secret, Utc::now()).with_forgeries());
        }
    }
    let now = Utc::now();
    for (in_url, post) in signed_posts(&[&second, &first], now) {
        cases.extend(Case::new("a body", in_url, &post, &first, now).with_forgeries());
    }
    for (in_url, post) in signed_posts(&[&first], now - TimeDelta::minutes(6)) {
        let mut old = Case::new("signed 6 minutes ago", in_url, &post, &first, now);
        old.is_genuine = false;
        cases.push(old);
    }

    let mut verdicts = vec![("rust", cases.iter().map(rust).collect::<Vec<bool>>())];
    verdicts.push(("python", run("python3", "verify.py", "python", PYTHON, &cases)));
    verdicts.push(("node", run("node", "verify.mjs", "js", NODE, &cases)));
    // PHP is not on every machine that builds this.
    if is_at_hand("php") {
        verdicts.push(("php", run("php", "verify.php", "php", PHP, &cases)));
    }
    for (language, verdicts) in verdicts {
        assert_eq!(verdicts.len(), cases.len(), "{language}");
        for (verdict, case) in verdicts.into_iter().zip(&cases) {
            assert_eq!(verdict, case.is_genuine, "{language}: {}", case.what);
        }
    }
    assert_eq!(cases.iter().filter(|case| case.is_genuine).count(), 6);
}
