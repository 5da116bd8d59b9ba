//! What many rows read once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use tokio::task::JoinError;
use uuid::Uuid;

use crate::graphql::failure::Failure;

/// By the id of a row, what hangs on it.
pub type ByRow<V> = HashMap<Uuid, V>;

type Cell<V> = Arc<OnceCell<Result<ByRow<V>, Failure>>>;

/// What was read for all rows at once, by how it was asked for. A failure is everybody's too: no row
/// asks again for itself.
pub struct Shared<K, V>(Mutex<HashMap<K, Cell<V>>>);

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V: Clone> Shared<K, V> {
    /// What hangs on the row `id`: the first that asks reads for all, and the others wait for it.
    pub async fn of(
        &self,
        asked: K,
        id: Uuid,
        read: impl Future<Output = Result<ByRow<V>, Failure>> + Send + 'static,
    ) -> Result<Option<V>, Failure>
    where
        V: Send + Sync + 'static,
    {
        let cell = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(asked).or_default().clone();
        // A task of its own: a row stands deep in an answer, and a reading needs its stack too.
        let reading = || async {
            let lost = |error: JoinError| Failure::StoreUnavailable { detail: error.to_string() };
            tokio::spawn(read).await.map_err(lost)?
        };
        match cell.get_or_init(reading).await {
            Ok(found) => Ok(found.get(&id).cloned()),
            Err(failure) => Err(failure.clone()),
        }
    }
}

/// Lists by what they hang on, each in the order it came in.
pub fn lists<N>(rows: impl IntoIterator<Item = (Option<Uuid>, N)>) -> ByRow<Vec<N>> {
    let mut lists: ByRow<Vec<N>> = HashMap::new();
    for (id, row) in rows {
        if let Some(id) = id {
            lists.entry(id).or_default().push(row);
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn however_many_ask_it_is_read_once() {
        let (shared, readings) = (Shared::<usize, usize>::default(), Arc::new(AtomicUsize::new(0)));
        let read = || {
            let readings = readings.clone();
            async move {
                readings.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok((0..100).map(|number| (Uuid::from_u128(number), 7)).collect())
            }
        };
        let asking = (0..101).map(|number| shared.of(1, Uuid::from_u128(number), read()));
        let found = futures_util::future::join_all(asking).await;
        assert!(found[..100].iter().all(|one| *one == Ok(Some(7))));
        assert_eq!(found[100], Ok(None));
        assert_eq!(readings.load(Ordering::SeqCst), 1);
        assert_eq!(shared.of(2, Uuid::nil(), read()).await, Ok(Some(7)));
        assert_eq!(readings.load(Ordering::SeqCst), 2, "asked for otherwise, it is read again");
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_and_not_tried_for_each() {
        let (shared, readings) = (Shared::<(), ()>::default(), Arc::new(AtomicUsize::new(0)));
        let read = || {
            let readings = readings.clone();
            async move {
                readings.fetch_add(1, Ordering::SeqCst);
                Err(Failure::Unauthenticated)
            }
        };
        for _ in 0..3 {
            assert_eq!(shared.of((), Uuid::nil(), read()).await, Err(Failure::Unauthenticated));
        }
        assert_eq!(readings.load(Ordering::SeqCst), 1);
    }
}
