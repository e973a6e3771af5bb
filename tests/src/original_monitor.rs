//! The original Intelligence-per-Watt monitor and its client, as far as the wire shows them: messages
//! of plain doubles with -1 for unknown, Health and StreamTelemetry, and no Describe. On request
//! behind TLS, with a token, with a wall clock of its own, and with messages that come late.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use energy_proto::{ClockAnchor, Nanos, monotonic_now, pb};
use fake_nvml::PowerShape;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::transport::{Channel, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// A request of the original, which has no fields.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OriginalRequest {}

/// A reading of the original: a double that is zero is not on the wire, and none can be missing.
#[derive(Clone, PartialEq, prost::Message)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct OriginalReading {
    #[prost(double, tag = "1")]
    pub power_watts: f64,
    #[prost(double, tag = "2")]
    pub energy_joules: f64,
    #[prost(double, tag = "3")]
    pub temperature_celsius: f64,
    #[prost(double, tag = "4")]
    pub gpu_memory_usage_mb: f64,
    #[prost(double, tag = "5")]
    pub cpu_memory_usage_mb: f64,
    #[prost(string, tag = "6")]
    pub platform: String,
    #[prost(int64, tag = "7")]
    pub timestamp_nanos: i64,
    #[prost(message, optional, tag = "8")]
    pub system_info: Option<pb::SystemInfo>,
    #[prost(message, optional, tag = "9")]
    pub gpu_info: Option<pb::GpuInfo>,
    #[prost(double, tag = "10")]
    pub cpu_power_watts: f64,
    #[prost(double, tag = "11")]
    pub cpu_energy_joules: f64,
    #[prost(double, tag = "12")]
    pub ane_power_watts: f64,
    #[prost(double, tag = "13")]
    pub ane_energy_joules: f64,
    #[prost(double, tag = "14")]
    pub gpu_compute_utilization_pct: f64,
    #[prost(double, tag = "15")]
    pub gpu_memory_bandwidth_utilization_pct: f64,
    #[prost(double, tag = "16")]
    pub gpu_tensor_core_utilization_pct: f64,
    #[prost(double, tag = "17")]
    pub gpu_memory_total_mb: f64,
}

/// What one monitor is like.
#[derive(Debug, Clone)]
pub struct Setup {
    /// True power of its GPU.
    pub power: PowerShape,
    /// nvidia, macos, ...
    pub platform: &'static str,
    /// How far its wall clock is from this host's, in nanoseconds.
    pub wall_offset_nanos: i64,
    /// The most by which a message comes late.
    pub delay: Duration,
    /// How often its counter moves; zero: always.
    pub refresh: Duration,
    /// How long a read takes, after which its message is stamped.
    pub read: Duration,
    /// How often each message is sent.
    pub times: u32,
    /// Of each twenty reads, how many know neither energy nor power.
    pub unknown: u32,
    /// What it asks its clients for.
    pub token: Option<&'static str>,
    /// Certificate and key, both PEM.
    pub identity: Option<(String, String)>,
}

impl Setup {
    /// An NVIDIA host with this power, without anything odd.
    #[must_use]
    pub fn new(power: PowerShape) -> Self {
        Self {
            power,
            platform: "nvidia",
            wall_offset_nanos: 0,
            delay: Duration::ZERO,
            refresh: Duration::ZERO,
            read: Duration::ZERO,
            times: 1,
            unknown: 0,
            token: None,
            identity: None,
        }
    }
}

/// Time between two of its readings.
const INTERVAL: Duration = Duration::from_millis(50);
/// Power of the CPU rail where there is one.
pub const APPLE_CPU_WATTS: f64 = 7.0;

#[derive(Debug)]
struct Shared {
    setup: Setup,
    anchor: ClockAnchor,
    /// When it began to count.
    zero: AtomicU64,
}

impl Shared {
    /// What it reads at `now`, and stamps at `stamped`.
    fn reading(&self, now: Nanos, stamped: Nanos) -> OriginalReading {
        let zero = Nanos(self.zero.load(Ordering::Relaxed));
        let refresh = u64::try_from(self.setup.refresh.as_nanos()).unwrap_or(u64::MAX).max(1);
        let refreshed = Nanos(now.0 / refresh * refresh).max(zero);
        let seconds = now.since(zero).as_secs_f64();
        let apple = self.setup.platform == "macos";
        OriginalReading {
            power_watts: self.setup.power.watts_at(now),
            energy_joules: self.setup.power.energy(zero, refreshed).0,
            temperature_celsius: 55.0,
            gpu_memory_usage_mb: 1024.0,
            cpu_memory_usage_mb: 2048.0,
            platform: self.setup.platform.to_owned(),
            timestamp_nanos: self.anchor.unix_nanos_at(stamped) + self.setup.wall_offset_nanos,
            system_info: Some(pb::SystemInfo {
                host_name: "old".into(),
                cpu_brand: if apple { "Apple M4".into() } else { "Fake CPU".into() },
                ..Default::default()
            }),
            gpu_info: Some(pb::GpuInfo {
                name: "NVIDIA H100 80GB HBM3".into(),
                ..Default::default()
            }),
            cpu_power_watts: if apple { APPLE_CPU_WATTS } else { -1.0 },
            cpu_energy_joules: if apple { APPLE_CPU_WATTS * seconds } else { -1.0 },
            // A neural engine that rests.
            ane_power_watts: if apple { 0.0 } else { -1.0 },
            ane_energy_joules: if apple { 0.0 } else { -1.0 },
            gpu_compute_utilization_pct: 40.0,
            gpu_memory_bandwidth_utilization_pct: 20.0,
            gpu_tensor_core_utilization_pct: -1.0,
            gpu_memory_total_mb: 81_920.0,
        }
    }

