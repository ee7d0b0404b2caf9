//! Encryption: which authority vouches for the broker, and with which certificate this side shows who it is.
//!
//! The cryptography is ring, named here and not taken from the process: which provider is the process's default depends on
//! what else is linked in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore};

use super::{BrokerFileError, read};
use crate::config::Table;

/// What Debian and its like trust.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Only brokers whose certificate one of these signed are trusted.
    pub ca_file: PathBuf,
    /// For brokers that ask for a client's certificate.
    pub identity: Option<Identity>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

impl Tls {
    /// Reads a `[broker.tls]` section; an empty one means: encrypted, trusting whom the system trusts.
    #[allow(clippy::option_option, reason = "the outer None is a noted problem, the inner one an absent section")]
    pub(super) fn from_table(table: &Table) -> Option<Option<Self>> {
        let ca_file = table.path("ca_file").or(PathBuf::from(SYSTEM_AUTHORITIES));
        let certificate_file = table.path("certificate_file").optional();
        let key_file = table.path("key_file").optional();
        if !table.is_present() {
            // A `tls` that is no table is noted already; taking it for "unencrypted" would be the worse guess.
            return ca_file.and(Some(None));
        }
        let identity = match (certificate_file?, key_file?) {
            (Some(certificate_file), Some(key_file)) => Some(Identity { certificate_file, key_file }),
            (None, None) => None,
            (Some(_), None) => {
                table.wrong("certificate_file", "needs its key; write key_file = \"…\" beside it");
                return None;
            }
            (None, Some(_)) => {
                table.wrong("key_file", "needs its certificate; write certificate_file = \"…\" beside it");
                return None;
            }
        };
        Some(Some(Self { ca_file: ca_file?, identity }))
    }

    /// Reads the files and puts them together.
    pub(super) fn client_config(&self) -> Result<Arc<ClientConfig>, BrokerFileError> {
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |source| BrokerFileError::Unusable { path, source }
        };
        let mut authorities = RootCertStore::empty();
        let (taken, _) = authorities.add_parsable_certificates(certificates("broker.tls.ca_file", &self.ca_file)?);
        if taken == 0 {
            let source = rustls::Error::General("no certificate in it can be used as an authority".into());
            return Err(unusable(&self.ca_file)(source));
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable(&self.ca_file))?
            .with_root_certificates(authorities);
        let Some(identity) = &self.identity else { return Ok(Arc::new(builder.with_no_client_auth())) };
        let chain = certificates("broker.tls.certificate_file", &identity.certificate_file)?;
        let key = key(&identity.key_file)?;
        let config = builder.with_client_auth_cert(chain, key).map_err(|source| match source {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => BrokerFileError::KeyMismatch {
                key: identity.key_file.clone(),
                certificate: identity.certificate_file.clone(),
            },
            source => unusable(&identity.key_file)(source),
        })?;
        Ok(Arc::new(config))
    }
}

fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, BrokerFileError> {
    let text = read(setting, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| BrokerFileError::NotPem {
        setting,
        path: path.to_owned(),
        what: "certificate",
        begin: "CERTIFICATE",
    })
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, BrokerFileError> {
    let setting = "broker.tls.key_file";
    let text = read(setting, path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| BrokerFileError::NotPem {
        setting,
        path: path.to_owned(),
        what: "private key that can be read without a pass phrase",
        begin: "PRIVATE KEY",
    })
}
