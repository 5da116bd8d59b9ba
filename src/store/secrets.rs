//! Secrets that must be readable again, encrypted at rest.
//!
//! AES-256-GCM under a master key of the settings. What is stored begins with the nonce; the
//! master key's id stands beside it, so that several keys can be in use while one replaces the
//! other. The owner's id is authenticated too: a ciphertext copied to another row opens nothing.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Length of a master key, in bytes.
const KEY_BYTES: usize = 32;

/// The master keys, the one that encrypts first. Without any, nothing can be sealed.
#[derive(Clone, Default)]
pub struct Keyring(Arc<[MasterKey]>);

struct MasterKey {
    id: String,
    key: LessSafeKey,
}

/// A secret as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub master_key_id: String,
    pub ciphertext: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("secrets cannot be kept: set RICOCHET_MASTER_KEY to 32 random bytes (openssl rand -hex 32)")]
    NoMasterKey,
    #[error("RICOCHET_MASTER_KEY does not hold the master key {0} that a stored secret is encrypted under")]
    UnknownMasterKey(String),
    #[error("a stored secret was changed or belongs to another row")]
    Broken,
}

/// The text is not a list of master keys. It is not repeated: it is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAKeyring;

impl Keyring {
    /// Reads keys of 32 bytes in hexadecimal or base64, separated by commas.
    pub fn parse(text: &str) -> Result<Self, NotAKeyring> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(MasterKey::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Encrypts `secret` for `owner`, the row it will stand in.
    pub fn seal(&self, owner: Uuid, secret: &[u8]) -> Result<Sealed, SecretError> {
        let master = self.0.first().ok_or(SecretError::NoMasterKey)?;
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut ciphertext = nonce.to_vec();
        let mut text = secret.to_vec();
        master
            .key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(owner.as_bytes()),
                &mut text,
            )
            .map_err(|_| SecretError::Broken)?;
        ciphertext.append(&mut text);
        Ok(Sealed { master_key_id: master.id.clone(), ciphertext })
    }

    /// Decrypts what was sealed for `owner`.
    pub fn open(&self, owner: Uuid, sealed: &Sealed) -> Result<Vec<u8>, SecretError> {
        let unknown = || SecretError::UnknownMasterKey(sealed.master_key_id.clone());
        let master = self.0.iter().find(|master| master.id == sealed.master_key_id).ok_or_else(unknown)?;
        let (nonce, text) = sealed.ciphertext.split_at_checked(NONCE_LEN).ok_or(SecretError::Broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SecretError::Broken)?;
        let mut text = text.to_vec();
        let opened = master.key.open_in_place(nonce, Aad::from(owner.as_bytes()), &mut text);
        opened.map(|secret| secret.to_vec()).map_err(|_| SecretError::Broken)
    }

    /// The id of the key that encrypts.
    pub fn first_id(&self) -> Option<&str> {
        self.ids().next()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it can decrypt what is under this key.
    pub fn holds(&self, master_key_id: &str) -> bool {
        self.ids().any(|id| id == master_key_id)
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|master| master.id.as_str())
    }
}

impl MasterKey {
    fn parse(text: &str) -> Result<Self, NotAKeyring> {
        let bytes = match text.len() {
            64 => hex::decode(text).map_err(|_| NotAKeyring)?,
            _ => STANDARD.decode(text).map_err(|_| NotAKeyring)?,
        };
        if bytes.len() != KEY_BYTES {
            return Err(NotAKeyring);
        }
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| NotAKeyring)?);
        let digest = Sha256::new().chain_update(b"ricochet master key id").chain_update(&bytes).finalize();
        Ok(Self { id: hex::encode(&digest[..8]), key })
    }
}

/// The keys' ids only.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl PartialEq for Keyring {
    fn eq(&self, other: &Self) -> bool {
        self.ids().eq(other.ids())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OLD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const NEW: &str = "//////////////////////////////////////////8=";
    const OWNER: Uuid = Uuid::from_u128(7);

    #[test]
    fn a_new_master_key_encrypts_and_the_old_one_still_decrypts() {
        let old = Keyring::parse(OLD).unwrap();
        let sealed = old.seal(OWNER, b"secret").unwrap();
        let both = Keyring::parse(&format!("{NEW} , {OLD}")).unwrap();
        assert_eq!(both.open(OWNER, &sealed).unwrap(), b"secret");
        let sealed_anew = both.seal(OWNER, b"secret").unwrap();
        assert_ne!(sealed_anew.master_key_id, sealed.master_key_id);
        let new = Keyring::parse(NEW).unwrap();
        assert_eq!(new.open(OWNER, &sealed_anew).unwrap(), b"secret");
        assert_eq!(new.open(OWNER, &sealed), Err(SecretError::UnknownMasterKey(sealed.master_key_id)));
    }

    #[test]
    fn what_was_moved_or_changed_opens_nothing() {
        let keyring = Keyring::parse(OLD).unwrap();
        let mut sealed = keyring.seal(OWNER, b"secret").unwrap();
        assert_eq!(keyring.open(Uuid::from_u128(8), &sealed), Err(SecretError::Broken));
        *sealed.ciphertext.last_mut().unwrap() ^= 1;
        assert_eq!(keyring.open(OWNER, &sealed), Err(SecretError::Broken));
        sealed.ciphertext.truncate(5);
        assert_eq!(keyring.open(OWNER, &sealed), Err(SecretError::Broken));
        assert_eq!(Keyring::default().seal(OWNER, b"x"), Err(SecretError::NoMasterKey));
    }

    #[test]
    fn a_keyring_shows_no_key_and_takes_no_short_one() {
        let shown = format!("{:?}", Keyring::parse(OLD).unwrap());
        assert!(!shown.contains("0102") && shown.len() < 24, "{shown}");
        for wrong in
            ["abc", "AAAA", &OLD[..62], "zz0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"]
        {
            assert_eq!(Keyring::parse(wrong).unwrap_err(), NotAKeyring, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_secret_comes_back_and_no_two_look_alike(secret in proptest::collection::vec(any::<u8>(), 0..100)) {
            let keyring = Keyring::parse(OLD).unwrap();
            let sealed = keyring.seal(OWNER, &secret).unwrap();
            prop_assert_eq!(keyring.open(OWNER, &sealed).unwrap(), secret.clone());
            prop_assert_ne!(keyring.seal(OWNER, &secret).unwrap(), sealed);
        }
    }
}
