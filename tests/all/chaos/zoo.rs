//! Trackers at their worst, until they are told to calm down.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::dice::Dice;
use crate::support::dns::Reply;

/// How a tracker behaves while it is not calm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nature {
    /// Always answers at once.
    Steady,
    /// Answers, but takes its time; not more than [`SLOW_PLACES`] are to be under way there.
    Slow,
    /// Any trouble, request by request.
    Moody,
    /// Never answers.
    Hanging,
    /// Answers a byte at a time, without end.
    Trickling,
    /// Answers 200 and says in the body that it refused.
    Lying,
    /// Answers 429 with a time to come back at, as seconds or as a date.
    Throttling,
    /// Answers now and then that it is gone for good, and is there again when its owner looks.
    Leaving,
    /// Answers more compressed zeros than any memory holds.
    Bombing,
    /// Its name is looked up slowly, or in vain.
    Nameless,
    /// Takes [`RATE`] requests a second, and answers at once.
    Rationed,
    /// Sends callers elsewhere; the only one that does so for ever.
    Redirecting,
}

pub const NATURES: [Nature; 12] = [
    Nature::Steady,
    Nature::Slow,
    Nature::Moody,
    Nature::Hanging,
    Nature::Trickling,
    Nature::Lying,
    Nature::Throttling,
    Nature::Leaving,
    Nature::Bombing,
    Nature::Nameless,
    Nature::Rationed,
    Nature::Redirecting,
];

/// What the lying one says in the body of a 200.
pub const REFUSED: &str = "REFUSED";

/// Most deliveries under way to the slow one, over all nodes.
pub const SLOW_PLACES: i32 = 4;

/// Most requests a second to the rationed one, and at once after a quiet time, over all nodes.
pub const RATE: usize = 40;
pub const BURST: usize = 4;

#[derive(Clone)]
pub struct Animal {
    pub nature: Nature,
    pub url: String,
    is_calm: Arc<AtomicBool>,
    dice: Arc<Mutex<Dice>>,
    /// Requests received, by the conversion's txid.
    received: Arc<Mutex<HashMap<String, u32>>>,
    /// Those of them that were answered so that nobody has to ask again.
    settled: Arc<Mutex<HashMap<String, u32>>>,
    crowd: Arc<Crowd>,
    times: Arc<Mutex<Vec<Instant>>>,
}

/// Requests being answered.
#[derive(Default)]
struct Crowd {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Crowd {
    fn enter(&self) -> Guest<'_> {
        let now = self.now.fetch_add(1, Ordering::AcqRel) + 1;
        self.peak.fetch_max(now, Ordering::AcqRel);
        Guest(self)
    }
}

struct Guest<'a>(&'a Crowd);

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What is done with one request.
enum Deed {
    Answer { status: &'static str, headers: String, body: &'static str },
    AnswerAfter(Duration),
    Hang,
    Trickle,
    Reset,
    CutShort,
    Bomb,
}

impl Deed {
    /// Nobody has reason to send the same again, unless the answer does not reach them.
    fn is_final(&self) -> bool {
        match self {
            Self::Answer { status, body, .. } => match *status {
                "200 OK" => *body != REFUSED,
                "302 Found" => true,
                _ => false,
            },
            Self::AnswerAfter(_) => true,
            Self::Hang | Self::Trickle | Self::Reset | Self::CutShort | Self::Bomb => false,
        }
    }
}

fn answer(status: &'static str, body: &'static str) -> Deed {
    Deed::Answer { status, headers: String::new(), body }
}

