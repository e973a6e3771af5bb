//! A fake inference server by hand: `cargo run -p e2e --bin fake_server -- --flavour vllm`.
//!
//! Prints one line on standard output once it answers, and serves until it is killed.

use std::time::Duration;

use clap::Parser;
use e2e::fake_server::{Behaviour, FakeServer, Flavour, Setup};

#[derive(Parser)]
#[command(about = "Answers like llama.cpp, vLLM or Ollama, with set delays")]
struct Args {
    /// Whose bytes it speaks: llama.cpp, vllm or ollama
    #[arg(long, default_value = "llama.cpp", value_parser = flavour)]
    flavour: Flavour,
    /// Where it listens on the loopback; 0 takes a free port
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The name of its model
    #[arg(long, default_value = "fake:1b")]
    model: String,
    /// Time to the first token, in ms
    #[arg(long, default_value_t = 100.0)]
    prefill_ms: f64,
    /// Time between two tokens, in ms
    #[arg(long, default_value_t = 10.0)]
    per_token_ms: f64,
    /// Tokens in each answer
    #[arg(long, default_value_t = 32)]
    tokens: usize,
}

fn flavour(name: &str) -> Result<Flavour, String> {
    match name {
        "llama.cpp" => Ok(Flavour::LlamaCpp),
        "vllm" => Ok(Flavour::Vllm),
        "ollama" => Ok(Flavour::Ollama),
        _ => Err("neither llama.cpp, vllm nor ollama".to_owned()),
    }
}

fn milliseconds(ms: f64) -> anyhow::Result<Duration> {
    Ok(Duration::try_from_secs_f64(ms / 1e3)?)
}

#[expect(clippy::print_stdout, reason = "the line by which a parent learns where it answers")]
fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let setup = Setup { port: args.port, model: args.model, ..Setup::new(args.flavour) };
    let behaviour = Behaviour::saying(&" word".repeat(args.tokens))
        .timed(milliseconds(args.prefill_ms)?, milliseconds(args.per_token_ms)?);
    let server = FakeServer::start(setup, move |_| behaviour.clone())?;
    println!("{{\"event\":\"listening\",\"url\":\"{}\"}}", server.url());
    loop {
        std::thread::park();
    }
}
