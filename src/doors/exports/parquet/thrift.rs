//! Thrift's compact protocol, which Parquet's own headers are written in.
//! The format: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// What was written so far. Fields of a structure are written in the order of their numbers.
#[derive(Default)]
pub struct Compact {
    bytes: Vec<u8>,
    /// The number of the last field of the structure that is being written.
    last: u8,
}

impl Compact {
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A structure that stands alone or in a list.
    pub fn inner(&mut self, write: impl FnOnce(&mut Self)) {
        let outer = std::mem::take(&mut self.last);
        write(self);
        self.bytes.push(0);
        self.last = outer;
    }

    pub fn structure(&mut self, field: u8, write: impl FnOnce(&mut Self)) {
        self.head(field, STRUCT);
        self.inner(write);
    }

    /// A list of structures; `write` writes as many.
    pub fn structures(&mut self, field: u8, length: usize, write: impl FnOnce(&mut Self)) {
        self.list(field, STRUCT, length);
        write(self);
    }

    pub fn i32(&mut self, field: u8, number: i32) {
        self.head(field, I32);
        self.number(number.into());
    }

    /// A length or a position.
    pub fn i64(&mut self, field: u8, number: usize) {
        self.head(field, I64);
        self.number(i64::try_from(number).unwrap_or(i64::MAX));
    }

    pub fn i32s(&mut self, field: u8, numbers: &[i32]) {
        self.list(field, I32, numbers.len());
        for number in numbers {
            self.number((*number).into());
        }
    }

    pub fn text(&mut self, field: u8, text: &str) {
        self.head(field, BINARY);
        self.binary(text);
    }

    pub fn texts(&mut self, field: u8, texts: &[&str]) {
        self.list(field, BINARY, texts.len());
        for text in texts {
            self.binary(text);
        }
    }

    fn head(&mut self, field: u8, kind: u8) {
        let step = field - self.last;
        debug_assert!((1..16).contains(&step), "field {field} comes after {}", self.last);
        self.bytes.push(step << 4 | kind);
        self.last = field;
    }

    fn list(&mut self, field: u8, kind: u8, length: usize) {
        self.head(field, LIST);
        match u8::try_from(length) {
            Ok(length @ 0..15) => self.bytes.push(length << 4 | kind),
            _ => {
                self.bytes.push(0xf0 | kind);
                self.varint(length as u64);
            }
        }
    }

    fn binary(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.bytes.extend(text.as_bytes());
    }

    /// Small numbers of either sign take few bytes.
    fn number(&mut self, number: i64) {
        self.varint((number << 1 ^ number >> 63).cast_unsigned());
    }

    fn varint(&mut self, number: u64) {
        varint(&mut self.bytes, number);
    }
}

/// Seven bits a byte, the lowest first.
pub fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_written_as_the_protocol_has_them() {
        let mut compact = Compact::default();
        compact.inner(|file| {
            file.i32(1, -1);
            file.structure(3, |inner| inner.text(2, "ab"));
            file.i64(4, 300);
            file.i32s(6, &[0, 3]);
        });
        let expected = [
            0x15, 0x01, // field 1, i32: -1 in zigzag
            0x2c, 0x28, 0x02, b'a', b'b', 0x00, // field 3, a structure with a text in field 2
            0x16, 0xd8, 0x04, // field 4, i64: 600 in seven bits a byte
            0x29, 0x25, 0x00, 0x06, // field 6, two i32: 0, and 3 in zigzag
            0x00,
        ];
        assert_eq!(compact.into_bytes(), expected);
    }

    #[test]
    fn a_long_list_has_its_length_behind_its_head() {
        let mut compact = Compact::default();
        compact.i32s(1, &[0; 15]);
        assert_eq!(&compact.into_bytes()[..3], [0x19, 0xf5, 15]);
    }
}