impl Animal {
    pub async fn start(nature: Nature, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = if nature == Nature::Nameless { "nameless.zoo.example" } else { "127.0.0.1" };
        let animal = Self {
            nature,
            url: format!("http://{host}:{port}"),
            is_calm: Arc::default(),
            dice: Arc::new(Mutex::new(Dice::of(seed))),
            received: Arc::default(),
            settled: Arc::default(),
            crowd: Arc::default(),
            times: Arc::default(),
        };
        let serving = animal.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let animal = serving.clone();
                tokio::spawn(async move { animal.serve(stream).await });
            }
        });
        animal
    }

    pub fn calm(&self) {
        self.is_calm.store(true, Ordering::Release);
    }

    /// Requests received, by txid.
    pub fn received(&self) -> HashMap<String, u32> {
        self.received.lock().unwrap().clone()
    }

    /// Requests that were answered for good, by txid.
    pub fn settled(&self) -> HashMap<String, u32> {
        self.settled.lock().unwrap().clone()
    }

    /// Most requests that were being answered at one time.
    pub fn peak(&self) -> usize {
        self.crowd.peak.load(Ordering::Acquire)
    }

    /// Most requests that came in any sliding second.
    pub fn most_in_a_second(&self) -> usize {
        let mut times = self.times.lock().unwrap().clone();
        times.sort_unstable();
        let ends = |from: Instant| times.partition_point(|time| *time < from + Duration::from_secs(1));
        times.iter().enumerate().map(|(first, from)| ends(*from) - first).max().unwrap_or(0)
    }

    /// What becomes of a question for its name.
    pub fn name_reply(&self) -> Reply {
        if self.is_calm.load(Ordering::Acquire) {
            return Reply::Address;
        }
        let mut dice = self.dice.lock().unwrap();
        match dice.within(0..8) {
            0 => Reply::Failure,
            1 => Reply::NoSuchName,
            2 => Reply::Silence,
            // Beyond the deadline of an exchange, now and then.
            3 | 4 => Reply::AddressAfter(Duration::from_millis(dice.within(0..600))),
            _ => Reply::Address,
        }
    }

    fn deed(&self) -> Deed {
        if self.nature == Nature::Redirecting {
            let headers = "location: http://elsewhere.example/\r\n".to_owned();
            return Deed::Answer { status: "302 Found", headers, body: "" };
        }
        if self.is_calm.load(Ordering::Acquire) {
            return answer("200 OK", "OK");
        }
        if self.nature == Nature::Nameless {
            // The next one has to look the name up again.
            let headers = "connection: close\r\n".to_owned();
            return Deed::Answer { status: "200 OK", headers, body: "OK" };
        }
        let mut dice = self.dice.lock().unwrap();
        match self.nature {
            Nature::Steady | Nature::Rationed | Nature::Nameless | Nature::Redirecting => {
                answer("200 OK", "OK")
            }
            Nature::Slow => Deed::AnswerAfter(Duration::from_millis(dice.within(0..300))),
            Nature::Moody => match dice.within(0..8) {
                0 => answer("500 Internal Server Error", "no"),
                1 => answer("503 Service Unavailable", "later"),
                2 => Deed::Reset,
                3 => Deed::CutShort,
                4 => Deed::Hang,
                _ => answer("200 OK", "OK"),
            },
            Nature::Hanging => Deed::Hang,
            Nature::Trickling => Deed::Trickle,
            Nature::Lying => answer("200 OK", REFUSED),
            Nature::Throttling => {
                let headers = match dice.within(0..2) {
                    0 => "retry-after: 1\r\n".to_owned(),
                    _ => {
                        let date = Utc::now() + TimeDelta::seconds(1);
                        format!("retry-after: {}\r\n", date.format("%a, %d %b %Y %H:%M:%S GMT"))
                    }
                };
                Deed::Answer { status: "429 Too Many Requests", headers, body: "" }
            }
            Nature::Leaving => match dice.within(0..6) {
                0 => answer("410 Gone", ""),
                _ => answer("200 OK", "OK"),
            },
            Nature::Bombing => Deed::Bomb,
        }
    }

    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await.ok()? == 0 {
                    return None;
                }
            }
            let url = Url::parse(&format!("{}{}", self.url, head.split(' ').nth(1)?)).ok()?;
            let txid = url.query_pairs().find(|(name, _)| name == "txid")?.1.into_owned();
            *self.received.lock().unwrap().entry(txid.clone()).or_default() += 1;
            self.times.lock().unwrap().push(Instant::now());
            let _guest = self.crowd.enter();
            let deed = self.deed();
            if deed.is_final() {
                *self.settled.lock().unwrap().entry(txid).or_default() += 1;
            }
            match deed {
                Deed::Answer { status, headers, body } => {
                    reply(&mut stream, status, &headers, body).await?;
                }
                Deed::AnswerAfter(pause) => {
                    tokio::time::sleep(pause).await;
                    reply(&mut stream, "200 OK", "", "OK").await?;
                }
                Deed::Hang => std::future::pending().await,
                Deed::Trickle => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await.ok()?;
                    loop {
                        stream.write_all(b".").await.ok()?;
                        stream.flush().await.ok()?;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                Deed::Reset => {
                    // Without lingering, a close sends RST.
                    stream.get_ref().set_zero_linger().ok()?;
                    return None;
                }
                Deed::CutShort => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nOK").await.ok()?;
                    return None;
                }
                Deed::Bomb => {
                    let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n";
                    stream.write_all(head.as_bytes()).await.ok()?;
                    // A gzip stream may have any number of members: here one after another of zeros.
                    loop {
                        stream.write_all(ZEROS).await.ok()?;
                    }
                }
            }
        }
    }
}

async fn reply(stream: &mut BufReader<TcpStream>, status: &str, headers: &str, body: &str) -> Option<()> {
    let answer = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.ok()
}

/// A million zeros in gzip (RFC 1952), a thousand to one.
const ZEROS: &[u8] = include_bytes!("zeros.gz");
