//! Encrypts stored secrets again under the first master key, so that a former one can be dropped.
//!
//! Done at every start and by `ricochet secrets reseal`. It goes in small transactions and looks
//! only at what is not under the first key, so it may be stopped and begun again anywhere, and
//! several may do it at once: a row that somebody else has changed meanwhile is left to them.

use std::collections::BTreeMap;

use deadpool_postgres::Pool;
use uuid::Uuid;

use super::error::StoreError;
use super::secrets::{Keyring, Sealed, SecretError};

/// A table with columns `master_key_id` and `ciphertext`.
struct SealedTable {
    name: &'static str,
    id: &'static str,
    /// The column of the id that the ciphertext belongs to.
    owner: &'static str,
    /// The rows whose secrets are still needed.
    in_use: &'static str,
}

/// Every table that holds secrets.
const SEALED: &[SealedTable] = &[
    SealedTable {
        name: "advertiser_secrets",
        id: "secret_id",
        owner: "secret_id",
        in_use: "retired_at IS NULL",
    },
    SealedTable {
        name: "postback_secrets",
        id: "secret_id",
        owner: "postback_id",
        in_use: "signs_until IS NULL OR signs_until > now()",
    },
];

/// Most secrets encrypted in one transaction.
const BATCH: i64 = 500;

/// What there was to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Secrets that are now under the first key and were not before.
    pub secrets: usize,
    /// Secrets in use that were changed in the database or belong to another row.
    pub broken: Vec<Uuid>,
    /// Secrets in use by the id of the master key that is missing.
    pub without_key: BTreeMap<String, usize>,
}

impl Resealed {
    /// # Errors
    /// Where the key of a secret in use is missing: neither could what it signed be judged nor
    /// what it signs be sent.
    pub fn need_every_key(&self) -> anyhow::Result<()> {
        let Some((key, count)) = self.without_key.iter().next() else { return Ok(()) };
        let secrets = if *count == 1 { "secret is" } else { "secrets are" };
        let unknown = SecretError::UnknownMasterKey(key.clone());
        Err(anyhow::anyhow!("{unknown}: {count} {secrets}; add that key at the end of the list"))
    }
}

/// Encrypts everything again that is under another key than the first.
pub async fn reseal(pool: &Pool, keyring: &Keyring) -> Result<Resealed, StoreError> {
    let mut done = Resealed::default();
    for table in SEALED {
        let mut after = Uuid::nil();
        while let Some(last) = reseal_batch(pool, keyring, table, after, &mut done).await? {
            after = last;
        }
    }
    Ok(done)
}

/// Takes the rows that follow `after`; the id of the last, if there were any.
async fn reseal_batch(
    pool: &Pool,
    keyring: &Keyring,
    table: &SealedTable,
    after: Uuid,
    done: &mut Resealed,
) -> Result<Option<Uuid>, StoreError> {
    let SealedTable { name, id, owner, in_use } = table;
    let client = pool.get().await?;
    let rows = client
        .query(
            &format!(
                "SELECT {id}, {owner}, master_key_id, ciphertext, {in_use} FROM {name}
                 WHERE master_key_id <> $1 AND {id} > $2 ORDER BY {id} LIMIT $3"
            ),
            &[&keyring.first_id().unwrap_or_default(), &after, &BATCH],
        )
        .await?;
    let (mut ids, mut before, mut keys, mut ciphertexts) = (vec![], vec![], vec![], vec![]);
    for row in &rows {
        let (id, owner, is_in_use): (Uuid, Uuid, bool) = (row.get(0), row.get(1), row.get(4));
        let sealed = Sealed { master_key_id: row.get(2), ciphertext: row.get(3) };
        match keyring.open(owner, &sealed).and_then(|secret| keyring.seal(owner, &secret)) {
            Ok(anew) => {
                ids.push(id);
                before.push(sealed.ciphertext);
                keys.push(anew.master_key_id);
                ciphertexts.push(anew.ciphertext);
            }
            Err(_) if !is_in_use => {}
            Err(SecretError::Broken) => done.broken.push(id),
            Err(SecretError::UnknownMasterKey(_) | SecretError::NoMasterKey) => {
                *done.without_key.entry(sealed.master_key_id).or_default() += 1;
            }
        }
    }
    if !ids.is_empty() {
        let changed = client
            .execute(
                &format!(
                    "UPDATE {name} SET master_key_id = anew.master_key_id, ciphertext = anew.ciphertext
                     FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::bytea[])
                          AS anew(id, before, master_key_id, ciphertext)
                     WHERE {name}.{id} = anew.id AND {name}.ciphertext = anew.before"
                ),
                &[&ids, &before, &keys, &ciphertexts],
            )
            .await?;
        done.secrets += usize::try_from(changed).unwrap_or(usize::MAX);
    }
    Ok(rows.last().map(|row| row.get(0)))
}
