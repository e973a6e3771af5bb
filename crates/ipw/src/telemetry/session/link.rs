//! The way to a monitor: a Unix socket, or TCP with TLS and with the token that it asks for.
//! Doesn't know what is said there.

use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};

use async_trait::async_trait;
use energy_proto::pb::energy_monitor_client::EnergyMonitorClient;
use energy_proto::{API, Description, pb};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::UnixStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::SessionError;
use crate::client::is_in_the_clear;

/// The longest wait for a connection, and for an answer to a call that isn't a stream.
const ANSWER: Duration = Duration::from_secs(5);

/// Where a monitor listens.
#[derive(Debug, Clone)]
pub enum Place {
    /// A Unix socket.
    Socket(PathBuf),
    /// TCP.
    Url {
        /// `http://host:port` or `https://host:port`
        url: String,
        /// What it asks its clients for.
        token: Option<SecretString>,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Url { url, .. } => url.fmt(f),
        }
    }
}

/// A way to the monitor, asked at the start and each time the connection is lost.
#[async_trait]
pub trait MonitorLink: Send {
    /// Where it listens now; starts it again first if it is ours and has died.
    async fn place(&mut self) -> Result<Place, SessionError>;

    /// Told when it has been silent for so long that it hangs: ends it, if it is ours.
    async fn end_hung(&mut self) {}
}

/// Whether a token would go to this URL in the clear and beyond this machine.
#[must_use]
pub fn exposes_token(url: &str) -> bool {
    is_in_the_clear(url)
}

/// Puts the token on each call.
#[derive(Debug, Clone)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    fn new(token: Option<&SecretString>) -> Result<Self, SessionError> {
        let Some(token) = token else { return Ok(Self(None)) };
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.expose_secret())
            .parse()
            .map_err(|_| SessionError::UnusableToken)?;
        // So that no log of a library shows it.
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut call: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(token) = &self.0 {
            call.metadata_mut().insert("authorization", token.clone());
        }
        Ok(call)
    }
}

/// A connection to a monitor.
pub(super) type Client = EnergyMonitorClient<InterceptedService<Channel, Bearer>>;

pub(super) async fn connect(place: &Place) -> Result<Client, SessionError> {
    let (connected, token) = match place {
        Place::Socket(path) => (connect_socket(path.clone()).await, None),
        Place::Url { url, token } => {
            if token.is_some() && exposes_token(url) {
                return Err(SessionError::TokenInTheClear { url: url.clone() });
            }
            (connect_url(url.clone()).await, token.as_ref())
        }
    };
    let channel =
        connected.map_err(|error| SessionError::unconnected(place.to_string(), &error))?;
    Ok(EnergyMonitorClient::with_interceptor(channel, Bearer::new(token)?))
}

async fn connect_url(url: String) -> Result<Channel, tonic::transport::Error> {
    let mut endpoint = Endpoint::from_shared(url)?.connect_timeout(ANSWER).tcp_nodelay(true);
    if endpoint.uri().scheme_str() == Some("https") {
        // The system's certificates, or those that SSL_CERT_FILE and SSL_CERT_DIR name.
        endpoint =
            endpoint.tls_config(ClientTlsConfig::new().with_native_roots().timeout(ANSWER))?;
    }
    endpoint.connect().await
}

async fn connect_socket(path: PathBuf) -> Result<Channel, tonic::transport::Error> {
    let connector = tower::service_fn(move |_: tonic::transport::Uri| {
        let path = path.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
    });
    // The URI is not used: the connector knows the socket.
    Endpoint::from_static("http://monitor.invalid")
        .connect_timeout(ANSWER)
        .connect_with_connector(connector)
        .await
}

/// An answer that comes in time.
pub(super) async fn answer<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, tonic::Status> {
    let late =
        |_| tonic::Status::deadline_exceeded(format!("nothing within {} s", ANSWER.as_secs()));
    Ok(tokio::time::timeout(ANSWER, call).await.map_err(late)??.into_inner())
}

/// What a monitor says of itself; `None` from one that has no `Describe`, as the original.
pub(super) async fn describe(client: &mut Client) -> Result<Option<Description>, SessionError> {
    let answered = match answer(client.describe(pb::DescribeRequest {})).await {
        Ok(answered) => answered,
        Err(status) if status.code() == tonic::Code::Unimplemented => return Ok(None),
        Err(status) => return Err(status.into()),
    };
    let description = Description::from(answered);
    if description.api != API {
        return Err(SessionError::OtherApi(description.api));
    }
    Ok(Some(description))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_in_the_clear_to_the_loopback_only() {
        for url in ["http://127.0.0.1:50053", "http://[::1]:1", "http://localhost:1", "https://a:1"]
        {
            assert!(!exposes_token(url), "{url}");
        }
        for url in ["http://node1:50053", "http://10.0.0.1:50053", "http://localhost.example:1"] {
            assert!(exposes_token(url), "{url}");
        }
    }

    #[test]
    fn a_token_shows_in_no_debug_text_and_one_with_a_line_break_is_refused() {
        let token = SecretString::from("hunter2-hunter2-hunter2");
        let bearer = Bearer::new(Some(&token)).unwrap();
        let place = Place::Url { url: "https://a:1".into(), token: Some(token) };
        let shown = format!("{bearer:?} {place:?} {place}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let broken = Bearer::new(Some(&SecretString::from("a\nb"))).unwrap_err();
        assert!(broken.to_string().contains("IPW_MONITOR_TOKEN"), "{broken}");
    }
}
