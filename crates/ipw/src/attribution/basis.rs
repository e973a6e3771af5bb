//! Which sensors stand for a query's energy. One basis a run; every derived number uses it.
//!
//! Domains nest, so a basis never adds a sensor to one that contains it. Hosts don't: of several, the
//! basis is the sum, and all of them have to be measured alike for it.

use std::collections::BTreeSet;

use energy_proto::{SensorInfo, SensorKind};

/// What a run's energies are energies of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BasisKind {
    /// The counted GPUs.
    Gpu,
    /// A whole system on chip.
    Soc,
    /// CPU and GPU modules whose parts can't be told apart.
    Module,
    /// All CPU packages and their DRAM.
    Cpu,
    /// A model of the CPU: busy share x stated TDP.
    CpuEstimated,
}

impl BasisKind {
    /// The name in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Soc => "soc",
            Self::Module => "module",
            Self::Cpu => "cpu",
            Self::CpuEstimated => "cpu_estimated",
        }
    }

    /// Whether a number on this basis must be marked ESTIMATED wherever it is shown.
    #[must_use]
    pub fn is_estimate(self) -> bool {
        self == Self::CpuEstimated
    }
}

/// A basis and the sensors whose energies are added for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    /// What it is.
    pub kind: BasisKind,
    /// Ids of its sensors, all of which must have a figure.
    pub members: Vec<u32>,
}

/// The rails of an Apple chip, which make one basis together: the GPU's alone says nothing of work
/// that the neural engine or the CPU does.
const APPLE_RAILS: [SensorKind; 3] = [SensorKind::CpuPackage, SensorKind::Gpu, SensorKind::Ane];

/// The hosts of some sensors, each once.
#[must_use]
pub fn hosts<'a>(sensors: impl IntoIterator<Item = &'a SensorInfo>) -> Vec<&'a str> {
    let mut hosts: Vec<&str> = Vec::new();
    for sensor in sensors {
        if !hosts.contains(&sensor.host.as_str()) {
            hosts.push(&sensor.host);
        }
    }
    hosts
}

/// The basis of a run with these sensors, of which `counted` may be used.
///
/// # Errors
/// Why there is none, as in `status`.
pub fn choose(sensors: &[SensorInfo], counted: &BTreeSet<u32>) -> Result<Basis, String> {
    let parts: Vec<(&str, Vec<&SensorInfo>, Result<Basis, String>)> = hosts(sensors)
        .into_iter()
        .map(|host| {
            let own: Vec<&SensorInfo> = sensors.iter().filter(|it| it.host == host).collect();
            let basis = of_host(&own, counted);
            (host, own, basis)
        })
        .collect();
    let is_of = |part: &Result<Basis, String>, kinds: &[BasisKind]| {
        part.as_ref().is_ok_and(|basis| kinds.contains(&basis.kind))
    };
    // A run on GPUs asks nothing of a host without one in use.
    let on_gpus = parts.iter().any(|(_, _, part)| is_of(part, &[BasisKind::Gpu]));
    let takes_part = |own: &[&SensorInfo], part: &Result<Basis, String>| {
        let has_gpu = own.iter().any(|it| it.kind == SensorKind::Gpu && counted.contains(&it.id));
        has_gpu || is_of(part, &[BasisKind::Soc, BasisKind::Module])
    };
    let taking_part = parts.into_iter().filter(|(_, own, part)| !on_gpus || takes_part(own, part));
    sum(taking_part.map(|(host, _, part)| (host, part)).collect())
}

/// The bases of several hosts as one.
fn sum(parts: Vec<(&str, Result<Basis, String>)>) -> Result<Basis, String> {
    let several = parts.len() > 1;
    let mut whole: Option<(&str, Basis)> = None;
    for (host, part) in parts {
        let part =
            part.map_err(|reason| if several { format!("{reason}: {host}") } else { reason })?;
        match &mut whole {
            None => whole = Some((host, part)),
            Some((_, whole)) if whole.kind == part.kind => whole.members.extend(part.members),
            Some((first, whole)) => {
                let (one, other) = (whole.kind.as_str(), part.kind.as_str());
                return Err(format!("no_common_basis: {one} on {first}, {other} on {host}"));
            }
        }
    }
    whole.map(|(_, basis)| basis).ok_or_else(|| "no_energy_counter".to_owned())
}

