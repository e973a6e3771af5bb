//! The user's own request fields, and which of them are ours to set. Pure.

use super::{ClientConfig, ClientError};

/// A field that an option of ours sets, and whether the option was given.
pub(super) struct OptionField {
    /// The field's name in the request.
    pub(super) name: &'static str,
    /// The option that sets it.
    pub(super) option: &'static str,
    /// Whether it was given.
    pub(super) given: bool,
}

/// The options that set request fields, under the names this protocol has for them.
pub(super) fn option_fields(config: &ClientConfig, limit: &'static str) -> [OptionField; 3] {
    [
        OptionField {
            name: "temperature",
            option: "--temperature",
            given: config.temperature.is_some(),
        },
        OptionField { name: "seed", option: "--seed", given: config.seed.is_some() },
        OptionField { name: limit, option: "--max-tokens", given: config.max_tokens.is_some() },
    ]
}

/// Refuses parameters that would change what is ours, or contradict an option.
///
/// # Errors
/// The first such parameter.
pub(super) fn check(
    config: &ClientConfig,
    reserved: &[&str],
    options: &[OptionField],
) -> Result<(), ClientError> {
    for name in config.params.keys() {
        let reason = if reserved.contains(&name.as_str()) {
            "ipw sets that field itself".to_owned()
        } else if let Some(twice) = options.iter().find(|field| field.given && field.name == name) {
            format!("{} sets that field; give only one of the two", twice.option)
        } else {
            continue;
        };
        return Err(ClientError::ReservedParam { name: name.clone(), reason });
    }
    Ok(())
}
