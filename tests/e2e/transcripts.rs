//! The recorded streams in `transcripts/`, and what is in them.

use std::path::Path;

use serde_json::Value;

/// A recording by its file's name.
pub(crate) fn transcript(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pieces of content in a recorded event stream that aren't empty.
pub(crate) fn content_tokens(name: &str) -> Vec<String> {
    let text = transcript(name);
    let chunks = text.lines().filter_map(|line| line.strip_prefix("data: "));
    chunks
        .filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .filter_map(|chunk| {
            let content = chunk.pointer("/choices/0/delta/content")?.as_str()?.to_owned();
            (!content.is_empty()).then_some(content)
        })
        .collect()
}
