//! What the energy is the energy of: which devices count, whether they are this host's, and a short
//! name for them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use energy_proto::{SensorInfo, SensorKind};

use crate::attribution::basis::hosts;
use crate::telemetry::{Timeline, original};

/// What `--gpus` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuChoice {
    /// The boards on which some process holds memory.
    Auto,
    /// All boards.
    All,
    /// These boards, by UUID.
    Uuids(Vec<String>),
}

impl GpuChoice {
    /// Reads the flag's value.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "auto" => Self::Auto,
            "all" => Self::All,
            uuids => Self::Uuids(uuids.split(',').map(|uuid| uuid.trim().to_owned()).collect()),
        }
    }
}

/// Which sensors count, and what the user should know about the choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Ids of the sensors whose energy counts; every sensor that isn't a GPU is among them.
    pub sensors: BTreeSet<u32>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Decides which GPUs count. `timeline` has their latest process counts.
///
/// # Errors
/// A UUID that isn't here, with those that are.
pub fn count(
    choice: &GpuChoice,
    sensors: &[SensorInfo],
    timeline: &Timeline,
) -> Result<Counted, String> {
    let gpus: Vec<&SensorInfo> =
        sensors.iter().filter(|sensor| sensor.kind == SensorKind::Gpu).collect();
    let (chosen, warnings) = match choice {
        GpuChoice::All => (gpus.clone(), Vec::new()),
        GpuChoice::Uuids(uuids) => (by_uuid(uuids, &gpus)?, Vec::new()),
        GpuChoice::Auto => in_use(&gpus, timeline),
    };
    let others = sensors.iter().filter(|sensor| sensor.kind != SensorKind::Gpu);
    let counted = chosen.into_iter().chain(others).map(|sensor| sensor.id).collect();
    Ok(Counted { sensors: counted, warnings })
}

/// One that is a part of its chip is used if the chip is; of an original monitor's sum no part can be
/// told.
fn is_whole(gpu: &SensorInfo) -> bool {
    gpu.source == "apple" || gpu.source == original::SOURCE
}

fn by_uuid<'a>(uuids: &[String], gpus: &[&'a SensorInfo]) -> Result<Vec<&'a SensorInfo>, String> {
    let (sums, boards): (Vec<&SensorInfo>, Vec<&SensorInfo>) =
        gpus.iter().partition(|gpu| gpu.source == original::SOURCE);
    let mut named = Vec::new();
    for uuid in uuids {
        // Where it is the place of a slot, several hosts may have it.
        let found = boards.iter().copied().filter(|gpu| gpu.uuid == *uuid);
        let found: Vec<&SensorInfo> = found.collect();
        if found.is_empty() && !sums.is_empty() {
            return Err(
                "--gpus: the monitor is an original one, which tells only the sum over its \
                        GPUs: leave --gpus out, or run this version's energy-monitor there"
                    .to_owned(),
            );
        }
        if found.is_empty() {
            let here: Vec<&str> = boards.iter().map(|gpu| gpu.uuid.as_str()).collect();
            let here = if here.is_empty() { "none".to_owned() } else { here.join(", ") };
            return Err(format!("--gpus: no GPU with UUID `{uuid}`; here are: {here}"));
        }
        named.extend(found);
    }
    Ok(named)
}

