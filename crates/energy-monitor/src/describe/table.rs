//! The sensors as a table for people, and what can be done about those that aren't read.

use std::time::Duration;

use comfy_table::{Table, presets};
use energy_proto::{SensorInfo, Status};

use crate::discover::Discovery;

/// The text of `--describe`.
pub(super) fn of(found: &Discovery) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["id", "kind", "name", "source", "moves", "step", "read", "limit", "status"]);
    for info in &found.sensors {
        table.add_row([
            info.id.to_string(),
            info.kind.to_string(),
            info.name.clone(),
            info.source.clone(),
            moves(info),
            info.quantum_microjoules.map_or_else(String::new, step),
            info.read_latency_p50.map_or_else(String::new, short),
            info.power_limit.map_or_else(String::new, |limit| limit.to_string()),
            info.status.as_str().to_owned(),
        ]);
    }
    let mut text = format!("{}\n\nplatform: {}\n", table.trim_fmt(), found.platform);
    for info in &found.sensors {
        text += &details(info);
    }
    for skipped in &found.skipped {
        text += &line(&format!("{} not used", skipped.source), &skipped.reason, &skipped.remedy);
    }
    text
}

/// How often the value moves: `100.2 ms`, or in brackets where that is documented and not seen here.
fn moves(info: &SensorInfo) -> String {
    match info.update_period {
        Some(period) if info.characterized => short(period),
        Some(period) => format!("({})", short(period)),
        None => String::new(),
    }
}

fn step(microjoules: u64) -> String {
    match microjoules {
        0..1_000 => format!("{microjoules} uJ"),
        1_000..1_000_000 => format!("{} mJ", microjoules as f64 / 1e3),
        _ => format!("{} J", microjoules as f64 / 1e6),
    }
}

/// A time in three digits.
fn short(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..9.95 => format!("{micros:.1} us"),
        ..999.5 => format!("{micros:.0} us"),
        ..99_950.0 => format!("{:.2} ms", micros / 1e3),
        ..999_500.0 => format!("{:.1} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

fn details(info: &SensorInfo) -> String {
    let mut text = format!("{}: {}", info.id, info.measures.join(" "));
    if let Some(error) = info.gain_error_pct {
        text += &format!("; off by up to {error} %");
    }
    if !info.note.is_empty() {
        text += &format!("; {}", info.note);
    }
    text += &format!("; {}\n", info.uuid);
    if info.status != Status::Ok {
        text += &line(&info.name, info.status.as_str(), &info.remedy);
    }
    text
}

fn line(what: &str, why: &str, remedy: &str) -> String {
    let arrow = if remedy.is_empty() { "" } else { "\n    -> " };
    format!("{what}: {why}{arrow}{remedy}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy_proto::{SensorKind, SkippedSource, Watts};

    #[test]
    fn each_sensor_has_its_line_and_what_can_be_done_stands_below() {
        let gpu = SensorInfo {
            name: "FAKE H100".to_owned(),
            uuid: "GPU-1".to_owned(),
            measures: vec!["energy".to_owned(), "power".to_owned()],
            update_period: Some(Duration::from_micros(100_240)),
            quantum_microjoules: Some(1_000),
            read_latency_p50: Some(Duration::from_nanos(2_340)),
            characterized: true,
            gain_error_pct: Some(5.0),
            power_limit: Some(Watts(700.0)),
            ..SensorInfo::new(0, SensorKind::Gpu, "nvml")
        };
        let package = SensorInfo {
            name: "package-0".to_owned(),
            update_period: Some(Duration::from_micros(976)),
            status: Status::PermissionDenied,
            remedy: "run `sudo x`".to_owned(),
            ..SensorInfo::new(1, SensorKind::CpuPackage, "rapl_powercap")
        };
        let skipped = SkippedSource {
            source: "hwmon".to_owned(),
            reason: "no card".to_owned(),
            remedy: String::new(),
        };
        let text = of(&Discovery {
            lanes: Vec::new(),
            sensors: vec![gpu, package],
            skipped: vec![skipped],
            denied: Vec::new(),
            gpu_info: None,
            platform: "nvidia",
        });
        for part in [
            "100.2 ms",
            "1 mJ",
            "2.3 us",
            "700 W",
            "(976 us)",
            "0: energy power; off by up to 5 %; GPU-1",
            "package-0: permission_denied\n    -> run `sudo x`",
            "hwmon not used: no card\n",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }

    #[test]
    fn times_and_steps_have_a_unit_that_suits_them() {
        let times = [
            (2_340, "2.3 us"),
            (976_000, "976 us"),
            (9_400_000, "9.40 ms"),
            (1_500_000_000, "1.50 s"),
        ];
        for (nanos, text) in times {
            assert_eq!(short(Duration::from_nanos(nanos)), text);
        }
        assert_eq!([step(61), step(1_000), step(2_500_000)], ["61 uJ", "1 mJ", "2.5 J"]);
    }
}
