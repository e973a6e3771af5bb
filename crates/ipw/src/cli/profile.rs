//! `ipw profile`: flags into a checked configuration, then the run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Map, Value, json};

use super::env;
use super::judging::{self, EvalArgs, Judged, Judging};
use super::signals::watch_signals;
use crate::client::{self, ClientConfig, Timeouts};
use crate::dataset::{self, Dataset, DatasetError, DatasetParams, HubSettings, Request};
use crate::derive;
use crate::exit::{self, Exit, UsageError};
use crate::hardware::GpuChoice;
use crate::runner::{self, Energy, Existing, MonitorChoice, Run, RunConfig};
use crate::scoring::ScoreOptions;
use crate::telemetry::{SessionError, exposes_token};
use crate::ui;

/// Files that are open beside a run's connections: its own, the monitor's, the runtime's.
const OTHER_FILES: u64 = 256;

#[derive(Debug, Args)]
pub(super) struct ProfileArgs {
    /// Inference client: see `ipw list clients`
    #[arg(long, value_name = "ID")]
    client: String,
    /// Model name as known to the server
    #[arg(long, value_name = "NAME")]
    model: String,
    /// The server's root [default: where the client's server usually is]
    #[arg(long, value_name = "URL")]
    client_base_url: Option<String>,
    /// Dataset: see `ipw list datasets`
    #[arg(long, value_name = "ID", default_value = "ipw")]
    dataset: String,
    /// Parameter of the dataset, e.g. path=prompts.jsonl
    #[arg(long, value_name = "K=V", value_parser = key_value)]
    dataset_param: Vec<(String, String)>,
    /// Field to add to each request, e.g. cache_prompt=false, or a fact for us, e.g. price_kwh=0.30
    ///
    /// Facts for FLOPs, MFU, MBU, cost and carbon are used here and not sent: docs/schema.md lists them
    /// under "Derived numbers".
    #[arg(long, value_name = "K=V", value_parser = key_value)]
    client_param: Vec<(String, String)>,
    /// Send only the first N prompts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_queries: Option<u64>,
    /// Prompts sent beforehand to warm the server up; not part of the results
    #[arg(long, value_name = "N", default_value_t = 3)]
    warmup_queries: u32,
    /// Queries in flight at once; each gets its share of the energy
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Send each query just after an update of the energy counter, and leave a pause before the next
    ///
    /// For short queries and for numbers to publish. Costs some 0.2 s a query with a counter that moves
    /// every 100 ms; at most 500 ms, or two periods of the counter and 200 ms if that is more.
    #[arg(long)]
    precise: bool,
    /// Directory for results
    #[arg(long, value_name = "DIR", default_value = "./runs/")]
    output_dir: PathBuf,
    /// Most seconds for one query
    #[arg(long, value_name = "SECONDS", default_value_t = 600.0, value_parser = seconds)]
    timeout: f64,
    /// Times a request is sent again if it failed before an answer began
    #[arg(long, value_name = "N", default_value_t = 2)]
    retries: u32,
    /// Sampling seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Most tokens to generate for each prompt [default: the server's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_tokens: Option<u64>,
    /// Sampling temperature [default: the server's]
    #[arg(long, value_name = "X", value_parser = temperature)]
    temperature: Option<f64>,
    /// Go on with an earlier run, or start one
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    /// With --resume: send queries that failed again
    #[arg(long, requires = "resume")]
    retry_failed: bool,
    /// Remove an earlier run's files and start anew
    #[arg(long)]
    overwrite: bool,
    /// Text to append to the directory's name
    #[arg(long, value_name = "TEXT")]
    tag: Option<String>,
    /// Only measure; `ipw analyze` scores later
    #[arg(long)]
    no_analysis: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// No progress on stderr
    #[arg(long)]
    quiet: bool,
    /// Energy monitor: auto, none, a program, or the URL of a running one; of several, one a host
    ///
    /// With https://HOST:PORT the system's CAs are trusted, or the one that SSL_CERT_FILE names. The
    /// token that monitors ask for is taken from IPW_MONITOR_TOKEN (environment or .env). The energy of
    /// a server on several hosts is the sum over their monitors, and null while one of them is missing.
    #[arg(long, value_name = "auto|none|PATH|URL[,URL...]", default_value = "auto")]
    monitor: String,
    /// Sources of the monitor that ipw starts: auto, or a list of nvml, rapl, hwmon, apple,
    /// estimate
    #[arg(long, value_name = "LIST")]
    sources: Option<String>,
    /// The CPU's thermal design power in watts, for the source `estimate`
    #[arg(long, value_name = "W", value_parser = watts)]
    tdp_watts: Option<f64>,
    /// Sampling interval of the monitor that ipw starts
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    collection_interval_ms: u32,
    /// GPUs whose energy counts: those in use, all, or UUIDs
    #[arg(long, value_name = "auto|all|UUID,...", default_value = "auto")]
    gpus: String,
    /// Fail if no energy can be measured
    #[arg(long)]
    require_energy: bool,
    /// The server runs on this machine even if its address doesn't look so (a tunnel)
    #[arg(long)]
    energy_host_is_local: bool,
    #[command(flatten)]
    eval: EvalArgs,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("give it as KEY=VALUE".to_owned()),
    }
}

