//! The monitor from its start to its stop: bind, discover, sample, announce, serve; then stop in the
//! order of the flow, with grace and then without.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use energy_proto::{API, ClockAnchor, SensorInfo, SkippedSource, Status};
use futures_util::future::{self, FutureExt};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::compose::Composer;
use crate::config::Config;
use crate::discover::{Discovery, discover};
use crate::listen::{Listener, bind_metrics};
use crate::metrics::exposition::Vitals;
use crate::metrics::http::{self, Exporter};
use crate::metrics::{Accounts, SharedAccounts};
use crate::sampler::{Sampler, stale_after};
use crate::service::{self, Monitor};
use crate::shutdown::Shutdown;
use crate::tls::Tls;
use crate::token::Access;
use crate::{describe, host, hub};

/// How long subscribers have to take the end of their streams.
const GRACE: Duration = Duration::from_millis(300);

/// Serves until it is told to stop.
///
/// # Errors
/// If the endpoint can't be bound, a source that was asked for can't be used, or serving fails.
pub fn serve(config: &Config) -> anyhow::Result<()> {
    // One thread serves all subscribers: the more there are, the more readings share a wake-up.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve_until_stopped(config))
}

async fn serve_until_stopped(config: &Config) -> anyhow::Result<()> {
    let shutdown = Shutdown::listen(config.exit_with_parent).context("cannot catch signals")?;
    let listener = Listener::bind(&config.endpoint).await?;
    let address = listener.address().context("cannot tell the port that was taken")?;
    let doors = Doors::open(config).await?;
    let metrics_address = doors.metrics_address().context("cannot tell the port of the metrics")?;
    let Sampling { sampler, monitor, hub, sensors, accounts } = start_sampling(config)?;

    let stopping = CancellationToken::new();
    let stopped = stopping.clone().cancelled_owned();
    let count = sensors.len();
    let Doors { access, tls, metrics } = doors;
    let exporting = match metrics.zip(accounts) {
        Some((listener, accounts)) => {
            let acceptor = tls.as_ref().map(Tls::http1_acceptor).transpose()?;
            let vitals =
                move || Vitals { subscribers: Some(hub.subscribers()), missed_ticks: None };
            let exporter = Exporter {
                sensors,
                accounts,
                vitals: Box::new(vitals),
                access: Arc::clone(&access),
                stale_after: stale_after(config.interval),
            };
            http::serve(listener, acceptor, Arc::new(exporter), stopping.clone()).left_future()
        }
        None => future::ready(()).right_future(),
    };
    let server = async {
        let ended = service::serve(listener, monitor, access, tls.as_ref(), stopped).await;
        // When it fails, the metrics end with it.
        stopping.cancel();
        ended
    };
    let serving = async { tokio::join!(server, exporting).0 };
    tokio::pin!(serving);
    announce(&address, metrics_address, count).context("cannot write to standard output")?;
    tokio::select! {
        ended = &mut serving => return ended.context("the server failed"),
        reason = shutdown.requested() => info!(%reason, "stopping"),
    }

    stopping.cancel();
    sampler.stop();
    match timeout(GRACE, serving).await {
        Ok(ended) => ended.context("the server failed"),
        Err(_) => {
            warn!("a subscriber does not take the end of its stream: leaving all the same");
            Ok(())
        }
    }
}

/// Who gets in, and where else than at the endpoint.
struct Doors {
    access: Arc<Access>,
    tls: Option<Tls>,
    metrics: Option<TcpListener>,
}

impl Doors {
    /// Reads the secrets and binds the port of the metrics.
    async fn open(config: &Config) -> anyhow::Result<Self> {
        if let Some(exposure) = config.exposure() {
            warn!("{exposure}");
        }
        Ok(Self {
            access: Arc::new(Access::from_file(config.token_file.as_deref())?),
            tls: config.tls.as_ref().map(Tls::read).transpose()?,
            metrics: match config.metrics {
                Some(address) => Some(bind_metrics(address).await?),
                None => None,
            },
        })
    }

    fn metrics_address(&self) -> io::Result<Option<SocketAddr>> {
        self.metrics.as_ref().map(TcpListener::local_addr).transpose()
    }
}

/// A sampler at work, and what others need of it.
struct Sampling {
    sampler: Sampler,
    monitor: Monitor,
    hub: hub::Hub,
    sensors: Vec<SensorInfo>,
    accounts: Option<Arc<SharedAccounts>>,
}

/// Starts the sampler on what is found here.
fn start_sampling(config: &Config) -> anyhow::Result<Sampling> {
    let system_info = host::system_info(&config.probe.proc_root);
    let found = discover(&config.probe, &system_info.host_name)?;
    tell_what_is_missing(&found);
    let instance = fastrand::u64(1..);
    let description = describe::description(&found, system_info, instance, config.interval);
    let book = || Accounts::of(&found.sensors, config.metrics_detail());
    let accounts = config.metrics.map(|_| Arc::new(SharedAccounts::new(book())));
    let composer = Composer::new(instance, found.platform, ClockAnchor::now(), &found.sensors)
        .with_accounts(accounts.clone());
    let (publisher, hub) = hub::channel();
    let sampler = Sampler::start(found.lanes, &found.sensors, config.interval, composer, publisher)
        .context("cannot start the sampling threads")?;
    let monitor = Monitor::new(hub.clone(), description);
    Ok(Sampling { sampler, monitor, hub, sensors: found.sensors, accounts })
}

/// Says in the log what can't be read here: as a warning if it is there and only a right is missing.
fn tell_what_is_missing(found: &Discovery) {
    for SkippedSource { source, reason, remedy } in &found.skipped {
        if found.denied.contains(source) {
            warn!(source, reason, remedy, "source not readable");
        } else {
            info!(source, reason, remedy, "source not used");
        }
    }
    for SensorInfo { name, source, status, remedy, .. } in
        found.sensors.iter().filter(|info| info.status != Status::Ok)
    {
        let status = status.as_str();
        warn!(sensor = name, source, status, remedy, "sensor not readable");
    }
}

/// The one line on standard output, for whoever started this program.
#[derive(Serialize)]
struct Listening<'a> {
    event: &'static str,
    address: &'a str,
    api: &'static str,
    pid: u32,
    sensors: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<SocketAddr>,
}

fn announce(address: &str, metrics: Option<SocketAddr>, sensors: usize) -> io::Result<()> {
    let pid = std::process::id();
    let line = Listening { event: "listening", address, api: API, pid, sensors, metrics };
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, &line)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}
