//! The monitor from its start to its stop: bind, discover, sample, announce, serve; then stop in the
//! order of the flow, with grace and then without.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use energy_proto::{API, ClockAnchor, SensorInfo, SkippedSource, Status};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::compose::Composer;
use crate::config::Config;
use crate::discover::{Discovery, discover};
use crate::listen::Listener;
use crate::sampler::{COARSE, Outlets, Sampler, Sensors, Variant};
use crate::scheduling::be_punctual;
use crate::service::{self, Monitor};
use crate::shutdown::Shutdown;
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
    let mut shutdown = Shutdown::listen(config.exit_with_parent).context("cannot catch signals")?;
    let listener = Listener::bind(&config.endpoint).await?;
    let address = listener.address().context("cannot tell the port that was taken")?;
    let found = tokio::select! {
        found = find_sources(config)? => found.context("the search for sources panicked")??,
        reason = shutdown.requested() => {
            info!(%reason, "stopping while sources are looked for");
            return Ok(());
        }
    };
    let count = found.sensors.len();
    let (sampler, monitor) = start_sampling(config, found)?;

    let stopping = CancellationToken::new();
    let server = service::serve(listener, monitor, stopping.clone().cancelled_owned());
    tokio::pin!(server);
    announce(&address, count).context("cannot write to standard output")?;
    tokio::select! {
        ended = &mut server => return ended.context("the server failed"),
        reason = shutdown.requested() => info!(%reason, "stopping"),
    }

    stopping.cancel();
    sampler.stop();
    match timeout(GRACE, server).await {
        Ok(ended) => ended.context("the server failed"),
        Err(_) => {
            warn!("a subscriber does not take the end of its stream: leaving all the same");
            Ok(())
        }
    }
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
fn start_sampling(config: &Config, found: Discovery) -> anyhow::Result<(Sampler, Monitor)> {
    report_skipped(&found);
    let instance = fastrand::u64(1..);
    let system_info = host::system_info(&config.probe.proc_root);
    let description = describe::description(&found, system_info, instance, config.interval);
    let variant = || {
        let composer = Composer::new(instance, found.platform, ClockAnchor::now(), &found.sensors);
        let (publisher, hub) = hub::channel();
        (Variant { composer, publisher }, hub)
    };
    let (fine, fine_hub) = variant();
    let (coarse, coarse_hub) = (config.interval < COARSE).then(variant).unzip();
    let outlets = Outlets::new(fine, coarse, &found.sensors);
    let sensors = Sensors::new(found.sensors);
    let sampler = Sampler::start(found.lanes, &sensors, config.interval, outlets)
        .context("cannot start the sampling threads")?;
    let hub = match coarse_hub {
        Some(coarse_hub) if !config.may_see_fine_cpu() => coarse_hub,
        _ => fine_hub,
    };
    Ok((sampler, Monitor::new(hub, description, sensors)))
}

/// What isn't used is worth a warning only if something could be done about it here.
fn report_skipped(found: &Discovery) {
    for SkippedSource { source, reason, remedy } in &found.skipped {
        info!(source, reason, remedy, "source not used");
    }
    let denied = |info: &&SensorInfo| info.status == Status::PermissionDenied;
    for SensorInfo { name, source, remedy, .. } in found.sensors.iter().filter(denied) {
        warn!(sensor = name, source, remedy, "a counter is there and may not be read");
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
}

fn announce(address: &str, sensors: usize) -> io::Result<()> {
    let line =
        Listening { event: "listening", address, api: API, pid: std::process::id(), sensors };
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, &line)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}
