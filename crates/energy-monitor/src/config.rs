//! What the monitor is to do: the command line after every check that needs no hardware. A
//! [`Config`] that exists is consistent.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use energy_proto::Watts;

use crate::cli::{Cli, LogFormat};
use crate::source::scripted::Speed;

/// A source that can be asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceName {
    /// NVIDIA GPUs through NVML.
    Nvml,
    /// CPU packages and memory through RAPL, by perf or by powercap.
    Rapl,
    /// Apple's processors through powermetrics.
    Apple,
    /// Figures made up from the CPU's busy share.
    Estimate,
    /// A recorded trace.
    Scripted,
}

impl SourceName {
    const ALL: [Self; 5] = [Self::Nvml, Self::Rapl, Self::Apple, Self::Estimate, Self::Scripted];

    /// The name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nvml => "nvml",
            Self::Rapl => "rapl",
            Self::Apple => "apple",
            Self::Estimate => "estimate",
            Self::Scripted => "scripted",
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which sources to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every counter that is found; never the estimate.
    Auto,
    /// Exactly these: one that isn't there is an error.
    Only(Vec<SourceName>),
}

impl Selection {
    /// Whether this source was asked for by name.
    #[must_use]
    pub fn names(&self, name: SourceName) -> bool {
        matches!(self, Self::Only(names) if names.contains(&name))
    }
}

/// Where to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// On TCP.
    Tcp(SocketAddr),
    /// On a Unix socket.
    Unix(PathBuf),
}

/// How `--describe` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescribeFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Where and how sensors are looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// Which sources to read.
    pub selection: Selection,
    /// The power of the CPU at full load; there if the estimate is selected.
    pub tdp: Option<Watts>,
    /// NVML's library, if not in the usual place.
    pub nvml_library: Option<PathBuf>,
    /// The trace to replay and how fast; there if `scripted` is selected.
    pub script: Option<(PathBuf, Speed)>,
    /// Where sysfs is mounted.
    pub sysfs_root: PathBuf,
    /// Where procfs is mounted.
    pub proc_root: PathBuf,
}

/// A consistent configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where to serve.
    pub endpoint: Endpoint,
    /// Time between two readings.
    pub interval: Duration,
    /// Where and how sensors are looked for.
    pub probe: Probe,
    /// Only print the sensors.
    pub describe: Option<DescribeFormat>,
    /// Leave when standard input closes.
    pub exit_with_parent: bool,
    /// How the log is written.
    pub log_format: LogFormat,
}

/// Arguments that can't all be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The estimate without its one parameter.
    #[error(
        "the source `estimate` needs the CPU's power at full load: add --tdp-watts W (the processor's data sheet calls it TDP)"
    )]
    EstimateWithoutTdp,
    /// A parameter of the estimate without the estimate.
    #[error(
        "--tdp-watts is for the source `estimate` only: add --sources estimate, or leave it out"
    )]
    TdpWithoutEstimate,
    /// Two sources for the same joules.
    #[error(
        "the sources `rapl` and `estimate` both stand for the CPU and would be added up: choose one"
    )]
    CpuTwice,
    /// A replay of nothing.
    #[error("the source `scripted` needs a trace to replay: add --script FILE")]
    ScriptedWithoutScript,
    /// A trace that isn't asked to be replayed.
    #[error("--script is for the source `scripted` only: add --sources scripted, or leave it out")]
    ScriptWithoutScripted,
    /// A recorded host and this one.
    #[error(
        "the source `scripted` stands for a whole recorded host and would be added up with this one: name it alone"
    )]
    ScriptedWithOthers,
    /// Sensors open to the network without having been told so.
    #[error(
        "{0} can be reached from other hosts, and the monitor asks nobody for a password: add --allow-remote if that is meant, or use 127.0.0.1"
    )]
    RemoteNotAllowed(SocketAddr),
}

impl TryFrom<Cli> for Config {
    type Error = ConfigError;

    fn try_from(cli: Cli) -> Result<Self, ConfigError> {
        let estimate = cli.sources.names(SourceName::Estimate);
        if estimate && cli.tdp_watts.is_none() {
            return Err(ConfigError::EstimateWithoutTdp);
        }
        if !estimate && cli.tdp_watts.is_some() {
            return Err(ConfigError::TdpWithoutEstimate);
        }
        if estimate && cli.sources.names(SourceName::Rapl) {
            return Err(ConfigError::CpuTwice);
        }
        check_script(&cli)?;
        let address = SocketAddr::new(cli.bind_address, cli.port);
        if cli.uds.is_none() && !address.ip().is_loopback() && !cli.allow_remote {
            return Err(ConfigError::RemoteNotAllowed(address));
        }
        Ok(Self {
            endpoint: cli.uds.map_or(Endpoint::Tcp(address), Endpoint::Unix),
            interval: Duration::from_millis(cli.collection_interval_ms),
            probe: Probe {
                selection: cli.sources,
                tdp: cli.tdp_watts.map(Watts),
                nvml_library: cli.nvml_library,
                script: cli
                    .script
                    .map(|file| (file, if cli.script_fast { Speed::Fast } else { Speed::Own })),
                sysfs_root: cli.sysfs_root,
                proc_root: PathBuf::from("/proc"),
            },
            describe: cli.describe.then_some(if cli.json {
                DescribeFormat::Json
            } else {
                DescribeFormat::Table
            }),
            exit_with_parent: cli.exit_with_parent,
            log_format: cli.log_format,
        })
    }
}

