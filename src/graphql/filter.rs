//! Reading filters: ids, times and texts, and which field was wrong.

use async_graphql::ID;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::failure::Failure;
use super::scalars::Time;

/// Times of a filter: from inclusive, to exclusive.
pub type Bounds = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

pub fn uuid(field: &str, id: &ID) -> Result<Uuid, Failure> {
    uuid_at(&format!("filter.{field}"), id)
}

/// An id in the field `path` of any argument.
pub fn uuid_at(path: &str, id: &ID) -> Result<Uuid, Failure> {
    Uuid::try_parse(id.trim()).map_err(|_| {
        Failure::bad_input(
            path,
            format!(
                "{:?} is no id; write a UUID such as 0198d5f0-0000-7000-8000-000000000000",
                shortened(id)
            ),
        )
    })
}

pub fn optional_uuid(field: &str, id: Option<&ID>) -> Result<Option<Uuid>, Failure> {
    id.map(|id| uuid(field, id)).transpose()
}

pub fn uuids(field: &str, ids: Option<&[ID]>) -> Result<Vec<Uuid>, Failure> {
    ids.unwrap_or_default().iter().map(|id| uuid(field, id)).collect()
}

/// Foreign text, to be found exactly as it is.
pub fn text(field: &str, text: Option<&str>) -> Result<Option<String>, Failure> {
    match text {
        // PostgreSQL cannot hold it, so no row can either.
        Some(text) if text.contains('\0') => {
            Err(Failure::bad_input(format!("filter.{field}"), "leave out the character U+0000"))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

pub fn bounds(from: Option<&Time>, to: Option<&Time>) -> Result<Bounds, Failure> {
    let from = from.map(|time| time.bound("filter.from")).transpose()?;
    let to = to.map(|time| time.bound("filter.to")).transpose()?;
    Ok((from, to))
}

/// Enums of the API as those of the domain; nothing is an empty list, which restricts nothing.
pub fn codes<G: Copy + Into<D>, D>(values: Option<&[G]>) -> Vec<D> {
    values.unwrap_or_default().iter().map(|value| (*value).into()).collect()
}

/// Foreign texts, one of which is to be found exactly as it is.
pub fn texts(field: &str, values: Option<&[String]>) -> Result<Vec<String>, Failure> {
    let values = values.unwrap_or_default().iter();
    values.map(|value| Ok(text(field, Some(value))?.unwrap_or_default())).collect()
}

/// Any id at hand, without the blanks that come with pasting.
pub fn sought(value: Option<&str>) -> Result<Option<String>, Failure> {
    let sought = text("search", value.map(str::trim))?;
    match sought.as_deref() {
        Some("") => Err(Failure::bad_input("filter.search", "write an id to look for, or leave it out")),
        _ => Ok(sought),
    }
}

/// Country codes, in capitals as they are logged.
pub fn countries(codes: Option<&[String]>) -> Result<Vec<String>, Failure> {
    let codes = codes.unwrap_or_default().iter().map(|code| code.trim().to_uppercase());
    codes
        .map(|code| match code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
            true => Ok(code),
            false => Err(Failure::bad_input(
                "filter.countries",
                format!("{:?} is no country; write two letters by ISO 3166-1, such as DE", shortened(&code)),
            )),
        })
        .collect()
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_id_names_its_field_and_the_remedy() {
        let ids = [ID::from(Uuid::nil()), ID::from("42")];
        let Err(Failure::BadInput { field, message }) = uuids("offerIds", Some(&ids)) else {
            panic!("42 is an id")
        };
        assert_eq!(field, "filter.offerIds");
        assert!(message.contains("\"42\"") && message.contains("UUID"), "{message}");
    }

    #[test]
    fn absent_and_empty_lists_restrict_nothing() {
        assert_eq!(uuids("offerIds", None), Ok(vec![]));
        assert_eq!(uuids("offerIds", Some(&[])), Ok(vec![]));
        assert_eq!(codes::<super::super::enums::Outcome, crate::domain::retry::Outcome>(None), []);
    }

    #[test]
    fn text_that_no_row_can_hold_is_refused() {
        assert_eq!(text("requestId", Some("r-1")), Ok(Some("r-1".into())));
        assert!(text("requestId", Some("r\0")).is_err());
    }
}
