//! The certificate and key that the monitor shows to its clients: read, checked against each other
//! and ready to use.
//!
//! It doesn't know whether a client will trust the certificate, nor for which names it is.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;
use crate::secret_file;

/// A chain of certificates is a few kilobytes.
const LONGEST: u64 = 1 << 20;

/// A certificate chain and its key, as PEM.
#[derive(Clone)]
pub struct Tls {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Files that TLS can't be served with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One can't be read.
    #[error("{file} of {flag} can't be read: {cause}", file = file.display())]
    Unreadable {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// One doesn't hold what it should.
    #[error("{file} of {flag} holds no {wanted} in PEM (`-----BEGIN ...`)", file = file.display())]
    NothingThere {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// What should be in it.
        wanted: &'static str,
    },
    /// They don't go together, or are of a kind that isn't known here.
    #[error(
        "the certificate {certificate} can't be served with the key {key}: {cause}; --tls-cert takes this host's own certificate first, then those that signed it, and --tls-key the first one's key (RSA, P-256, P-384 or Ed25519)",
        certificate = certificate.display(), key = key.display()
    )]
    Unusable {
        /// The file of the certificates.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong.
        #[source]
        cause: rustls::Error,
    },
}

impl Tls {
    /// Reads and checks both files.
    ///
    /// # Errors
    /// If one can't be read or holds something else, or they don't go together.
    pub fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let TlsFiles { certificate, key } = files;
        let tls = Self {
            certificate: secret_file::read_bounded(certificate, LONGEST)
                .map_err(|cause| unreadable("--tls-cert", certificate, cause))?,
            key: secret_file::read(key, LONGEST)
                .map_err(|cause| unreadable("--tls-key", key, cause))?,
        };
        if tls.certificates().is_empty() {
            return Err(nothing_there("--tls-cert", certificate, "certificate"));
        }
        if PrivateKeyDer::from_pem_slice(&tls.key).is_err() {
            return Err(nothing_there("--tls-key", key, "private key without a password"));
        }
        tls.config().map_err(|cause| TlsError::Unusable {
            certificate: certificate.clone(),
            key: key.clone(),
            cause,
        })?;
        Ok(tls)
    }

    /// The certificate chain as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &[u8] {
        &self.certificate
    }

    /// The key as PEM.
    #[must_use]
    pub fn key_pem(&self) -> &[u8] {
        &self.key
    }

    /// What makes a connection of HTTP/1.1 secure.
    ///
    /// # Errors
    /// None that [`Tls::read`] hasn't found already.
    pub fn http1_acceptor(&self) -> Result<TlsAcceptor, rustls::Error> {
        let mut config = self.config()?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn certificates(&self) -> Vec<CertificateDer<'static>> {
        // A section that is damaged ends the list: rustls then refuses what is missing.
        CertificateDer::pem_slice_iter(&self.certificate).map_while(Result::ok).collect()
    }

    fn config(&self) -> Result<ServerConfig, rustls::Error> {
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.certificates(), key)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

fn unreadable(flag: &'static str, file: &Path, cause: io::Error) -> TlsError {
    TlsError::Unreadable { flag, file: file.to_owned(), cause }
}

fn nothing_there(flag: &'static str, file: &Path, wanted: &'static str) -> TlsError {
    TlsError::NothingThere { flag, file: file.to_owned(), wanted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use tempfile::TempDir;

    fn files(certificate: &str, key: &str) -> (TempDir, TlsFiles) {
        let directory = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            certificate: directory.path().join("cert.pem"),
            key: directory.path().join("key.pem"),
        };
        fs::write(&files.certificate, certificate).unwrap();
        fs::write(&files.key, key).unwrap();
        (directory, files)
    }

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn error(certificate: &str, key: &str) -> String {
        let (_directory, files) = files(certificate, key);
        Tls::read(&files).unwrap_err().to_string()
    }

    #[test]
    fn a_certificate_and_its_key_are_taken_and_shown_to_nobody() {
        let (certificate, key) = made();
        let (_directory, files) = files(&certificate, &key);
        let tls = Tls::read(&files).unwrap();
        assert!(tls.http1_acceptor().is_ok());
        assert_eq!(format!("{tls:?}"), "Tls(..)");
    }

    #[test]
    fn files_that_hold_something_else_are_named_with_their_flag() {
        let (certificate, key) = made();
        let swapped = error(&key, &certificate);
        assert!(swapped.contains("cert.pem of --tls-cert holds no certificate"), "{swapped}");
        let no_key = error(&certificate, "");
        assert!(no_key.contains("key.pem of --tls-key holds no private key"), "{no_key}");
        let missing =
            Tls::read(&TlsFiles { certificate: "/no/cert".into(), key: "/no/key".into() });
        let missing = missing.unwrap_err().to_string();
        assert!(missing.contains("/no/cert of --tls-cert"), "{missing}");
    }

    #[test]
    fn the_key_of_another_certificate_is_refused() {
        let (certificate, _) = made();
        let (_, key) = made();
        let error = error(&certificate, &key);
        assert!(error.contains("cert.pem") && error.contains("key.pem"), "{error}");
        assert!(!error.contains("BEGIN"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_damage_to_the_files_makes_it_panic(at in 0_usize..4_000, byte: u8, cut in 0_usize..4_000) {
            let (certificate, key) = made();
            let damage = |text: &str| {
                let mut bytes = text.as_bytes().to_vec();
                let length = bytes.len();
                bytes[at % length] = byte;
                bytes.truncate(cut.max(1));
                bytes
            };
            let (_directory, files) = files("", "");
            fs::write(&files.certificate, damage(&certificate)).unwrap();
            fs::write(&files.key, damage(&key)).unwrap();
            let _ = Tls::read(&files);
        }
    }
}