fn positive(text: &str, max: f64) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= max => Ok(number),
        _ => Err(format!("give a number above 0 and up to {max}")),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    positive(text, 86_400.0)
}

fn watts(text: &str) -> Result<f64, String> {
    positive(text, 100_000.0)
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=100.0).contains(&number) => Ok(number),
        _ => Err("give a number from 0 up".to_owned()),
    }
}

pub(super) async fn run(args: ProfileArgs) -> anyhow::Result<Exit> {
    // Found wrong now, and not after hours of queries.
    let available = judging::available(&args.eval)?;
    let config = config(&args).await?;
    let stop = watch_signals().context("can't watch for signals")?;
    let progress = ui::Progress::new(args.quiet || args.json);
    let events = progress.events();
    let run = runner::run(config, events, stop.clone()).await;
    progress.finish();
    let Run { end, directory, finished } = run?;
    let (finished, judged) = if args.no_analysis {
        (finished, Judged::All)
    } else {
        let options = ScoreOptions { judge: args.eval.eval_model.clone(), ..Default::default() };
        let judging = Judging { available, args: &args.eval, options, progress: &progress, stop };
        judging.judge(&directory, finished).await?
    };
    if args.json {
        ui::json(&ui::report(&finished, &directory, None));
    } else {
        ui::results(&finished, &directory);
    }
    ui::ending(&end, &directory);
    let queries = finished.summary.queries;
    Ok(exit::of_end(&end, queries.rows() - queries.ok).worse(judged.exit()))
}

async fn config(args: &ProfileArgs) -> anyhow::Result<RunConfig> {
    check_estimate(args)?;
    check_precise(args)?;
    allow_connections(args.concurrency)?;
    let dataset_params: BTreeMap<String, String> = args.dataset_param.iter().cloned().collect();
    let mut client_params: BTreeMap<String, Value> =
        args.client_param.iter().map(|(key, value)| (key.clone(), parsed(value))).collect();
    let asked = asked(args, &client_params, &dataset_params);
    take_facts(&mut client_params)?;
    let client = client::build(
        &args.client,
        ClientConfig {
            base_url: args.client_base_url.clone(),
            model: args.model.clone(),
            params: client_params,
            temperature: args.temperature,
            max_tokens: args.max_tokens,
            seed: args.seed,
            api_key: env::secret("IPW_CLIENT_API_KEY"),
            timeouts: Timeouts {
                total: Duration::from_secs_f64(args.timeout),
                ..Timeouts::default()
            },
        },
    )?;
    let token = env::secret("IPW_MONITOR_TOKEN");
    let dataset = cut(dataset(args, &dataset_params).await?, args.max_queries);
    Ok(RunConfig {
        client,
        model: args.model.clone(),
        dataset,
        seed: args.seed,
        warmup_queries: args.warmup_queries,
        concurrency: args.concurrency.into(),
        precise: args.precise,
        retries: args.retries,
        output_dir: args.output_dir.clone(),
        tag: args.tag.clone(),
        existing: existing(args),
        energy: Energy {
            monitor: monitor(&args.monitor, token.is_some())?,
            token,
            interval_ms: args.collection_interval_ms,
            sources: args.sources.clone(),
            tdp_watts: args.tdp_watts,
            host_is_local: args.energy_host_is_local,
        },
        gpus: GpuChoice::parse(&args.gpus),
        require_energy: args.require_energy,
        analysis: !args.no_analysis,
        asked,
    })
}

/// An estimate needs a TDP, and a TDP is for nothing else.
fn check_estimate(args: &ProfileArgs) -> Result<(), UsageError> {
    let sources = args.sources.as_deref().unwrap_or_default();
    let estimate = sources.split(',').any(|source| source.trim() == "estimate");
    match (estimate, args.tdp_watts) {
        (true, None) => Err(UsageError(
            "--sources estimate needs the CPU's thermal design power: --tdp-watts W".to_owned(),
        )),
        (false, Some(_)) => {
            Err(UsageError("--tdp-watts is for --sources estimate, which wasn't given".to_owned()))
        }
        _ => Ok(()),
    }
}