/// The basis of one host.
fn of_host(sensors: &[&SensorInfo], counted: &BTreeSet<u32>) -> Result<Basis, String> {
    let usable = |sensor: &SensorInfo| counted.contains(&sensor.id) && sensor.shows_energy();
    if let Some(rails) = apple(sensors, usable) {
        return Ok(Basis { kind: BasisKind::Soc, members: rails? });
    }
    let ids = |kinds: &[SensorKind], estimate: bool| -> Vec<u32> {
        sensors
            .iter()
            .filter(|sensor| usable(sensor))
            .filter(|sensor| kinds.contains(&sensor.kind) && sensor.is_estimate() == estimate)
            .map(|sensor| sensor.id)
            .collect()
    };
    let candidates = [
        (BasisKind::Soc, ids(&[SensorKind::Soc], false)),
        (BasisKind::Gpu, counted_gpus(sensors, counted)),
        (BasisKind::Module, ids(&[SensorKind::Module], false)),
        (
            BasisKind::Cpu,
            cpu(ids(&[SensorKind::CpuPackage], false), ids(&[SensorKind::Dram], false)),
        ),
        (BasisKind::CpuEstimated, ids(&[SensorKind::CpuPackage], true)),
    ];
    candidates
        .into_iter()
        .find(|(_, members)| !members.is_empty())
        .map(|(kind, members)| Basis { kind, members })
        .ok_or_else(|| "no_energy_counter".to_owned())
}

/// The rails of an Apple chip, all of them or the name of one that is missing; `None` if this is none.
fn apple(
    sensors: &[&SensorInfo],
    usable: impl Fn(&SensorInfo) -> bool,
) -> Option<Result<Vec<u32>, String>> {
    let has_ane = sensors.iter().any(|sensor| sensor.kind == SensorKind::Ane);
    sensors.iter().find(|sensor| is_apple(sensor, has_ane))?;
    let rails = APPLE_RAILS.iter().map(|kind| {
        let mut rails =
            sensors.iter().filter(|it| it.kind == *kind && is_apple(it, has_ane) && usable(it));
        rails.next().map(|sensor| sensor.id).ok_or_else(|| format!("rail_missing: {kind}"))
    });
    Some(rails.collect())
}

/// A host with a neural engine is such a chip, whoever tells of it: an original monitor, or a trace.
fn is_apple(sensor: &SensorInfo, has_ane: bool) -> bool {
    APPLE_RAILS.contains(&sensor.kind)
        && (sensor.source == "apple" || (has_ane && !sensor.is_estimate()))
}

/// All counted GPUs if at least one of them measures energy: one without makes the sum unknown, and
/// must not drop out of it in silence.
fn counted_gpus(sensors: &[&SensorInfo], counted: &BTreeSet<u32>) -> Vec<u32> {
    let gpus = || {
        sensors
            .iter()
            .filter(|sensor| sensor.kind == SensorKind::Gpu && counted.contains(&sensor.id))
    };
    if !gpus().any(|sensor| sensor.measures_energy()) {
        return Vec::new();
    }
    gpus().map(|sensor| sensor.id).collect()
}