fn in_use<'a>(gpus: &[&'a SensorInfo], timeline: &Timeline) -> (Vec<&'a SensorInfo>, Vec<String>) {
    let (whole, boards): (Vec<&SensorInfo>, Vec<&SensorInfo>) =
        gpus.iter().partition(|gpu| is_whole(gpu));
    if boards.is_empty() {
        return (whole, Vec::new());
    }
    let processes =
        |gpu: &SensorInfo| timeline.sensor(gpu.id).iter().rev().find_map(|read| read.process_count);
    let unseen: Vec<&SensorInfo> =
        boards.iter().copied().filter(|gpu| processes(gpu).is_none()).collect();
    // What one host doesn't show of its boards says nothing of another's.
    let (unclear, clear): (Vec<&SensorInfo>, Vec<&SensorInfo>) =
        boards.iter().partition(|gpu| unseen.iter().any(|unseen| unseen.host == gpu.host));
    let mut warnings = Vec::new();
    if !unseen.is_empty() {
        let names: Vec<&str> = unseen.iter().map(|gpu| gpu.name.as_str()).collect();
        warnings.push(format!(
            "can't see which GPUs the server uses (no process list of {}): all {} are counted; \
             name the server's with --gpus UUID,...",
            names.join(", "),
            unclear.len()
        ));
    }
    let (used, idle): (Vec<&SensorInfo>, Vec<&SensorInfo>) =
        clear.into_iter().partition(|gpu| processes(gpu).is_some_and(|count| count > 0));
    if used.is_empty() && unclear.is_empty() && whole.is_empty() {
        warnings.push(
            "no process holds memory on any GPU: none is counted; if the server does use one, name \
             it with --gpus UUID,..."
                .to_owned(),
        );
    } else if !idle.is_empty() {
        let idle: Vec<&str> = idle.iter().map(|gpu| gpu.uuid.as_str()).collect();
        warnings.push(format!("not counted, since no process uses them: {}", idle.join(", ")));
    }
    for gpu in used.iter().filter(|gpu| processes(gpu).is_some_and(|count| count > 1)) {
        warnings.push(format!(
            "more than one process uses {} ({}): their energy can't be told apart",
            gpu.name, gpu.uuid
        ));
    }
    ([whole, unclear, used].concat(), warnings)
}

/// Whether the host of a URL is this machine: all its addresses are a loopback or our own.
///
/// # Errors
/// When the name can't be resolved.
pub async fn is_this_host(host: &str, port: u16) -> Result<bool, std::io::Error> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((bare, port)).await?;
    let addresses: Vec<IpAddr> = found.map(|address| address.ip().to_canonical()).collect();
    let own = own_addresses()?;
    let is_own = |address: &IpAddr| address.is_loopback() || own.contains(address);
    Ok(!addresses.is_empty() && addresses.iter().all(is_own))
}

/// Addresses of this host's interfaces. (Whether a socket can be bound to one tells less: with
/// `ip_nonlocal_bind` it can be bound to any.)
fn own_addresses() -> Result<Vec<IpAddr>, std::io::Error> {
    let interfaces = nix::ifaddrs::getifaddrs()?;
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    });
    Ok(addresses.collect())
}

/// The platform of a run whose telemetry is a recorded trace's.
pub const REPLAYED_PLATFORM: &str = "scripted";

/// Whether figures were recorded at another time, and are replayed.
#[must_use]
pub fn is_replayed(sensors: &[SensorInfo]) -> bool {
    sensors.iter().any(|sensor| sensor.source == "scripted")
}

/// A short name of the counted hardware for directories: `H100`, `RTX4090x2`, `EPYC7763`. Of several
/// hosts with how many they are, where it isn't boards that count.
#[must_use]
pub fn label(sensors: &[SensorInfo], counted: &BTreeSet<u32>, cpu_brand: &str) -> String {
    let named = |kind| {
        let of_kind = sensors.iter().filter(move |sensor| sensor.kind == kind);
        let counted = of_kind.filter(|sensor| counted.contains(&sensor.id));
        counted.map(|sensor| sensor.name.as_str()).collect::<Vec<&str>>()
    };
    let times = |label: String, count| if count > 1 { format!("{label}x{count}") } else { label };
    let hosts = hosts(sensors).len();
    if let Some(board) = named(SensorKind::Soc).into_iter().find_map(jetson_label) {
        return times(board, hosts);
    }
    let gpus = named(SensorKind::Gpu);
    // The GPU of an Apple chip has the chip's name, and the chip is what is measured.
    match gpus.first().filter(|_| !cpu_brand.starts_with("Apple ")) {
        Some(first) => times(gpu_label(first), gpus.len()),
        None => times(cpu_label(cpu_brand), hosts),
    }
}

