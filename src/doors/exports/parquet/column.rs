//! One column: its values, and the page that they are written as.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::thrift::{Compact, varint};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// UTF-8, or nothing.
    Text,
    /// The same, of what always is there.
    Id,
    /// Microseconds since 1970, UTC.
    Time,
    /// `Decimal(38, 6)`, or nothing.
    Decimal,
    Flag,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    Nothing,
    Text(&'a str),
    Id([u8; 36]),
    Micros(i64),
    Millionths(i128),
    Flag(bool),
}

// Numbers of Parquet's enumerations.
const BOOLEAN: i32 = 0;
const INT64: i32 = 2;
const BYTE_ARRAY: i32 = 6;
const FIXED_LEN_BYTE_ARRAY: i32 = 7;
const REQUIRED: i32 = 0;
const OPTIONAL: i32 = 1;
const UTF8: i32 = 0;
const DECIMAL: i32 = 5;
const TIMESTAMP_MICROS: i32 = 10;
const PLAIN: i32 = 0;
const RLE: i32 = 3;
const GZIP: i32 = 2;
const DATA_PAGE: i32 = 0;

/// Bytes of a decimal.
const DECIMAL_BYTES: i32 = 16;
const DECIMAL_PLACES: i32 = 6;
const DECIMAL_DIGITS: i32 = 38;

impl Type {
    fn is_optional(self) -> bool {
        matches!(self, Self::Text | Self::Decimal)
    }

    fn physical(self) -> i32 {
        match self {
            Self::Text | Self::Id => BYTE_ARRAY,
            Self::Time => INT64,
            Self::Decimal => FIXED_LEN_BYTE_ARRAY,
            Self::Flag => BOOLEAN,
        }
    }
}

pub struct Column {
    name: &'static str,
    of: Type,
    /// In the plain encoding; flags are packed when the page is written.
    values: Vec<u8>,
    /// Whether there is a value, row by row.
    is_there: Vec<bool>,
}

/// Where the page of a column stands in the file.
pub struct Written {
    position: usize,
    pub uncompressed: usize,
    compressed: usize,
}

impl Column {
    pub fn of(name: &'static str, of: Type) -> Self {
        Self { name, of, values: Vec::new(), is_there: Vec::new() }
    }

    pub fn add(&mut self, cell: Cell<'_>) {
        self.is_there.push(cell != Cell::Nothing);
        match cell {
            Cell::Nothing => {}
            Cell::Text(text) => self.add_bytes(text.as_bytes()),
            Cell::Id(id) => self.add_bytes(&id),
            Cell::Micros(micros) => self.values.extend(micros.to_le_bytes()),
            Cell::Millionths(millionths) => self.values.extend(millionths.to_be_bytes()),
            Cell::Flag(flag) => self.values.push(flag.into()),
        }
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        self.values.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.values.extend(bytes);
    }

    /// Writes the page, at `start` and what `file` holds; the column is empty then.
    pub fn write(&mut self, file: &mut Vec<u8>, start: usize) -> Written {
        let is_there = std::mem::take(&mut self.is_there);
        let values = std::mem::take(&mut self.values);
        let mut page = Vec::with_capacity(values.len() + is_there.len() / 8 + 16);
        if self.of.is_optional() {
            let levels = bit_packed(&is_there);
            page.extend(u32::try_from(levels.len()).unwrap_or(u32::MAX).to_le_bytes());
            page.extend(levels);
        }
        match self.of {
            Type::Flag => page.extend(bits(&values.iter().map(|flag| *flag != 0).collect::<Vec<_>>())),
            _ => page.extend(values),
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&page).expect("a Vec can always be written to");
        let compressed = gzip.finish().expect("a Vec can always be written to");
        let head = head(is_there.len(), page.len(), compressed.len());
        let written = Written {
            position: start + file.len(),
            uncompressed: head.len() + page.len(),
            compressed: head.len() + compressed.len(),
        };
        file.extend(head);
        file.extend(compressed);
        written
    }

    /// `SchemaElement`.
    pub fn describe(&self, schema: &mut Compact) {
        schema.inner(|element| {
            element.i32(1, self.of.physical());
            if self.of == Type::Decimal {
                element.i32(2, DECIMAL_BYTES);
            }
            element.i32(3, if self.of.is_optional() { OPTIONAL } else { REQUIRED });
            element.text(4, self.name);
            match self.of {
                Type::Text | Type::Id => element.i32(6, UTF8),
                Type::Time => element.i32(6, TIMESTAMP_MICROS),
                Type::Decimal => {
                    element.i32(6, DECIMAL);
                    element.i32(7, DECIMAL_PLACES);
                    element.i32(8, DECIMAL_DIGITS);
                }
                Type::Flag => {}
            }
        });
    }

    /// `ColumnChunk` with its `ColumnMetaData`.
    pub fn describe_chunk(&self, chunks: &mut Compact, written: &Written, rows: usize) {
        chunks.inner(|chunk| {
            chunk.i64(2, written.position);
            chunk.structure(3, |meta| {
                meta.i32(1, self.of.physical());
                meta.i32s(2, &[PLAIN, RLE]);
                meta.texts(3, &[self.name]);
                meta.i32(4, GZIP);
                meta.i64(5, rows);
                meta.i64(6, written.uncompressed);
                meta.i64(7, written.compressed);
                meta.i64(9, written.position);
            });
        });
    }
}

/// `PageHeader`.
fn head(rows: usize, uncompressed: usize, compressed: usize) -> Vec<u8> {
    let number = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let mut head = Compact::default();
    head.inner(|page| {
        page.i32(1, DATA_PAGE);
        page.i32(2, number(uncompressed));
        page.i32(3, number(compressed));
        page.structure(5, |data| {
            data.i32(1, number(rows));
            data.i32(2, PLAIN);
            data.i32(3, RLE);
            data.i32(4, RLE);
        });
    });
    head.into_bytes()
}

/// One run of the hybrid encoding: a bit each, in groups of eight.
fn bit_packed(flags: &[bool]) -> Vec<u8> {
    let mut run = Vec::with_capacity(flags.len() / 8 + 6);
    varint(&mut run, (flags.len().div_ceil(8) as u64) << 1 | 1);
    run.extend(bits(flags));
    run
}

/// The first in the lowest bit.
fn bits(flags: &[bool]) -> Vec<u8> {
    let byte = |flags: &[bool]| flags.iter().rev().fold(0, |byte, flag| byte << 1 | u8::from(*flag));
    flags.chunks(8).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_packed_from_the_lowest() {
        assert_eq!(bits(&[true, false, false, false, false, false, false, false, true, true]), [1, 3]);
        assert_eq!(bit_packed(&[true; 9]), [2 << 1 | 1, 0xff, 1]);
    }
}
