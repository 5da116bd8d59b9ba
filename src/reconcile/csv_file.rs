//! Reads CSV as advertisers send it: comma, semicolon or tab, with or without a byte order mark,
//! quoted or not, in UTF-8 or an encoding that is named.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Cursor, Read};
use std::rc::Rc;

use csv::{ByteRecord, ReaderBuilder};
use encoding_rs::{Encoding, UTF_8};

use crate::domain::fields::our_name;
use crate::domain::verdict::FieldError;

/// Rows handed on at once.
pub const CHUNK_ROWS: usize = 500;
/// Longest row, in bytes. A quote that is never closed would otherwise swallow the file.
const ROW_BYTES: usize = 64 * 1024;
/// How much of the beginning is looked at to find the separator.
const HEAD_BYTES: usize = 16 * 1024;
const COLUMNS: usize = 200;

/// One row of the file: the columns that are filled, by their names in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRow {
    /// Where the row begins, counted as editors do; the first line of the file is line 1.
    pub line: u64,
    pub parameters: Vec<(String, String)>,
    pub errors: Vec<FieldError>,
}

/// Whether whoever takes the rows wants more of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appetite {
    More,
    Enough,
}

/// Finds an encoding by its name, such as `windows-1251`.
pub fn encoding(name: &str) -> Result<&'static Encoding, FieldError> {
    Encoding::for_label(name.as_bytes()).filter(|encoding| encoding.is_ascii_compatible()).ok_or_else(|| {
        let message =
            format!("{name:?} is not read here; write utf-8 or windows-1251, or save the file as UTF-8");
        FieldError::new("encoding", "unknown_encoding", message)
    })
}

/// Reads `source` to its end, handing on chunks of rows. The error is one of the whole file; a
/// row's own are in the row.
pub fn read(
    mut source: impl Read,
    encoding: &'static Encoding,
    mut take: impl FnMut(Vec<FileRow>) -> Appetite,
) -> Result<(), FieldError> {
    let mut head = Vec::new();
    (&mut source).take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(unreadable)?;
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        let message = "the file is UTF-16; save it as \"CSV UTF-8\"";
        return Err(FieldError::new("file", "invalid_encoding", message));
    }
    let begins = if head.starts_with(&[0xef, 0xbb, 0xbf]) { 3 } else { 0 };
    let head = head.split_off(begins);
    let separator = separator_of(&head);
    let lines = Rc::new(RefCell::new(Lines::default()));
    let guarded = Guarded { inner: Cursor::new(head).chain(source), lines: lines.clone() };
    let mut reader =
        ReaderBuilder::new().delimiter(separator).flexible(true).has_headers(false).from_reader(guarded);

    let mut record = ByteRecord::new();
    if !reader.read_byte_record(&mut record).map_err(broken)? {
        return Err(FieldError::new(
            "file",
            "empty_file",
            "the file has no rows; its first row names the columns",
        ));
    }
    let names = header(&record, encoding, separator)?;
    let mut chunk = Vec::with_capacity(CHUNK_ROWS);
    loop {
        lines.borrow_mut().since_row = 0;
        if !reader.read_byte_record(&mut record).map_err(broken)? {
            break;
        }
        let begins = record.position().map_or(0, csv::Position::byte);
        let line = lines.borrow_mut().line_of(begins);
        chunk.push(row(&record, line, &names, encoding));
        if chunk.len() == CHUNK_ROWS
            && take(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_ROWS))) == Appetite::Enough
        {
            return Ok(());
        }
    }
    if !chunk.is_empty() {
        take(chunk);
    }
    Ok(())
}

/// The one of the three that stands most often in the first line, outside quotes.
fn separator_of(head: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    let mut is_quoted = false;
    for byte in head {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' | b'\r' if !is_quoted => break,
            byte if !is_quoted => {
                counts
                    .iter_mut()
                    .filter(|(separator, _)| separator == byte)
                    .for_each(|(_, count)| *count += 1);
            }
            _ => {}
        }
    }
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| separator)
}

fn header(
    record: &ByteRecord,
    encoding: &'static Encoding,
    separator: u8,
) -> Result<Vec<String>, FieldError> {
    let names = record.iter().map(|name| text(name, encoding).map(|name| name.trim().to_owned()));
    let names = names.collect::<Option<Vec<_>>>().ok_or_else(|| not_of_encoding("file", encoding))?;
    if names.iter().any(|name| name.contains('\0')) {
        let message = "the first row has NUL characters; save the file as \"CSV UTF-8\"";
        return Err(FieldError::new("file", "invalid_character", message));
    }
    if names.len() > COLUMNS {
        let message = format!("the file has {} columns; send at most {COLUMNS}", names.len());
        return Err(FieldError::new("file", "too_many_columns", message));
    }
    let mut meanings: Vec<&str> =
        names.iter().filter_map(|name| our_name(name)).map(|(ours, _)| ours).collect();
    if !meanings.contains(&"request_id") {
        let separator = match separator {
            b';' => "semicolons",
            b'\t' => "tabs",
            _ => "commas",
        };
        let message = format!(
            "the first row must name the columns, one of them request_id (or txid, tid, order_id, transaction); \
             separated by {separator} it has {}",
            names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
        );
        return Err(FieldError::new("request_id", "missing_column", message));
    }
    meanings.sort_unstable();
    if let Some(twice) = meanings.windows(2).find(|pair| pair[0] == pair[1]) {
        let message = format!("two columns mean {}; keep one of them", twice[0]);
        return Err(FieldError::new(twice[0], "repeated_column", message));
    }
    Ok(names)
}