/// Between queries in flight at once there is no pause to keep.
fn check_precise(args: &ProfileArgs) -> Result<(), UsageError> {
    if args.precise && args.concurrency > 1 {
        return Err(UsageError(format!(
            "--precise needs pauses between queries, which --concurrency {} doesn't have; give one of \
             the two",
            args.concurrency
        )));
    }
    Ok(())
}

/// A connection is an open file, of which a process may usually have 1024 unless it asks for more.
fn allow_connections(concurrency: u16) -> Result<(), UsageError> {
    if concurrency == 1 {
        return Ok(());
    }
    let needed = u64::from(concurrency) + OTHER_FILES;
    // If it can't be told, the connections will tell.
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    if soft >= needed {
        return Ok(());
    }
    if hard < needed || setrlimit(Resource::RLIMIT_NOFILE, needed, hard).is_err() {
        return Err(UsageError(format!(
            "--concurrency {concurrency} needs {needed} open files, and this process may have {hard}: \
             give fewer, or raise the limit (ulimit -n)"
        )));
    }
    Ok(())
}

fn existing(args: &ProfileArgs) -> Existing {
    if args.overwrite {
        Existing::Overwrite
    } else if args.resume {
        Existing::Resume { retry_failed: args.retry_failed }
    } else {
        Existing::Keep
    }
}

/// The dataset that is asked for; what is fetched for it is shown.
async fn dataset(args: &ProfileArgs, params: &DatasetParams) -> Result<Dataset, DatasetError> {
    let downloads = ui::Downloads::new(args.quiet || args.json);
    let hub = HubSettings::from_environment(env::secret("HF_TOKEN"));
    let events = downloads.events();
    dataset::load(&args.dataset, &Request { params, hub: &hub, events: &events }).await
}

fn cut(mut dataset: Dataset, max_queries: Option<u64>) -> Dataset {
    let most = max_queries.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    dataset.samples.truncate(most);
    dataset
}

fn monitor(text: &str, has_token: bool) -> Result<MonitorChoice, UsageError> {
    match text {
        "auto" => Ok(MonitorChoice::Auto),
        "none" => Ok(MonitorChoice::None),
        urls if urls.contains("://") => Ok(MonitorChoice::Urls(monitor_urls(urls, has_token)?)),
        path => Ok(MonitorChoice::Program(PathBuf::from(path))),
    }
}

/// The URLs of running monitors, if they can be such and each is given once.
fn monitor_urls(text: &str, has_token: bool) -> Result<Vec<String>, UsageError> {
    // Of the whole text, since a password may hold a comma.
    if text.contains('@') {
        return Err(UsageError(
            "--monitor: a URL holds a user name or password, which would show in the list of \
             processes; a monitor's token goes into IPW_MONITOR_TOKEN"
                .to_owned(),
        ));
    }
    let mut urls: Vec<String> = Vec::new();
    for url in text.split(',').map(str::trim) {
        let origin = client::origin(url).ok_or_else(|| {
            UsageError(format!(
                "--monitor {url}: give one http://HOST:PORT or https://HOST:PORT, or several with \
                 commas between them"
            ))
        })?;
        if has_token && exposes_token(url) {
            let exposed = SessionError::TokenInTheClear { url: url.to_owned() };
            return Err(UsageError(exposed.to_string()));
        }
        if urls.iter().any(|earlier| client::origin(earlier).as_ref() == Some(&origin)) {
            return Err(UsageError(format!(
                "--monitor: {url} is given twice, and its energy would be counted twice"
            )));
        }
        urls.push(url.to_owned());
    }
    Ok(urls)
}

/// A parameter's value: JSON if it is JSON, else text.
fn parsed(value: &str) -> Value {
    serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()))
}

/// Takes out the parameters that are ours and not the server's: they are read from the summary.
fn take_facts(params: &mut BTreeMap<String, Value>) -> Result<(), UsageError> {
    for name in derive::FACTS {
        let Some(value) = params.remove(name) else { continue };
        if derive::fact(&value).is_none() {
            return Err(UsageError(format!(
                "--client-param {name}={value}: give a number that isn't negative"
            )));
        }
    }
    Ok(())
}