/// A trace and its source go together, and with no other source.
fn check_script(cli: &Cli) -> Result<(), ConfigError> {
    match (cli.sources.names(SourceName::Scripted), &cli.script) {
        (true, None) => Err(ConfigError::ScriptedWithoutScript),
        (false, Some(_)) => Err(ConfigError::ScriptWithoutScripted),
        (true, Some(_)) if cli.sources != Selection::Only(vec![SourceName::Scripted]) => {
            Err(ConfigError::ScriptedWithOthers)
        }
        _ => Ok(()),
    }
}

/// Reads the value of `--sources`.
///
/// # Errors
/// If it names a source that this program doesn't have, or mixes `auto` with names.
pub fn parse_selection(text: &str) -> Result<Selection, String> {
    if text == "auto" {
        return Ok(Selection::Auto);
    }
    let mut names = Vec::new();
    for part in text.split(',') {
        let name =
            SourceName::ALL.into_iter().find(|name| name.as_str() == part).ok_or_else(|| {
                format!("no source is called `{part}`: auto, or a list of nvml, rapl, apple, estimate, scripted")
            })?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(Selection::Only(names))
}

/// Reads a power that a CPU can have.
///
/// # Errors
/// If it isn't a number above 0 and at most 10,000 W.
pub fn parse_watts(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|watts| *watts > 0.0 && *watts <= 10_000.0)
        .ok_or_else(|| "a power in watts, above 0 and at most 10000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn config(arguments: &[&str]) -> Result<Config, ConfigError> {
        Config::try_from(Cli::parse_from(["energy-monitor"].iter().chain(arguments)))
    }

    #[test]
    fn the_defaults_serve_every_counter_on_the_loopback() {
        let config = config(&[]).unwrap();
        assert_eq!(config.endpoint, Endpoint::Tcp("127.0.0.1:50053".parse().unwrap()));
        assert_eq!(config.interval, Duration::from_millis(50));
        assert_eq!(config.probe.selection, Selection::Auto);
    }

    #[test]
    fn an_address_beyond_the_loopback_has_to_be_allowed() {
        let refused = config(&["--bind-address", "0.0.0.0"]).unwrap_err();
        assert!(matches!(refused, ConfigError::RemoteNotAllowed(_)), "{refused}");
        assert!(config(&["--bind-address", "0.0.0.0", "--allow-remote"]).is_ok());
        assert!(config(&["--bind-address", "::1"]).is_ok());
    }

    #[test]
    fn the_estimate_and_its_power_go_together() {
        assert_eq!(config(&["--sources", "estimate"]), Err(ConfigError::EstimateWithoutTdp));
        assert_eq!(config(&["--tdp-watts", "65"]), Err(ConfigError::TdpWithoutEstimate));
        let both = config(&["--sources", "estimate", "--tdp-watts", "65"]).unwrap();
        assert_eq!(both.probe.tdp, Some(Watts(65.0)));
    }

    #[test]
    fn a_trace_and_its_source_go_together_and_with_no_other() {
        let scripted = ["--sources", "scripted"];
        assert_eq!(config(&scripted), Err(ConfigError::ScriptedWithoutScript));
        assert_eq!(config(&["--script", "/t"]), Err(ConfigError::ScriptWithoutScripted));
        let mixed = config(&["--sources", "scripted,nvml", "--script", "/t"]);
        assert_eq!(mixed, Err(ConfigError::ScriptedWithOthers));
        let script = |extra: &[&str]| {
            config(&[&scripted[..], &["--script", "/t"], extra].concat()).unwrap().probe.script
        };
        assert_eq!(script(&[]), Some((PathBuf::from("/t"), Speed::Own)));
        assert_eq!(script(&["--script-fast"]), Some((PathBuf::from("/t"), Speed::Fast)));
    }

    #[test]
    fn rapl_and_the_estimate_are_never_added_up() {
        let both = config(&["--sources", "rapl,estimate", "--tdp-watts", "65"]);
        assert_eq!(both, Err(ConfigError::CpuTwice));
    }

    #[test]
    fn a_list_of_sources_is_read_without_repeats() {
        assert_eq!(
            parse_selection("rapl,nvml,rapl"),
            Ok(Selection::Only(vec![SourceName::Rapl, SourceName::Nvml]))
        );
        for bad in ["", "nvidia", "auto,nvml", "nvml,", " nvml"] {
            assert!(parse_selection(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_power_that_no_cpu_has_is_refused() {
        for bad in ["0", "-1", "NaN", "inf", "1e9", "many"] {
            assert!(parse_watts(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_watts("65.5"), Ok(65.5));
    }
}
