//! A proxy as companies put between themselves and the world: who names a user and a password gets
//! connections (CONNECT, RFC 9110, 9.3.6).

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// `Basic` of `user:p@ss`.
const AUTHORIZATION: &str = "Basic dXNlcjpwQHNz";

#[derive(Clone)]
pub struct ForwardProxy {
    /// Host and port.
    pub address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ForwardProxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let proxy = Self { address, asked: Arc::default() };
        let serving = proxy.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let proxy = serving.clone();
                tokio::spawn(async move { proxy.serve(stream).await });
            }
        });
        proxy
    }

    /// The targets it was asked for, refused ones too.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        let target = head.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
        self.asked.lock().unwrap().push(target.clone());
        if !head.lines().any(|line| line == format!("Proxy-Authorization: {AUTHORIZATION}")) {
            let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
            return stream.write_all(refusal.as_bytes()).await.ok();
        }
        let mut destination = TcpStream::connect(target).await.ok()?;
        stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.ok()?;
        copy_bidirectional(&mut stream, &mut destination).await.ok()?;
        Some(())
    }
}