fn cpu(packages: Vec<u32>, dram: Vec<u32>) -> Vec<u32> {
    if packages.is_empty() { Vec::new() } else { [packages, dram].concat() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use energy_proto::Status;

    pub(in crate::attribution) fn sensor(id: u32, kind: SensorKind, source: &str) -> SensorInfo {
        SensorInfo {
            name: format!("{kind} {id}"),
            host: "here".into(),
            uuid: format!("{kind}-{id}"),
            measures: vec!["energy".into()],
            ..SensorInfo::new(id, kind, source)
        }
    }

    fn chosen(sensors: &[SensorInfo], counted: &[u32]) -> Option<(BasisKind, Vec<u32>)> {
        let basis = choose(sensors, &counted.iter().copied().collect()).ok()?;
        Some((basis.kind, basis.members))
    }

    #[test]
    fn counted_gpus_come_before_the_cpu() {
        let sensors = [
            sensor(0, SensorKind::Gpu, "nvml"),
            sensor(1, SensorKind::Gpu, "nvml"),
            sensor(2, SensorKind::CpuPackage, "rapl_perf"),
        ];
        assert_eq!(chosen(&sensors, &[0, 1, 2]), Some((BasisKind::Gpu, vec![0, 1])));
        assert_eq!(chosen(&sensors, &[1, 2]), Some((BasisKind::Gpu, vec![1])));
        assert_eq!(chosen(&sensors, &[2]), Some((BasisKind::Cpu, vec![2])));
    }

    #[test]
    fn a_counted_gpu_without_energy_stays_a_member() {
        let mut blind = sensor(1, SensorKind::Gpu, "nvml");
        blind.measures = vec!["temperature".into()];
        let sensors = [sensor(0, SensorKind::Gpu, "nvml"), blind];
        assert_eq!(chosen(&sensors, &[0, 1]), Some((BasisKind::Gpu, vec![0, 1])));
        assert_eq!(chosen(&sensors, &[1]), None);
    }

    #[test]
    fn packages_and_dram_are_added_and_psys_is_not() {
        let sensors = [
            sensor(0, SensorKind::CpuPackage, "rapl_perf"),
            sensor(1, SensorKind::CpuPackage, "rapl_perf"),
            sensor(2, SensorKind::Dram, "rapl_perf"),
            sensor(3, SensorKind::Psys, "rapl_perf"),
        ];
        assert_eq!(chosen(&sensors, &[0, 1, 2, 3]), Some((BasisKind::Cpu, vec![0, 1, 2])));
        assert_eq!(chosen(&sensors, &[2, 3]), None, "DRAM alone is not a CPU");
    }

    #[test]
    fn an_estimate_is_used_only_where_nothing_is_measured() {
        let estimate = sensor(5, SensorKind::CpuPackage, "estimate");
        let sensors = [estimate.clone(), sensor(0, SensorKind::CpuPackage, "rapl_perf")];
        assert_eq!(chosen(&sensors, &[0, 5]), Some((BasisKind::Cpu, vec![0])));
        assert_eq!(chosen(&[estimate], &[5]), Some((BasisKind::CpuEstimated, vec![5])));
    }

    #[test]
    fn a_counter_that_may_not_be_read_is_no_basis() {
        let mut denied = sensor(0, SensorKind::CpuPackage, "rapl_powercap");
        denied.status = Status::PermissionDenied;
        assert_eq!(chosen(&[denied], &[0]), None);
    }

    #[test]
    fn memory_alone_is_no_basis() {
        let mut memory = sensor(0, SensorKind::Memory, "procfs");
        memory.measures = vec!["memory".into()];
        assert_eq!(chosen(&[memory], &[0]), None);
        assert_eq!(chosen(&[], &[]), None);
    }

    #[test]
    fn a_sensor_of_an_unknown_kind_is_no_basis_and_no_part_of_one() {
        let unknown = sensor(1, SensorKind::Unknown, "nvml");
        assert_eq!(chosen(std::slice::from_ref(&unknown), &[1]), None);
        let sensors = [sensor(0, SensorKind::Gpu, "nvml"), unknown];
        assert_eq!(chosen(&sensors, &[0, 1]), Some((BasisKind::Gpu, vec![0])));
    }

    #[test]
    fn the_three_rails_of_an_apple_chip_are_one_basis_or_none() {
        for source in ["apple", "original", "scripted"] {
            let rails = [
                sensor(0, SensorKind::CpuPackage, source),
                sensor(1, SensorKind::Gpu, source),
                sensor(2, SensorKind::Ane, source),
            ];
            let all = BTreeSet::from([0, 1, 2]);
            assert_eq!(chosen(&rails, &[0, 1, 2]), Some((BasisKind::Soc, vec![0, 1, 2])));
            let mut blind = rails.clone();
            blind[2].status = Status::Unsupported;
            assert_eq!(choose(&blind, &all), Err("rail_missing: ane".to_owned()));
        }
        let two = [sensor(0, SensorKind::CpuPackage, "apple"), sensor(1, SensorKind::Gpu, "apple")];
        let missing = choose(&two, &BTreeSet::from([0, 1]));
        assert_eq!(missing, Err("rail_missing: ane".to_owned()), "never the GPU alone");
    }

    #[test]
    fn an_original_monitor_of_another_host_is_read_like_any() {
        let sensors =
            [sensor(0, SensorKind::Gpu, "original"), sensor(1, SensorKind::CpuPackage, "original")];
        assert_eq!(chosen(&sensors, &[0, 1]), Some((BasisKind::Gpu, vec![0])));
    }

    #[test]
    fn a_jetson_is_its_input_rail_and_a_module_stands_in_for_gpus_without_energy() {
        let jetson =
            [sensor(0, SensorKind::Gpu, "nvml"), sensor(1, SensorKind::Soc, "hwmon_jetson")];
        assert_eq!(chosen(&jetson, &[0, 1]), Some((BasisKind::Soc, vec![1])));
        let mut hopper =
            [sensor(0, SensorKind::Gpu, "nvml"), sensor(1, SensorKind::Module, "nvml")];
        assert_eq!(chosen(&hopper, &[0, 1]), Some((BasisKind::Gpu, vec![0])));
        hopper[0].measures = vec!["temperature".into()];
        assert_eq!(chosen(&hopper, &[0, 1]), Some((BasisKind::Module, vec![1])));
        for source in ["hwmon_amd", "hwmon_intel"] {
            let gpu = [
                sensor(0, SensorKind::CpuPackage, "rapl_perf"),
                sensor(1, SensorKind::Gpu, source),
            ];
            assert_eq!(chosen(&gpu, &[0, 1]), Some((BasisKind::Gpu, vec![1])));
        }
    }
    fn on(host: &str, sensor: SensorInfo) -> SensorInfo {
        SensorInfo { host: host.into(), ..sensor }
    }

    /// These sensors on the hosts `a` and `b`, all counted but for `left_out`.
    fn of_two_hosts(
        a: &[(SensorKind, &str)],
        b: &[(SensorKind, &str)],
        left_out: &[u32],
    ) -> Result<(BasisKind, Vec<u32>), String> {
        let hosts = a.iter().map(|it| ("a", it)).chain(b.iter().map(|it| ("b", it)));
        let sensors: Vec<SensorInfo> = (0..)
            .zip(hosts)
            .map(|(id, (host, (kind, source)))| {
                let sensor = on(host, sensor(id, *kind, source));
                // Main memory shows no energy.
                match kind {
                    SensorKind::Memory => SensorInfo { measures: vec!["memory".into()], ..sensor },
                    _ => sensor,
                }
            })
            .collect();
        let counted = sensors.iter().map(|sensor| sensor.id).filter(|id| !left_out.contains(id));
        let basis = choose(&sensors, &counted.collect())?;
        Ok((basis.kind, basis.members))
    }

    #[test]
    fn of_two_hosts_the_basis_is_all_that_takes_part_or_nothing() {
        use SensorKind::{Ane, CpuPackage, Dram, Gpu, Memory, Module, Psys, Soc};
        const NVML: (SensorKind, &str) = (Gpu, "nvml");
        const CPU: (SensorKind, &str) = (CpuPackage, "rapl_perf");
        const DRAM: (SensorKind, &str) = (Dram, "rapl_perf");
        const GUESS: (SensorKind, &str) = (CpuPackage, "estimate");
        const MEMORY: (SensorKind, &str) = (Memory, "procfs");
        const JETSON: (SensorKind, &str) = (Soc, "hwmon_jetson");
        const MODULE: (SensorKind, &str) = (Module, "nvml");
        const MAC: [(SensorKind, &str); 3] =
            [(CpuPackage, "apple"), (Gpu, "apple"), (Ane, "apple")];
        type Host<'a> = &'a [(SensorKind, &'a str)];
        type Expected<'a> = Result<(BasisKind, &'a [u32]), &'a str>;
        let cases: [(&str, Host<'_>, Host<'_>, &[u32], Expected<'_>); 17] = [
            ("boards", &[NVML, CPU], &[NVML, NVML], &[], Ok((BasisKind::Gpu, &[0, 2, 3]))),
            ("some in use", &[NVML, NVML], &[NVML], &[0], Ok((BasisKind::Gpu, &[1, 2]))),
            ("one host not in use", &[NVML], &[NVML, CPU], &[1], Ok((BasisKind::Gpu, &[0]))),
            ("one host without a board", &[CPU], &[NVML], &[], Ok((BasisKind::Gpu, &[1]))),
            ("original", &[NVML], &[(Gpu, "original")], &[], Ok((BasisKind::Gpu, &[0, 1]))),
            ("no board in use", &[NVML, CPU], &[CPU], &[0], Ok((BasisKind::Cpu, &[1, 2]))),
            ("packages", &[CPU, DRAM], &[CPU, DRAM], &[], Ok((BasisKind::Cpu, &[0, 1, 2, 3]))),
            ("psys too", &[CPU], &[CPU, (Psys, "rapl_perf")], &[], Ok((BasisKind::Cpu, &[0, 1]))),
            ("one without", &[CPU], &[MEMORY], &[], Err("no_energy_counter: b")),
            ("none with", &[MEMORY], &[MEMORY], &[], Err("no_energy_counter: a")),
            ("guessed", &[GUESS], &[GUESS], &[], Ok((BasisKind::CpuEstimated, &[0, 1]))),
            ("partly", &[CPU], &[GUESS], &[], Err("no_common_basis: cpu on a, cpu_estimated on b")),
            ("chips", &MAC, &MAC, &[], Ok((BasisKind::Soc, &[0, 1, 2, 3, 4, 5]))),
            ("a chip and a half", &MAC, &MAC[..2], &[], Err("rail_missing: ane: b")),
            ("a chip, a board", &MAC, &[NVML], &[], Err("no_common_basis: soc on a, gpu on b")),
            ("inputs", &[JETSON], &[JETSON], &[], Ok((BasisKind::Soc, &[0, 1]))),
            ("modules", &[MODULE], &[NVML], &[], Err("no_common_basis: module on a, gpu on b")),
        ];
        for (case, a, b, left_out, expected) in cases {
            let found = of_two_hosts(a, b, left_out);
            let found = found.as_ref().map(|(kind, ids)| (*kind, ids.as_slice()));
            assert_eq!(found.map_err(String::as_str), expected, "{case}");
        }
    }

    #[test]
    fn a_counted_gpu_without_energy_on_one_host_leaves_no_basis() {
        let mut blind = on("b", sensor(1, SensorKind::Gpu, "nvml"));
        blind.measures = vec!["temperature".into()];
        let mut sensors = vec![on("a", sensor(0, SensorKind::Gpu, "nvml")), blind];
        let both = BTreeSet::from([0, 1]);
        assert_eq!(choose(&sensors, &both), Err("no_energy_counter: b".to_owned()));
        assert_eq!(chosen(&sensors, &[0]), Some((BasisKind::Gpu, vec![0])));
        sensors.push(on("b", sensor(2, SensorKind::CpuPackage, "rapl_perf")));
        let all = BTreeSet::from([0, 1, 2]);
        let mixed = Err("no_common_basis: gpu on a, cpu on b".to_owned());
        assert_eq!(choose(&sensors, &all), mixed);
    }

    #[test]
    fn a_counter_that_may_not_be_read_on_one_host_leaves_no_basis() {
        let mut denied = on("b", sensor(1, SensorKind::CpuPackage, "rapl_perf"));
        denied.status = Status::PermissionDenied;
        let sensors = [on("a", sensor(0, SensorKind::CpuPackage, "rapl_perf")), denied];
        let both = BTreeSet::from([0, 1]);
        assert_eq!(choose(&sensors, &both), Err("no_energy_counter: b".to_owned()));
    }
}
