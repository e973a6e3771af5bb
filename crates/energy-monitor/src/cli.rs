//! The command line, as it was typed. What it means together is decided in [`crate::config`].

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::config::{Selection, parse_selection, parse_watts};

/// Reads GPU and CPU energy counters and streams them over gRPC.
#[derive(Debug, Clone, Parser)]
#[command(name = "energy-monitor", version, about)]
pub struct Cli {
    /// TCP port to serve on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 50053)]
    pub port: u16,

    /// Address to serve on
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub bind_address: IpAddr,

    /// Allow a bind address beyond the loopback: anyone who reaches it can read this host's sensors
    #[arg(long)]
    pub allow_remote: bool,

    /// Serve on a Unix socket at PATH instead of TCP
    #[arg(long, value_name = "PATH", conflicts_with_all = ["port", "bind_address", "allow_remote"])]
    pub uds: Option<PathBuf>,

    /// Only answer clients that show the token in FILE, as `authorization: Bearer TOKEN`
    ///
    /// At least 16 characters, as `openssl rand -hex 32` makes them. ipw takes it from
    /// IPW_MONITOR_TOKEN. Beyond the loopback it needs --tls-cert and --tls-key too.
    #[arg(long, value_name = "FILE", conflicts_with = "uds")]
    pub token_file: Option<PathBuf>,

    /// Serve with TLS: this host's certificate and those that signed it, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key", conflicts_with = "uds")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", conflicts_with = "uds")]
    pub tls_key: Option<PathBuf>,

    /// Serve Prometheus metrics on this TCP port too, at /metrics; 0 takes a free one
    ///
    /// On the bind address, with the same token and TLS; beside --uds on the loopback.
    #[arg(long, value_name = "PORT")]
    pub metrics_port: Option<u16>,

    /// Milliseconds between two readings, 1 to 60000
    #[arg(long, value_name = "MS", default_value_t = 50,
          value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub collection_interval_ms: u64,

    /// What to read: `auto` for every counter found here, or a list of nvml, rapl, hwmon, apple,
    /// estimate, scripted
    ///
    /// A source that is named must be there. `estimate` makes figures up from the CPU's busy share
    /// and --tdp-watts; `auto` never chooses it.
    #[arg(long, value_name = "auto|LIST", default_value = "auto", value_parser = parse_selection)]
    pub sources: Selection,

    /// The CPU's power at full load in watts, for the estimate
    #[arg(long, value_name = "W", value_parser = parse_watts)]
    pub tdp_watts: Option<f64>,

    /// NVIDIA's management library, where it isn't in the usual place
    #[arg(long, value_name = "PATH")]
    pub nvml_library: Option<PathBuf>,

    /// The recorded trace to replay with --sources scripted: the directory of a run, its
    /// telemetry.arrow, or a JSON script
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,

    /// Replay the trace as fast as it can be sampled instead of at its own speed
    #[arg(long, requires = "script")]
    pub script_fast: bool,

    /// Where sysfs is mounted
    #[arg(long, value_name = "DIR", default_value = "/sys", overrides_with = "sysfs_root")]
    pub sysfs_root: PathBuf,

    /// Print the sensors found here, and leave
    #[arg(long)]
    pub describe: bool,

    /// With --describe: as JSON
    #[arg(long, requires = "describe")]
    pub json: bool,

    /// Leave when standard input closes
    #[arg(long)]
    pub exit_with_parent: bool,

    /// How the log on standard error is written
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_interval_out_of_range_is_refused() {
        for bad in ["0", "60001", "-5", "fast"] {
            let parsed = Cli::try_parse_from(["energy-monitor", "--collection-interval-ms", bad]);
            assert_eq!(parsed.unwrap_err().exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn json_without_describe_is_refused() {
        assert!(Cli::try_parse_from(["energy-monitor", "--json"]).is_err());
    }

    #[test]
    fn a_socket_path_and_a_port_exclude_each_other() {
        assert!(Cli::try_parse_from(["energy-monitor", "--uds", "/s", "--port", "1"]).is_err());
        assert!(Cli::try_parse_from(["energy-monitor", "--uds", "/s"]).is_ok());
    }

    #[test]
    fn a_certificate_needs_its_key_and_neither_goes_with_a_socket_path() {
        let parses = |arguments: &[&str]| {
            Cli::try_parse_from(["energy-monitor"].iter().chain(arguments)).is_ok()
        };
        assert!(parses(&["--tls-cert", "c", "--tls-key", "k", "--token-file", "t"]));
        assert!(!parses(&["--tls-cert", "c"]) && !parses(&["--tls-key", "k"]));
        assert!(!parses(&["--uds", "/s", "--tls-cert", "c", "--tls-key", "k"]));
        assert!(!parses(&["--uds", "/s", "--token-file", "t"]));
        assert!(parses(&["--uds", "/s", "--metrics-port", "0"]));
    }
}
