//! Cuts a body into lines as it arrives, holding no more than one line.

use actix_web::error::PayloadError;
use actix_web::web::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};

use crate::domain::verdict::FieldError;

/// The lines of a body; blank ones are left out. A line of more than `longest_bytes` is one
/// error, whatever its length, and is not kept.
pub fn lines(
    body: impl Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    longest_bytes: usize,
) -> impl Stream<Item = Result<Bytes, FieldError>> {
    let cutter = Cutter { longest_bytes, chunk: Bytes::new(), line: BytesMut::new(), is_overlong: false };
    stream::unfold(Some((body, cutter)), |state| async move {
        let (mut body, mut cutter) = state?;
        loop {
            if let Some(line) = cutter.next_line() {
                return Some((line, Some((body, cutter))));
            }
            match body.next().await {
                Some(Ok(chunk)) => cutter.chunk = chunk,
                // What was begun is not taken for whole.
                Some(Err(_)) => {
                    let message = "the stream broke off here; send the rest again";
                    return Some((Err(FieldError::new("line", "unreadable", message)), None));
                }
                None => return cutter.last_line().map(|line| (line, None)),
            }
        }
    })
}

struct Cutter {
    longest_bytes: usize,
    /// What has arrived and is not looked at yet.
    chunk: Bytes,
    /// The line so far.
    line: BytesMut,
    is_overlong: bool,
}

impl Cutter {
    /// The next whole line of the chunk; `None` where more must arrive first.
    fn next_line(&mut self) -> Option<Result<Bytes, FieldError>> {
        while !self.chunk.is_empty() {
            let end = self.chunk.iter().position(|byte| *byte == b'\n');
            let piece = self.chunk.split_to(end.map_or(self.chunk.len(), |end| end + 1));
            self.add(&piece);
            if end.is_some()
                && let Some(line) = self.last_line()
            {
                return Some(line);
            }
        }
        None
    }

    fn add(&mut self, piece: &[u8]) {
        // One more than a line may have: its carriage return, which is not of the line.
        let length = self.line.len() + piece.strip_suffix(b"\n").unwrap_or(piece).len();
        if length > self.longest_bytes + 1 {
            self.is_overlong = true;
            self.line.clear();
        }
        if !self.is_overlong {
            self.line.extend_from_slice(piece);
        }
    }

    fn last_line(&mut self) -> Option<Result<Bytes, FieldError>> {
        let line = self.line.split().freeze();
        if std::mem::take(&mut self.is_overlong) || line.trim_ascii_end().len() > self.longest_bytes {
            let message = format!("a line has at most {} bytes", self.longest_bytes);
            return Some(Err(FieldError::new("line", "too_large", message)));
        }
        (!line.trim_ascii().is_empty()).then_some(Ok(line))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(chunks: Vec<Vec<u8>>, longest_bytes: usize) -> Vec<Result<String, &'static str>> {
        let body = stream::iter(chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk))));
        let lines: Vec<_> =
            futures_util::FutureExt::now_or_never(lines(body, longest_bytes).collect::<Vec<_>>()).unwrap();
        let text = |line: Bytes| String::from_utf8_lossy(line.trim_ascii()).into_owned();
        lines.into_iter().map(|line| line.map(text).map_err(|error| error.code)).collect()
    }

    #[test]
    fn an_overlong_line_is_one_error_and_spoils_no_other() {
        let chunks = ["one\r\n\n  \ntw", "o\nfar too lo", "ng", " a line\nthree\n", "four"];
        let chunks = chunks.map(|chunk| chunk.as_bytes().to_vec()).to_vec();
        let expected = ["one", "two", "", "three", "four"]
            .map(|line| if line.is_empty() { Err("too_large") } else { Ok(line.to_owned()) });
        assert_eq!(cut(chunks, 6), expected);
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_they_arrive(text in "[ab\\n\\r ]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for at in cuts.into_iter().chain([text.len()]) {
                chunks.push(text.as_bytes()[from..at].to_vec());
                from = at;
            }
            prop_assert_eq!(cut(chunks, 5), cut(vec![text.into_bytes()], 5));
        }
    }
}
