//! Files of datasets on the HuggingFace hub, fetched once and kept where the hub's own tools keep them.
//!
//! Answers: where a file of a revision is on this machine, and which commit it is of. What is there is
//! used without network where the revision is a commit, offline mode is set, or the hub can't be asked.
//! It does not know what is in a file. Sizes are bytes.

use std::path::PathBuf;
use std::time::Duration;

use super::Event;
use crate::telemetry::Backoff;

mod cache;
mod download;
mod error;
mod http;
mod settings;

pub use error::HubError;
pub use settings::HubSettings;

use cache::Cache;
use http::{Http, Metadata};

/// How often something is tried anew while nothing comes of it.
const TRIES: u32 = 4;
/// The longest `Retry-After` that is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Where one hears what is done.
type Events<'a> = &'a (dyn Fn(Event) + Send + Sync);

/// A file of a dataset.
#[derive(Debug, Clone, Copy)]
pub(super) struct HubFile<'a> {
    /// `organisation/name`.
    pub(super) repo: &'a str,
    /// In the repository.
    pub(super) path: &'a str,
    /// A branch, a tag or a commit.
    pub(super) revision: &'a str,
}

/// A file that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) path: PathBuf,
    /// What it is of.
    pub(super) commit: String,
}

/// The file, from the cache or from the hub.
///
/// # Errors
/// See [`HubError`].
pub(super) async fn fetch(
    file: &HubFile<'_>,
    settings: &HubSettings,
    events: Events<'_>,
) -> Result<Fetched, HubError> {
    if !cache::is_revision(file.revision) {
        return Err(HubError::BadRevision(file.revision.to_owned()));
    }
    let cache = Cache::of(&settings.cache, file.repo);
    let cached = cache.find(file);
    match cached {
        // A commit never changes.
        Some(found) if settings.offline || cache::is_commit(file.revision) => Ok(found),
        None if settings.offline => Err(HubError::NotCached {
            repo: file.repo.to_owned(),
            path: file.path.to_owned(),
            revision: file.revision.to_owned(),
            cache: settings.cache.clone(),
        }),
        // No time is lost with a hub that can't be asked now.
        Some(found) => match ask(file, settings, &cache, Patience::none(), events).await {
            Err(error) if error.allows_cached() => {
                events(Event::Warning(format!(
                    "{} is taken from the cache as it was there before: {error}",
                    file.repo
                )));
                Ok(found)
            }
            asked => asked,
        },
        None => ask(file, settings, &cache, Patience::new(), events).await,
    }
}

/// The file as the hub has it now, fetched unless it is here.
async fn ask(
    file: &HubFile<'_>,
    settings: &HubSettings,
    cache: &Cache,
    mut patience: Patience,
    events: Events<'_>,
) -> Result<Fetched, HubError> {
    let http = Http::new(settings, events)?;
    let metadata = loop {
        match http.head(file).await {
            Ok(metadata) => break metadata,
            Err(error) => patience.wait_after(error).await?,
        }
    };
    let Metadata { commit, etag, .. } = &metadata;
    let path = cache.snapshot(commit, file.path);
    if path.is_file() {
        // The cache may be one that we can only read; then the next time asks again.
        let _ = cache.remember(file.revision, commit);
        return Ok(Fetched { path, commit: commit.clone() });
    }
    cache.prepare()?;
    let waiting = || {
        events(Event::Waiting(format!("waiting for another process that fetches {}", file.repo)));
    };
    let _lock = cache.lock(etag, waiting).await?;
    if !cache.blob(etag).is_file() {
        download::download(&http, file, &metadata, cache, events).await?;
    }
    cache.remember(file.revision, commit)?;
    let path = cache.link(etag, commit, file.path)?;
    Ok(Fetched { path, commit: commit.clone() })
}

/// How long to go on trying.
struct Patience {
    delays: Backoff,
    left: u32,
}

impl Patience {
    fn new() -> Self {
        let delays = Backoff::new(Duration::from_millis(500), Duration::from_secs(8));
        Self { delays, left: TRIES }
    }

    /// For one try.
    fn none() -> Self {
        Self { left: 0, ..Self::new() }
    }

    /// Waits before another try; the error again if there is to be none.
    async fn wait_after(&mut self, error: HubError) -> Result<(), HubError> {
        let away = error.retry_after().is_some_and(|wait| wait > LONGEST_WAIT);
        if !error.is_transient() || self.left == 0 || away {
            return Err(error);
        }
        self.left -= 1;
        let delay = error.retry_after().or_else(|| self.delays.next());
        tokio::time::sleep(delay.unwrap_or_default()).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn busy(retry_after: Option<u64>) -> HubError {
        let retry_after = retry_after.map(Duration::from_secs);
        HubError::Unavailable { host: "h".to_owned(), status: 503, retry_after }
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_so_often_and_all_else_not_at_all() {
        let mut patience = Patience::new();
        for _ in 0..TRIES {
            patience.wait_after(busy(Some(0))).await.unwrap();
        }
        assert!(patience.wait_after(busy(Some(0))).await.is_err());
        assert!(Patience::none().wait_after(busy(Some(0))).await.is_err());
        assert!(Patience::new().wait_after(HubError::BadToken).await.is_err());
    }

    #[tokio::test]
    async fn a_wait_that_the_hub_asks_for_is_kept_unless_it_is_too_long() {
        let before = Instant::now();
        Patience::new().wait_after(busy(Some(1))).await.unwrap();
        assert!(before.elapsed() >= Duration::from_secs(1));
        assert!(Patience::new().wait_after(busy(Some(61))).await.is_err());
    }

    #[tokio::test]
    async fn what_is_not_here_offline_is_explained() {
        let file = HubFile { repo: "a/b", path: "x.csv", revision: "main" };
        let settings = HubSettings::offline_in("/nonexistent");
        let error = fetch(&file, &settings, &|_| {}).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "a/b (revision `main`) is not in /nonexistent, and HF_HUB_OFFLINE is set; unset it once \
             to download x.csv, or point HF_HUB_CACHE to where it is"
        );
        let file = HubFile { revision: "../x", ..file };
        let error = fetch(&file, &settings, &|_| {}).await.unwrap_err();
        assert!(matches!(error, HubError::BadRevision(_)));
    }
}
