//! The wire between a node and PostgreSQL, which breaks when a test says so.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

use super::databases::Databases;
use super::eventually;

/// When the connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// PostgreSQL has done what it was asked for; its answer is lost.
    BeforeTheAnswer,
    /// PostgreSQL has been asked, and goes on by itself.
    AfterTheQuestion,
    /// PostgreSQL has committed the transaction of the statement; its answer is lost.
    BeforeTheCommitsAnswer,
    /// PostgreSQL is not asked any more: the wire is cut.
    BeforeTheQuestion,
}

/// A proxy that reads what is asked.
#[derive(Clone)]
pub struct Wire {
    /// For `DATABASE_URL`.
    pub database_url: String,
    target: String,
    /// What the next connection breaks at: a part of a statement.
    trap: Arc<Mutex<Option<(&'static str, Break)>>>,
    broken: Arc<AtomicUsize>,
    is_cut: watch::Sender<bool>,
}

impl Wire {
    pub async fn start(databases: &Databases) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut url = Url::parse(&databases.database_url).unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let wire = Self {
            database_url: url.to_string(),
            target,
            trap: Arc::default(),
            broken: Arc::default(),
            is_cut: watch::Sender::new(false),
        };
        let serving = wire.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let wire = serving.clone();
                tokio::spawn(async move { wire.carry(stream).await });
            }
        });
        wire
    }

    /// The next execution of a statement that contains `part` breaks its connection.
    pub fn break_at(&self, part: &'static str, moment: Break) {
        *self.trap.lock().unwrap() = Some((part, moment));
    }

    /// Waits until connections have broken `times` times.
    pub async fn until_broken(&self, times: usize) {
        eventually("a connection breaks", || async {
            (self.broken.load(Ordering::Acquire) >= times).then_some(())
        })
        .await;
    }

    /// Breaks all connections, and lets none through until it is mended.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }

    /// Waits until a statement that was to cut it has.
    pub async fn until_cut(&self) {
        let _ = self.is_cut.subscribe().wait_for(|is_cut| *is_cut).await;
    }

    async fn carry(&self, client: TcpStream) -> Option<()> {
        let mut cut = self.is_cut.subscribe();
        if *cut.borrow() {
            return None;
        }
        let server = TcpStream::connect(&self.target).await.ok()?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let (set_off, trapped) = watch::channel(None);
        let answering = tokio::spawn(answers(from_server, to_client, trapped));
        let outcome = tokio::select! {
            outcome = self.questions(from_client, to_server, &set_off) => outcome,
            _ = cut.wait_for(|is_cut| *is_cut) => None,
        };
        let broken_at = *set_off.borrow();
        match broken_at {
            Some(Break::AfterTheQuestion | Break::BeforeTheQuestion) | None => answering.abort(),
            // It waits for the answer, and ends the connection then.
            Some(_) => answering.await.ok()?,
        }
        if broken_at.is_some() {
            self.broken.fetch_add(1, Ordering::AcqRel);
        }
        outcome
    }

    /// Passes on what the node says (PostgreSQL's protocol 3.0), until the trap goes off.
    async fn questions(
        &self,
        mut client: OwnedReadHalf,
        mut server: OwnedWriteHalf,
        set_off: &watch::Sender<Option<Break>>,
    ) -> Option<()> {
        // The first message has no type.
        let mut length = client.read_i32().await.ok()?;
        let mut typed = None;
        let mut statements: HashSet<(Vec<u8>, String)> = HashSet::new();
        let mut at_commit = None;
        loop {
            let mut body = vec![0; usize::try_from(length - 4).ok()?];
            client.read_exact(&mut body).await.ok()?;
            let mut strings = body.split(|byte| *byte == 0);
            match typed {
                // Parse: its name, and the statement.
                Some(b'P') => {
                    let name = strings.next()?.to_owned();
                    statements.insert((name, String::from_utf8_lossy(strings.next()?).into_owned()));
                }
                // Bind: the portal, and the statement's name.
                Some(b'B') => {
                    let name = strings.nth(1)?;
                    let mut trap = self.trap.lock().unwrap();
                    if let Some((part, moment)) = *trap
                        && statements.iter().any(|(one, text)| one == name && text.contains(part))
                    {
                        *trap = None;
                        match moment {
                            Break::BeforeTheCommitsAnswer => at_commit = Some(moment),
                            Break::BeforeTheQuestion => {
                                self.cut();
                                return None;
                            }
                            _ => drop(set_off.send_replace(Some(moment))),
                        }
                    }
                }
                // Query, without parameters.
                Some(b'Q') if at_commit.is_some() && body.starts_with(b"COMMIT") => {
                    set_off.send_replace(at_commit);
                }
                _ => {}
            }
            if let Some(typed) = typed {
                server.write_u8(typed).await.ok()?;
            }
            server.write_i32(length).await.ok()?;
            server.write_all(&body).await.ok()?;
            // Sync, or a query: the question is asked.
            if matches!(typed, Some(b'S' | b'Q')) && set_off.borrow().is_some() {
                // Its own end of the connection is not closed: PostgreSQL answers, if nobody hears.
                server.forget();
                return Some(());
            }
            typed = Some(client.read_u8().await.ok()?);
            length = client.read_i32().await.ok()?;
        }
    }
}

/// Passes on what PostgreSQL says, until the trap has gone off and it is ready for the next question.
async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    trapped: watch::Receiver<Option<Break>>,
) {
    let mut buffer = vec![0; 64 * 1_024];
    while let Ok(read @ 1..) = server.read(&mut buffer).await {
        let said = &buffer[..read];
        if trapped.borrow().is_none() {
            if client.write_all(said).await.is_err() {
                return;
            }
        } else if said.ends_with(b"Z\0\0\0\x05I") {
            return;
        }
    }
}
