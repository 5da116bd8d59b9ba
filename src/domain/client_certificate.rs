//! The certificate a postback shows its destination.

use std::fmt;

use sha2::{Digest, Sha256};

/// A chain and its private key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// SHA-256 over both texts; connections are kept apart by it.
    pub fingerprint: [u8; 32],
    pub certificate_pem: String,
    pub private_key_pem: String,
}

impl ClientCertificate {
    pub fn new(certificate_pem: String, private_key_pem: String) -> Self {
        let fingerprint =
            Sha256::new().chain_update(&certificate_pem).chain_update(&private_key_pem).finalize();
        Self { fingerprint: fingerprint.into(), certificate_pem, private_key_pem }
    }
}

/// Without the key.
impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}
