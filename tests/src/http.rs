//! One HTTP/1.1 request, written out by hand, and what came back: over TCP, or over TLS to a host whose
//! certificate signs itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Longer than any answer takes, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// The lines of its header after the first.
    pub header: String,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// A field of its header, by its name in small letters.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.header
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(known, value)| known.eq_ignore_ascii_case(name).then_some(value))
    }
}

/// Asks for `path` over TCP, with lines of its own in the header.
///
/// # Panics
/// If there is no answer.
pub async fn get(address: &str, path: &str, fields: &[&str]) -> Answer {
    ask(address, &request("GET", path, fields)).await
}

/// Sends a request over TCP.
///
/// # Panics
/// If there is no answer.
pub async fn ask(address: &str, request: &str) -> Answer {
    let stream = TcpStream::connect(address).await.expect("it accepts connections");
    exchange(stream, request).await.expect("it answers")
}

/// Asks for `path` over TLS, trusting nothing but this certificate.
///
/// # Panics
/// If there is no answer.
pub async fn get_securely(address: &str, certificate: &str, path: &str, fields: &[&str]) -> Answer {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("it is PEM");
    roots.add(certificate).expect("it is a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("they go together")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.expect("it accepts connections");
    let name = ServerName::try_from("localhost").expect("it is a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = stream.expect("the certificate is trusted");
    exchange(stream, &request("GET", path, fields)).await.expect("it answers")
}

/// A request without a body.
#[must_use]
pub fn request(method: &str, path: &str, fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n")
}

/// Sends a request and reads until the connection is closed; nothing if that comes without an answer.
///
/// # Panics
/// If it takes too long.
pub async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> Option<Answer> {
    let exchanged = async {
        // An error means that it was refused while we wrote: what was answered tells why.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    };
    let answer = tokio::time::timeout(PATIENCE, exchanged).await.expect("it takes no longer");
    parse(&String::from_utf8_lossy(&answer))
}

fn parse(answer: &str) -> Option<Answer> {
    let (header, body) = answer.split_once("\r\n\r\n")?;
    let (first, header) = header.split_once("\r\n").unwrap_or((header, ""));
    let status = first.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, header: header.to_owned(), body: body.to_owned() })
}
