//! Conversions as rows of a file, in the shape that ClickHouse gives to the rows of the logs.

use actix_web::web::Bytes;
use chrono::{DateTime, SecondsFormat};
use parquet::errors::ParquetError;
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::parquet::{Cell, ParquetFile, Type};
use crate::event_log::reader::export::{Column, Dataset, ExportFormat, Kind};
use crate::graphql::scope::Scope;
use crate::store::conversion_search::ConversionRecord;

/// What writes the file, row by row.
pub enum Lines {
    Csv(Vec<Column>),
    Ndjson(Vec<Column>),
    Parquet(Vec<Column>, Box<ParquetFile>),
}

impl Lines {
    /// Of what `scope` sees.
    pub fn of(scope: Scope, format: ExportFormat) -> Self {
        let columns = Dataset::Conversions.columns().iter().filter(|column| column.is_for(scope));
        let columns: Vec<Column> = columns.copied().collect();
        match format {
            ExportFormat::Csv => Self::Csv(columns),
            ExportFormat::Ndjson => Self::Ndjson(columns),
            ExportFormat::Parquet => {
                let file = ParquetFile::of(columns.iter().map(|column| (column.name, type_of(column.kind))));
                Self::Parquet(columns, Box::new(file))
            }
        }
    }

    /// What stands before the first row.
    pub fn beginning(&mut self) -> Bytes {
        match self {
            Self::Csv(columns) => csv_line(columns.iter().map(|column| column.name)).into(),
            Self::Ndjson(_) => Bytes::new(),
            Self::Parquet(_, file) => file.beginning(),
        }
    }

    /// The rows, or, where rows wait for others, those that waited long enough.
    pub fn of_rows(&mut self, rows: &[ConversionRecord]) -> Result<Bytes, ParquetError> {
        let mut lines = Vec::new();
        for row in rows {
            match self {
                Self::Csv(columns) => {
                    lines.extend(csv_line(columns.iter().map(|column| in_csv(column, row))));
                }
                Self::Ndjson(columns) => {
                    let values = columns.iter().map(|column| (column.name.to_owned(), value(column, row)));
                    let object = Value::Object(values.collect::<Map<_, _>>());
                    lines.extend(object.to_string().into_bytes());
                    lines.push(b'\n');
                }
                Self::Parquet(columns, file) => {
                    lines.extend(file.add(columns.iter().map(|column| cell(column, row)))?);
                }
            }
        }
        Ok(lines.into())
    }

    /// What stands after the last row.
    pub fn end(&mut self) -> Result<Option<Bytes>, ParquetError> {
        match self {
            Self::Csv(_) | Self::Ndjson(_) => Ok(None),
            Self::Parquet(_, file) => file.end().map(Some),
        }
    }
}

fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Id => Type::Id,
        Kind::Time => Type::Time,
        Kind::Decimal => Type::Decimal,
        Kind::Flag => Type::Flag,
        Kind::Code | Kind::Text | Kind::Map => Type::Text,
        Kind::Number | Kind::NumberOrNone => unreachable!("conversions have no column of numbers"),
    }
}

fn cell<'a>(column: &Column, row: &'a ConversionRecord) -> Cell<'a> {
    let id = |id: Uuid| {
        let mut text = [0; 36];
        id.hyphenated().encode_lower(&mut text);
        Cell::Id(text)
    };
    let text = |text: Option<&'a str>| text.filter(|text| !text.is_empty()).map_or(Cell::Nothing, Cell::Text);
    let amount = |amount: Option<Decimal>| {
        amount.map_or(Cell::Nothing, |mut amount| {
            amount.rescale(6);
            Cell::Millionths(amount.mantissa())
        })
    };
    match column.name {
        "lead_id" => id(row.lead_id),
        "advertiser_id" => id(row.advertiser_id),
        "offer_id" => id(row.offer_id),
        "partner_id" => id(row.partner_id),
        "link_id" => id(row.link_id),
        "click_id" => id(row.click_id),
        "request_id" => text(Some(&row.request_id)),
        "customer_id" => text(row.customer_id.as_deref()),
        "action" => text(Some(&row.action)),
        "status" => Cell::Text(row.status.code()),
        "amount" => amount(row.amount),
        "currency" => text(row.currency.as_deref()),
        "payout" => amount(row.payout),
        "payout_currency" => text(row.payout_currency.as_deref()),
        "comment" => text(Some(&row.comment)),
        "is_test" => Cell::Flag(row.is_test),
        "created_at" => Cell::Micros(row.created_at.timestamp_micros()),
        "updated_at" => Cell::Micros(row.updated_at.timestamp_micros()),
        other => unreachable!("{other} is no column of conversions"),
    }
}

fn csv_line<F: AsRef<[u8]>>(fields: impl Iterator<Item = F>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields).expect("a Vec can always be written to");
    writer.into_inner().expect("a Vec can always be written to")
}

fn value(column: &Column, row: &ConversionRecord) -> Value {
    match cell(column, row) {
        Cell::Nothing => Value::Null,
        Cell::Text(text) => text.into(),
        Cell::Id(id) => String::from_utf8_lossy(&id).into(),
        Cell::Micros(micros) => DateTime::from_timestamp_micros(micros)
            .map_or(Value::Null, |time| time.to_rfc3339_opts(SecondsFormat::Micros, true).into()),
        Cell::Millionths(millionths) => {
            Decimal::from_i128_with_scale(millionths, 6).normalize().to_string().into()
        }
        Cell::Flag(flag) => flag.into(),
    }
}

/// Text as a spreadsheet will not run it, as in the files of the logs.
fn in_csv(column: &Column, row: &ConversionRecord) -> String {
    let text = match value(column, row) {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    };
    if column.kind == Kind::Text
        && text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
        && !is_number(&text)
    {
        return format!("'{text}");
    }
    text
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').map_or((digits, None), |(whole, part)| (whole, Some(part)));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits(whole) && part.is_none_or(is_digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::status::Status;

    fn row(comment: &str) -> ConversionRecord {
        let id = Uuid::nil();
        ConversionRecord {
            lead_id: id,
            advertiser_id: id,
            offer_id: id,
            partner_id: id,
            link_id: id,
            click_id: id,
            request_id: "r".into(),
            customer_id: None,
            action: "sale".into(),
            status: Status::Hold,
            amount: Some(Decimal::new(2500, 2)),
            currency: Some("USD".into()),
            payout: None,
            payout_currency: None,
            comment: comment.into(),
            is_test: false,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn every_column_has_a_value_and_no_spreadsheet_runs_it() {
        for format in ExportFormat::ALL {
            let mut lines = Lines::of(Scope::Everything, *format);
            let written =
                [lines.of_rows(&[row("x")]).unwrap(), lines.end().unwrap().unwrap_or_default()].concat();
            assert!(!written.is_empty(), "{format:?}");
        }
        for (comment, shown) in
            [("=1+1", "'=1+1"), ("-12.5", "-12.5"), ("-x", "'-x"), ("a,b", "\"a,b\""), ("+", "'+")]
        {
            let lines = Lines::of(Scope::Everything, ExportFormat::Csv).of_rows(&[row(comment)]).unwrap();
            let text = String::from_utf8(lines.to_vec()).unwrap();
            assert!(text.contains(&format!(",USD,,,{shown},false,1970-01-01T00:00:00.000000Z,")), "{text}");
        }
    }
}
