//! How the HTTP client of one server is set up: key, TLS, proxies, connections.

use std::sync::Once;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder, Url};
use secrecy::{ExposeSecret, SecretString};

use super::url::{is_loopback, text};
use super::{ClientError, Timeouts};

/// llama.cpp closes a connection after 5 s without a request: ours must be gone before.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// The headers that carry the key.
///
/// # Errors
/// A key that would go over the network in the clear, or that no header can hold.
pub(crate) fn authorization(
    url: &Url,
    key: Option<&SecretString>,
) -> Result<HeaderMap, ClientError> {
    let mut headers = HeaderMap::new();
    let Some(key) = key else { return Ok(headers) };
    if url.scheme() != "https" && !is_loopback(url) {
        return Err(ClientError::KeyOverPlainHttp { url: text(url) });
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()))
        .map_err(|_| ClientError::UnusableKey { url: text(url) })?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(headers)
}

/// One HTTP/1.1 client for one server.
///
/// # Errors
/// No usable TLS set-up, e.g. no CA certificates.
pub(crate) fn build_client(
    url: &Url,
    headers: HeaderMap,
    timeouts: Timeouts,
) -> reqwest::Result<Client> {
    builder(url)
        .default_headers(headers)
        .http1_only()
        .pool_idle_timeout(POOL_IDLE)
        .connect_timeout(timeouts.connect)
        .build()
}

/// What all HTTP clients of this program have in common. A redirect is not followed (another server's
/// time and energy would be measured; a key would go to a host that it isn't for), nothing is sent again
/// (that is decided, and noted, by who sends), and what is on this machine is asked without a proxy.
pub(crate) fn builder(url: &Url) -> ClientBuilder {
    install_ring();
    let mut builder = Client::builder()
        .user_agent(concat!("ipw/", env!("CARGO_PKG_VERSION")))
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never());
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    if url.scheme() == "http" {
        // Spares the reading of the system's certificates, which may not even be there.
        builder = builder.tls_backend_preconfigured(without_certificates());
    }
    builder
}

fn install_ring() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that another provider is installed already, which does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

fn without_certificates() -> rustls::ClientConfig {
    rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}
