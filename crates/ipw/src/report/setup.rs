//! What a run was made with: hardware, sensors, server, and all that was asked for.

use energy_proto::SensorInfo;
use maud::{Markup, html};

use super::parts::{Place, Section, UNKNOWN, facts, shown};
use crate::analysis::provenance;
use crate::analysis::words::{percent, significant};
use crate::results::Summary;

/// Hardware and configuration.
pub(super) fn section(summary: &Summary, place: &Place) -> Section {
    let content = html! {
        (facts(hardware(summary)))
        (sensors(summary, place))
        (skipped(summary))
        details {
            summary { "How the energy was measured" }
            div class="answer" { (facts(measured(summary))) }
        }
        details {
            summary { "All that was asked for" }
            div class="answer" { pre { (asked(summary)) } }
        }
    };
    Section { name: "setup", title: "Hardware and configuration", content }
}

fn hardware(summary: &Summary) -> Vec<(&'static str, Option<String>)> {
    let (hardware, info) = (&summary.hardware, &summary.client_info);
    let system = summary.system_info.as_ref();
    let number = |value: Option<u64>| value.map(|value| value.to_string());
    vec![
        ("Model", Some(summary.model.clone())),
        ("Parameters", number(info.parameter_count)),
        ("Quantisation", info.quantization.clone()),
        ("Context length", number(info.context_length)),
        ("Server", provenance::server(summary).or_else(|| Some(summary.client.clone()))),
        ("Dataset", Some(format!("{} ({})", summary.dataset_name, summary.dataset_revision))),
        ("Counted hardware", Some(provenance::hardware(summary))),
        ("Processor", hardware.cpu_brand.clone()),
        ("System", system.map(|system| format!("{} {}", system.os_name, system.kernel_version))),
        ("Started", Some(summary.start_time.clone())),
        ("Ended", summary.end_time.clone()),
        ("Duration", Some(format!("{} s", significant(summary.duration_seconds)))),
        ("Directory", Some(summary.output_dir.clone())),
        ("Versions", Some(versions(summary))),
    ]
}

fn versions(summary: &Summary) -> String {
    let all = summary.versions.iter().map(|(program, version)| format!("{program} {version}"));
    all.collect::<Vec<String>>().join(", ")
}

fn sensors(summary: &Summary, place: &Place) -> Markup {
    let counted = summary.segments.last().map(|segment| segment.counted.as_slice());
    let is_counted = |sensor: &SensorInfo| {
        let has_energy =
            sensor.measures.iter().any(|figure| figure == "energy" || figure == "power");
        has_energy && counted.is_some_and(|counted| counted.contains(&sensor.id))
    };
    let rows: Vec<Vec<String>> = summary
        .hardware
        .sensors
        .iter()
        .map(|sensor| {
            vec![
                sensor.name.clone(),
                sensor.kind.to_string(),
                sensor.source.clone(),
                sensor.host.clone(),
                sensor.measures.join(", "),
                shown(sensor.gain_error_pct, |percent| format!("± {} %", significant(percent))),
                if is_counted(sensor) { "yes" } else { "no" }.to_owned(),
            ]
        })
        .collect();
    let head = ["Sensor", "kind", "source", "host", "measures", "gain error", "counted"];
    html! { @if !rows.is_empty() { (place.table("Sensors", &head, &rows)) } }
}

fn skipped(summary: &Summary) -> Markup {
    let skipped = &summary.hardware.skipped_sources;
    html! {
        @if !skipped.is_empty() {
            details {
                summary { "Sources that were not used" }
                ul class="answer" {
                    @for source in skipped {
                        li {
                            code { (source.source) } ": " (source.reason)
                            @if !source.remedy.is_empty() { "; " (source.remedy) }
                        }
                    }
                }
            }
        }
    }
}

fn measured(summary: &Summary) -> Vec<(&'static str, Option<String>)> {
    let (energy, telemetry) = (&summary.energy, &summary.telemetry);
    let joules = |value: f64| format!("{} J", significant(value));
    let of_run = energy.conservation;
    let source = match provenance::energy(summary) {
        Ok(source) => source,
        Err(reason) => format!("not measured ({reason})"),
    };
    vec![
        ("Energy basis, method", Some(source)),
        ("Power at idle", energy.idle_watts.map(|watts| format!("{} W", significant(watts)))),
        ("Time observed", energy.coverage.map(percent)),
        ("Inside queries", of_run.map(|of| joules(of.attributed))),
        ("In the idle baseline", of_run.map(|of| joules(of.idle))),
        ("Neither", of_run.map(|of| joules(of.unattributed))),
        ("Counter by integrated power", energy.counter_vs_integral.map(significant)),
        ("Readings", Some(format!("{}, every {} ms", telemetry.readings, telemetry.interval_ms))),
        (
            "Lost",
            Some(format!(
                "{} readings, {} gaps, {} reconnections",
                telemetry.dropped, telemetry.gaps, telemetry.reconnects
            )),
        ),
        ("CPU time of ipw", Some(format!("{} s", significant(summary.own.ipw_cpu_seconds)))),
        (
            "CPU time of the monitor",
            Some(shown(summary.own.monitor_cpu_seconds, |seconds| {
                format!("{} s", significant(seconds))
            })),
        ),
    ]
}

fn asked(summary: &Summary) -> String {
    serde_json::to_string_pretty(&summary.profiler_config).unwrap_or_else(|_| UNKNOWN.to_owned())
}
