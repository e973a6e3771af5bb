//! Who gets what from a real monitor: tokens, TLS, the socket's mode, and secrets that stay secret.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e::http::{get, get_securely};
use e2e::monitor::{self, Monitor, command};
use e2e::sysfs::Sysfs;
use energy_proto::pb;
use energy_proto::pb::energy_monitor_client::EnergyMonitorClient;
use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use tempfile::TempDir;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

const TOKEN: &str = "c0ffee-c0ffee-c0ffee-c0ffee";
/// Somebody else's try; it may be their token elsewhere.
const GUESS: &str = "guess-guess-guess-guess";

/// A directory with a token, a certificate for `localhost` and its key.
struct Secrets {
    directory: TempDir,
    certificate: String,
}

impl Secrets {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("temporary files can be written");
        let made = self_signed();
        let secrets = Self { directory, certificate: made.cert.pem() };
        secrets.write("token", &format!("{TOKEN}\n"));
        secrets.write("cert.pem", &secrets.certificate);
        secrets.write("key.pem", &made.signing_key.serialize_pem());
        secrets
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::write(&path, content).expect("temporary files can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("we own it");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A monitor that asks for the token.
    fn guarded(&self) -> Command {
        let mut command = command(&["--port", "0", "--metrics-port", "0"]);
        command.arg("--token-file").arg(self.path("token"));
        command
    }

    /// A way over TLS to a monitor that has this certificate.
    async fn channel(&self, monitor: &Monitor) -> Channel {
        let trust = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.certificate))
            .domain_name("localhost");
        let endpoint = secure_endpoint(monitor).tls_config(trust).expect("it is a certificate");
        endpoint.connect().await.expect("it serves whoever trusts it")
    }

    /// The same over TLS.
    fn secure(&self) -> Command {
        let mut command = self.guarded();
        command.arg("--tls-cert").arg(self.path("cert.pem"));
        command.arg("--tls-key").arg(self.path("key.pem"));
        command
    }
}

fn secure_endpoint(monitor: &Monitor) -> Endpoint {
    let port = monitor.listening.address.rsplit_once(':').expect("it is on a port").1;
    Endpoint::from_shared(format!("https://localhost:{port}")).expect("it is a URL")
}

/// A certificate for `localhost` that signs itself.
fn self_signed() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("it can be made")
}

fn with_token<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value: MetadataValue<_> = format!("Bearer {token}").parse().expect("it fits");
        request.metadata_mut().insert("authorization", value);
    }
    request
}

/// What each call of the service answers to who shows this token.
async fn all_calls(channel: Channel, token: Option<&str>) -> [Result<(), Status>; 3] {
    let mut client = EnergyMonitorClient::new(channel);
    [
        client.health(with_token(pb::HealthRequest {}, token)).await.map(|_| ()),
        client.describe(with_token(pb::DescribeRequest {}, token)).await.map(|_| ()),
        client.stream_telemetry(with_token(pb::StreamRequest::default(), token)).await.map(|_| ()),
    ]
}

#[tokio::test]
async fn every_call_needs_the_token_and_the_health_check_does_not() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    let secrets = Secrets::new();
    let monitor = Monitor::start(&mut secrets.guarded());
    for token in [None, Some(""), Some("c0ffee"), Some("c0ffee-c0ffee-c0ffee-c0ffef")] {
        for answer in all_calls(monitor.channel().await, token).await {
            let refused = answer.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{token:?}");
            assert!(refused.message().contains("IPW_MONITOR_TOKEN"), "{refused}");
        }
    }
    for answer in all_calls(monitor.channel().await, Some(TOKEN)).await {
        answer.unwrap();
    }
    let mut health = HealthClient::new(monitor.channel().await);
    let request = HealthCheckRequest { service: String::new() };
    assert!(health.check(request).await.is_ok(), "orchestrators have no token");
}

#[tokio::test]
async fn metrics_need_the_token_too() {
    let secrets = Secrets::new();
    let monitor = Monitor::start(&mut secrets.guarded());
    let at = monitor.listening.metrics.as_deref().unwrap();
    for path in ["/metrics", "/"] {
        let refused = get(at, path, &["authorization: Bearer wrong-wrong-wrong-wrong"]).await;
        assert_eq!((refused.status, refused.field("www-authenticate")), (401, Some("Bearer")));
        assert_eq!(get(at, path, &[]).await.status, 401);
    }
    let token = format!("Authorization: bearer {TOKEN}");
    assert_eq!(get(at, "/metrics", &[&token]).await.status, 200);
}

