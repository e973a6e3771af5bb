//! Requests to a hub: what a file is (HEAD) and its bytes (GET), redirects followed here so that the
//! token goes to the hub alone.
//!
//! A redirect to another host is what the hub does with large files. The token is sent to no other origin
//! than the hub's own, and never over plain http beyond this machine.

use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue, LOCATION, RANGE,
    RETRY_AFTER,
};
use reqwest::{Method, Response, StatusCode, Url};
use secrecy::ExposeSecret;

use super::cache::{etag_name, is_commit};
use super::{Events, HubError, HubFile, HubSettings};
use crate::client::{http_client_builder, is_in_the_clear, root_cause};
use crate::dataset::Event;
use crate::dataset::rows::LARGEST_FILE;

/// For a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// More are a circle.
const MOST_REDIRECTS: usize = 5;
/// The commit that a revision is.
const COMMIT: &str = "x-repo-commit";
/// The etag of the bytes that a redirect leads to.
const LINKED_ETAG: &str = "x-linked-etag";
/// Their number.
const LINKED_SIZE: &str = "x-linked-size";
/// Why the hub refuses.
const ERROR_CODE: &str = "x-error-code";

/// What the hub says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) commit: String,
    /// The name of its bytes.
    pub(super) etag: String,
    /// How many there are, if it says.
    pub(super) size: Option<u64>,
}

/// The hub.
pub(super) struct Http {
    /// As it is shown.
    endpoint: String,
    root: Url,
    token: Option<HeaderValue>,
    /// The longest silence.
    pub(super) stall: Duration,
}

impl Http {
    /// The hub of these settings.
    pub(super) fn new(settings: &HubSettings, events: Events<'_>) -> Result<Self, HubError> {
        let endpoint = settings.endpoint.clone();
        let is_usable = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        // A password may stand in it, so it isn't repeated.
        let root = Url::parse(&endpoint).ok().filter(is_usable).ok_or(HubError::BadEndpoint)?;
        let token = match settings.token() {
            Some(_) if is_in_the_clear(root.as_str()) => {
                events(Event::Warning(format!(
                    "the token is not sent to {endpoint}, which would send it in the clear"
                )));
                None
            }
            Some(token) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
                    .map_err(|_| HubError::BadToken)?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self { endpoint, root, token, stall: settings.stall })
    }

    /// What a file is.
    pub(super) async fn head(&self, file: &HubFile<'_>) -> Result<Metadata, HubError> {
        let mut url = self.url(file, file.revision)?;
        for _ in 0..MOST_REDIRECTS {
            let response = self.send(Method::HEAD, &url, 0).await?;
            let next = redirect(&response)?;
            match next {
                // The hub says of what it redirects to all that there is to know.
                Some(next) if next.origin() != url.origin() && is_metadata(response.headers()) => {}
                Some(next) => {
                    url = next;
                    continue;
                }
                None => self.check(&response, file)?,
            }
            return metadata(&response, file);
        }
        Err(untrue(&url, "redirects in circles"))
    }

    /// The bytes of a commit's file, from the byte `from` on if the server can do that.
    pub(super) async fn get(
        &self,
        file: &HubFile<'_>,
        commit: &str,
        from: u64,
    ) -> Result<Response, HubError> {
        let mut url = self.url(file, commit)?;
        for _ in 0..MOST_REDIRECTS {
            let response = self.send(Method::GET, &url, from).await?;
            match redirect(&response)? {
                Some(next) => url = next,
                None if response.status() == StatusCode::RANGE_NOT_SATISFIABLE => {
                    return Ok(response);
                }
                // A link to bytes elsewhere that has expired, say: the hub gives another one.
                None if response.url().origin() != self.root.origin()
                    && !response.status().is_success() =>
                {
                    return Err(unavailable(&response));
                }
                None => {
                    self.check(&response, file)?;
                    return Ok(response);
                }
            }
        }
        Err(untrue(&url, "redirects in circles"))
    }

