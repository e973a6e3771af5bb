//! A listener that answers with recorded bytes, in the frames and at the times asked for.

#![expect(clippy::unwrap_used, reason = "a test's parts fail by panicking, like the test")]

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use energy_proto::{Nanos, monotonic_now};

/// How a recorded body is cut into chunks, each one write.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Frames {
    /// As the servers do it.
    AnEventEach,
    AByteEach,
    AllAtOnce,
}

/// How a recorded body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    Properly,
    /// The connection closes without the last chunk.
    Cut,
}

/// A recorded answer.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    head: String,
    /// What is written, and how long after the request.
    parts: Vec<(Duration, Vec<u8>)>,
    finish: Finish,
}

impl Recording {
    /// The answer of a transcript, without delays.
    pub(crate) fn of(text: &str, frames: Frames, finish: Finish) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a transcript has a head");
        let parts: Vec<Vec<u8>> = match frames {
            Frames::AllAtOnce => vec![body.as_bytes().to_vec()],
            Frames::AByteEach => body.bytes().map(|byte| vec![byte]).collect(),
            Frames::AnEventEach => {
                body.split_inclusive("\n\n").map(|event| event.as_bytes().to_vec()).collect()
            }
        };
        let parts = parts.into_iter().map(|part| (Duration::ZERO, part)).collect();
        Self { head: format!("{head}\r\n\r\n"), parts, finish }
    }

    /// These writes behind the head of a transcript.
    pub(crate) fn timed(text: &str, parts: Vec<(Duration, Vec<u8>)>) -> Self {
        Self { parts, ..Self::of(text, Frames::AllAtOnce, Finish::Properly) }
    }

    fn is_chunked(&self) -> bool {
        self.head.to_lowercase().contains("transfer-encoding: chunked")
    }
}

/// Answers each request line with its recording, and any other with an empty 200.
pub(crate) struct Replay {
    address: SocketAddr,
    /// When each part of the last recording was about to be written.
    written: Arc<Mutex<Vec<Nanos>>>,
}

impl Replay {
    /// Starts listening. The thread ends with the test's process.
    pub(crate) fn start(recordings: HashMap<&'static str, Recording>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let written = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&written);
        let recordings = Arc::new(recordings);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (recordings, log) = (Arc::clone(&recordings), Arc::clone(&log));
                // A client that gives up is part of some tests.
                thread::spawn(move || serve(stream?, &recordings, &log));
            }
        });
        Self { address, written }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn written(&self) -> Vec<Nanos> {
        self.written.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    recordings: &HashMap<&'static str, Recording>,
    log: &Mutex<Vec<Nanos>>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(target) = read_target(&mut stream)? {
        let received = Instant::now();
        let Some(recording) = recordings.get(target.as_str()) else {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        stream.write_all(recording.head.as_bytes())?;
        log.lock().unwrap().clear();
        for (due, part) in &recording.parts {
            thread::sleep((received + *due).saturating_duration_since(Instant::now()));
            log.lock().unwrap().push(monotonic_now());
            write_part(&mut stream, part, recording.is_chunked())?;
        }
        if recording.finish == Finish::Cut {
            return Ok(());
        }
        if recording.is_chunked() {
            stream.write_all(b"0\r\n\r\n")?;
        }
    }
    Ok(())
}

fn write_part(stream: &mut TcpStream, part: &[u8], chunked: bool) -> io::Result<()> {
    if !chunked {
        return stream.write_all(part);
    }
    let mut chunk = format!("{:x}\r\n", part.len()).into_bytes();
    chunk.extend_from_slice(part);
    chunk.extend_from_slice(b"\r\n");
    stream.write_all(&chunk)
}

/// Reads a request to its end; its method and path.
fn read_target(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase();
            let length = length.split_once("content-length: ").map_or(0, |(_, rest)| {
                rest.lines().next().unwrap_or_default().parse().unwrap_or(0)
            });
            if body.len() >= length {
                return Ok(head.split_once(" HTTP/1.1").map(|(target, _)| target.to_owned()));
            }
        }
        let mut part = [0; 4096];
        match stream.read(&mut part)? {
            0 => return Ok(None),
            count => bytes.extend_from_slice(&part[..count]),
        }
    }
}
