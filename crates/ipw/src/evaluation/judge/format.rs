//! How the form of a reply is asked for: as strictly as the server takes it. Pure.

use serde_json::{Value, json};

use super::schema;
use crate::client::Reply;

/// Words by which a refusal names the field.
const NAMES: [&str; 3] = ["response_format", "json_schema", "json_object"];

/// What stands in `response_format`, the strictest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// The schema of a verdict.
    Schema = 0,
    /// Any JSON object.
    Object = 1,
    /// Nothing: the words of the request have to do.
    Unsupported = 2,
}

impl Format {
    /// The one of this number.
    pub(super) fn of(number: u8) -> Self {
        match number {
            0 => Self::Schema,
            1 => Self::Object,
            _ => Self::Unsupported,
        }
    }

    /// The value of the field; `None`: it isn't sent.
    pub(super) fn field(self) -> Option<Value> {
        match self {
            Self::Schema => Some(json!({
                "type": "json_schema",
                "json_schema": {"name": "verdict", "strict": true, "schema": schema()},
            })),
            Self::Object => Some(json!({"type": "json_object"})),
            Self::Unsupported => None,
        }
    }

    /// What to ask for instead, if the server refused the request for this.
    pub(super) fn after(self, refusal: &Reply) -> Option<Self> {
        // 422 is what servers say that check requests against a schema of their own.
        if !matches!(refusal.status, 400 | 422) || !names_field(refusal) {
            return None;
        }
        match self {
            Self::Schema => Some(Self::Object),
            Self::Object => Some(Self::Unsupported),
            Self::Unsupported => None,
        }
    }
}

fn names_field(refusal: &Reply) -> bool {
    let json = refusal.json();
    let param = json.as_ref().and_then(|json| json.pointer("/error/param")?.as_str());
    let message = refusal.message();
    [param, Some(&message)]
        .into_iter()
        .flatten()
        .any(|words| NAMES.iter().any(|name| words.contains(name)))
}