#[tokio::test]
async fn over_tls_those_who_trust_the_certificate_are_served_and_others_are_not() {
    let secrets = Secrets::new();
    let monitor = Monitor::start(&mut secrets.secure());
    let channel = secrets.channel(&monitor).await;
    for answer in all_calls(channel.clone(), Some(TOKEN)).await {
        answer.unwrap();
    }
    for answer in all_calls(channel, None).await {
        assert_eq!(answer.unwrap_err().code(), Code::Unauthenticated);
    }
    let other = self_signed();
    let distrust = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(other.cert.pem()));
    assert!(secure_endpoint(&monitor).tls_config(distrust).unwrap().connect().await.is_err());
    let in_clear = monitor.endpoint().connect().await;
    match in_clear {
        Err(_) => {}
        Ok(channel) => {
            for answer in all_calls(channel, Some(TOKEN)).await {
                assert_ne!(answer.unwrap_err().code(), Code::Unauthenticated, "it wasn't heard");
            }
        }
    }

    let at = monitor.listening.metrics.as_deref().unwrap();
    let token = format!("authorization: Bearer {TOKEN}");
    let answer = get_securely(at, &secrets.certificate, "/metrics", &[&token]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(get_securely(at, &secrets.certificate, "/metrics", &[]).await.status, 401);
    monitor.signal(Signal::SIGTERM);
    assert_eq!(monitor.ends_within(Duration::from_secs(1)).0.code(), Some(0));
}

#[tokio::test]
async fn secrets_are_in_no_log_however_much_is_logged() {
    let secrets = Secrets::new();
    let key = fs::read_to_string(secrets.path("key.pem")).unwrap();
    let key: Vec<&str> = key.lines().filter(|line| !line.starts_with("-----")).collect();
    assert!(!key.is_empty());
    for secure in [false, true] {
        let log = secrets.path("log");
        let mut command = if secure { secrets.secure() } else { secrets.guarded() };
        command.env("RUST_LOG", "trace").stderr(File::create(&log).unwrap());
        let monitor = Monitor::start(&mut command);
        for token in [TOKEN, GUESS] {
            let channel =
                if secure { secrets.channel(&monitor).await } else { monitor.channel().await };
            let answers = all_calls(channel, Some(token)).await;
            assert!(answers.iter().all(|answer| answer.is_ok() == (token == TOKEN)), "{answers:?}");
            let at = monitor.listening.metrics.as_deref().unwrap();
            let header = format!("authorization: Bearer {token}");
            let answer = if secure {
                get_securely(at, &secrets.certificate, "/metrics", &[&header]).await
            } else {
                get(at, "/metrics", &[&header]).await
            };
            assert_eq!(answer.status, if token == TOKEN { 200 } else { 401 });
        }
        monitor.signal(Signal::SIGTERM);
        assert_eq!(monitor.ends_within(Duration::from_secs(2)).0.code(), Some(0));
        let log = fs::read_to_string(log).unwrap();
        assert!(log.contains("TRACE"), "{log}");
        for secret in [TOKEN, GUESS].iter().chain(&key) {
            assert!(!log.contains(secret), "{secret}, TLS {secure}");
        }
    }
}

