//! One connection: its requests, one after the other, until it is idle for too long or a fault ends
//! it.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use energy_proto::{Nanos, monotonic_now};
use serde_json::Value;
use socket2::SockRef;

use super::chat;
use super::flavour::{Dialect, Refusal, status_line};
use super::power::{Power, Working};
use super::wire::{Request, read_request};
use super::{Fault, Front, RequestLog, Shared};

const PAGE: &str = "<!DOCTYPE html><html><body><h1>Welcome</h1></body></html>";
/// How soon a wait notices that the server stops or the peer has gone.
const NOTICE: Duration = Duration::from_millis(20);

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Keep,
    Close,
    Reset,
}

/// A request being answered.
pub(super) struct Exchange<'a> {
    pub(super) stream: &'a mut TcpStream,
    pub(super) shared: &'a Shared,
    pub(super) request: &'a Request,
    pub(super) received: Instant,
    entry: usize,
    working: Option<Working>,
}

/// Serves a connection to its end.
pub(super) fn serve(mut stream: TcpStream, number: usize, shared: &Shared) {
    // An error means that the peer has gone, which ends the connection as well.
    let then = requests(&mut stream, number, shared).unwrap_or(Then::Close);
    shared.connections().remove(&number);
    if then == Then::Reset {
        // Closing with a zero linger time sends RST; if it can't be set, FIN shows in the test.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
}

fn requests(stream: &mut TcpStream, number: usize, shared: &Shared) -> io::Result<Then> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(shared.setup.keep_alive))?;
    let mut buffered = Vec::new();
    while let Some(request) = read_request(stream, &mut buffered)? {
        let received = Instant::now();
        let entry = note(shared, number, &request, monotonic_now());
        let mut exchange =
            Exchange { stream, shared, request: &request, received, entry, working: None };
        let then = exchange.answer()?;
        exchange.note_end();
        if then != Then::Keep {
            return Ok(then);
        }
    }
    Ok(Then::Close)
}

fn note(shared: &Shared, connection: usize, request: &Request, received: Nanos) -> usize {
    let mut log = shared.log();
    log.push(RequestLog {
        connection,
        target: request.target.clone(),
        body: request.body.clone(),
        received,
        token_writes: Vec::new(),
        ended: None,
    });
    log.len() - 1
}

impl Exchange<'_> {
    pub(super) fn dialect(&self) -> &'static dyn Dialect {
        self.shared.setup.flavour.dialect()
    }

    fn answer(&mut self) -> io::Result<Then> {
        let before = self.shared.requests.fetch_add(1, Ordering::SeqCst);
        match &self.shared.setup.front {
            Front::NotFound => return self.refuse(&Refusal::UnknownPath),
            Front::WebPage => return self.page(),
            Front::Redirect(target) => return self.redirect(target),
            Front::Loading(requests) if before < *requests => {
                return self.refuse(&Refusal::Loading);
            }
            Front::Key(key) if self.request.authorization != Some(format!("Bearer {key}")) => {
                return self.refuse(&Refusal::Unauthorized);
            }
            Front::NoModelList if self.request.target == "GET /v1/models" => {
                return self.refuse(&Refusal::UnknownPath);
            }
            Front::NoHealth if self.request.target == "GET /health" => {
                return self.refuse(&Refusal::UnknownPath);
            }
            _ => (),
        }
        // A body that is no JSON has no fields; what needs one refuses it.
        let body: Value = serde_json::from_slice(&self.request.body).unwrap_or_default();
        if chat::is_chat(&self.request.target) {
            return chat::answer(self, body);
        }
        match self.dialect().about(&self.request.target, &body, &self.shared.setup) {
            Some(Ok(json)) => self.whole(200, self.dialect().json_type(), &json, ""),
            Some(Err(refusal)) => self.refuse(&refusal),
            None => self.refuse(&Refusal::UnknownPath),
        }
    }

    /// What a fault does instead of an answer; `None`: it strikes later.
    pub(super) fn fault_before_head(&mut self, fault: &Fault) -> Option<io::Result<Then>> {
        Some(match fault {
            Fault::CloseBeforeHead => Ok(Then::Close),
            Fault::HangBeforeHead => self.hang(),
            Fault::NotFound => self.refuse(&Refusal::UnknownPath),
            Fault::TooManyRequests(seconds) => {
                self.refuse_with(&Refusal::Busy, &format!("Retry-After: {seconds}\r\n"))
            }
            Fault::Loading => self.refuse(&Refusal::Loading),
            Fault::InternalError => self.refuse(&Refusal::Internal),
            Fault::BadRequest(message) => self.refuse(&Refusal::BadRequest(message.clone())),
            Fault::WebPage => self.page(),
            Fault::Redirect(target) => self.redirect(target),
            Fault::Raw(answer) => self.stream.write_all(answer.as_bytes()).map(|()| Then::Close),
            _ => return None,
        })
    }

    pub(super) fn refuse(&mut self, refusal: &Refusal) -> io::Result<Then> {
        self.refuse_with(refusal, "")
    }

    fn refuse_with(&mut self, refusal: &Refusal, headers: &str) -> io::Result<Then> {
        let (content_type, body) = self.dialect().refusal(refusal);
        self.whole(refusal.status(), content_type, &body, headers)
    }

    fn page(&mut self) -> io::Result<Then> {
        self.whole(200, "text/html; charset=utf-8", PAGE, "")
    }

    fn redirect(&mut self, target: &str) -> io::Result<Then> {
        let head = format!("{}Location: {target}\r\nContent-Length: 0\r\n\r\n", status_line(307));
        self.stream.write_all(head.as_bytes())?;
        Ok(Then::Keep)
    }

    /// Writes an answer that isn't streamed.
    pub(super) fn whole(
        &mut self,
        status: u16,
        content_type: &str,
        body: &str,
        headers: &str,
    ) -> io::Result<Then> {
        let dialect = self.dialect();
        let mut answer = dialect.whole_head(status, content_type, body.len(), headers).into_bytes();
        answer.extend_from_slice(body.as_bytes());
        self.stream.write_all(&answer)?;
        Ok(if dialect.closes_after(status) { Then::Close } else { Then::Keep })
    }

    /// Waits until this long after the request's arrival.
    pub(super) fn wait_until(&self, after_arrival: Duration) -> io::Result<()> {
        let due = self.received + after_arrival;
        loop {
            let rest = due.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Ok(());
            }
            self.check_running()?;
            thread::sleep(rest.min(NOTICE));
        }
    }

    /// Says nothing until the peer has gone or the server stops.
    pub(super) fn hang(&mut self) -> io::Result<Then> {
        self.stream.set_read_timeout(Some(NOTICE))?;
        loop {
            self.check_running()?;
            match self.stream.peek(&mut [0]) {
                Ok(0) => return Ok(Then::Close),
                Ok(_) => thread::sleep(NOTICE),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                Err(error) => return Err(error),
            }
        }
    }

    /// Begins to work on the prompt, if that takes any power.
    pub(super) fn work(&mut self, power: Option<Power>) {
        self.working = power.map(Working::begin);
    }

    /// Notes that this token of so many is about to be written.
    pub(super) fn note_token(&self, number: usize, of: usize) {
        if let Some(working) = &self.working {
            working.token(number, of);
        }
        let now = monotonic_now();
        self.shared.log()[self.entry].token_writes.push(now);
    }

    fn note_end(&mut self) {
        self.working = None;
        self.shared.log()[self.entry].ended = Some(monotonic_now());
    }

    fn check_running(&self) -> io::Result<()> {
        if self.shared.is_stopping() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the fake server stops"));
        }
        Ok(())
    }
}