/// `NVIDIA Jetson AGX Orin Developer Kit` is an `AGXOrin`.
fn jetson_label(name: &str) -> Option<String> {
    let (_, model) = name.split_once("Jetson")?;
    let noise = ["Developer", "Kit", "Engineering", "Reference", "Super", "NVIDIA"];
    let words = model.split_whitespace().filter(|word| !noise.contains(word));
    Some(words.take(2).collect::<String>()).filter(|label| !label.is_empty())
}

/// Words that say nothing of which GPU it is.
const NOISE: [&str; 16] = [
    "NVIDIA",
    "AMD",
    "INTEL",
    "GEFORCE",
    "TESLA",
    "QUADRO",
    "INSTINCT",
    "RADEON",
    "ARC",
    "DATA",
    "CENTER",
    "GPU",
    "GRAPHICS",
    "APPLE",
    "CORPORATION",
    "SERIES",
];
/// Families whose name needs the number behind it.
const FAMILIES: [&str; 7] = ["RTX", "GTX", "PRO", "RX", "MAX", "FLEX", "TITAN"];
/// What tells cards of one number apart.
const VARIANTS: [&str; 6] = ["TI", "SUPER", "XT", "XTX", "GRE", "D"];

/// The part of a GPU's name that tells it from others: `NVIDIA H100 80GB HBM3` is an `H100`.
fn gpu_label(name: &str) -> String {
    let is_one_of = |words: &[&str], word: &str| words.contains(&word.to_uppercase().as_str());
    let cleaned = name.replace("(R)", " ").replace("(TM)", " ");
    let mut words = cleaned
        .split(|c: char| c.is_whitespace() || c == '-' || c == '_')
        .filter(|word| !word.is_empty() && !is_one_of(&NOISE, word))
        .peekable();
    let mut label = match words.next() {
        Some(first) => first.to_owned(),
        None => return "GPU".to_owned(),
    };
    let mut last = label.clone();
    while is_one_of(&FAMILIES, &last) {
        let Some(next) = words.next() else { break };
        label.push_str(next);
        next.clone_into(&mut last);
    }
    if label != last {
        while let Some(variant) = words.next_if(|word| is_one_of(&VARIANTS, word)) {
            label.push_str(variant);
        }
    }
    label
}

