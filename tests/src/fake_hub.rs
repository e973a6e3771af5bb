//! A fake dataset hub: real TCP, real HTTP/1.1, the headers of the HuggingFace hub, and a second host that
//! large files are redirected to, with set faults.
//!
//! Blocking threads, one a connection, one request a connection. It logs what each host was asked, with
//! the token and the range that came along.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// How soon a silent connection notices that the hub stops.
const NOTICE: Duration = Duration::from_millis(20);
/// Largest request taken, in bytes.
const LARGEST_REQUEST: usize = 64 << 10;

/// A dataset on the hub.
#[derive(Debug, Clone)]
pub struct Repository {
    /// `organisation/name`.
    pub id: String,
    /// Its commits by their hashes, each with its files by their paths.
    pub commits: BTreeMap<String, BTreeMap<String, HubFile>>,
    /// The commits of its branches.
    pub branches: BTreeMap<String, String>,
}

/// A file there.
#[derive(Debug, Clone)]
pub struct HubFile {
    /// Its bytes.
    pub content: Vec<u8>,
    /// Whether it lies on the other host, under the hash of its bytes.
    pub is_large: bool,
}

impl Repository {
    /// One with a branch `main` at a commit with a single file.
    #[must_use]
    pub fn new(id: &str, path: &str, content: Vec<u8>, is_large: bool) -> Self {
        let mut repository =
            Self { id: id.to_owned(), commits: BTreeMap::new(), branches: BTreeMap::new() };
        repository.commit(path, content, is_large);
        repository
    }

    /// Another commit, with this file alone, to which `main` moves; its hash.
    pub fn commit(&mut self, path: &str, content: Vec<u8>, is_large: bool) -> String {
        let name = format!("{} {}", self.id, self.commits.len());
        let hash = hex(name.as_bytes())[..40].to_owned();
        let files = BTreeMap::from([(path.to_owned(), HubFile { content, is_large })]);
        self.commits.insert(hash.clone(), files);
        self.branches.insert("main".to_owned(), hash.clone());
        hash
    }

    /// The commit of `main`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn head(&self) -> &str {
        &self.branches["main"]
    }
}

impl HubFile {
    fn etag(&self) -> String {
        let hash = hex(&self.content);
        if self.is_large { hash } else { hash[..40].to_owned() }
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What goes wrong. Numbers of bytes count those of a file that are still sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The hub refuses with this status and `X-Error-Code`.
    Refuse(u16, Option<&'static str>),
    /// Whoever answers says 503 so many times, with this `Retry-After`.
    Busy(usize, u32),
    /// Sends this many bytes, then closes the connection, so many times.
    Cut(usize, usize),
    /// Sends this many bytes, then nothing, so many times.
    Hang(usize, usize),
    /// The hub says another size than the file has.
    Size(u64),
    /// The other host sends fewer bytes, as if that were all.
    Short,
    /// It sends more.
    Long,
    /// It sends other bytes, but as many.
    Other,
    /// It sends them all, whatever range it was asked for.
    NoRange,
    /// It sends another range.
    WrongRange,
    /// The hub doesn't say which commit it is.
    NoCommit,
    /// It sends an etag that would be a path.
    PathAsEtag,
    /// It redirects to itself for ever.
    Circle,
    /// It redirects to itself once, to a path of its own, as the hub does with small files.
    OwnRedirect,
    /// Bytes come this slowly: a hundredth of the file in each of so many milliseconds.
    Slow(u64),
}

/// What a host was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Whether it was the hub, and not the host of large files.
    pub hub: bool,
    /// Method and path.
    pub target: String,
    /// The value of `Authorization`.
    pub authorization: Option<String>,
    /// The value of `Range`.
    pub range: Option<String>,
}

struct Shared {
    repositories: Vec<Repository>,
    /// Without which the hub refuses.
    token: Option<String>,
    fault: Mutex<Option<Fault>>,
    asked: Mutex<Vec<Asked>>,
    /// Where large files are.
    elsewhere: SocketAddr,
    stopping: AtomicBool,
}

/// A running fake; stops when dropped.
pub struct FakeHub {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptors: Vec<JoinHandle<()>>,
}

impl FakeHub {
    /// Starts a hub that anyone may read.
    ///
    /// # Errors
    /// No port is free.
    pub fn open(repositories: Vec<Repository>) -> io::Result<Self> {
        Self::start(repositories, None)
    }

