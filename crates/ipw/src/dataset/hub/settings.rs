//! Which hub there is, who we are to it, and where its files are kept: the environment variables that the
//! hub's own tools read, and nothing of our own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

/// Where datasets come from unless `HF_ENDPOINT` says otherwise.
const ENDPOINT: &str = "https://huggingface.co";
/// The longest silence in the middle of a file.
const STALL: Duration = Duration::from_secs(60);
/// A token has some forty bytes.
const LARGEST_TOKEN: u64 = 4096;

/// The hub's settings.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// Its root, without a trailing slash.
    pub(super) endpoint: String,
    /// The cache: the directory of `datasets--ORG--NAME` and the like.
    pub(super) cache: PathBuf,
    token: Option<SecretString>,
    token_file: PathBuf,
    /// Nothing may be asked over the network.
    pub(super) offline: bool,
    /// The longest silence in the middle of a file.
    pub(super) stall: Duration,
}

impl HubSettings {
    /// What the environment says: `HF_ENDPOINT`, `HF_HOME` or `XDG_CACHE_HOME`, `HF_HUB_CACHE`,
    /// `HF_TOKEN_PATH`, `HF_HUB_OFFLINE` and `HF_HUB_DOWNLOAD_TIMEOUT`. `token` is `HF_TOKEN`, which may
    /// come from elsewhere; without it the file of the hub's login is looked at when a token is needed.
    #[must_use]
    pub fn from_environment(token: Option<SecretString>) -> Self {
        Self::from_variables(token, |name| std::env::var(name).ok())
    }

    /// Only what is in this cache, as it is with `HF_HUB_OFFLINE`.
    #[must_use]
    pub fn offline_in(cache: impl Into<PathBuf>) -> Self {
        let cache = cache.into();
        Self { cache, offline: true, ..Self::from_variables(None, |_| None) }
    }

    /// The same with variables from elsewhere.
    #[must_use]
    pub fn from_variables(
        token: Option<SecretString>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let value = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let user = value("HOME").map(PathBuf::from);
        let path = |name: &str| value(name).map(|path| expanded(&path, user.as_deref()));
        let home = path("HF_HOME").unwrap_or_else(|| {
            let default = || user.clone().unwrap_or_default().join(".cache");
            path("XDG_CACHE_HOME").unwrap_or_else(default).join("huggingface")
        });
        let is_true = |name: &str| {
            let value = value(name).unwrap_or_default().to_ascii_uppercase();
            ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
        };
        let seconds = value("HF_HUB_DOWNLOAD_TIMEOUT")
            .and_then(|seconds| seconds.trim().parse().ok())
            .filter(|seconds| *seconds > 0);
        Self {
            endpoint: value("HF_ENDPOINT").map_or_else(
                || ENDPOINT.to_owned(),
                |url| url.trim().trim_end_matches('/').to_owned(),
            ),
            cache: path("HF_HUB_CACHE").unwrap_or_else(|| home.join("hub")),
            token,
            token_file: path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token")),
            offline: is_true("HF_HUB_OFFLINE"),
            stall: seconds.map_or(STALL, Duration::from_secs),
        }
    }

    /// The token, if there is one.
    pub(super) fn token(&self) -> Option<SecretString> {
        self.token.clone().or_else(|| from_file(&self.token_file))
    }
}

/// A path in which `~` is the user's home.
fn expanded(path: &str, user: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), user) {
        (Some(rest), Some(user)) => user.join(rest),
        _ => PathBuf::from(path),
    }
}

fn from_file(path: &Path) -> Option<SecretString> {
    let about = std::fs::metadata(path).ok()?;
    if !about.is_file() || about.len() > LARGEST_TOKEN {
        return None;
    }
    let text = SecretString::from(std::fs::read_to_string(path).ok()?);
    let token = secrecy::ExposeSecret::expose_secret(&text).trim();
    (!token.is_empty()).then(|| SecretString::from(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> HubSettings {
        HubSettings::from_variables(None, |name| {
            let given = variables.iter().find(|(known, _)| *known == name);
            given.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_cache_is_where_the_hubs_own_tools_have_it() {
        let home = ("HOME", "/h/me");
        for (variables, cache) in [
            (vec![home], "/h/me/.cache/huggingface/hub"),
            (vec![home, ("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (vec![home, ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/hf")], "/h/me/hf/hub"),
            (vec![home, ("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/c")], "/c"),
            (vec![home, ("HF_HOME", "/hf"), ("HF_HUB_CACHE", "")], "/hf/hub"),
        ] {
            assert_eq!(settings(&variables).cache, Path::new(cache), "{variables:?}");
        }
        assert_eq!(settings(&[("HF_HOME", "/hf")]).token_file, Path::new("/hf/token"));
        let elsewhere = settings(&[("HF_HOME", "/hf"), ("HF_TOKEN_PATH", "/t")]);
        assert_eq!(elsewhere.token_file, Path::new("/t"));
    }

    #[test]
    fn the_hub_the_mode_and_the_patience_are_read_as_they_are_written() {
        assert_eq!(settings(&[]).endpoint, "https://huggingface.co");
        assert_eq!(settings(&[("HF_ENDPOINT", "http://a:1//")]).endpoint, "http://a:1");
        for (value, offline) in
            [("1", true), ("true", true), ("On", true), ("0", false), ("", false)]
        {
            assert_eq!(settings(&[("HF_HUB_OFFLINE", value)]).offline, offline, "{value}");
        }
        let stall = |value| settings(&[("HF_HUB_DOWNLOAD_TIMEOUT", value)]).stall.as_secs();
        assert_eq!((stall("5"), stall("0"), stall("x")), (5, 60, 60));
    }

    #[test]
    fn a_token_is_the_given_one_or_that_of_the_file_and_is_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let of_file = || {
            settings(&[("HF_TOKEN_PATH", path.to_str().unwrap())])
                .token()
                .map(|token| token.expose_secret().to_owned())
        };
        assert_eq!(of_file(), None);
        std::fs::write(&path, " \n").unwrap();
        assert_eq!(of_file(), None);
        std::fs::write(&path, "hf_secret\n").unwrap();
        assert_eq!(of_file().as_deref(), Some("hf_secret"));
        let given = HubSettings::from_variables(Some("hf_given".to_owned().into()), |_| None);
        assert_eq!(given.token().unwrap().expose_secret(), "hf_given");
        assert!(!format!("{given:?}").contains("hf_given"));
    }
}
