//! The monitor from its start to its stop: bind, discover, sample, announce, serve; then stop in the
//! order of the flow, with grace and then without.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use energy_proto::{API, ClockAnchor, SensorInfo, SkippedSource, Status};
use futures_util::future::{self, FutureExt};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
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
use crate::sampler::{Outlets, Sampler, Sensors, stale_after};
use crate::scheduling::be_punctual;
use crate::service::{self, Monitor};
use crate::shutdown::Shutdown;
use crate::source::Children;
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
    be_punctual();
    runtime.block_on(serve_until_stopped(config))
}

async fn serve_until_stopped(config: &Config) -> anyhow::Result<()> {
    let _children = Children;
    let mut shutdown = Shutdown::listen(config.exit_with_parent).context("cannot catch signals")?;
    let listener = Listener::bind(&config.endpoint).await?;
    let address = listener.address().context("cannot tell the port that was taken")?;
    let doors = Doors::open(config).await?;
    let metrics_address = doors.metrics_address().context("cannot tell the port of the metrics")?;
    let found = tokio::select! {
        found = find_sources(config)? => found.context("the search for sources panicked")??,
        reason = shutdown.requested() => {
            info!(%reason, "stopping while sources are looked for");
            return Ok(());
        }
    };
    let Sampling { sampler, monitor, hub, sensors, accounts } = start_sampling(config, found)?;

    let stopping = CancellationToken::new();
    // A task of its own, so that a reading doesn't wake the whole server.
    let mut news = tokio::spawn(hub.clone().forward());
    let stopped = stopping.clone().cancelled_owned();
    let count = sensors.now().len();
    let Doors { access, tls, metrics } = doors;
    let exporting = match metrics.zip(accounts) {
        Some((listener, accounts)) => {
            let acceptor = tls.as_ref().map(Tls::http1_acceptor).transpose()?;
            let counted = sensors.clone();
            let vitals = move || Vitals {
                subscribers: Some(hub.subscribers()),
                missed_ticks: Some(counted.missed_ticks()),
            };
            let exporter = Exporter {
                sensors: sensors.now(),
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
        _ = &mut news => bail!("the sampling thread has ended: see the log"),
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
    sensors: Sensors,
    accounts: Option<Arc<SharedAccounts>>,
}

/// Looks for sources on a thread of its own: a driver that hangs while it starts must not make the
/// monitor deaf to signals. It is left behind if the monitor stops meanwhile.
fn find_sources(config: &Config) -> anyhow::Result<oneshot::Receiver<anyhow::Result<Discovery>>> {
    let (sender, found) = oneshot::channel();
    let probe = config.probe.clone();
    thread::Builder::new()
        .name("discover".to_owned())
        .spawn(move || {
            let host = host::system_info(&probe.proc_root).host_name;
            // An error means that nobody waits any more.
            let _ = sender.send(discover(&probe, &host).map_err(|error| anyhow!(error)));
        })
        .context("cannot start a thread")?;
    Ok(found)
}

/// Starts the sampler on what was found.
fn start_sampling(config: &Config, found: Discovery) -> anyhow::Result<Sampling> {
    tell_what_is_missing(&found);
    let instance = fastrand::u64(1..);
    let system_info = host::system_info(&config.probe.proc_root);
    let description = describe::description(&found, system_info, instance, config.interval);
    let composer = Composer::new(instance, found.platform, ClockAnchor::now(), &found.sensors);
    let (publisher, hub) = hub::channel();
    let outlets = Outlets::new(composer, publisher, config.stream_detail(), &found.sensors);
    let detail = config.metrics_detail();
    let book = || Arc::new(SharedAccounts::new(Accounts::of(&found.sensors, detail)));
    let accounts = config.metrics.map(|_| book());
    let outlets = match &accounts {
        Some(accounts) => outlets.with_accounts(Arc::clone(accounts), detail),
        None => outlets,
    };
    let sensors = Sensors::new(found.sensors);
    let sampler = Sampler::start(found.lanes, &sensors, config.interval, outlets)
        .context("cannot start the sampling threads")?;
    let monitor = Monitor::new(hub.clone(), description, sensors.clone());
    Ok(Sampling { sampler, monitor, hub, sensors, accounts })
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
    for SensorInfo { name, source, status, note, remedy, .. } in
        found.sensors.iter().filter(|info| info.status != Status::Ok)
    {
        let status = status.as_str();
        warn!(sensor = name, source, status, note, remedy, "sensor not readable");
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
