//! gRPC: Health, StreamTelemetry, Describe, and the standard `grpc.health.v1`. The only file here
//! that speaks tonic.

pub mod secure;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use energy_proto::pb::energy_monitor_server::{EnergyMonitor, EnergyMonitorServer};
use energy_proto::{CLIENT_API, ClockAnchor, Description, monotonic_now, pb};
use tokio_stream::Stream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::wrappers::{BroadcastStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::hub::{Hub, Message};
use crate::listen::Listener;
use crate::sampler::stale_after;
use crate::service::secure::Guard;
use crate::tls::Tls;
use crate::token::Access;

/// What subscribers may ask of this monitor.
#[derive(Debug, Clone)]
pub struct Monitor {
    hub: Hub,
    description: Description,
}

impl Monitor {
    /// A monitor that streams from `hub` and describes itself so.
    #[must_use]
    pub fn new(hub: Hub, description: Description) -> Self {
        Self { hub, description }
    }
}

/// Serves until `stop` is ready and every stream has ended.
///
/// # Errors
/// If the server fails.
pub async fn serve(
    listener: Listener,
    monitor: Monitor,
    access: Arc<Access>,
    tls: Option<&Tls>,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<EnergyMonitorServer<Monitor>>().await;
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(secure::tls_config(tls))?;
    }
    let monitor = EnergyMonitorServer::with_interceptor(monitor, Guard::new(access));
    let router = server.add_service(health).add_service(monitor);
    match listener {
        Listener::Tcp(listener) => {
            // A reading is far smaller than a segment: waiting for more only delays it.
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            router.serve_with_incoming_shutdown(incoming, stop).await
        }
        Listener::Unix(listener, _file) => {
            let incoming = UnixListenerStream::new(listener);
            router.serve_with_incoming_shutdown(incoming, stop).await
        }
    }
}

#[tonic::async_trait]
impl EnergyMonitor for Monitor {
    type StreamTelemetryStream = Subscription;

    async fn health(
        &self,
        _request: Request<pb::HealthRequest>,
    ) -> Result<Response<pb::HealthResponse>, Status> {
        let limit = stale_after(self.description.interval);
        Ok(Response::new(pb::HealthResponse {
            healthy: self.hub.is_sampling(monotonic_now(), limit),
            platform: self.description.platform.clone(),
        }))
    }

    async fn stream_telemetry(
        &self,
        request: Request<pb::StreamRequest>,
    ) -> Result<Response<Subscription>, Status> {
        let readings =
            self.hub.subscribe().ok_or_else(|| Status::unavailable("the monitor is stopping"))?;
        Ok(Response::new(Subscription {
            readings: BroadcastStream::new(readings),
            dropped: 0,
            identity: Some(Identity::of(&self.description)),
            identity_once: request.into_inner().client_api >= CLIENT_API,
        }))
    }

    async fn describe(
        &self,
        _request: Request<pb::DescribeRequest>,
    ) -> Result<Response<pb::DescribeResponse>, Status> {
        let now = Description { anchor: ClockAnchor::now(), ..self.description.clone() };
        Ok(Response::new(now.into()))
    }
}

/// What the original's clients look for in every message.
#[derive(Debug, Clone)]
struct Identity {
    system_info: pb::SystemInfo,
    gpu_info: Option<pb::GpuInfo>,
}

impl Identity {
    fn of(description: &Description) -> Self {
        Self {
            system_info: description.system_info.clone().into(),
            gpu_info: description.gpu_info.clone().map(Into::into),
        }
    }
}

/// One subscriber's stream.
#[derive(Debug)]
pub struct Subscription {
    readings: BroadcastStream<Message>,
    dropped: u64,
    /// Nothing once it was sent to a client that needs it once.
    identity: Option<Identity>,
    identity_once: bool,
}

impl Subscription {
    fn addressed(&mut self, message: &Message) -> pb::TelemetryReading {
        let identity =
            if self.identity_once { self.identity.take() } else { self.identity.clone() };
        let (system_info, gpu_info) = match identity {
            Some(identity) => (Some(identity.system_info), identity.gpu_info),
            None => (None, None),
        };
        let reading = pb::TelemetryReading::clone(message);
        pb::TelemetryReading { dropped: self.dropped, system_info, gpu_info, ..reading }
    }
}

impl Stream for Subscription {
    type Item = Result<pb::TelemetryReading, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.readings).poll_next(context)) {
                Some(Ok(message)) => return Poll::Ready(Some(Ok(self.addressed(&message)))),
                Some(Err(BroadcastStreamRecvError::Lagged(lost))) => self.dropped += lost,
                None => return Poll::Ready(None),
            }
        }
    }
}
