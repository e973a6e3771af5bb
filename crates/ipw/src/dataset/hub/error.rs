//! Why a file can't be had from the hub, and what to do about it. No text ever holds a token.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a file can't be had from the hub.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// `HF_ENDPOINT` is no URL.
    #[error("HF_ENDPOINT is not the URL of a hub; give it as https://HOST or http://HOST:PORT")]
    BadEndpoint,
    /// `--dataset-param revision=` can't be one.
    #[error("revision={0} can't be a revision; give a branch, a tag or a commit")]
    BadRevision(String),
    /// The token can't be put into a header.
    #[error("the token is not printable ASCII; check HF_TOKEN or log in anew")]
    BadToken,
    /// No such repository, or none for us.
    #[error(
        "the hub at {endpoint} has no dataset {repo}, or keeps it from you; check HF_ENDPOINT, and \
         HF_TOKEN if the dataset is private"
    )]
    RepoNotFound {
        /// The hub.
        endpoint: String,
        /// The dataset there.
        repo: String,
    },
    /// No such branch, tag or commit.
    #[error(
        "{repo} has no revision `{revision}`; those that it has are at {endpoint}/datasets/{repo}/commits/main"
    )]
    RevisionNotFound {
        /// The hub.
        endpoint: String,
        /// The dataset there.
        repo: String,
        /// What was asked for.
        revision: String,
    },
    /// The revision has no such file.
    #[error(
        "{repo} has no file {path} at revision `{revision}`; choose another one with \
         --dataset-param revision=..."
    )]
    EntryNotFound {
        /// The dataset.
        repo: String,
        /// The file.
        path: String,
        /// What was asked for.
        revision: String,
    },
    /// Its authors ask for an agreement first.
    #[error("{repo} is for those who accepted its terms; {}", access(endpoint, repo, *with_token))]
    Gated {
        /// The hub.
        endpoint: String,
        /// The dataset there.
        repo: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The hub doesn't know the token.
    #[error(
        "the hub at {endpoint} refuses the token; set HF_TOKEN to one from {endpoint}/settings/tokens, or unset it"
    )]
    TokenRefused {
        /// The hub.
        endpoint: String,
    },
    /// `HF_HUB_OFFLINE` is set, and the file isn't here.
    #[error(
        "{repo} (revision `{revision}`) is not in {}, and HF_HUB_OFFLINE is set; unset it once to \
         download {path}, or point HF_HUB_CACHE to where it is",
        cache.display()
    )]
    NotCached {
        /// The dataset.
        repo: String,
        /// The file.
        path: String,
        /// What was asked for.
        revision: String,
        /// The cache.
        cache: PathBuf,
    },
    /// No connection.
    #[error(
        "can't reach the hub at {host}: {reason}; check the network and proxy settings, or set \
         HF_ENDPOINT to a mirror; a file that is in the cache needs no network"
    )]
    Unreachable {
        /// Whose host.
        host: String,
        /// Why not.
        reason: String,
    },
    /// The connection broke, or fell silent.
    #[error(
        "the download from {host} broke off: {reason}; the same command goes on where it stopped"
    )]
    Broken {
        /// Whose host.
        host: String,
        /// How.
        reason: String,
    },
    /// It is overloaded, or fails.
    #[error(
        "{host} can't answer now (HTTP {status}); try again later, the same command goes on where it stopped"
    )]
    Unavailable {
        /// Whose host.
        host: String,
        /// The HTTP status.
        status: u16,
        /// When to come back, if it says.
        retry_after: Option<Duration>,
    },
    /// Any other refusal.
    #[error("{host} answers HTTP {status}, which a dataset hub doesn't; check HF_ENDPOINT")]
    Unexpected {
        /// Whose host.
        host: String,
        /// The HTTP status.
        status: u16,
    },
    /// What answers is no hub, or lies.
    #[error(
        "{host} {what}; nothing of it was kept: check HF_ENDPOINT and proxy settings, or try later"
    )]
    Untrue {
        /// Whose host.
        host: String,
        /// What it does.
        what: String,
    },
    /// No space is left.
    #[error("no space left for {}; free some, or set HF_HUB_CACHE to another disk, and start again: what is downloaded is kept", path.display())]
    DiskFull {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The cache can't be used.
    #[error("can't {action} {}: {source}; check its permissions, or set HF_HUB_CACHE to another directory", path.display())]
    Cache {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The HTTP client itself could not be set up.
    #[error(
        "can't set up an HTTP client: {0}; check the system's CA certificates and proxy settings"
    )]
    Setup(String),
}

impl HubError {
    /// Whether the same may be tried again soon.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::Unavailable { .. })
    }

    /// When the hub asks to come back.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether a file that was fetched before may be used in spite of it: the hub can't be asked, or
    /// doesn't let us see what it once gave.
    pub(super) fn allows_cached(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Broken { .. }
                | Self::Unavailable { .. }
                | Self::RepoNotFound { .. }
                | Self::Gated { .. }
                | Self::TokenRefused { .. }
        )
    }

    /// Whether what was received is worth nothing.
    pub(super) fn spoils_download(&self) -> bool {
        matches!(self, Self::Untrue { .. })
    }

    /// For what failed on a path of the cache.
    pub(super) fn cache(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Self::DiskFull { path, source }
                }
                _ => Self::Cache { action, path, source },
            }
        }
    }
}

fn access(endpoint: &str, repo: &str, with_token: bool) -> String {
    if with_token {
        format!(
            "the account of your token has no access: accept them at {endpoint}/datasets/{repo}, and \
             let the token read gated repositories"
        )
    } else {
        format!(
            "accept them at {endpoint}/datasets/{repo}, then set HF_TOKEN to a token of that account \
             (made at {endpoint}/settings/tokens)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_faults() {
        let of = |kind| HubError::cache("write", Path::new("/c/x"))(io::Error::from(kind));
        assert!(matches!(of(io::ErrorKind::StorageFull), HubError::DiskFull { .. }));
        assert!(of(io::ErrorKind::StorageFull).to_string().starts_with("no space left for /c/x"));
        let denied = of(io::ErrorKind::PermissionDenied).to_string();
        assert!(denied.starts_with("can't write /c/x: permission denied; check"), "{denied}");
    }

    #[test]
    fn a_gated_dataset_is_explained_with_and_without_a_token() {
        let of = |with_token| {
            let (endpoint, repo) = ("https://h".to_owned(), "a/b".to_owned());
            HubError::Gated { endpoint, repo, with_token }.to_string()
        };
        assert!(of(false).contains("https://h/datasets/a/b, then set HF_TOKEN"));
        assert!(of(true).contains("has no access: accept them at https://h/datasets/a/b"));
    }
}
