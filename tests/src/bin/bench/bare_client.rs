//! The least that a client can do: send one prompt on a socket, read the answer to its end, and only
//! then look at what the server says of its own speed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// No answer here takes a tenth of it.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// How fast an answer was generated, by llama.cpp's own account.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decode {
    /// Generated tokens.
    pub(crate) tokens: u64,
    /// Seconds that they took.
    pub(crate) seconds: f64,
}

/// Sends a streamed chat completion to the server at `address` and reads it.
pub(crate) fn ask(address: &str, body: &Value) -> Result<Decode> {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE_LIMIT))?;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    decode(&String::from_utf8_lossy(&answer))
}

/// The server's `timings`, from the last event that has them. It writes each event in one chunk, so
/// that none is cut by HTTP's framing.
fn decode(answer: &str) -> Result<Decode> {
    let status = answer.lines().next().unwrap_or_default();
    ensure!(status.starts_with("HTTP/1.1 200"), "the server answered {status:?}");
    let events = answer.lines().rev().filter_map(|line| line.strip_prefix("data: {"));
    let timings = events
        .filter_map(|rest| serde_json::from_str::<Value>(&format!("{{{rest}")).ok())
        .find_map(|mut event| event.get_mut("timings").map(Value::take))
        .context("the server's answer has no timings: is it llama.cpp?")?;
    let tokens = timings["predicted_n"].as_u64().filter(|tokens| *tokens > 0);
    let milliseconds = timings["predicted_ms"].as_f64().filter(|time| *time > 0.0);
    let (tokens, milliseconds) =
        tokens.zip(milliseconds).with_context(|| format!("no decode speed in {timings}"))?;
    Ok(Decode { tokens, seconds: milliseconds / 1e3 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_timings_of_a_stream_are_read() {
        let recorded = include_str!("../../../transcripts/llama-server-openai-stream.txt");
        let found = decode(&recorded.replace("\r\n", "\n")).unwrap();
        assert!(found.tokens > 0 && found.seconds > 0.0, "{found:?}");
        let answer = "HTTP/1.1 200 OK\r\n\r\n11\r\ndata: {\"a\":1}\n\n\r\n\
                      data: {\"timings\":{\"predicted_n\":96,\"predicted_ms\":800.5}}\n\n\
                      data: [DONE]\n\n";
        assert_eq!(decode(answer).unwrap(), Decode { tokens: 96, seconds: 0.8005 });
    }

    #[test]
    fn an_answer_without_a_speed_is_an_error() {
        for answer in [
            "",
            "HTTP/1.1 503 Service Unavailable\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\ndata: {\"choices\":[]}\n\ndata: [DONE]\n\n",
            "HTTP/1.1 200 OK\r\n\r\ndata: {\"timings\":{\"predicted_n\":0,\"predicted_ms\":0}}\n\n",
        ] {
            assert!(decode(answer).is_err(), "{answer:?}");
        }
    }
}