fn fails(command: &mut Command) -> (Option<i32>, String) {
    let output = monitor::run(command);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_secret_that_can_not_be_used_is_named_and_not_shown() {
    let secrets = Secrets::new();
    secrets.write("short", "hunter2");
    let other = self_signed();
    secrets.write("other.pem", &other.signing_key.serialize_pem());
    let cases: [(&[&str], &str); 5] = [
        (&["--token-file", "short"], "openssl rand -hex 32"),
        (&["--token-file", "missing"], "openssl rand -hex 32"),
        (&["--tls-cert", "cert.pem", "--tls-key", "other.pem"], "other.pem"),
        (&["--tls-cert", "key.pem", "--tls-key", "key.pem"], "--tls-cert holds no certificate"),
        (&["--tls-cert", "cert.pem", "--tls-key", "cert.pem"], "--tls-key holds no private key"),
    ];
    for (arguments, remedy) in cases {
        let mut command = command(&["--port", "0"]);
        command.args(arguments).current_dir(secrets.directory.path());
        let (code, error) = fails(&mut command);
        assert_eq!(code, Some(1), "{arguments:?}: {error}");
        assert!(error.contains(arguments[1]) && error.contains(remedy), "{error}");
        assert!(!error.contains("hunter2") && !error.contains("-----END"), "{error}");
    }
}

#[test]
fn what_would_give_a_secret_away_is_a_usage_error() {
    let beyond = ["--bind-address", "0.0.0.0", "--allow-remote", "--token-file", "t"];
    let cases: [(&[&str], &str); 4] = [
        (&beyond, "--tls-cert"),
        (&["--bind-address", "0.0.0.0", "--token-file", "t"], "--allow-remote"),
        (&["--tls-cert", "c"], "--tls-key"),
        (&["--uds", "/nonexistent/s", "--token-file", "t"], "--uds"),
    ];
    for (arguments, remedy) in cases {
        let (code, error) = fails(&mut command(arguments));
        assert_eq!(code, Some(2), "{arguments:?}: {error}");
        assert!(error.contains(remedy), "{error}");
    }
}

/// What a monitor logs until it says that it listens.
fn log_of(command: &mut Command) -> String {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the monitor starts");
    let mut first = [0; 1];
    let stdout = child.stdout.as_mut().expect("it was piped");
    stdout.read_exact(&mut first).expect("it says that it listens");
    child.kill().expect("it is our child");
    let output = child.wait_with_output().expect("its output can be read");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_monitor_open_to_everybody_warns() {
    let log = log_of(&mut command(&["--port", "0", "--bind-address", "0.0.0.0", "--allow-remote"]));
    assert!(log.contains("WARN") && log.contains("--token-file"), "{log}");
    let quiet = log_of(&mut command(&["--port", "0"]));
    assert!(!quiet.contains("WARN"), "{quiet}");
}

#[test]
fn a_secret_that_others_can_read_is_complained_about() {
    let secrets = Secrets::new();
    fs::set_permissions(secrets.path("token"), fs::Permissions::from_mode(0o644)).unwrap();
    let log = log_of(&mut secrets.guarded());
    assert!(log.contains("WARN") && log.contains("chmod 600"), "{log}");
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn a_counter_that_is_there_and_may_not_be_read_is_a_warning_with_its_remedy() {
    if !geteuid().is_root() {
        // Past the harness, which swallows what a passing test prints.
        writeln!(std::io::stderr(), "SKIPPED: only root may run a program as another user")
            .expect("standard error is open");
        return;
    }
    let sysfs = Sysfs::new();
    sysfs.zone("intel-rapl:0", "package-0", 5);
    sysfs.restrict_to_root("intel-rapl:0");
    let mut command = command(&["--port", "0"]);
    let log = log_of(command.arg("--sysfs-root").arg(sysfs.root()).uid(65_534));
    let warning = log.lines().find(|line| line.contains("WARN") && line.contains("package-0"));
    let warning = warning.unwrap_or_else(|| panic!("no warning in {log}"));
    let counter = sysfs.root().join("class/powercap/intel-rapl:0/energy_uj");
    for remedy in
        ["sudo setcap cap_perfmon=ep", "60-energy-monitor.rules", &counter.display().to_string()]
    {
        assert!(warning.contains(remedy), "{remedy} is not in {warning}");
    }
}

/// Every mode that a socket was seen with until told to stop.
fn watch(socket: &Path, stop: &AtomicBool) -> Vec<u32> {
    let mut seen = Vec::new();
    let mut stopped = false;
    // Once more after the end: on a busy machine it may have come to no look before.
    while !std::mem::replace(&mut stopped, stop.load(Ordering::Relaxed)) {
        if let Ok(metadata) = fs::symlink_metadata(socket) {
            assert!(metadata.file_type().is_socket());
            seen.push(metadata.permissions().mode() & 0o7777);
            seen.dedup();
        }
    }
    seen
}

#[tokio::test]
async fn a_socket_is_for_its_owner_and_group_from_its_first_instant() {
    for mask in ["000", "022", "077"] {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("monitor.sock");
        let stop = Arc::new(AtomicBool::new(false));
        let watcher = {
            let (socket, stop) = (socket.clone(), Arc::clone(&stop));
            std::thread::spawn(move || watch(&socket, &stop))
        };
        let mut shell = Command::new("sh");
        shell.args(["-c", "umask $0; exec \"$@\"", mask]).arg(monitor::bin("energy-monitor"));
        shell.arg("--uds").arg(&socket).env("RUST_LOG", "warn");
        let monitor = Monitor::start(&mut shell);
        monitor.readings().await.next().await.expect("it streams");
        stop.store(true, Ordering::Relaxed);
        assert_eq!(watcher.join().unwrap(), [0o660], "umask {mask}");
    }
}
