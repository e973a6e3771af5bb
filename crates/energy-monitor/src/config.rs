//! What the monitor is to do: the command line after every check that needs no hardware. A
//! [`Config`] that exists is consistent.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use energy_proto::Watts;

use crate::cli::{Cli, LogFormat};
use crate::metrics::CpuDetail;
use crate::source::scripted::Speed;

/// A source that can be asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceName {
    /// NVIDIA GPUs through NVML.
    Nvml,
    /// CPU packages and memory through RAPL, by perf or by powercap.
    Rapl,
    /// AMD and Intel GPUs and Jetsons through DRM and hwmon.
    Hwmon,
    /// Apple's processors through powermetrics.
    Apple,
    /// Figures made up from the CPU's busy share.
    Estimate,
    /// A recorded trace.
    Scripted,
}

impl SourceName {
    const ALL: [Self; 6] =
        [Self::Nvml, Self::Rapl, Self::Hwmon, Self::Apple, Self::Estimate, Self::Scripted];

    /// The name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nvml => "nvml",
            Self::Rapl => "rapl",
            Self::Hwmon => "hwmon",
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

/// What the monitor shows that it is who it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates in PEM.
    pub certificate: PathBuf,
    /// The first one's key in PEM.
    pub key: PathBuf,
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
    /// The file of the token that clients have to show.
    pub token_file: Option<PathBuf>,
    /// What TLS is served with.
    pub tls: Option<TlsFiles>,
    /// Where to serve metrics.
    pub metrics: Option<SocketAddr>,
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
        "{0} can be reached from other hosts: add --allow-remote if that is meant (and --token-file, --tls-cert and --tls-key, so that only those you choose read it), or use 127.0.0.1"
    )]
    RemoteNotAllowed(SocketAddr),
    /// A secret for everybody on the way to read.
    #[error(
        "the token would go over the network to {0} in clear: add --tls-cert and --tls-key, or use 127.0.0.1 (and reach it through `ssh -L`)"
    )]
    TokenInClear(SocketAddr),
}

impl Config {
    /// In what detail subscribers see CPUs: as they are read for those who may open the socket, or have
    /// the token. See [`crate::platypus`].
    #[must_use]
    pub fn stream_detail(&self) -> CpuDetail {
        let is_trusted = matches!(self.endpoint, Endpoint::Unix(_)) || self.token_file.is_some();
        if is_trusted { CpuDetail::Fine } else { CpuDetail::Coarse }
    }

    /// The same for readers of metrics, which are on TCP even beside a Unix socket.
    #[must_use]
    pub fn metrics_detail(&self) -> CpuDetail {
        if self.token_file.is_some() { CpuDetail::Fine } else { CpuDetail::Coarse }
    }

    /// What people in reach of the endpoint can do that isn't meant for everybody.
    #[must_use]
    pub fn exposure(&self) -> Option<&'static str> {
        match (&self.endpoint, &self.token_file, &self.tls) {
            (Endpoint::Tcp(address), None, tls) if !address.ip().is_loopback() => {
                Some(if tls.is_some() {
                    "anyone who reaches this address can read this host's sensors: add --token-file to choose who may"
                } else {
                    "anyone who reaches this address can read this host's sensors, and anyone on the way can read and change what is sent: add --token-file, --tls-cert and --tls-key"
                })
            }
            _ => None,
        }
    }
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
        if cli.token_file.is_some() && cli.tls_cert.is_none() && !address.ip().is_loopback() {
            return Err(ConfigError::TokenInClear(address));
        }
        let tls = cli.tls_cert.zip(cli.tls_key);
        Ok(Self {
            token_file: cli.token_file,
            tls: tls.map(|(certificate, key)| TlsFiles { certificate, key }),
            metrics: cli.metrics_port.map(|port| SocketAddr::new(cli.bind_address, port)),
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
                format!("no source is called `{part}`: auto, or a list of nvml, rapl, hwmon, apple, estimate, scripted")
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
    fn a_token_never_goes_over_a_network_in_clear() {
        let beyond = ["--bind-address", "192.0.2.1", "--allow-remote", "--token-file", "t"];
        let refused = config(&beyond).unwrap_err();
        assert!(matches!(refused, ConfigError::TokenInClear(_)), "{refused}");
        let secure = [&beyond[..], &["--tls-cert", "c", "--tls-key", "k"]].concat();
        assert!(config(&secure).is_ok());
        assert!(config(&["--token-file", "t"]).is_ok());
    }

    #[test]
    fn what_everybody_in_reach_can_read_is_said() {
        let exposure = |arguments: &[&str]| config(arguments).unwrap().exposure();
        let beyond = ["--bind-address", "0.0.0.0", "--allow-remote"];
        let tls = ["--tls-cert", "c", "--tls-key", "k"];
        assert!(exposure(&beyond).is_some_and(|text| text.contains("--tls-cert")));
        let unnamed = exposure(&[&beyond[..], &tls].concat());
        assert!(unnamed.is_some_and(|text| !text.contains("--tls-cert")));
        let token = ["--token-file", "t"];
        assert_eq!(exposure(&[&beyond[..], &tls, &token].concat()), None);
        assert_eq!(exposure(&[]), None);
        assert_eq!(exposure(&["--uds", "/s"]), None);
    }

    #[test]
    fn fine_cpu_readings_are_for_those_with_the_socket_or_the_token() {
        let config = |arguments: &[&str]| config(arguments).unwrap();
        assert_eq!(config(&[]).stream_detail(), CpuDetail::Coarse);
        assert_eq!(config(&["--uds", "/s"]).stream_detail(), CpuDetail::Fine);
        assert_eq!(config(&["--token-file", "t"]).stream_detail(), CpuDetail::Fine);
        assert_eq!(config(&["--uds", "/s"]).metrics_detail(), CpuDetail::Coarse);
        assert_eq!(config(&["--token-file", "t"]).metrics_detail(), CpuDetail::Fine);
    }

    #[test]
    fn metrics_are_off_by_default_and_on_the_bind_address() {
        let metrics = |arguments: &[&str]| config(arguments).unwrap().metrics;
        assert_eq!(metrics(&[]), None);
        assert_eq!(metrics(&["--metrics-port", "0"]), "127.0.0.1:0".parse().ok());
        let uds = ["--uds", "/s", "--metrics-port", "9400"];
        assert_eq!(metrics(&uds), "127.0.0.1:9400".parse().ok());
        assert_eq!(
            metrics(&["--bind-address", "::1", "--metrics-port", "9400"]),
            "[::1]:9400".parse().ok()
        );
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
