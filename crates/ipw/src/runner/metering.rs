//! Where a run's energy comes from: the monitors, their session, and which of their sensors count.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use energy_proto::{Description, Status};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use secrecy::SecretString;
use tokio::sync::{Mutex, mpsc};

use super::{Event, Events, RunConfig, RunError, provenance};
use crate::attribution::basis;
use crate::attribution::energy::Sampling;
use crate::attribution::measure::Meter;
use crate::hardware;
use crate::monitor::{MonitorCommand, MonitorProcess, OwnMonitor, RunningMonitor, find};
use crate::telemetry::{MonitorLink, Received, TelemetrySession};

/// Readings on their way to the disk. At 1 ms this is 16 s; beyond that they are counted as dropped.
const READINGS_QUEUE: usize = 16_384;
/// How long each sensor is given to show itself before the run goes on without it.
const PRIME: Duration = Duration::from_secs(3);
/// How long the end of session and monitor may hold up the run's final figures.
const STOP: Duration = Duration::from_secs(10);

/// `--monitor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MonitorChoice {
    /// A monitor of our own, found beside this program.
    Auto,
    /// No energy.
    None,
    /// A monitor of our own: this program.
    Program(PathBuf),
    /// Those that run already, one on each host that the server uses.
    Urls(Vec<String>),
}

/// Where telemetry is to come from.
#[derive(Debug, Clone)]
pub struct Energy {
    /// Which monitor.
    pub monitor: MonitorChoice,
    /// What a running monitor asks its clients for.
    pub token: Option<SecretString>,
    /// Sampling interval of a monitor of our own, in milliseconds.
    pub interval_ms: u32,
    /// Sources of a monitor of our own.
    pub sources: Option<String>,
    /// For its estimate.
    pub tdp_watts: Option<f64>,
    /// The server's host is this one, whatever its address looks like.
    pub host_is_local: bool,
}

/// Telemetry of a run, or the reason why there is none.
pub(super) struct Metering {
    session: Option<Arc<TelemetrySession>>,
    process: Arc<Mutex<Option<MonitorProcess>>>,
    readings: Option<mpsc::Receiver<Received>>,
    description: Option<Description>,
    meter: Meter,
    remedy: Option<String>,
    warnings: Vec<String>,
}

impl Metering {
    /// Starts or finds the monitor, if it can measure what the server takes, and waits for a first
    /// reading of each sensor.
    pub(super) async fn start(config: &RunConfig, events: &Events) -> Result<Self, RunError> {
        let mut metering = match unmeasurable(config).await {
            Some((reason, remedy)) => Self::without(reason, remedy),
            None => Self::connect(config, events).await?,
        };
        if config.precise && metering.meter.basis.is_err() {
            metering.warnings.push("--precise does nothing: no energy is measured".to_owned());
        }
        for warning in &metering.warnings {
            events(Event::Warning(warning.clone()));
        }
        if let Err(reason) = &metering.meter.basis {
            if config.require_energy {
                let error = RunError::NoEnergy {
                    reason: reason.clone(),
                    remedy: metering
                        .remedy
                        .as_ref()
                        .map(|text| format!(": {text}"))
                        .unwrap_or_default(),
                };
                metering.stop().await;
                return Err(error);
            }
            events(Event::Warning(metering.no_energy_line(reason)));
        }
        Ok(metering)
    }

    fn no_energy_line(&self, reason: &str) -> String {
        let remedy = self.remedy.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
        format!("energy will be null ({reason}){remedy}")
    }

    fn without(reason: &str, remedy: String) -> Self {
        Self {
            session: None,
            process: Arc::default(),
            readings: None,
            description: None,
            meter: Meter::new(
                Vec::new(),
                BTreeSet::new(),
                Err(reason.to_owned()),
                Sampling::default(),
            ),
            remedy: Some(remedy),
            warnings: Vec::new(),
        }
    }

