//! Settings of a link.

use deadpool_postgres::GenericClient;

use super::error::StoreError;
use crate::domain::composite::Composite;
use crate::domain::ids::LinkId;
use crate::domain::verdict::FieldError;

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the composite cannot be used: {}", sentences(.0))]
    Composite(Vec<FieldError>),
    #[error("link {0} does not exist")]
    Unknown(LinkId),
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn sentences(errors: &[FieldError]) -> String {
    let sentences: Vec<String> =
        errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect();
    sentences.join("; ")
}

/// Sets how the link's composite parameter is read and written; `None` for a link without one.
///
/// # Errors
/// Where the settings contradict themselves (nothing is changed then), or nobody knows the link.
pub async fn set_composite(
    client: &impl GenericClient,
    link: LinkId,
    composite: Option<&Composite>,
) -> Result<(), LinkError> {
    composite.map_or(Ok(()), Composite::check).map_err(LinkError::Composite)?;
    let json = composite.map(|composite| serde_json::to_value(composite).expect("settings are JSON"));
    let changed = client
        .execute("UPDATE links SET composite = $2 WHERE link_id = $1", &[&link.0, &json])
        .await
        .map_err(StoreError::from)?;
    if changed == 0 { Err(LinkError::Unknown(link)) } else { Ok(()) }
}