/// `AMD EPYC 7763 64-Core Processor` is an `EPYC7763`, `Apple M4 Pro` an `M4Pro`.
fn cpu_label(brand: &str) -> String {
    let cleaned = brand.replace("(R)", " ").replace("(TM)", " ").replace("(tm)", " ");
    let noise = ["AMD", "Intel", "Apple", "CPU", "Core", "Processor", "Gen", "@"];
    let words: Vec<&str> = cleaned
        .split_whitespace()
        .take_while(|word| *word != "@" && *word != "with")
        .filter(|word| !noise.contains(word) && !word.ends_with("-Core") && !word.ends_with("GHz"))
        .collect();
    let label: String = words.into_iter().take(3).collect();
    if label.is_empty() { "UNKNOWN_HW".to_owned() } else { label }
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy_proto::{Nanos, SensorReading, Status};

    fn gpu(id: u32, name: &str) -> SensorInfo {
        SensorInfo {
            name: name.into(),
            host: "here".into(),
            uuid: format!("GPU-{id}"),
            measures: vec!["energy".into()],
            ..SensorInfo::new(id, SensorKind::Gpu, "nvml")
        }
    }

    fn processes(counts: &[Option<u32>]) -> Timeline {
        let mut timeline = Timeline::default();
        for (id, count) in counts.iter().enumerate() {
            let mut read = SensorReading::empty(id as u32, Nanos(1), Nanos(2), Status::Ok);
            read.process_count = *count;
            timeline.push_read(read);
        }
        timeline
    }

    fn counted(choice: &GpuChoice, counts: &[Option<u32>]) -> Result<Counted, String> {
        let gpus: Vec<SensorInfo> = (0..counts.len()).map(|id| gpu(id as u32, "H100")).collect();
        count(choice, &gpus, &processes(counts))
    }

    #[test]
    fn idle_boards_of_a_node_are_not_counted() {
        let counted = counted(&GpuChoice::Auto, &[Some(0), Some(1), Some(0)]).unwrap();
        assert_eq!(counted.sensors, BTreeSet::from([1]));
        assert_eq!(counted.warnings, ["not counted, since no process uses them: GPU-0, GPU-2"]);
    }

    #[test]
    fn without_a_process_list_all_boards_are_counted_and_it_is_said() {
        let counted = counted(&GpuChoice::Auto, &[Some(0), None]).unwrap();
        assert_eq!(counted.sensors, BTreeSet::from([0, 1]));
        assert!(counted.warnings[0].contains("all 2 are counted"), "{:?}", counted.warnings);
    }

    #[test]
    fn a_shared_board_is_warned_about_and_an_unused_node_counts_no_gpu() {
        assert!(
            counted(&GpuChoice::Auto, &[Some(2)]).unwrap().warnings[0].contains("more than one")
        );
        let none = counted(&GpuChoice::Auto, &[Some(0)]).unwrap();
        assert!(none.sensors.is_empty());
        assert!(none.warnings[0].starts_with("no process holds memory"));
    }

    #[test]
    fn boards_can_be_named_and_a_wrong_name_lists_the_right_ones() {
        let named = GpuChoice::parse("GPU-1");
        assert_eq!(counted(&named, &[None, None]).unwrap().sensors, BTreeSet::from([1]));
        let error = counted(&GpuChoice::parse("GPU-9"), &[None]).unwrap_err();
        assert_eq!(error, "--gpus: no GPU with UUID `GPU-9`; here are: GPU-0");
        assert_eq!(counted(&GpuChoice::parse("all"), &[Some(0), None]).unwrap().sensors.len(), 2);
    }

    #[test]
    fn each_hosts_boards_are_judged_by_its_own_process_list() {
        let on = |host: &str, id| SensorInfo { host: host.into(), ..gpu(id, "H100") };
        let sum = SensorInfo { source: "original".into(), ..on("old", 5) };
        let gpus = [on("a", 0), on("a", 1), on("b", 2), on("b", 3), on("c", 4), sum];
        let seen = [Some(1), Some(0), None, Some(0), Some(0)];
        let counted = count(&GpuChoice::Auto, &gpus, &processes(&seen)).unwrap();
        assert_eq!(counted.sensors, BTreeSet::from([0, 2, 3, 5]));
        let [unclear, idle] = counted.warnings.as_slice() else { panic!("{counted:?}") };
        assert!(unclear.contains("all 2 are counted"), "{unclear}");
        assert_eq!(idle, "not counted, since no process uses them: GPU-1, GPU-4");
        let named = count(&GpuChoice::parse("GPU-4,GPU-1"), &gpus, &processes(&seen)).unwrap();
        assert_eq!(named.sensors, BTreeSet::from([1, 4]));
        let same_slot = [on("a", 0), SensorInfo { uuid: "GPU-0".into(), ..on("b", 1) }];
        let both = count(&GpuChoice::parse("GPU-0"), &same_slot, &Timeline::default()).unwrap();
        assert_eq!(both.sensors, BTreeSet::from([0, 1]));
    }

    #[test]
    fn a_label_says_how_many_boards_or_hosts_there_are() {
        let on = |host: &str, sensor: SensorInfo| SensorInfo { host: host.into(), ..sensor };
        let of = |kind, name: &str| SensorInfo { kind, ..gpu(0, name) };
        let two = |sensor: SensorInfo, brand: &str| {
            let second = SensorInfo { id: 1, ..sensor.clone() };
            label(&[on("a", sensor), on("b", second)], &BTreeSet::from([0, 1]), brand)
        };
        assert_eq!(two(of(SensorKind::Gpu, "NVIDIA H100 80GB HBM3"), ""), "H100x2");
        let package = of(SensorKind::CpuPackage, "package-0");
        assert_eq!(two(package, "AMD EPYC 7763 64-Core Processor"), "EPYC7763x2");
        assert_eq!(two(of(SensorKind::Gpu, "Apple M4 Pro GPU"), "Apple M4 Pro"), "M4Prox2");
        let rail = of(SensorKind::Soc, "NVIDIA Jetson AGX Orin Developer Kit");
        assert_eq!(two(rail, "ARMv8"), "AGXOrinx2");
    }

    #[test]
    fn labels_are_short_and_tell_hardware_apart() {
        let one = |name: &str| label(&[gpu(0, name)], &BTreeSet::from([0]), "");
        assert_eq!(one("NVIDIA H100 80GB HBM3"), "H100");
        assert_eq!(one("NVIDIA GeForce RTX 4090"), "RTX4090");
        assert_eq!(one("NVIDIA GeForce RTX 4070 Ti"), "RTX4070Ti");
        assert_eq!(one("AMD Instinct MI300X"), "MI300X");
        assert_eq!(one("NVIDIA A100-SXM4-80GB"), "A100");
        assert_eq!(one("Tesla V100-SXM2-16GB"), "V100");
        assert_eq!(one("NVIDIA GeForce RTX 4070 Ti SUPER"), "RTX4070TiSUPER");
        assert_eq!(one("NVIDIA RTX PRO 6000 Blackwell Server Edition"), "RTXPRO6000");
        assert_eq!(one("AMD Radeon RX 7900 XTX"), "RX7900XTX");
        assert_eq!(one("Intel(R) Arc(TM) B580 Graphics"), "B580");
        assert_eq!(one("Intel Data Center GPU Max 1550"), "Max1550");
        assert_eq!(one("NVIDIA"), "GPU");
        let two = [gpu(0, "NVIDIA H100 80GB HBM3"), gpu(1, "NVIDIA H100 80GB HBM3")];
        assert_eq!(label(&two, &BTreeSet::from([0, 1]), ""), "H100x2");
        let cpu = |brand: &str| label(&[], &BTreeSet::new(), brand);
        assert_eq!(cpu("AMD EPYC 7763 64-Core Processor"), "EPYC7763");
        assert_eq!(cpu("Intel(R) Xeon(R) Platinum 8480C CPU @ 2.00GHz"), "XeonPlatinum8480C");
        assert_eq!(cpu("Apple M4"), "M4");
        assert_eq!(cpu(""), "UNKNOWN_HW");
        let apple = SensorInfo { source: "apple".into(), ..gpu(0, "Apple M4 Pro GPU") };
        assert_eq!(label(&[apple], &BTreeSet::from([0]), "Apple M4 Pro"), "M4Pro");
        let jetson = |name: &str| {
            let rail = SensorInfo { kind: SensorKind::Soc, ..gpu(1, name) };
            label(&[gpu(0, "Orin (nvgpu)"), rail], &BTreeSet::from([0, 1]), "ARMv8")
        };
        assert_eq!(jetson("NVIDIA Jetson AGX Orin Developer Kit"), "AGXOrin");
        assert_eq!(jetson("NVIDIA Jetson Orin Nano Developer Kit"), "OrinNano");
        assert_eq!(jetson("VDD_IN"), "Orin");
    }

    #[test]
    fn the_sum_of_an_original_monitor_counts_whole_and_cannot_be_chosen_from() {
        let sum = [SensorInfo { source: "original".into(), ..gpu(0, "H100") }];
        let counted = count(&GpuChoice::Auto, &sum, &Timeline::default()).unwrap();
        assert_eq!((counted.sensors, counted.warnings), (BTreeSet::from([0]), Vec::new()));
        let error = count(&GpuChoice::parse("GPU-0"), &sum, &Timeline::default()).unwrap_err();
        assert!(error.contains("only the sum over its GPUs"), "{error}");
    }

    #[tokio::test]
    async fn the_loopback_is_this_host_and_a_documentation_address_is_not() {
        assert!(is_this_host("127.0.0.1", 80).await.unwrap());
        assert!(is_this_host("[::1]", 80).await.unwrap());
        assert!(is_this_host("localhost", 80).await.unwrap());
        assert!(!is_this_host("203.0.113.7", 80).await.unwrap());
    }
}