    /// Starts a hub that gives its files to who shows this token, if one is given.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(repositories: Vec<Repository>, token: Option<&str>) -> io::Result<Self> {
        let hub = TcpListener::bind("127.0.0.1:0")?;
        let elsewhere = TcpListener::bind("127.0.0.1:0")?;
        let address = hub.local_addr()?;
        let shared = Arc::new(Shared {
            repositories,
            token: token.map(str::to_owned),
            fault: Mutex::default(),
            asked: Mutex::default(),
            elsewhere: elsewhere.local_addr()?,
            stopping: AtomicBool::new(false),
        });
        let acceptors = [(hub, true), (elsewhere, false)]
            .into_iter()
            .map(|(listener, is_hub)| {
                let shared = Arc::clone(&shared);
                thread::Builder::new()
                    .name("fake-hub".to_owned())
                    .spawn(move || accept(&listener, is_hub, &shared))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { address, shared, acceptors })
    }

    /// For `HF_ENDPOINT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets this go wrong from now on.
    pub fn fail(&self, fault: Fault) {
        *self.shared.fault() = Some(fault);
    }

    /// What both hosts were asked so far, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// The requests for a file's bytes, wherever they lie.
    #[must_use]
    pub fn fetches(&self) -> Vec<Asked> {
        let is_fetch = |asked: &Asked| {
            asked.target.starts_with("GET ") && (!asked.hub || !self.is_large(&asked.target))
        };
        self.asked().into_iter().filter(is_fetch).collect()
    }

    fn is_large(&self, target: &str) -> bool {
        let path = target.split(' ').nth(1).unwrap_or_default();
        self.shared.find(path).is_ok_and(|(_, file)| file.is_large)
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for address in [self.address, self.shared.elsewhere] {
            // Wakes the acceptor; if that fails it has ended already.
            let _ = TcpStream::connect(address);
        }
        for acceptor in self.acceptors.drain(..) {
            // A panic in it has been printed.
            let _ = acceptor.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, is_hub: bool, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    for stream in listener.incoming() {
        if shared.is_stopping() {
            break;
        }
        let Ok(mut stream) = stream else { continue };
        let shared = Arc::clone(shared);
        threads.push(thread::spawn(move || {
            // An error means that the peer has gone.
            let _ = serve(&mut stream, is_hub, &shared);
        }));
    }
    for thread in threads {
        let _ = thread.join();
    }
}

fn serve(stream: &mut TcpStream, is_hub: bool, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some(asked) = read_request(stream, is_hub)? else { return Ok(()) };
    lock(&shared.asked).push(asked.clone());
    let answer = if shared.is_busy() {
        shared.busy()
    } else if is_hub {
        shared.as_hub(&asked)
    } else {
        shared.as_elsewhere(&asked)
    };
    answer.write(stream, &asked, shared)
}

/// Reads one request; `None`: there came none.
fn read_request(stream: &mut TcpStream, hub: bool) -> io::Result<Option<Asked>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut part = [0; 4096];
        let count = stream.read(&mut part)?;
        bytes.extend_from_slice(&part[..count]);
        if count == 0 || bytes.len() > LARGEST_REQUEST {
            return Ok(None);
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let complete = head.parse(&bytes).is_ok_and(|status| status.is_complete());
    let field = |name: &str| {
        let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(header.value).into_owned())
    };
    Ok(complete.then(|| Asked {
        hub,
        target: format!("{} {}", head.method.unwrap_or_default(), head.path.unwrap_or_default()),
        authorization: field("authorization"),
        range: field("range"),
    }))
}

/// An answer to be.
struct Answer {
    status: u16,
    headers: Vec<String>,
    body: Vec<u8>,
    /// Whether the body is a file's, to which faults may happen.
    is_file: bool,
}

impl Answer {
    fn without_body(status: u16, headers: Vec<String>) -> Self {
        Self { status, headers, body: Vec::new(), is_file: false }
    }

