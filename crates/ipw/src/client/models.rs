//! Names of models: whether the one asked for is there, and which come nearest. Pure.

use super::ClientError;

/// Most names in an error.
const MAX_NAMES: usize = 10;

/// Whether a server that lists `listed` means it by `wanted`: Ollama's tag defaults to `latest`.
pub(super) fn is_same(listed: &str, wanted: &str) -> bool {
    listed == wanted
        || listed.strip_suffix(":latest") == Some(wanted)
        || wanted.strip_suffix(":latest") == Some(listed)
}

/// The error of a model that isn't among those listed, with the nearest names first.
pub(super) fn missing(
    url: &str,
    model: &str,
    mut listed: Vec<String>,
    remedy: &str,
) -> ClientError {
    let total = listed.len();
    let wanted = model.to_lowercase();
    let nearness = |name: &String| strsim::jaro_winkler(&wanted, &name.to_lowercase());
    listed.sort_by(|a, b| nearness(b).total_cmp(&nearness(a)).then_with(|| a.cmp(b)));
    listed.truncate(MAX_NAMES);
    ClientError::ModelMissing {
        url: url.to_owned(),
        model: model.to_owned(),
        available: listed.iter().map(|name| super::error::quote(name)).collect(),
        total: Some(total),
        remedy: remedy.to_owned(),
    }
}

/// Tells the 404 of an unknown model from that of an unknown path: the former speaks of the model.
pub(super) fn told_from_path(
    error: ClientError,
    root: &str,
    model: &str,
    remedy: &str,
) -> ClientError {
    let words = match &error {
        // What stands before is the status and the server's name.
        ClientError::WrongServer { found, .. } => found.split_once(": ").map(|(_, words)| words),
        _ => None,
    };
    let is_missing =
        words.is_some_and(|words| words.contains(model) || words.to_lowercase().contains("model"));
    if !is_missing {
        return error;
    }
    ClientError::ModelMissing {
        url: root.to_owned(),
        model: model.to_owned(),
        available: Vec::new(),
        total: None,
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_means_the_latest() {
        assert!(is_same("llama3:latest", "llama3") && is_same("llama3", "llama3:latest"));
        assert!(is_same("llama3:8b", "llama3:8b"));
        assert!(!is_same("llama3:8b", "llama3") && !is_same("llama3.1:latest", "llama3"));
    }

    #[test]
    fn a_404_that_speaks_of_the_model_is_about_the_model() {
        let not_found = |found: &str| ClientError::WrongServer {
            url: "http://x/v1/chat/completions".to_owned(),
            expected: "",
            found: found.to_owned(),
            advice: String::new(),
        };
        let told = |found: &str| told_from_path(not_found(found), "http://x", "nope", "");
        for found in ["HTTP 404: The model `nope` does not exist.", "HTTP 404: model 'a' not found"]
        {
            assert!(matches!(told(found), ClientError::ModelMissing { .. }), "{found}");
        }
        for found in ["HTTP 404: Not Found", "HTTP 404 from `modelserver`: Not Found", "HTTP 404"] {
            assert!(matches!(told(found), ClientError::WrongServer { .. }), "{found}");
        }
    }

    #[test]
    fn the_nearest_name_comes_first_and_ten_are_enough() {
        let listed =
            (0..30).map(|index| format!("other-{index}")).chain(["Llama3.2:1b".to_owned()]);
        let ClientError::ModelMissing { available, total, .. } =
            missing("http://x", "llama3.2-1b", listed.collect(), "")
        else {
            panic!("another error")
        };
        assert_eq!((available[0].as_str(), available.len(), total), ("Llama3.2:1b", 10, Some(31)));
    }
}