    fn url(&self, file: &HubFile<'_>, revision: &str) -> Result<Url, HubError> {
        let mut url = self.root.clone();
        url.path_segments_mut()
            .map_err(|()| HubError::BadEndpoint)?
            .pop_if_empty()
            .push("datasets")
            .extend(file.repo.split('/'))
            .push("resolve")
            // One segment, whatever is in it: `refs/pr/1` is written `refs%2Fpr%2F1`.
            .push(revision)
            .extend(file.path.split('/'));
        Ok(url)
    }

    async fn send(&self, method: Method, url: &Url, from: u64) -> Result<Response, HubError> {
        let client = http_client_builder(url)
            .connect_timeout(CONNECT)
            .build()
            .map_err(|error| HubError::Setup(root_cause(&error)))?;
        let mut request = client.request(method, url.clone()).header(ACCEPT_ENCODING, "identity");
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(token) = self.token_for(url) {
            request = request.header(AUTHORIZATION, token.clone());
        }
        match tokio::time::timeout(self.stall, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => {
                Err(HubError::Unreachable { host: host(url), reason: root_cause(&error) })
            }
            Ok(Err(error)) => Err(HubError::Broken { host: host(url), reason: root_cause(&error) }),
            Err(_) => Err(silent(url, self.stall)),
        }
    }

    fn token_for(&self, url: &Url) -> Option<&HeaderValue> {
        self.token.as_ref().filter(|_| url.origin() == self.root.origin())
    }

    /// An error unless the answer is one.
    fn check(&self, response: &Response, file: &HubFile<'_>) -> Result<(), HubError> {
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let (endpoint, repo) = (self.endpoint.clone(), file.repo.to_owned());
        let (path, revision) = (file.path.to_owned(), file.revision.to_owned());
        let with_token = self.token.is_some();
        let host = host(response.url());
        Err(match (text(response.headers(), ERROR_CODE), status.as_u16()) {
            (Some("RepoNotFound"), _) => HubError::RepoNotFound { endpoint, repo },
            (Some("RevisionNotFound"), _) => {
                HubError::RevisionNotFound { endpoint, repo, revision }
            }
            (Some("EntryNotFound"), _) => HubError::EntryNotFound { repo, path, revision },
            (Some("GatedRepo"), _) => HubError::Gated { endpoint, repo, with_token },
            (_, 401) if with_token => HubError::TokenRefused { endpoint },
            // What isn't there and what isn't for all look alike to a stranger.
            (_, 401) => HubError::RepoNotFound { endpoint, repo },
            (_, 403) => HubError::Gated { endpoint, repo, with_token },
            (_, 408 | 429 | 500..) => unavailable(response),
            (_, status) => HubError::Unexpected { host, status },
        })
    }
}

/// Where an answer sends us; `None` if it doesn't.
fn redirect(response: &Response) -> Result<Option<Url>, HubError> {
    if !response.status().is_redirection() {
        return Ok(None);
    }
    let url = response.url();
    let next = response
        .headers()
        .get(LOCATION)
        .and_then(|location| location.to_str().ok())
        .and_then(|location| url.join(location).ok())
        .ok_or_else(|| untrue(url, "redirects to nowhere"))?;
    match (url.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => Ok(Some(next)),
        _ => Err(untrue(url, "redirects to a place that isn't encrypted")),
    }
}

fn is_metadata(headers: &HeaderMap) -> bool {
    headers.contains_key(COMMIT)
}