/// What was asked for, for the summary. A key can't be among it: there is no flag for one.
fn asked(
    args: &ProfileArgs,
    client_params: &BTreeMap<String, Value>,
    dataset_params: &BTreeMap<String, String>,
) -> Map<String, Value> {
    let asked = json!({
        "client": args.client,
        "model": args.model,
        "client_base_url": args.client_base_url,
        "dataset": args.dataset,
        "dataset_params": dataset_params,
        "client_params": client_params,
        "max_queries": args.max_queries,
        "warmup_queries": args.warmup_queries,
        "concurrency": args.concurrency,
        "precise": args.precise,
        "timeout_seconds": args.timeout,
        "retries": args.retries,
        "seed": args.seed,
        "max_tokens": args.max_tokens,
        "temperature": args.temperature,
        "tag": args.tag,
        "monitor": args.monitor,
        "sources": args.sources,
        "tdp_watts": args.tdp_watts,
        "collection_interval_ms": args.collection_interval_ms,
        "gpus": args.gpus,
        "require_energy": args.require_energy,
        "energy_host_is_local": args.energy_host_is_local,
        "eval_client": args.eval.eval_client.id(),
        "eval_base_url": args.eval.url(),
        "eval_model": args.eval.model(),
    });
    match asked {
        Value::Object(asked) => asked,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitor_is_a_word_a_url_or_a_program() {
        let monitor = |text| monitor(text, false);
        assert_eq!(monitor("auto").unwrap(), MonitorChoice::Auto);
        assert_eq!(monitor("none").unwrap(), MonitorChoice::None);
        for url in ["http://node1:50053", "https://node1:50053", "https://[::1]:1/"] {
            assert_eq!(monitor(url).unwrap(), MonitorChoice::Urls(vec![url.into()]));
        }
        assert_eq!(monitor("./mon").unwrap(), MonitorChoice::Program("./mon".into()));
        for url in [
            "ftp://a:1",
            "http://",
            "http://a:1/x",
            "http://a:1?x",
            "http://a:1,b:1",
            "http://a:1,",
        ] {
            assert!(monitor(url).unwrap_err().to_string().contains("https://HOST:PORT"), "{url}");
        }
        for url in ["https://me:hunter2@a:1", "http://a:1,https://me:hun,ter2@b:1"] {
            let error = monitor(url).unwrap_err().to_string();
            assert!(error.contains("IPW_MONITOR_TOKEN") && !error.contains("hun"), "{error}");
        }
    }

    #[test]
    fn several_monitors_are_named_with_commas_and_each_once() {
        let urls = |text| match monitor(text, false) {
            Ok(MonitorChoice::Urls(urls)) => Ok(urls),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(
            urls("http://a:1, https://b:2,http://a:2"),
            Ok(vec!["http://a:1".to_owned(), "https://b:2".to_owned(), "http://a:2".to_owned()])
        );
        for twice in ["http://a:1,http://a:1", "http://a:1,http://b:1,HTTP://A:1/"] {
            assert!(urls(twice).unwrap_err().contains("is given twice"), "{twice}");
        }
    }

    #[test]
    fn a_token_is_not_sent_in_the_clear_beyond_this_machine() {
        for exposed in ["http://node1:50053", "http://127.0.0.1:50053,http://node1:50053"] {
            let error = monitor(exposed, true).unwrap_err().to_string();
            assert!(error.contains("https://") && error.contains("IPW_MONITOR_TOKEN"), "{error}");
            assert!(error.contains("sent to http://node1:50053"), "{error}");
        }
        assert!(monitor("http://127.0.0.1:50053", true).is_ok());
        assert!(monitor("https://node1:50053,http://127.0.0.1:50053", true).is_ok());
    }

    #[test]
    fn parameters_of_ours_are_taken_out_and_must_be_numbers() {
        let mut params = BTreeMap::from([
            ("parameters".to_owned(), parsed("1.24e9")),
            ("price_kwh".to_owned(), parsed("0")),
            ("cache_prompt".to_owned(), parsed("false")),
            ("stop".to_owned(), parsed("END")),
        ]);
        take_facts(&mut params).unwrap();
        assert_eq!(
            params,
            BTreeMap::from([
                ("cache_prompt".to_owned(), Value::Bool(false)),
                ("stop".to_owned(), Value::String("END".into())),
            ])
        );
        for (name, value) in
            [("price_input", "cheap"), ("carbon_g_per_kwh", "-1"), ("peak_tflops", "1e999")]
        {
            let mut bad = BTreeMap::from([(name.to_owned(), parsed(value))]);
            assert!(take_facts(&mut bad).unwrap_err().to_string().contains(name), "{name}");
        }
    }

    #[test]
    fn keys_and_values_are_split_at_the_first_equals_sign() {
        assert_eq!(key_value("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(key_value("=b").is_err());
        assert!(key_value("ab").is_err());
    }
}