    async fn connect(config: &RunConfig, events: &Events) -> Result<Self, RunError> {
        events(Event::Stage("starting the energy monitor".to_owned()));
        let process = Arc::new(Mutex::new(None));
        let links: Vec<Box<dyn MonitorLink>> = match &config.energy.monitor {
            MonitorChoice::Urls(urls) => {
                let token = &config.energy.token;
                let running =
                    |url: &String| RunningMonitor { url: url.clone(), token: token.clone() };
                urls.iter().map(|url| Box::new(running(url)) as Box<dyn MonitorLink>).collect()
            }
            choice => {
                let named = match choice {
                    MonitorChoice::Program(path) => Some(path.as_path()),
                    _ => None,
                };
                let command = MonitorCommand {
                    program: find(named)?,
                    interval_ms: config.energy.interval_ms,
                    sources: config.energy.sources.clone(),
                    tdp_watts: config.energy.tdp_watts,
                };
                *process.lock().await = Some(MonitorProcess::start(command).await?);
                vec![Box::new(OwnMonitor(Arc::clone(&process)))]
            }
        };
        let (sink, readings) = mpsc::channel(READINGS_QUEUE);
        let (session, description) = TelemetrySession::open(links, sink).await?;
        prime(&session, &description).await;
        let counted = session
            .with_timeline(|timeline| hardware::count(&config.gpus, &description.sensors, timeline))
            .map_err(RunError::Usage)?;
        let chosen = basis::choose(&description.sensors, &counted.sensors);
        let remedy = chosen.is_err().then(|| remedy(&description));
        let sampling = Sampling {
            interval: description.interval,
            clock_uncertainty: session.stats().clock_uncertainty,
        };
        let meter = Meter::new(description.sensors.clone(), counted.sensors, chosen, sampling);
        let mut warnings = counted.warnings;
        warnings.extend(provenance::warnings(&meter));
        Ok(Self {
            session: Some(Arc::new(session)),
            process,
            readings: Some(readings),
            description: Some(description),
            meter,
            remedy,
            warnings,
        })
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(super) fn description(&self) -> Option<&Description> {
        self.description.as_ref()
    }

    /// What the user should know about how energy is measured.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What would help, if there is no energy.
    pub(super) fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    pub(super) fn session(&self) -> Option<Arc<TelemetrySession>> {
        self.session.clone()
    }

    /// The readings, for whoever writes them down. There is one such.
    pub(super) fn take_readings(&mut self) -> Option<mpsc::Receiver<Received>> {
        self.readings.take()
    }

    /// Ends session and monitor within a bounded time, whatever state they are in; tells the CPU time
    /// that a monitor of our own took, in seconds.
    pub(super) async fn stop(self) -> Option<f64> {
        self.stop_within(STOP).await
    }

    async fn stop_within(self, patience: Duration) -> Option<f64> {
        let stopped = tokio::time::timeout(patience, self.see_off()).await;
        stopped.unwrap_or_else(|_| {
            tracing::warn!("the energy monitor didn't stop within {} s", patience.as_secs());
            None
        })
    }

    async fn see_off(self) -> Option<f64> {
        if let Some(session) = self.session.and_then(Arc::into_inner) {
            session.close().await;
        }
        let process = self.process.lock().await.take()?;
        // The time of one that was left behind isn't known.
        if process.stop().await { cpu_seconds(UsageWho::RUSAGE_CHILDREN) } else { None }
    }
}

/// CPU time of this process so far, in seconds.
pub(super) fn own_cpu_seconds() -> f64 {
    cpu_seconds(UsageWho::RUSAGE_SELF).unwrap_or(0.0)
}

fn cpu_seconds(who: UsageWho) -> Option<f64> {
    let usage = getrusage(who).ok()?;
    Some((usage.user_time() + usage.system_time()).num_microseconds() as f64 * 1e-6)
}

/// Why a monitor wouldn't measure what the server takes, with what to do.
async fn unmeasurable(config: &RunConfig) -> Option<(&'static str, String)> {
    match config.energy.monitor {
        MonitorChoice::None => {
            return Some(("monitor_off", "leave out --monitor none to measure it".to_owned()));
        }
        // Whoever names monitors says that they are the server's.
        MonitorChoice::Urls(_) => return None,
        MonitorChoice::Auto | MonitorChoice::Program(_) => {}
    }
    if config.energy.host_is_local {
        return None;
    }
    let (host, port) = config.client.host();
    match hardware::is_this_host(&host, port).await {
        Ok(true) => None,
        // The server has answered, so a name that can't be resolved now is a passing fault; whose
        // energy it would be is still not known.
        Ok(false) | Err(_) => Some((
            "server_not_on_this_host",
            format!(
                "run energy-monitor on {host}, reach it with `ssh -L 50053:127.0.0.1:50053 {host}`, \
                 and give --monitor http://127.0.0.1:50053; or --energy-host-is-local if the address \
                 is a tunnel to this machine"
            ),
        )),
    }
}

/// Waits until each sensor has been read once.
async fn prime(session: &TelemetrySession, description: &Description) {
    let all_read = || {
        session.with_timeline(|timeline| {
            description.sensors.iter().all(|sensor| !timeline.sensor(sensor.id).is_empty())
        })
    };
    let primed = async {
        while !all_read() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // A sensor that stays silent has no readings, and is treated as such.
    let _ = tokio::time::timeout(PRIME, primed).await;
}

/// What would make energy measurable on the monitors' hosts: the first remedy that one of their sensors
/// or sources has, else the opt-in estimate.
fn remedy(description: &Description) -> String {
    let several = basis::hosts(&description.sensors).len() > 1;
    let denied = description
        .sensors
        .iter()
        .filter(|sensor| sensor.status == Status::PermissionDenied && !sensor.remedy.is_empty())
        .map(|sensor| match several {
            true => format!("on {}: {}", sensor.host, sensor.remedy),
            false => sensor.remedy.clone(),
        });
    let skipped = description
        .skipped
        .iter()
        .filter(|skipped| !skipped.remedy.is_empty())
        .map(|skipped| format!("{} ({}): {}", skipped.source, skipped.reason, skipped.remedy));
    denied.chain(skipped).next().unwrap_or_else(|| {
        "this machine shows no energy counter (usual in virtual machines); --sources estimate \
         --tdp-watts W gives a rough figure from CPU load, marked ESTIMATED"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_monitor_that_does_not_stop_holds_the_final_figures_up_for_a_bounded_time() {
        let metering = Metering::without("monitor_off", String::new());
        let held = Arc::clone(&metering.process).lock_owned().await;
        let stopped = metering.stop_within(Duration::from_millis(50));
        let stopped = tokio::time::timeout(Duration::from_secs(5), stopped).await;
        assert_eq!(stopped, Ok(None));
        drop(held);
    }
}
