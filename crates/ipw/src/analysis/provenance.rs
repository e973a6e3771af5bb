//! Where a run's numbers come from, in words: what must be said with them wherever they are quoted.

use super::accuracy::AccuracySummary;
use super::words::{percent, printable, significant};
use crate::results::{RunStatus, Summary};

/// Digits that are kept of a hash.
const HASH_DIGITS: usize = 12;

/// The hardware whose energy is counted: `2 × NVIDIA H100 80GB HBM3`.
#[must_use]
pub fn hardware(summary: &Summary) -> String {
    let hardware = &summary.hardware;
    match (&hardware.gpu_name, hardware.gpu_count) {
        (Some(name), 0 | 1) if !name.is_empty() => name.clone(),
        (Some(name), boards) if !name.is_empty() => format!("{boards} × {name}"),
        _ => hardware.cpu_brand.clone().unwrap_or_else(|| summary.hardware_label.clone()),
    }
}

/// The inference server with its version, if it says what it is: `vllm 0.11.0`.
#[must_use]
pub fn server(summary: &Summary) -> Option<String> {
    let info = &summary.client_info;
    let name = info.server.as_deref().filter(|name| !name.is_empty())?;
    Some(match &info.version {
        Some(version) => format!("{name} {version}"),
        None => name.to_owned(),
    })
}

/// Energy basis and method: `gpu, counter (fit)`.
///
/// # Errors
/// Why there is no energy.
pub fn energy(summary: &Summary) -> Result<String, &str> {
    let energy = &summary.energy;
    let basis = energy.basis.as_ref().ok_or(energy.status.as_str())?;
    Ok(match (energy.method.as_deref(), energy.estimator.as_deref()) {
        (Some("counter"), Some(estimator)) => format!("{basis}, counter ({estimator})"),
        (Some(method), _) => format!("{basis}, {method}"),
        (None, _) => basis.clone(),
    })
}

/// The headline in one line that can stand alone: what was run on what, IPJ and accuracy with their 95 %
/// intervals, where the energy comes from and how much of it is known, and the program's version.
#[must_use]
pub fn citation(summary: &Summary, accuracy: &AccuracySummary) -> String {
    let parts = [
        Some(subject(summary)),
        Some(format!("dataset {} ({})", summary.dataset, short(&summary.dataset_revision))),
        Some(intelligence(summary, accuracy)),
        accuracy_of(accuracy),
        Some(energy_of(summary, accuracy)),
        (summary.status != RunStatus::Complete).then(|| "the run is not complete".to_owned()),
        summary.versions.get("ipw").map(|version| format!("ipw {version}")),
    ];
    printable(&parts.into_iter().flatten().collect::<Vec<String>>().join("; "))
}

/// A revision that is a hash, with as much of it as tells it from others.
fn short(revision: &str) -> &str {
    let hash = revision.rsplit(':').next().unwrap_or(revision);
    let is_hash = hash.len() >= 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { &revision[..revision.len() - hash.len() + HASH_DIGITS] } else { revision }
}

fn subject(summary: &Summary) -> String {
    let quantization = summary.client_info.quantization.as_ref();
    let quantization = quantization.map(|name| format!(" ({name})")).unwrap_or_default();
    let server = server(summary).map(|server| format!(", {server}")).unwrap_or_default();
    let at_once = summary.profiler_config.get("concurrency").and_then(serde_json::Value::as_u64);
    let at_once = at_once.filter(|queries| *queries > 1);
    let at_once = at_once.map(|queries| format!(", {queries} at once")).unwrap_or_default();
    format!("{}{quantization} on {}{server}{at_once}", summary.model, hardware(summary))
}

fn intelligence(summary: &Summary, accuracy: &AccuracySummary) -> String {
    let Some(value) = accuracy.intelligence_per_joule else {
        return "IPJ not known".to_owned();
    };
    let interval = accuracy.intelligence_per_joule_ci95.map_or_else(String::new, |[low, high]| {
        format!(" [{}, {}]", significant(low), significant(high))
    });
    let mark = summary.mark().map(|mark| format!(" {mark}")).unwrap_or_default();
    format!("IPJ {}{interval} per joule{mark}", significant(value))
}

fn accuracy_of(accuracy: &AccuracySummary) -> Option<String> {
    let interval = accuracy.accuracy_ci95.map_or_else(String::new, |[low, high]| {
        format!(" [{:.1}, {:.1}]", 100.0 * low, 100.0 * high)
    });
    Some(format!("accuracy {}{interval}", percent(accuracy.accuracy?)))
}

fn energy_of(summary: &Summary, accuracy: &AccuracySummary) -> String {
    let source = match energy(summary) {
        Ok(source) => source,
        Err(reason) => return format!("energy not measured ({reason})"),
    };
    let observed = summary.energy.coverage;
    let observed = observed.map(|share| format!(", {} of their time observed", percent(share)));
    format!(
        "energy {source}, of {} of {} scored queries{}",
        accuracy.energy_sample_count,
        accuracy.total_scored,
        observed.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_cut_and_another_revision_is_not() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(short(&format!("sha256:{hash}")), "sha256:0123456789ab");
        assert_eq!(short(hash), "0123456789ab");
        assert_eq!(
            short("v1.2-with-a-name-that-is-longer-than-forty-letters"),
            "v1.2-with-a-name-that-is-longer-than-forty-letters"
        );
    }
}
