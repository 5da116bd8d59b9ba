//! Asking PostgreSQL until it says something.

use std::time::Duration;

use crate::store::StoreError;

/// Between tries while PostgreSQL is away.
const RETRY_WAIT: Duration = Duration::from_millis(250);

/// What PostgreSQL says to `ask`, which may be asked several times.
pub async fn until_answered<T, F>(mut ask: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        match ask().await {
            Err(StoreError::Unavailable(_) | StoreError::Raced(_)) => tokio::time::sleep(RETRY_WAIT).await,
            said => return said,
        }
    }
}