    async fn stream(self: Arc<Self>, to: mpsc::Sender<Result<OriginalReading, Status>>) {
        let mut tick = tokio::time::interval(INTERVAL);
        for index in 0_u32.. {
            tick.tick().await;
            let read = monotonic_now();
            tokio::time::sleep(self.setup.read).await;
            let mut reading = self.reading(read, monotonic_now());
            if index % 20 < self.setup.unknown {
                (reading.energy_joules, reading.power_watts) = (-1.0, -1.0);
            }
            // Some come at once, some late, by a fixed pattern.
            let late = self.setup.delay.mul_f64(f64::from(index * 7 % 10) / 9.0);
            tokio::time::sleep(late).await;
            for _ in 0..self.setup.times {
                if to.send(Ok(reading.clone())).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// One that serves until it is dropped.
#[derive(Debug)]
pub struct OriginalMonitor {
    shared: Arc<Shared>,
    address: SocketAddr,
    _runtime: Runtime,
}

impl OriginalMonitor {
    /// Starts one on a free port of the loopback.
    ///
    /// # Panics
    /// If it can't listen, or its certificate is none.
    #[must_use]
    pub fn start(setup: Setup) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread can be started");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("the loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let mut server = Server::builder();
        if let Some((certificate, key)) = &setup.identity {
            let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
            server = server.tls_config(tls).expect("it is a certificate");
        }
        let zero = AtomicU64::new(monotonic_now().0);
        let shared = Arc::new(Shared { setup, anchor: ClockAnchor::now(), zero });
        let service = OriginalService(Arc::clone(&shared));
        runtime.spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            server.add_service(service).serve_with_incoming(incoming).await
        });
        Self { shared, address, _runtime: runtime }
    }

    /// Its URL, for a certificate of `localhost` if it has one.
    #[must_use]
    pub fn url(&self) -> String {
        if self.shared.setup.identity.is_some() {
            format!("https://localhost:{}", self.address.port())
        } else {
            format!("http://{}", self.address)
        }
    }

    /// Counts from zero again, as after a restart behind a proxy that keeps the stream.
    pub fn count_anew(&self) {
        self.shared.zero.store(monotonic_now().0, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone)]
struct OriginalService(Arc<Shared>);

impl NamedService for OriginalService {
    const NAME: &'static str = "energy.EnergyMonitor";
}

impl UnaryService<OriginalRequest> for OriginalService {
    type Response = pb::HealthResponse;
    type Future = BoxFuture<Response<pb::HealthResponse>, Status>;

    fn call(&mut self, _request: Request<OriginalRequest>) -> Self::Future {
        let platform = self.0.setup.platform.to_owned();
        Box::pin(async move { Ok(Response::new(pb::HealthResponse { healthy: true, platform })) })
    }
}

impl ServerStreamingService<OriginalRequest> for OriginalService {
    type Response = OriginalReading;
    type ResponseStream = ReceiverStream<Result<OriginalReading, Status>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, _request: Request<OriginalRequest>) -> Self::Future {
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(Arc::clone(&self.0).stream(sender));
        Box::pin(async move { Ok(Response::new(ReceiverStream::new(receiver))) })
    }
}

impl OriginalService {
    fn is_welcome(&self, request: &http::Request<Body>) -> bool {
        let sent = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        self.0.setup.token.is_none_or(|token| sent == Some(format!("Bearer {token}").as_str()))
    }
}

impl Service<http::Request<Body>> for OriginalService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            if !service.is_welcome(&request) {
                return Ok(Status::unauthenticated("who are you?").into_http());
            }
            Ok(match request.uri().path() {
                "/energy.EnergyMonitor/Health" => {
                    Grpc::new(ProstCodec::default()).unary(service, request).await
                }
                "/energy.EnergyMonitor/StreamTelemetry" => {
                    Grpc::new(ProstCodec::default()).server_streaming(service, request).await
                }
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

/// The stream of a monitor as the original's client asks for it and reads it.
///
/// # Panics
/// If the monitor doesn't stream.
pub async fn original_client(channel: Channel) -> Streaming<OriginalReading> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.expect("it is connected");
    let codec: ProstCodec<OriginalRequest, OriginalReading> = ProstCodec::default();
    let path = http::uri::PathAndQuery::from_static("/energy.EnergyMonitor/StreamTelemetry");
    let stream = client.server_streaming(Request::new(OriginalRequest {}), path, codec).await;
    stream.expect("it streams").into_inner()
}