fn metadata(response: &Response, file: &HubFile<'_>) -> Result<Metadata, HubError> {
    let (url, headers) = (response.url(), response.headers());
    let commit = text(headers, COMMIT)
        .filter(|commit| is_commit(commit))
        .ok_or_else(|| untrue(url, "names no commit, as a dataset hub would (X-Repo-Commit)"))?;
    if is_commit(file.revision) && commit != file.revision {
        return Err(untrue(url, "has another commit than the one that was asked for"));
    }
    let etag = text(headers, LINKED_ETAG)
        .or_else(|| text(headers, ETAG.as_str()))
        .and_then(etag_name)
        .ok_or_else(|| untrue(url, "sends no usable ETag"))?;
    let own_size = if response.status().is_redirection() { None } else { Some(CONTENT_LENGTH) };
    let size = text(headers, LINKED_SIZE)
        .or_else(|| own_size.and_then(|name| text(headers, name.as_str())))
        .and_then(|size| size.parse().ok());
    if size.is_some_and(|size| size > LARGEST_FILE) {
        return Err(untrue(url, "offers a file of more than 1 GiB"));
    }
    Ok(Metadata { commit: commit.to_owned(), etag, size })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn unavailable(response: &Response) -> HubError {
    let retry_after = text(response.headers(), RETRY_AFTER.as_str())
        .and_then(|seconds| seconds.parse().ok())
        .map(Duration::from_secs);
    HubError::Unavailable {
        host: host(response.url()),
        status: response.status().as_u16(),
        retry_after,
    }
}

/// Whose host a URL is, without path and query, in which a signature may stand.
pub(super) fn host(url: &Url) -> String {
    url.origin().ascii_serialization()
}

pub(super) fn untrue(url: &Url, what: impl Into<String>) -> HubError {
    HubError::Untrue { host: host(url), what: what.into() }
}

pub(super) fn silent(url: &Url, after: Duration) -> HubError {
    let reason = format!("nothing came for {} s", after.as_secs());
    HubError::Broken { host: host(url), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    const FILE: HubFile<'_> = HubFile { repo: "a/b", path: "data/x y.csv", revision: "main" };

    fn hub(endpoint: &str, token: Option<&str>) -> Result<Http, HubError> {
        let token = token.map(|token| token.to_owned().into());
        let mut settings = HubSettings::from_variables(token, |_| None);
        settings.endpoint = endpoint.to_owned();
        Http::new(&settings, &|_| {})
    }

    #[test]
    fn a_revision_is_one_segment_of_the_url() {
        let hub = hub("https://h/mirror", None).unwrap();
        let url = hub.url(&FILE, "refs/convert/parquet").unwrap();
        assert_eq!(
            url.as_str(),
            "https://h/mirror/datasets/a/b/resolve/refs%2Fconvert%2Fparquet/data/x%20y.csv"
        );
    }

    #[test]
    fn the_token_is_for_the_hub_alone_and_marked_as_secret() {
        let hub = hub("https://h", Some("hf_secret")).unwrap();
        let sent = |url: &str| hub.token_for(&Url::parse(url).unwrap()).is_some();
        assert!(sent("https://h/x") && sent("https://h:443/y"));
        for other in ["http://h/x", "https://h:444/x", "https://h.example/x", "https://cdn/x"] {
            assert!(!sent(other), "{other}");
        }
        assert!(!format!("{:?}", hub.token).contains("hf_secret"));
        assert!(matches!(self::hub("https://h", Some("\u{e4}\n")), Err(HubError::BadToken)));
    }

    #[test]
    fn in_the_clear_the_token_stays_here_and_that_is_said() {
        let told = Mutex::new(Vec::new());
        let mut settings =
            HubSettings::from_variables(Some("hf_secret".to_owned().into()), |_| None);
        for (endpoint, is_sent) in [("http://mirror", false), ("http://127.0.0.1:1", true)] {
            settings.endpoint = endpoint.to_owned();
            let hub = Http::new(&settings, &|event| told.lock().unwrap().push(event)).unwrap();
            assert_eq!(hub.token.is_some(), is_sent, "{endpoint}");
        }
        let told = format!("{told:?}");
        assert!(
            told.contains("not sent to http://mirror") && !told.contains("hf_secret"),
            "{told}"
        );
        assert!(!told.contains("127.0.0.1"), "{told}");
    }

    #[test]
    fn what_is_no_endpoint_is_refused_without_repeating_it() {
        for endpoint in ["", "ftp://h", "h", "https://me:hunter2@h", "https://h?token=hunter2"] {
            let error = hub(endpoint, None).err().unwrap().to_string();
            assert!(error.contains("HF_ENDPOINT") && !error.contains("hunter2"), "{error}");
        }
    }
}
