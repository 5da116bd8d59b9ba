//! Parquet, written as rows come: as much of the format as a flat table needs.
//!
//! ```text
//! PAR1 │ row group: a page a column, one behind the other │ row group │ … │ footer │ its length │ PAR1
//! ```
//!
//! Rows wait until there are [`GROUP_ROWS`] of them, so memory is that of a row group, whatever the rows;
//! of each group that was written the footer keeps some bytes a column. Pages are in the plain encoding
//! and compressed with gzip. The format: <https://github.com/apache/parquet-format>.

mod column;
mod thrift;

use actix_web::web::Bytes;

pub use column::{Cell, Type};
use column::{Column, Written};
use thrift::Compact;

/// Rows of a group: some megabytes of conversions.
const GROUP_ROWS: usize = 20_000;
const MAGIC: &[u8; 4] = b"PAR1";
/// Of the footer's own format; the only one there is of this kind.
const VERSION: i32 = 1;

/// A file that is being written.
pub struct ParquetFile {
    columns: Vec<Column>,
    /// Rows in the columns.
    rows: usize,
    groups: Vec<Group>,
    /// Bytes so far.
    length: usize,
}

/// A row group that was written.
struct Group {
    rows: usize,
    columns: Vec<Written>,
}

impl ParquetFile {
    /// Of columns by name, each with its type.
    pub fn of(columns: impl IntoIterator<Item = (&'static str, Type)>) -> Self {
        let columns = columns.into_iter().map(|(name, of)| Column::of(name, of)).collect();
        Self { columns, rows: 0, groups: Vec::new(), length: 0 }
    }

    /// What stands before the first row.
    pub fn beginning(&mut self) -> Bytes {
        self.length += MAGIC.len();
        Bytes::from_static(MAGIC)
    }

    /// Takes one row, a cell for each column; its bytes come with those of its group, here or later.
    pub fn add<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) -> Bytes {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.add(cell);
        }
        self.rows += 1;
        if self.rows == GROUP_ROWS { self.group() } else { Bytes::new() }
    }

    /// What stands after the last row.
    pub fn end(&mut self) -> Bytes {
        let mut bytes = self.group().to_vec();
        let footer = self.footer();
        bytes.extend(&footer);
        bytes.extend(u32::try_from(footer.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(MAGIC);
        bytes.into()
    }

    fn group(&mut self) -> Bytes {
        if self.rows == 0 {
            return Bytes::new();
        }
        let mut bytes = Vec::new();
        let columns = self.columns.iter_mut().map(|column| column.write(&mut bytes, self.length)).collect();
        self.groups.push(Group { rows: std::mem::take(&mut self.rows), columns });
        self.length += bytes.len();
        bytes.into()
    }

    /// `FileMetaData`.
    fn footer(&self) -> Vec<u8> {
        let mut footer = Compact::default();
        footer.inner(|file| {
            file.i32(1, VERSION);
            file.structures(2, self.columns.len() + 1, |schema| {
                schema.inner(|root| {
                    root.text(4, "conversions");
                    root.i32(5, i32::try_from(self.columns.len()).unwrap_or(i32::MAX));
                });
                for column in &self.columns {
                    column.describe(schema);
                }
            });
            file.i64(3, self.groups.iter().map(|group| group.rows).sum());
            file.structures(4, self.groups.len(), |groups| {
                for group in &self.groups {
                    group.describe(groups, &self.columns);
                }
            });
            file.text(6, concat!("ricochet ", env!("CARGO_PKG_VERSION")));
        });
        footer.into_bytes()
    }
}

impl Group {
    /// `RowGroup`.
    fn describe(&self, groups: &mut Compact, columns: &[Column]) {
        groups.inner(|group| {
            group.structures(1, self.columns.len(), |chunks| {
                for (column, written) in columns.iter().zip(&self.columns) {
                    column.describe_chunk(chunks, written, self.rows);
                }
            });
            group.i64(2, self.columns.iter().map(|column| column.uncompressed).sum());
            group.i64(3, self.rows);
        });
    }
}
