//! `GET /metrics` over HTTP/1.1 or HTTPS, and nothing else.
//!
//! What a stranger can take is bounded: so many connections, so much header, so much time, no body,
//! one request each.

use std::convert::Infallible;
use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use energy_proto::{SensorInfo, monotonic_now};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::SharedAccounts;
use super::exposition::{self, Vitals, render};
use crate::token::Access;

/// Connections at a time; the next one waits to be accepted.
const MOST_CONNECTIONS: usize = 16;
/// For the header of the request.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// For a connection from its start to its end.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// For what is sent to us.
const MOST_BYTES: usize = 16 * 1_024;
/// Before the next attempt when the system gives us no connection, as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is answered, and to whom.
pub struct Exporter {
    /// The sensors of the accounts.
    pub sensors: Vec<SensorInfo>,
    /// What the ticks saw.
    pub accounts: Arc<SharedAccounts>,
    /// Asks the monitor about itself.
    pub vitals: Box<dyn Fn() -> Vitals + Send + Sync>,
    /// Who may read the sensors.
    pub access: Arc<Access>,
    /// The age at which a read isn't shown any more.
    pub stale_after: Duration,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("sensors", &self.sensors).finish_non_exhaustive()
    }
}

type Answer = Response<Full<Bytes>>;

impl Exporter {
    fn answer(&self, request: &Request<Incoming>) -> Answer {
        let authorization = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        // First of all: a stranger doesn't even learn what there is.
        if let Err(refused) = self.access.check(authorization) {
            let bearer = (WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return text(StatusCode::UNAUTHORIZED, &format!("{refused}\n"), Some(bearer));
        }
        if request.uri().path() != "/metrics" {
            return text(StatusCode::NOT_FOUND, "there is only /metrics here\n", None);
        }
        if request.method() != Method::GET {
            let allowed = (ALLOW, HeaderValue::from_static("GET"));
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n", Some(allowed));
        }
        self.metrics()
    }

    fn metrics(&self) -> Answer {
        let accounts = self.accounts.snapshot();
        let now = monotonic_now();
        match render(&self.sensors, &accounts, (self.vitals)(), now, self.stale_after) {
            Ok(metrics) => {
                let kind = HeaderValue::from_static(exposition::CONTENT_TYPE);
                let mut response = Response::new(Full::new(Bytes::from(metrics)));
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n"), None),
        }
    }
}

fn text(
    status: StatusCode,
    body: &str,
    header: Option<(hyper::header::HeaderName, HeaderValue)>,
) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body.to_owned())));
    *response.status_mut() = status;
    let kind = (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().extend([Some(kind), header].into_iter().flatten());
    response
}

/// Serves until `stop` is cancelled; then open connections are cut.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    exporter: Arc<Exporter>,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    let accepting = async {
        while let Ok(place) = Arc::clone(&room).acquire_owned().await {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    debug!(%error, "no connection for metrics");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            let connection = connection(stream, tls.clone(), Arc::clone(&exporter));
            connections.spawn(async move {
                let _place = place;
                if timeout(CONNECTION_TIME, connection).await.is_err() {
                    debug!("a reader of metrics took too long");
                }
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stop.cancelled() => {}
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, exporter: Arc<Exporter>) {
    match tls {
        None => one_request(stream, &exporter).await,
        Some(tls) => match timeout(HEADER_TIME, tls.accept(stream)).await {
            Ok(Ok(stream)) => one_request(stream, &exporter).await,
            Ok(Err(error)) => debug!(%error, "no TLS with a reader of metrics"),
            Err(_) => debug!("a reader of metrics did not finish its handshake"),
        },
    }
}

async fn one_request(stream: impl AsyncRead + AsyncWrite + Unpin, exporter: &Exporter) {
    let service = service_fn(|request: Request<Incoming>| {
        ready(Ok::<_, Infallible>(exporter.answer(&request)))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(MOST_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "a connection for metrics failed");
    }
}
