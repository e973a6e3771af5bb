//! The bytes of a file: fetched into `ETAG.incomplete`, gone on with where an earlier try stopped,
//! checked, and then given their name.
//!
//! Every length that is told is held against the others, and the bytes against their hash where the etag
//! is one. What contradicts itself leaves nothing behind.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode, Url};
use sha2::{Digest, Sha256};

use super::cache::Cache;
use super::http::{Http, Metadata, host, silent, untrue};
use super::{Events, HubError, HubFile, Patience};
use crate::client::root_cause;
use crate::dataset::rows::LARGEST_FILE;
use crate::dataset::{Event, add_to_hash, revision_of};

/// Fetches a file's bytes into the cache.
pub(super) async fn download(
    http: &Http,
    file: &HubFile<'_>,
    metadata: &Metadata,
    cache: &Cache,
    events: Events<'_>,
) -> Result<(), HubError> {
    let path = cache.incomplete(&metadata.etag);
    let mut part = Part::open(&path, metadata.size)?;
    let name = file.path.rsplit('/').next().unwrap_or(file.path);
    let tell = |bytes: u64| {
        events(Event::Download { file: name.to_owned(), bytes, total: metadata.size });
    };
    let fetched = fetch(http, file, metadata, &mut part, &tell).await;
    let checked = fetched.and_then(|url| part.check(&url, metadata));
    if checked.as_ref().is_err_and(HubError::spoils_download) {
        // If it can't be removed, the next try finds that it is wrong.
        let _ = fs::remove_file(&path);
    }
    checked?;
    let blob = cache.blob(&metadata.etag);
    fs::rename(&path, &blob).map_err(HubError::cache("write", &blob))
}

/// Goes on until all is here; gives where the last of it came from.
async fn fetch(
    http: &Http,
    file: &HubFile<'_>,
    metadata: &Metadata,
    part: &mut Part,
    tell: &(dyn Fn(u64) + Send + Sync),
) -> Result<Url, HubError> {
    let mut patience = Patience::new();
    loop {
        let before = part.length;
        tell(before);
        let error = match http.get(file, &metadata.commit, before).await {
            Ok(response) => {
                let url = response.url().clone();
                match part.take(response, http, tell).await {
                    Ok(()) => return Ok(url),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        // A line that breaks now and then still brings the file here.
        if part.length > before {
            patience = Patience::new();
        }
        patience.wait_after(error).await?;
    }
}

/// What is here of a file.
struct Part {
    file: File,
    path: PathBuf,
    length: u64,
    /// How many bytes there should be, if known.
    whole: Option<u64>,
}

impl Part {
    /// What an earlier try left, or nothing.
    fn open(path: &Path, whole: Option<u64>) -> Result<Self, HubError> {
        let failed = HubError::cache("write", path);
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(path)
            .map_err(&failed)?;
        let length = file.seek(SeekFrom::End(0)).map_err(&failed)?;
        let mut part = Self { file, path: path.to_owned(), length, whole };
        // All of it or more can't be gone on with, and without the whole length nothing can.
        if whole.is_none_or(|whole| length >= whole) {
            part.start_over()?;
        }
        Ok(part)
    }

    fn start_over(&mut self) -> Result<(), HubError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(HubError::cache("write", &self.path))?;
        self.length = 0;
        Ok(())
    }

    /// Appends an answer's bytes as they come.
    async fn take(
        &mut self,
        mut response: Response,
        http: &Http,
        tell: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), HubError> {
        self.prepare_for(&response)?;
        let url = response.url().clone();
        loop {
            let bytes = match tokio::time::timeout(http.stall, response.chunk()).await {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(Ok(None)) => return self.ended(&url),
                Ok(Err(error)) => {
                    return Err(HubError::Broken { host: host(&url), reason: root_cause(&error) });
                }
                Err(_) => return Err(silent(&url, http.stall)),
            };
            self.length += bytes.len() as u64;
            if self.length > self.whole.unwrap_or(LARGEST_FILE) {
                return Err(untrue(&url, "sends more bytes than it said"));
            }
            self.file.write_all(&bytes).map_err(HubError::cache("write", &self.path))?;
            tell(self.length);
        }
    }

    /// Holds what an answer says of itself against what is known.
    fn prepare_for(&mut self, response: &Response) -> Result<(), HubError> {
        let url = response.url();
        match response.status() {
            StatusCode::PARTIAL_CONTENT => self.check_range(response)?,
            // It has no bytes from there on: then what is here isn't the start of them.
            StatusCode::RANGE_NOT_SATISFIABLE => {
                self.start_over()?;
                let reason = "it has no such range".to_owned();
                return Err(HubError::Broken { host: host(url), reason });
            }
            _ => self.start_over()?,
        }
        if let (Some(whole), Some(rest)) = (self.whole, response.content_length())
            && self.length.saturating_add(rest) != whole
        {
            return Err(untrue(
                url,
                format!(
                    "says {whole} bytes at first and {} then",
                    self.length.saturating_add(rest)
                ),
            ));
        }
        Ok(())
    }

    fn check_range(&self, response: &Response) -> Result<(), HubError> {
        let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let parsed = range.and_then(|range| {
            let (span, whole) = range.trim().strip_prefix("bytes ")?.split_once('/')?;
            let (start, _) = span.split_once('-')?;
            Some((start.parse::<u64>().ok()?, whole.parse::<u64>().ok()))
        });
        match parsed {
            Some((start, whole))
                if start == self.length && (whole.is_none() || whole == self.whole) =>
            {
                Ok(())
            }
            _ => Err(untrue(response.url(), "sends another part than the one asked for")),
        }
    }

    /// An answer came to its end by HTTP's rules.
    fn ended(&self, url: &Url) -> Result<(), HubError> {
        match self.whole {
            Some(whole) if self.length < whole => {
                Err(untrue(url, format!("sends {} of the {whole} bytes it said", self.length)))
            }
            _ => Ok(()),
        }
    }

    /// Holds the bytes against the etag where that is their hash, as it is of large files.
    fn check(&mut self, url: &Url, metadata: &Metadata) -> Result<(), HubError> {
        self.file.sync_data().map_err(HubError::cache("write", &self.path))?;
        let is_hash =
            metadata.etag.len() == 64 && metadata.etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash {
            return Ok(());
        }
        let hash = self.hash().map_err(HubError::cache("read", &self.path))?;
        if hash.strip_prefix("sha256:") == Some(&metadata.etag) {
            return Ok(());
        }
        Err(untrue(url, "sends other bytes than those that the hub has (their hash is wrong)"))
    }

    fn hash(&mut self) -> io::Result<String> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut hash = Sha256::new();
        add_to_hash(&mut self.file, &mut hash)?;
        Ok(revision_of(hash))
    }
}
