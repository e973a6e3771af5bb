//! The monitor from its start to its stop: bind, discover, sample, announce, serve; then stop in the
//! order of the flow, with grace and then without.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context;
use energy_proto::{API, ClockAnchor, SkippedSource};
use serde::Serialize;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::compose::Composer;
use crate::config::Config;
use crate::discover::discover;
use crate::listen::Listener;
use crate::sampler::Sampler;
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
    runtime.block_on(serve_until_stopped(config))
}

async fn serve_until_stopped(config: &Config) -> anyhow::Result<()> {
    let shutdown = Shutdown::listen(config.exit_with_parent).context("cannot catch signals")?;
    let listener = Listener::bind(&config.endpoint).await?;
    let address = listener.address().context("cannot tell the port that was taken")?;
    let (sampler, monitor, sensors) = start_sampling(config)?;

    let stopping = CancellationToken::new();
    let server = service::serve(listener, monitor, stopping.clone().cancelled_owned());
    tokio::pin!(server);
    announce(&address, sensors).context("cannot write to standard output")?;
    tokio::select! {
        ended = &mut server => return ended.context("the server failed"),
        reason = shutdown.requested() => info!(%reason, "stopping"),
    }

    stopping.cancel();
    sampler.stop();
    crate::source::apple::end_children();
    match timeout(GRACE, server).await {
        Ok(ended) => ended.context("the server failed"),
        Err(_) => {
            warn!("a subscriber does not take the end of its stream: leaving all the same");
            Ok(())
        }
    }
}

/// Starts the sampler on what is found here; also the number of sensors.
fn start_sampling(config: &Config) -> anyhow::Result<(Sampler, Monitor, usize)> {
    let system_info = host::system_info(&config.probe.proc_root);
    let found = discover(&config.probe, &system_info.host_name)?;
    for skipped in &found.skipped {
        let SkippedSource { source, reason, remedy } = skipped;
        info!(source, reason, remedy, "source not used");
    }
    let instance = fastrand::u64(1..);
    let description = describe::description(&found, system_info, instance, config.interval);
    let composer = Composer::new(instance, found.platform, ClockAnchor::now(), &found.sensors);
    let (publisher, hub) = hub::channel();
    let sampler = Sampler::start(found.lanes, &found.sensors, config.interval, composer, publisher)
        .context("cannot start the sampling threads")?;
    Ok((sampler, Monitor::new(hub, description), found.sensors.len()))
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
