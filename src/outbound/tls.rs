//! Whom we trust over TLS, and as whom we show ourselves.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::domain::client_certificate::ClientCertificate;

/// Sessions that can be resumed without a whole handshake.
const RESUMABLE_SESSIONS: usize = 1024;
/// Settings of TLS for as many client certificates are kept ready.
const KEPT_CERTIFICATES: usize = 256;

/// What a client certificate's PEM is lacking.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotACertificate {
    #[error("there is no certificate in it; paste the whole PEM text, from -----BEGIN CERTIFICATE-----")]
    Certificate,
    #[error(
        "there is no private key in it; paste the whole PEM text, from -----BEGIN PRIVATE KEY-----, unencrypted"
    )]
    PrivateKey,
    #[error("certificate and private key cannot be used together: {0}")]
    Mismatch(String),
}

pub struct TlsSettings {
    roots: Arc<RootCertStore>,
    anonymous: Arc<ClientConfig>,
    /// By fingerprint; emptied when full.
    by_certificate: Mutex<HashMap<[u8; 32], Arc<ClientConfig>>>,
}

impl TlsSettings {
    /// Trusts the machine's authorities and those of `ca_file`.
    pub fn load(ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::warn!(%error, "some of the machine's root certificates cannot be read");
        }
        roots.add_parsable_certificates(native.certs);
        if let Some(path) = ca_file {
            let unreadable = || format!("RICOCHET_OUTBOUND_CA_FILE: {} cannot be used", path.display());
            let text = std::fs::read(path).with_context(unreadable)?;
            let mut count = 0;
            for certificate in CertificateDer::pem_slice_iter(&text) {
                roots.add(certificate.with_context(unreadable)?).with_context(unreadable)?;
                count += 1;
            }
            if count == 0 {
                return Err(anyhow::anyhow!("there is no certificate in it").context(unreadable()));
            }
        }
        if roots.is_empty() {
            tracing::warn!("this machine has no root certificates: no https:// postback will be delivered");
        }
        let roots = Arc::new(roots);
        let anonymous = Arc::new(settings(&roots, None).context("TLS")?);
        Ok(Self { roots, anonymous, by_certificate: Mutex::default() })
    }

    pub fn for_certificate(
        &self,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Arc<ClientConfig>, NotACertificate> {
        let Some(certificate) = certificate else { return Ok(self.anonymous.clone()) };
        let mut known = self.by_certificate.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(settings) = known.get(&certificate.fingerprint) {
            return Ok(settings.clone());
        }
        let made = Arc::new(settings(&self.roots, Some(certificate))?);
        if known.len() >= KEPT_CERTIFICATES {
            known.clear();
        }
        known.insert(certificate.fingerprint, made.clone());
        Ok(made)
    }
}

/// Whether a client certificate can be used, before it is saved.
pub fn check(certificate: &ClientCertificate) -> Result<(), NotACertificate> {
    settings(&Arc::new(RootCertStore::empty()), Some(certificate)).map(drop)
}

fn settings(
    roots: &Arc<RootCertStore>,
    certificate: Option<&ClientCertificate>,
) -> Result<ClientConfig, NotACertificate> {
    let mismatch = |error: rustls::Error| NotACertificate::Mismatch(error.to_string());
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(mismatch)?
        .with_root_certificates(roots.clone());
    let mut settings = match certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => {
            let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate.certificate_pem.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|_| NotACertificate::Certificate)?;
            if chain.is_empty() {
                return Err(NotACertificate::Certificate);
            }
            let key = PrivateKeyDer::from_pem_slice(certificate.private_key_pem.as_bytes())
                .map_err(|_| NotACertificate::PrivateKey)?;
            builder.with_client_auth_cert(chain, key).map_err(mismatch)?
        }
    };
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    settings.resumption = Resumption::in_memory_sessions(RESUMABLE_SESSIONS);
    Ok(settings)
}
