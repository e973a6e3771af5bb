//! A monitor of our contract, on this host's clock, of which everything is known: its one GPU is read
//! every 47 ms while it ticks every 10 ms, its counter moves every 100 ms, it finds that out a second
//! after its start, and from a time on it is too hot.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use energy_proto::pb::energy_monitor_server::{EnergyMonitor, EnergyMonitorServer};
use energy_proto::{
    API, ClockAnchor, Description, Nanos, SensorInfo, SensorKind, SystemInfo, boot_id,
    monotonic_now, pb, time_namespace,
};
use fake_nvml::PowerShape;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

const TICK: Duration = Duration::from_millis(10);
const READ_MS: u64 = 47;
/// How often its counter moves.
pub const UPDATE: Duration = Duration::from_millis(100);
const FINDS_OUT: Duration = Duration::from_secs(1);

/// What one monitor is like.
#[derive(Debug, Clone)]
pub struct Setup {
    /// True power of its GPU.
    pub power: PowerShape,
    /// The GPU is too hot from so long after the start on.
    pub hot_after: Option<Duration>,
    /// What its sensor's note says.
    pub note: &'static str,
    /// Which source its sensor is of.
    pub source: &'static str,
}

#[derive(Debug)]
struct Shared {
    setup: Setup,
    started: Nanos,
}

/// One that serves until it is dropped.
#[derive(Debug)]
pub struct ScheduledMonitor {
    address: SocketAddr,
    _runtime: Runtime,
}

impl ScheduledMonitor {
    /// Starts one on a free port of the loopback.
    ///
    /// # Panics
    /// If it can't listen.
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
        let service = Scheduled(Arc::new(Shared { setup, started: monotonic_now() }));
        runtime.spawn(
            Server::builder()
                .add_service(EnergyMonitorServer::new(service))
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self { address, _runtime: runtime }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

#[derive(Debug, Clone)]
struct Scheduled(Arc<Shared>);

impl Shared {
    fn sensor(&self) -> SensorInfo {
        let knows = monotonic_now().since(self.started) >= FINDS_OUT;
        let figures = ["energy", "tensor_utilization", "throttle", "processes"];
        SensorInfo {
            name: "NVIDIA H100 80GB HBM3".into(),
            uuid: "GPU-1".into(),
            measures: figures.map(str::to_owned).to_vec(),
            update_period: knows.then_some(UPDATE),
            read_period: knows.then_some(Duration::from_millis(READ_MS)),
            characterized: knows,
            note: self.setup.note.to_owned(),
            ..SensorInfo::new(0, SensorKind::Gpu, self.setup.source)
        }
    }

    /// The sensor's latest read, as of `now`.
    fn read(&self, now: Nanos) -> pb::SensorReading {
        let (step, millis) = (u64::try_from(UPDATE.as_nanos()).unwrap_or(1), 1_000_000);
        let nth_read = |time: Nanos| time.0 / (READ_MS * millis);
        let read_at = |nth: u64| Nanos(nth * READ_MS * millis);
        let updated = |time: Nanos| Nanos(time.0 / step * step);
        let read = read_at(nth_read(now));
        // The first read that shows the present value is the first one after the update.
        let first = read_at(nth_read(Nanos(updated(read).0 - 1)) + 1);
        let joules = self.setup.power.energy(Nanos(0), updated(read)).0;
        let hot = self.setup.hot_after.is_some_and(|after| read >= self.started + after);
        pb::SensorReading {
            sensor: 0,
            energy_microjoules: Some((joules * 1e6) as u64),
            read_start_nanos: read.0,
            read_end_nanos: read.0,
            changed_after_nanos: Some(first.0 - READ_MS * millis),
            changed_before_nanos: Some(first.0),
            tensor_utilization_pct: Some(62.5),
            process_count: Some(1),
            throttle_reasons: Some(if hot { 1 | 2 } else { 1 }),
            status: pb::Status::Ok.into(),
            ..Default::default()
        }
    }

    async fn stream(self: Arc<Self>, to: mpsc::Sender<Result<pb::TelemetryReading, Status>>) {
        let mut tick = tokio::time::interval(TICK);
        for sequence in 0.. {
            tick.tick().await;
            let now = monotonic_now();
            let reading = pb::TelemetryReading {
                sequence,
                instance: 7,
                monotonic_nanos: now.0,
                sensors: vec![self.read(now)],
                ..Default::default()
            };
            if to.send(Ok(reading)).await.is_err() {
                return;
            }
        }
    }
}

#[tonic::async_trait]
impl EnergyMonitor for Scheduled {
    type StreamTelemetryStream = ReceiverStream<Result<pb::TelemetryReading, Status>>;

    async fn health(
        &self,
        _request: Request<pb::HealthRequest>,
    ) -> Result<Response<pb::HealthResponse>, Status> {
        Ok(Response::new(pb::HealthResponse { healthy: true, platform: "nvidia".to_owned() }))
    }

    async fn stream_telemetry(
        &self,
        _request: Request<pb::StreamRequest>,
    ) -> Result<Response<Self::StreamTelemetryStream>, Status> {
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(Arc::clone(&self.0).stream(sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn describe(
        &self,
        _request: Request<pb::DescribeRequest>,
    ) -> Result<Response<pb::DescribeResponse>, Status> {
        let description = Description {
            api: API.to_owned(),
            version: "0.0.0".to_owned(),
            instance: 7,
            boot_id: boot_id(),
            time_namespace: time_namespace(),
            anchor: ClockAnchor::now(),
            platform: "nvidia".to_owned(),
            interval: TICK,
            system_info: SystemInfo { host_name: "here".to_owned(), ..SystemInfo::default() },
            gpu_info: None,
            sensors: vec![self.0.sensor()],
            skipped: Vec::new(),
            missed_ticks: 0,
        };
        Ok(Response::new(description.into()))
    }
}