    fn write(self, stream: &mut TcpStream, asked: &Asked, shared: &Shared) -> io::Result<()> {
        let (content_length, mut body) = (self.body.len(), &self.body[..]);
        let mut head = format!(
            "HTTP/1.1 {} Whatever\r\nConnection: close\r\nContent-Length: {content_length}\r\n",
            self.status
        );
        for header in &self.headers {
            head.push_str(&format!("{header}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        if asked.target.starts_with("HEAD ") {
            return Ok(());
        }
        let stop = if self.is_file { shared.stop_after() } else { None };
        if let Some((most, _)) = stop {
            body = &body[..most.min(body.len())];
        }
        shared.send(stream, body)?;
        if let Some((_, true)) = stop {
            shared.hang(stream);
        }
        Ok(())
    }
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn fault(&self) -> MutexGuard<'_, Option<Fault>> {
        lock(&self.fault)
    }

    fn is(&self, fault: &Fault) -> bool {
        self.fault().as_ref() == Some(fault)
    }

    /// Whether to be busy once more.
    fn is_busy(&self) -> bool {
        match &mut *self.fault() {
            Some(Fault::Busy(times, _)) if *times > 0 => {
                *times -= 1;
                true
            }
            _ => false,
        }
    }

    fn busy(&self) -> Answer {
        let seconds = match &*self.fault() {
            Some(Fault::Busy(_, seconds)) => *seconds,
            _ => 0,
        };
        Answer::without_body(503, vec![format!("Retry-After: {seconds}")])
    }

    /// After how many bytes of a file to stop, and whether to hang then.
    fn stop_after(&self) -> Option<(usize, bool)> {
        let mut fault = self.fault();
        let (bytes, times, hangs) = match &mut *fault {
            Some(Fault::Cut(bytes, times)) => (*bytes, times, false),
            Some(Fault::Hang(bytes, times)) => (*bytes, times, true),
            _ => return None,
        };
        *times = times.checked_sub(1)?;
        Some((bytes, hangs))
    }

    fn send(&self, stream: &mut TcpStream, body: &[u8]) -> io::Result<()> {
        let pause = match &*self.fault() {
            Some(Fault::Slow(ms)) => Some(Duration::from_millis(*ms)),
            _ => None,
        };
        let Some(pause) = pause else { return stream.write_all(body) };
        for part in body.chunks(body.len().div_ceil(100).max(1)) {
            stream.write_all(part)?;
            thread::sleep(pause);
        }
        Ok(())
    }

    /// Says nothing until the peer has gone or the hub stops.
    fn hang(&self, stream: &TcpStream) {
        if stream.set_read_timeout(Some(NOTICE)).is_err() {
            return;
        }
        while !self.is_stopping() && !matches!(stream.peek(&mut [0]), Ok(0)) {
            thread::sleep(NOTICE);
        }
    }

    /// The commit and the file at a path, or the status and the code of the refusal.
    fn find(&self, path: &str) -> Result<(String, &HubFile), (u16, &'static str)> {
        let parts = path.strip_prefix("/datasets/").and_then(|rest| rest.split_once("/resolve/"));
        let (id, rest) = parts.ok_or((404, "RepoNotFound"))?;
        let (revision, file) = rest.split_once('/').ok_or((404, "EntryNotFound"))?;
        let revision = revision.replace("%2F", "/");
        let repository = self
            .repositories
            .iter()
            .find(|repository| repository.id == id)
            .ok_or((401, "RepoNotFound"))?;
        let commit = repository.branches.get(&revision).unwrap_or(&revision);
        let files = repository.commits.get(commit).ok_or((404, "RevisionNotFound"))?;
        let file = files.get(file).ok_or((404, "EntryNotFound"))?;
        Ok((commit.clone(), file))
    }

    fn as_hub(&self, asked: &Asked) -> Answer {
        let path = asked.target.split(' ').nth(1).unwrap_or_default();
        if let Some(Fault::Refuse(status, code)) = &*self.fault() {
            let code = code.map(|code| format!("X-Error-Code: {code}"));
            return Answer::without_body(*status, code.into_iter().collect());
        }
        if self.is(&Fault::Circle) {
            return Answer::without_body(307, vec![format!("Location: {path}")]);
        }
        if self.is(&Fault::OwnRedirect) && !path.starts_with("/own/") {
            return Answer::without_body(307, vec![format!("Location: /own{path}")]);
        }
        let is_known = self.token.is_none()
            || asked.authorization == self.token.as_ref().map(|token| format!("Bearer {token}"));
        let path = path.strip_prefix("/own").unwrap_or(path);
        match self.find(path) {
            _ if !is_known => {
                let status = if asked.authorization.is_some() { 403 } else { 401 };
                Answer::without_body(status, vec!["X-Error-Code: GatedRepo".to_owned()])
            }
            Err((status, code)) => {
                Answer::without_body(status, vec![format!("X-Error-Code: {code}")])
            }
            Ok((commit, file)) => self.file(&commit, file, asked),
        }
    }

    fn file(&self, commit: &str, file: &HubFile, asked: &Asked) -> Answer {
        let etag = if self.is(&Fault::PathAsEtag) { "../../x".to_owned() } else { file.etag() };
        let mut headers = Vec::new();
        if !self.is(&Fault::NoCommit) {
            headers.push(format!("X-Repo-Commit: {commit}"));
        }
        if !file.is_large {
            headers.push(format!("ETag: \"{etag}\""));
            return self.bytes(&file.content, headers, asked);
        }
        let size = match &*self.fault() {
            Some(Fault::Size(size)) => *size,
            _ => file.content.len() as u64,
        };
        headers.push(format!("X-Linked-Etag: \"{etag}\""));
        headers.push(format!("X-Linked-Size: {size}"));
        headers.push(format!("Location: http://{}/{}?signature=x", self.elsewhere, file.etag()));
        Answer::without_body(302, headers)
    }

    fn as_elsewhere(&self, asked: &Asked) -> Answer {
        let path = asked.target.split(" /").nth(1).unwrap_or_default();
        let wanted = path.split('?').next().unwrap_or_default();
        let mut files = self
            .repositories
            .iter()
            .flat_map(|repository| repository.commits.values().flat_map(BTreeMap::values));
        match files.find(|file| file.etag() == wanted) {
            Some(file) => self.bytes(&file.content, Vec::new(), asked),
            None => Answer::without_body(404, Vec::new()),
        }
    }

    /// A file's bytes, from where they were asked for.
    fn bytes(&self, content: &[u8], mut headers: Vec<String>, asked: &Asked) -> Answer {
        let mut content = content.to_vec();
        match &*self.fault() {
            Some(Fault::Short) => content.truncate(content.len() / 2),
            Some(Fault::Long) => content.extend_from_slice(b"more"),
            Some(Fault::Other) => content.iter_mut().for_each(|byte| *byte ^= 1),
            _ => {}
        }
        let start = asked
            .range
            .as_deref()
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
            .filter(|_| !self.is(&Fault::NoRange));
        let Some(start) = start else {
            return Answer { status: 200, headers, body: content, is_file: true };
        };
        let start: usize = if self.is(&Fault::WrongRange) { start / 2 } else { start };
        let whole = content.len();
        if start >= whole {
            return Answer::without_body(416, vec![format!("Content-Range: bytes */{whole}")]);
        }
        headers.push(format!("Content-Range: bytes {start}-{}/{whole}", whole - 1));
        Answer { status: 206, headers, body: content.split_off(start), is_file: true }
    }
}