fn row(record: &ByteRecord, line: u64, names: &[String], encoding: &'static Encoding) -> FileRow {
    let mut row = FileRow { line, parameters: Vec::with_capacity(names.len()), errors: Vec::new() };
    if record.len() != names.len() {
        let message = format!(
            "the row has {} columns and the header {}; put values that hold the separator into double quotes",
            record.len(),
            names.len()
        );
        row.errors.push(FieldError::new("row", "column_count", message));
    }
    for (value, name) in record.iter().zip(names).filter(|(_, name)| !name.is_empty()) {
        let Some(value) = text(value, encoding) else {
            row.errors.push(not_of_encoding(name, encoding));
            continue;
        };
        let value = value.trim();
        let is_price = our_name(name).is_some_and(|(ours, _)| ours == "price");
        if is_price && value.contains(',') {
            let message =
                format!("write the price with a point and no thousands separator: {}", pointed(value));
            row.errors.push(FieldError::new("price", "decimal_comma", message));
        }
        if !value.is_empty() {
            row.parameters.push((name.clone(), value.to_owned()));
        }
    }
    row
}

/// `1.234,50` as it should be written: `1234.50`.
fn pointed(price: &str) -> String {
    let (whole, decimals) = price.rsplit_once(',').unwrap_or((price, ""));
    let digits: String = whole.chars().filter(char::is_ascii_digit).collect();
    format!("{digits}.{decimals}")
}

fn text(bytes: &[u8], encoding: &'static Encoding) -> Option<String> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
    Some(text.into_owned())
}

fn not_of_encoding(field: &str, encoding: &'static Encoding) -> FieldError {
    let message = if encoding == UTF_8 {
        "this is not UTF-8; save the file as \"CSV UTF-8\", or name its encoding, such as encoding=windows-1251"
            .to_owned()
    } else {
        format!("this is not {}; name the file's own encoding, or save it as UTF-8", encoding.name())
    };
    FieldError::new(field, "invalid_encoding", message)
}

fn broken(error: csv::Error) -> FieldError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => unreadable(error),
        other => FieldError::new("file", "invalid_csv", format!("this is no CSV: {other:?}")),
    }
}

fn unreadable(error: io::Error) -> FieldError {
    if error.kind() == io::ErrorKind::InvalidData {
        let message =
            format!("a row is longer than {ROW_BYTES} bytes; look for a double quote that is not closed");
        return FieldError::new("file", "row_too_long", message);
    }
    FieldError::new("file", "unreadable", format!("the file could not be read to its end: {error}"))
}

/// Looks at what the CSV reader reads: how much since the last row, and where its lines begin.
struct Guarded<R> {
    inner: R,
    lines: Rc<RefCell<Lines>>,
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut lines = self.lines.borrow_mut();
        if lines.since_row > ROW_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let read = self.inner.read(buffer)?;
        lines.pass(&buffer[..read]);
        Ok(read)
    }
}

/// Where lines begin. The CSV reader counts too, but says of a row where the blank lines before
/// it began, and does not take CR alone for the end of a line, though it does for that of a row.
#[derive(Default)]
struct Lines {
    /// Bytes that were read since the last row.
    since_row: usize,
    /// Byte and number of each line that is not blank, from the last row on.
    begun: VecDeque<(u64, u64)>,
    /// How many bytes there were, and how many of their lines have ended.
    bytes: u64,
    ended: u64,
    last: Option<u8>,
}

impl Lines {
    fn pass(&mut self, read: &[u8]) {
        self.since_row += read.len();
        for byte in read {
            match (self.last, byte) {
                // One end of a line, counted at its first half.
                (Some(b'\r'), b'\n') => {}
                (_, b'\r' | b'\n') => self.ended += 1,
                (None | Some(b'\r' | b'\n'), _) => self.begun.push_back((self.bytes, self.ended + 1)),
                _ => {}
            }
            self.last = Some(*byte);
            self.bytes += 1;
        }
    }

