//! Reads an answer's body, of which little is kept, and undoes its compression.

use std::io::Read;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// What is kept of an answer's body, in bytes.
pub const KEPT_BYTES: usize = 4 * 1024;
/// What is read of it, so that the connection can be used again; past that it is closed.
pub const READ_BYTES: usize = 64 * 1024;
/// Compressions one over the other that are undone.
const MOST_LAYERS: usize = 2;
const BROTLI_BUFFER_BYTES: usize = 4 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
}

/// The beginning of a body as it came.
#[derive(Debug, Default)]
pub struct Body {
    /// In the order they were put on.
    codings: Vec<Coding>,
    bytes: Vec<u8>,
    read: usize,
}

impl Body {
    pub fn of(headers: &HeaderMap) -> Self {
        let codings = headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| match name.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => Some(Coding::Gzip),
                "deflate" => Some(Coding::Deflate),
                "br" => Some(Coding::Brotli),
                _ => None,
            })
            .collect();
        Self { codings, ..Self::default() }
    }

    /// Takes what has come. False: that is enough, and what else comes is not wanted.
    pub fn push(&mut self, chunk: &[u8]) -> bool {
        // Compressed, all that is read may be needed.
        let most = if self.codings.is_empty() { KEPT_BYTES } else { READ_BYTES };
        let room = most.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        self.read += chunk.len();
        self.read <= READ_BYTES
    }

    /// The first 4 KiB as text. However much a few bytes would swell to, no more than is kept is
    /// ever unpacked; what cannot be unpacked is shown as it came.
    pub fn into_text(mut self) -> String {
        if self.codings.len() <= MOST_LAYERS {
            while let Some(coding) = self.codings.pop() {
                let most = if self.codings.is_empty() { KEPT_BYTES } else { READ_BYTES };
                let unpacked = unpack(coding, &self.bytes, most);
                if unpacked.is_empty() {
                    break;
                }
                self.bytes = unpacked;
            }
        }
        self.bytes.truncate(KEPT_BYTES);
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// At most `most` bytes; those before a fault or a missing end.
fn unpack(coding: Coding, packed: &[u8], most: usize) -> Vec<u8> {
    match coding {
        Coding::Gzip => read(flate2::read::MultiGzDecoder::new(packed), most),
        // By the standard it is zlib's; some send it bare.
        Coding::Deflate => match read(flate2::read::ZlibDecoder::new(packed), most) {
            nothing if nothing.is_empty() => read(flate2::read::DeflateDecoder::new(packed), most),
            unpacked => unpacked,
        },
        Coding::Brotli => read(brotli_decompressor::Decompressor::new(packed, BROTLI_BUFFER_BYTES), most),
    }
}

fn read(reader: impl Read, most: usize) -> Vec<u8> {
    let mut unpacked = Vec::new();
    // Fails where the end is missing, which is so wherever reading stopped at the cap.
    let _ = reader.take(most as u64).read_to_end(&mut unpacked);
    unpacked
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn text(codings: &'static str, bytes: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(codings));
        let mut body = Body::of(&headers);
        body.push(bytes);
        body.into_text()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn compressed_answers_are_readable() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(b"accepted").unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
        bare.write_all(b"accepted").unwrap();
        // "accepted" as one uncompressed block of brotli.
        let brotli = [0x8b, 0x03, 0x80, b'a', b'c', b'c', b'e', b'p', b't', b'e', b'd', 0x03];
        assert_eq!(text("gzip", &gzip(b"accepted")), "accepted");
        assert_eq!(text("X-GZIP", &gzip(b"accepted")), "accepted");
        assert_eq!(text("deflate", &zlib.finish().unwrap()), "accepted");
        assert_eq!(text("deflate", &bare.finish().unwrap()), "accepted");
        assert_eq!(text("br", &brotli), "accepted");
        assert_eq!(text("gzip, gzip", &gzip(&gzip(b"accepted"))), "accepted");
        assert_eq!(text("zstd", b"as it came"), "as it came");
        assert_eq!(text("gzip", b"a lie"), "a lie");
        assert_eq!(text("identity", b"plain"), "plain");
    }

    #[test]
    fn a_bomb_is_kept_small() {
        let zeros = vec![b'0'; 50_000_000];
        let bomb = gzip(&zeros);
        assert_eq!(text("gzip", &bomb[..bomb.len().min(READ_BYTES)]), "0".repeat(KEPT_BYTES));
        let twice = gzip(&bomb);
        assert_eq!(text("gzip, gzip", &twice), "0".repeat(KEPT_BYTES));
        assert!(text("gzip, gzip, gzip, gzip", &gzip(&twice)).len() <= 3 * KEPT_BYTES);
    }

    #[test]
    fn reading_stops_where_enough_is_read() {
        let mut body = Body::default();
        assert!(body.push(&[b'x'; READ_BYTES]));
        assert!(!body.push(b"x"));
        assert_eq!(body.bytes.len(), KEPT_BYTES);
    }

    proptest! {
        #[test]
        fn no_bytes_break_an_unpacker(bytes: Vec<u8>, which in 0_usize..4) {
            text(["gzip", "deflate", "br", "br, gzip"][which], &bytes);
        }

        #[test]
        fn what_was_packed_comes_back_to_the_cap(content in "[a-z]{1,6000}") {
            let kept = &content[..content.len().min(KEPT_BYTES)];
            prop_assert_eq!(text("gzip", &gzip(content.as_bytes())), kept);
        }
    }
}
