//! One pooled connection with a transaction that may be open.

use std::ops::Deref;

use deadpool_postgres::{Client, Object, Pool};

use super::error::StoreError;

/// A connection that goes back to the pool only when it was said to be clean. Whatever ends
/// early, by error, panic or cancellation, closes its connection and so ends its transaction.
///
/// Statements are sent without waiting for one another (in a `biased` `try_join!` they go out in
/// the order they stand), so that a transaction costs two round trips and not one for each statement.
pub struct Session(Option<Client>);

impl Session {
    pub async fn checkout(pool: &Pool) -> Result<Self, StoreError> {
        Ok(Self(Some(pool.get().await?)))
    }

    pub fn client(&self) -> &Client {
        self
    }

    /// Ends the transaction. `COMMIT` after a failed statement would roll back silently, so
    /// this may be awaited only together with, and after, statements whose results are checked.
    pub async fn commit(&self) -> Result<(), tokio_postgres::Error> {
        self.batch_execute("COMMIT").await
    }

    /// Gives the connection back; no transaction is open on it any more.
    pub fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.0.as_ref().expect("a session holds its connection until it is given back")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Object::take(client));
        }
    }
}