    /// The line of a row which, with the blank lines before it, begins at this byte.
    fn line_of(&mut self, byte: u64) -> u64 {
        while self.begun.pop_front_if(|(begins, _)| *begins < byte).is_some() {}
        self.begun.front().map_or(0, |(_, line)| *line)
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::WINDOWS_1251;
    use proptest::prelude::*;

    use super::*;

    fn rows(file: &[u8], encoding: &'static Encoding) -> Result<Vec<FileRow>, FieldError> {
        let mut all = Vec::new();
        read(file, encoding, |chunk| {
            all.extend(chunk);
            Appetite::More
        })?;
        Ok(all)
    }

    fn values(file: &[u8]) -> Vec<Vec<(String, String)>> {
        rows(file, UTF_8).unwrap().into_iter().map(|row| row.parameters).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_separator_mark_and_quote_is_read() {
        let expected = [pairs(&[("request_id", "r,1"), ("status", "paid")]), pairs(&[("request_id", "r;2")])];
        for file in [
            "request_id,status\n\"r,1\",paid\nr;2,\n",
            "\u{feff}request_id;status\r\nr,1;paid\r\n\"r;2\";\r\n",
            "request_id\tstatus\nr,1\tpaid\nr;2\t",
        ] {
            assert_eq!(values(file.as_bytes()), expected, "{file:?}");
        }
    }

    #[test]
    fn a_row_knows_its_line_and_its_faults() {
        let rows = rows(b"order_id;sum\nr1;1,50\n\n\"r\n2\";2.00;x\nr3;3\n", UTF_8).unwrap();
        let seen: Vec<_> =
            rows.iter().map(|row| (row.line, row.errors.first().map_or("", |error| error.code))).collect();
        assert_eq!(seen, [(2, "decimal_comma"), (4, "column_count"), (6, "")]);
        assert!(rows[0].errors[0].message.contains("1.50"), "{:?}", rows[0]);
    }

    #[test]
    fn other_encodings_are_read_where_they_are_named_and_told_of_where_not() {
        let (file, _, _) = WINDOWS_1251.encode("request_id,comment\nr1,возврат\n");
        assert_eq!(
            rows(&file, WINDOWS_1251).unwrap()[0].parameters,
            pairs(&[("request_id", "r1"), ("comment", "возврат")])
        );
        let error = &rows(&file, UTF_8).unwrap()[0].errors[0];
        assert_eq!((error.field.as_str(), error.code), ("comment", "invalid_encoding"));
        assert!(error.message.contains("windows-1251"));
        assert!(encoding("windows-1251").is_ok() && encoding("utf-16").is_err() && encoding("x").is_err());
    }

    #[test]
    fn a_file_that_cannot_be_one_says_why() {
        let code = |file: &[u8]| rows(file, UTF_8).unwrap_err().code;
        assert_eq!(code(b""), "empty_file");
        assert_eq!(code(b"a,b\n1,2\n"), "missing_column");
        assert_eq!(code(b"request_id,status,txid\n"), "repeated_column");
        assert_eq!(code(b"\xff\xfer\0e\0"), "invalid_encoding");
        let unclosed = [b"request_id\n\"".as_slice(), &vec![b'x'; 3 * ROW_BYTES]].concat();
        assert_eq!(code(&unclosed), "row_too_long");
    }

    #[test]
    fn lines_are_counted_as_editors_do() {
        let lines = |file: &str| -> Vec<u64> {
            rows(file.as_bytes(), UTF_8).unwrap().iter().map(|row| row.line).collect()
        };
        assert_eq!(lines("txid\na\n\n\nb\nc"), [2, 5, 6]);
        assert_eq!(lines("\u{feff}txid\r\na\r\n\r\nb\r\n"), [2, 4]);
        assert_eq!(lines("txid\ra\r\rb\r"), [2, 4]);
        assert_eq!(lines("\n\ntxid\r\n\"a\r\n\r\n\"\r\n\n\"b\"\nc"), [4, 8, 9]);
        let (long, wide) = ("\n".repeat(40_000), "x".repeat(30_000));
        assert_eq!(lines(&format!("txid{long}{wide}\n{wide}\n")), [40_001, 40_002], "past every buffer");
    }

    /// Fields of a row, quoted as they need, and the number of lines that they take.
    fn written_row() -> impl Strategy<Value = (String, u64)> {
        let field = prop_oneof!["[a-z;]{1,5}", "([a-z]|\n|\r\n|\"\"){1,6}"];
        proptest::collection::vec(field, 1..4).prop_map(|fields| {
            let lines = fields.iter().map(|field| field.matches('\n').count() as u64).sum();
            let quoted: Vec<_> = fields.iter().map(|field| format!("\"{field}\"")).collect();
            (quoted.join(","), lines)
        })
    }

    proptest! {
        #[test]
        fn every_row_is_at_the_line_that_its_writer_counted(
            bom in any::<bool>(),
            end in prop_oneof![Just("\n"), Just("\r\n")],
            written in proptest::collection::vec((0..3u64, written_row()), 0..700),
        ) {
            let mut file = format!("{}txid{end}", if bom { "\u{feff}" } else { "" });
            let (mut line, mut expected) = (2, Vec::new());
            for (blank_lines, (row, lines_within)) in written {
                file.push_str(&end.repeat(blank_lines as usize));
                expected.push(line + blank_lines);
                file.push_str(&format!("{row}{end}"));
                line += blank_lines + lines_within + 1;
            }
            let lines: Vec<u64> = rows(file.as_bytes(), UTF_8).unwrap().iter().map(|row| row.line).collect();
            prop_assert_eq!(lines, expected);
        }

        #[test]
        fn no_file_panics(file in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = rows(&file, UTF_8);
            let _ = rows(&[b"request_id,price\n", file.as_slice()].concat(), WINDOWS_1251);
        }
    }
}
