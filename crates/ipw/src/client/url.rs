//! The server's root out of what a user types. Pure.

use reqwest::Url;

use super::ClientError;

/// The root without `/v1` and trailing slash; `localhost:8000` means plain http.
///
/// # Errors
/// What isn't an http or https URL of a host, or holds credentials, a query or a fragment.
pub(crate) fn root(given: &str, example: &str) -> Result<Url, ClientError> {
    let refuse = |reason: String| ClientError::BadUrl { reason, example: example.to_owned() };
    let given = given.trim();
    let full = if given.contains("://") { given.to_owned() } else { format!("http://{given}") };
    // The text itself may hold a password, so it isn't repeated until that is excluded.
    let mut url = Url::parse(&full).map_err(|error| refuse(error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse(
            "it holds a user name or password, which would show in the list of processes; keys \
             go into IPW_CLIENT_API_KEY, a judge's into IPW_EVAL_API_KEY"
                .to_owned(),
        ));
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse(format!("`{}` is neither http nor https", url.scheme())));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("it has a query or a fragment".to_owned()));
    }
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/v1").unwrap_or(path).trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Whether what is sent there stays on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<std::net::IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// A text that is `http://HOST:PORT` or `https://HOST:PORT` and nothing more.
pub(crate) fn origin(text: &str) -> Option<Url> {
    let is_origin = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && !text.contains([',', '@'])
    };
    Url::parse(text).ok().filter(is_origin)
}

/// Whether what is sent there leaves this machine, and for all to read.
pub(crate) fn is_in_the_clear(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| url.scheme() != "https" && !is_loopback(&url))
}

/// The root as text, to put paths behind.
pub(crate) fn text(root: &Url) -> String {
    root.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(given: &str) -> Result<String, String> {
        root(given, "http://localhost:8000")
            .map(|url| text(&url))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_way_to_write_a_root_gives_the_same() {
        for given in [
            "http://localhost:8000",
            "http://localhost:8000/",
            "http://localhost:8000/v1",
            "http://localhost:8000/v1/",
            " localhost:8000 ",
            "localhost:8000/v1//",
            "HTTP://LOCALHOST:8000",
        ] {
            assert_eq!(normal(given).as_deref(), Ok("http://localhost:8000"), "{given}");
        }
        assert_eq!(normal("https://a.example/api/v1").as_deref(), Ok("https://a.example/api"));
        assert_eq!(normal("[::1]:8000").as_deref(), Ok("http://[::1]:8000"));
    }

    #[test]
    fn what_is_no_root_is_refused_without_repeating_a_password() {
        for given in
            ["", "ftp://a", "http://", "http://a?x=1", "http://a/#b", "a b", "http://a:99999"]
        {
            assert!(normal(given).is_err(), "{given}");
        }
        for given in ["http://me:hunter2@a", "me:hunter2@a:80", "http://hunter2@a"] {
            let error = normal(given).unwrap_err();
            assert!(error.contains("IPW_CLIENT_API_KEY") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn loopback_is_told_from_what_only_looks_like_it() {
        let loopback = |given| is_loopback(&root(given, "").unwrap());
        for given in
            ["localhost:1", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]", "a.localhost"]
        {
            assert!(loopback(given), "{given}");
        }
        for given in ["localhost.example", "10.0.0.1", "[::2]", "0.0.0.0", "127.0.0.1.example"] {
            assert!(!loopback(given), "{given}");
        }
    }
}
