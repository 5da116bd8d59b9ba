//! Conversions as Parquet: rows wait until there are [`GROUP_ROWS`] of them, column by column, so memory
//! is that of a row group, whatever the rows; of each group that was written the library keeps what the
//! footer says of it.

use std::sync::Arc;

use actix_web::web::Bytes;
use parquet::basic::{Compression, GzipLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// Rows of a group: some megabytes of conversions.
const GROUP_ROWS: usize = 20_000;

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

/// A file that is being written.
pub struct ParquetFile {
    columns: Vec<Column>,
    /// Rows in the columns.
    rows: usize,
    /// Into memory that is emptied as groups end.
    writer: SerializedFileWriter<Vec<u8>>,
}

impl ParquetFile {
    /// Of columns by name, each with its type.
    pub fn of(columns: impl IntoIterator<Item = (&'static str, Type)>) -> Self {
        let columns: Vec<_> = columns.into_iter().collect();
        let fields: String = columns.iter().map(|(name, of)| of.field(name)).collect();
        let schema = parse_message_type(&format!("message conversions {{ {fields} }}"))
            .expect("names of columns are plain words");
        let fast = GzipLevel::try_new(1).expect("gzip has a level 1");
        let properties = WriterProperties::builder()
            .set_created_by(concat!("ricochet ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::GZIP(fast))
            // An index of pages would be kept until the end of the file.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build();
        let writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))
            .expect("a Vec can always be written to");
        Self { columns: columns.iter().map(|(_, of)| Column::of(*of)).collect(), rows: 0, writer }
    }

    /// What stands before the first row.
    pub fn beginning(&mut self) -> Bytes {
        self.written()
    }

    /// Takes one row, a cell for each column; its bytes come with those of its group, here or later.
    pub fn add<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) -> Result<Bytes, ParquetError> {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.add(&cell);
        }
        self.rows += 1;
        if self.rows < GROUP_ROWS {
            return Ok(Bytes::new());
        }
        self.group()?;
        Ok(self.written())
    }

    /// What stands after the last row.
    pub fn end(&mut self) -> Result<Bytes, ParquetError> {
        self.group()?;
        self.writer.finish()?;
        Ok(self.written())
    }

    fn group(&mut self) -> Result<(), ParquetError> {
        if std::mem::take(&mut self.rows) == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column()? else { break };
            let empty = Column::of(column.of);
            std::mem::replace(column, empty).write(writer.untyped())?;
            writer.close()?;
        }
        group.close()?;
        Ok(())
    }

    /// What was written since it was last asked.
    fn written(&mut self) -> Bytes {
        self.writer.flush().expect("a Vec can always be written to");
        std::mem::take(self.writer.inner_mut()).into()
    }
}

impl Type {
    fn is_optional(self) -> bool {
        matches!(self, Self::Text | Self::Decimal)
    }

    /// In the language of Parquet's schemas.
    fn field(self, name: &str) -> String {
        match self {
            Self::Text => format!("optional binary {name} (STRING); "),
            Self::Id => format!("required binary {name} (STRING); "),
            Self::Time => format!("required int64 {name} (TIMESTAMP(MICROS,true)); "),
            Self::Decimal => format!("optional fixed_len_byte_array(16) {name} (DECIMAL(38,6)); "),
            Self::Flag => format!("required boolean {name}; "),
        }
    }
}

/// The rows that wait.
struct Column {
    of: Type,
    /// 1 where there is a value, 0 where there is none.
    levels: Vec<i16>,
    /// Of texts, ids and decimals, one behind the other: an allocation a column, not one a value.
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    micros: Vec<i64>,
    flags: Vec<bool>,
}

impl Column {
    fn of(of: Type) -> Self {
        let (levels, bytes, ends) = (Vec::new(), Vec::new(), Vec::new());
        Self { of, levels, bytes, ends, micros: Vec::new(), flags: Vec::new() }
    }

    fn add(&mut self, cell: &Cell<'_>) {
        self.levels.push((*cell != Cell::Nothing).into());
        match cell {
            Cell::Nothing => {}
            Cell::Text(text) => self.add_bytes(text.as_bytes()),
            Cell::Id(id) => self.add_bytes(id),
            Cell::Micros(micros) => self.micros.push(*micros),
            Cell::Millionths(millionths) => self.add_bytes(&millionths.to_be_bytes()),
            Cell::Flag(flag) => self.flags.push(*flag),
        }
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.ends.push(self.bytes.len());
    }

    fn write(self, writer: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        let Self { of, levels, bytes, ends, micros, flags } = self;
        let bytes = Bytes::from(bytes);
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let values = starts.zip(&ends).map(|(start, end)| ByteArray::from(bytes.slice(start..*end)));
        let levels = of.is_optional().then_some(&levels[..]);
        match writer {
            ColumnWriter::ByteArrayColumnWriter(writer) => {
                writer.write_batch(&values.collect::<Vec<_>>(), levels, None)
            }
            ColumnWriter::FixedLenByteArrayColumnWriter(writer) => {
                let values: Vec<_> = values.map(FixedLenByteArray::from).collect();
                writer.write_batch(&values, levels, None)
            }
            ColumnWriter::Int64ColumnWriter(writer) => writer.write_batch(&micros, levels, None),
            ColumnWriter::BoolColumnWriter(writer) => writer.write_batch(&flags, levels, None),
            _ => unreachable!("no column is of another type"),
        }?;
        Ok(())
    }
}
