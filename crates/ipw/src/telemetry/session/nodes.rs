//! Several monitors as one: the ids of the run, one description of all, and no device twice. Pure.
//!
//! A sensor's id in the run is the first monitor's own; those of each further one begin behind the
//! highest so far.

use std::collections::{BTreeSet, HashMap};

use energy_proto::{Description, SensorInfo, SensorKind, SkippedSource};

use super::SessionError;
use crate::telemetry::original;

/// What a monitor says of itself, and where it says so.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) place: String,
    pub(super) description: Description,
}

/// One monitor's part of a run.
#[derive(Debug, PartialEq)]
pub(super) struct Share {
    /// Its host, named unlike every other.
    pub(super) host: String,
    /// Its sensors, under the ids of the run.
    pub(super) sensors: Vec<SensorInfo>,
    /// From its own ids to those of the run; what isn't there is no part of it.
    pub(super) ids: HashMap<u32, u32>,
}

/// Divides a run among its monitors.
///
/// # Errors
/// When two of them show the same device, whose energy would be counted twice, or one of several shows
/// nothing, so that its host would be missing unnoticed.
pub(super) fn share_out(told: &[&Told]) -> Result<Vec<Share>, SessionError> {
    let mut shares: Vec<Share> = Vec::with_capacity(told.len());
    for monitor in told {
        if told.len() > 1 && monitor.description.sensors.is_empty() {
            return Err(SessionError::NoSensor { place: monitor.place.clone() });
        }
        let earlier: Vec<(&Told, &Share)> = told.iter().copied().zip(&shares).collect();
        let share = share(monitor, &earlier)?;
        shares.push(share);
    }
    Ok(shares)
}

fn share(monitor: &Told, earlier: &[(&Told, &Share)]) -> Result<Share, SessionError> {
    let description = &monitor.description;
    let (here, elsewhere): (Vec<_>, Vec<_>) =
        earlier.iter().partition(|(other, _)| is_one_host(&other.description, description));
    let taken: BTreeSet<&str> = elsewhere.iter().map(|(_, share)| share.host.as_str()).collect();
    let named = |host: &str| match taken.contains(host) {
        true => format!("{host} ({})", monitor.place),
        false => host.to_owned(),
    };
    let in_use = earlier.iter().flat_map(|(_, share)| &share.sensors).map(|sensor| sensor.id);
    let first = in_use.max().map_or(Some(0), |highest| highest.checked_add(1));
    let mut share = Share {
        host: named(&description.system_info.host_name),
        sensors: Vec::new(),
        ids: HashMap::new(),
    };
    for sensor in &description.sensors {
        if let Some((other, twin)) = twin(sensor, &here) {
            if twin.shows_energy() && sensor.shows_energy() {
                return Err(SessionError::SameDevice {
                    device: format!("{} ({})", sensor.name, sensor.uuid),
                    places: [other.place.clone(), monitor.place.clone()],
                });
            }
            if !sensor.shows_energy() {
                continue;
            }
        }
        let id = first.and_then(|first| first.checked_add(sensor.id)).ok_or_else(|| {
            SessionError::Refused(format!("a sensor with the number {}", sensor.id))
                .at(monitor.place.clone())
        })?;
        share.ids.insert(sensor.id, id);
        share.sensors.push(SensorInfo { id, host: named(&sensor.host), ..sensor.clone() });
    }
    Ok(share)
}

/// Whether two monitors run on one machine. Without a boot to go by, its name tells.
fn is_one_host(a: &Description, b: &Description) -> bool {
    match (&a.boot_id, &b.boot_id) {
        (Some(a), Some(b)) => a == b,
        _ => a.system_info.host_name == b.system_info.host_name,
    }
}

/// The same device as another monitor of its host shows it.
fn twin<'a>(
    sensor: &SensorInfo,
    here: &[(&'a Told, &'a Share)],
) -> Option<(&'a Told, &'a SensorInfo)> {
    here.iter().find_map(|(told, share)| {
        let twin = share.sensors.iter().find(|other| is_same_device(other, sensor))?;
        Some((*told, twin))
    })
}

/// Whether two sensors of one host show the same device. What a host has of anything but boards, each
/// source shows whole; so does an original monitor of boards.
fn is_same_device(a: &SensorInfo, b: &SensorInfo) -> bool {
    let is_whole =
        a.kind != SensorKind::Gpu || [a, b].iter().any(|sensor| sensor.source == original::SOURCE);
    // A model of the CPU beside its counter is no second CPU: no sum has both.
    let both_count = a.is_estimate() == b.is_estimate();
    a.kind == b.kind && both_count && if a.source == b.source { a.uuid == b.uuid } else { is_whole }
}

/// What the monitors say together; `None` without one. What there is but once is the first one's, of
/// the GPU the first that has one.
pub(super) fn description(told: &[&Told], shares: &[Share]) -> Option<Description> {
    let all = || told.iter().map(|monitor| &monitor.description);
    let first = all().next()?;
    let shown = all().find(|one| one.gpu_info.is_some()).unwrap_or(first);
    Some(Description {
        platform: shown.platform.clone(),
        gpu_info: shown.gpu_info.clone(),
        interval: all().map(|one| one.interval).max()?,
        sensors: shares.iter().flat_map(|share| share.sensors.clone()).collect(),
        skipped: told
            .iter()
            .zip(shares)
            .flat_map(|(one, share)| skipped(one, share, told))
            .collect(),
        missed_ticks: all().map(|one| one.missed_ticks).sum(),
        ..first.clone()
    })
}

/// What a monitor doesn't measure; of several with the host that it isn't measured on.
fn skipped(monitor: &Told, share: &Share, told: &[&Told]) -> Vec<SkippedSource> {
    let mut skipped = monitor.description.skipped.clone();
    if told.len() > 1 {
        for source in &mut skipped {
            source.reason = format!("on {}: {}", share.host, source.reason);
        }
    }
    skipped
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy_proto::{ClockAnchor, Nanos, Status, SystemInfo};
    use std::time::Duration;

    fn sensor(id: u32, kind: SensorKind, source: &str, uuid: &str) -> SensorInfo {
        SensorInfo {
            name: format!("{kind} of {source}"),
            uuid: uuid.into(),
            measures: vec!["energy".into()],
            ..SensorInfo::new(id, kind, source)
        }
    }

    fn gpu(id: u32, uuid: &str) -> SensorInfo {
        sensor(id, SensorKind::Gpu, "nvml", uuid)
    }

    fn memory(id: u32) -> SensorInfo {
        let memory = sensor(id, SensorKind::Memory, "procfs", "/proc/meminfo");
        SensorInfo { measures: vec!["memory".into()], ..memory }
    }

    /// A monitor on a host that was booted as `boot`.
    fn told(host: &str, boot: Option<&str>, sensors: Vec<SensorInfo>) -> Told {
        let named = |sensor: SensorInfo| SensorInfo { host: host.into(), ..sensor };
        let description = Description {
            api: energy_proto::API.into(),
            version: "1".into(),
            instance: 1,
            boot_id: boot.map(str::to_owned),
            time_namespace: None,
            anchor: ClockAnchor { monotonic: Nanos(0), unix_nanos: 0 },
            platform: "nvidia".into(),
            interval: Duration::from_millis(50),
            system_info: SystemInfo { host_name: host.into(), ..SystemInfo::default() },
            gpu_info: None,
            sensors: sensors.into_iter().map(named).collect(),
            skipped: vec![SkippedSource {
                source: "hwmon".into(),
                reason: "no card".into(),
                remedy: String::new(),
            }],
            missed_ticks: 2,
        };
        Told { place: format!("http://{host}:1"), description }
    }

    fn shared(told: &[Told]) -> Result<(Vec<Share>, Description), SessionError> {
        let told: Vec<&Told> = told.iter().collect();
        let shares = share_out(&told)?;
        let description = description(&told, &shares).unwrap();
        Ok((shares, description))
    }

    fn ids(share: &Share) -> Vec<u32> {
        share.sensors.iter().map(|sensor| sensor.id).collect()
    }

    #[test]
    fn a_run_with_one_monitor_is_described_as_it_describes_itself() {
        let one = told("a", Some("boot"), vec![gpu(0, "x"), gpu(3, "x"), memory(7)]);
        let description = one.description.clone();
        let (shares, united) = shared(&[one]).unwrap();
        assert_eq!(united, description);
        assert_eq!(shares[0].ids, HashMap::from([(0, 0), (3, 3), (7, 7)]));
        assert_eq!(shares[0].host, "a");
    }

    #[test]
    fn ids_of_each_further_monitor_begin_behind_the_highest_so_far() {
        let monitors = [
            told("a", Some("1"), vec![gpu(0, "x"), gpu(4, "y")]),
            told("b", Some("2"), vec![gpu(0, "x"), gpu(1, "y")]),
            told("c", Some("3"), vec![gpu(2, "x")]),
        ];
        let (shares, united) = shared(&monitors).unwrap();
        assert_eq!(ids(&shares[1]), [5, 6]);
        assert_eq!(shares[2].ids, HashMap::from([(2, 9)]));
        let hosts: Vec<(u32, &str)> =
            united.sensors.iter().map(|sensor| (sensor.id, sensor.host.as_str())).collect();
        assert_eq!(hosts, [(0, "a"), (4, "a"), (5, "b"), (6, "b"), (9, "c")]);
    }

    #[test]
    fn numbers_without_room_behind_them_are_refused() {
        let monitors = [
            told("a", Some("1"), vec![gpu(u32::MAX, "x")]),
            told("b", Some("2"), vec![gpu(0, "y")]),
        ];
        let error = shared(&monitors).unwrap_err().to_string();
        assert!(error.starts_with("http://b:1: "), "{error}");
    }

    #[test]
    fn one_of_several_that_shows_nothing_is_refused() {
        let silent = || told("b", Some("2"), Vec::new());
        let error = shared(&[told("a", Some("1"), vec![gpu(0, "x")]), silent()]).unwrap_err();
        assert!(error.to_string().contains("http://b:1 shows no sensor"), "{error}");
        assert!(shared(&[silent()]).is_ok(), "alone it is said later, with the remedy");
    }

    #[test]
    fn one_description_stands_for_all() {
        let mut monitors =
            [told("a", Some("1"), vec![memory(0)]), told("b", Some("2"), vec![gpu(0, "x")])];
        monitors[0].description.platform = "rapl".into();
        monitors[1].description.gpu_info = Some(Default::default());
        monitors[1].description.interval = Duration::from_millis(100);
        let (_, united) = shared(&monitors).unwrap();
        assert_eq!(united.platform, "nvidia");
        assert_eq!(united.system_info.host_name, "a");
        assert_eq!((united.interval, united.missed_ticks), (Duration::from_millis(100), 4));
        let reasons: Vec<&str> =
            united.skipped.iter().map(|skipped| skipped.reason.as_str()).collect();
        assert_eq!(reasons, ["on a: no card", "on b: no card"]);
    }

    #[test]
    fn hosts_of_one_name_are_told_apart() {
        let (shares, united) = shared(&[
            told("a", Some("1"), vec![gpu(0, "x")]),
            told("a", Some("2"), vec![gpu(0, "x")]),
        ])
        .unwrap();
        assert_eq!(shares[1].host, "a (http://a:1)");
        assert_eq!(united.sensors[1].host, shares[1].host);
        let (shares, _) = shared(&[
            told("a", Some("1"), vec![gpu(0, "x")]),
            told("a", Some("1"), vec![gpu(0, "y")]),
        ])
        .unwrap();
        assert_eq!(shares[1].host, "a", "two monitors of one host");
    }

    #[test]
    fn a_device_that_two_monitors_show_is_refused_with_both_their_names() {
        use SensorKind::{CpuPackage, Dram, Gpu, Soc};
        let perf = || sensor(0, CpuPackage, "rapl_perf", "0");
        let cases: [(&str, SensorInfo, SensorInfo, bool); 10] = [
            ("the same board", gpu(0, "x"), gpu(1, "x"), true),
            ("two boards", gpu(0, "x"), gpu(0, "y"), false),
            ("another maker's board", gpu(0, "x"), sensor(0, Gpu, "hwmon_amd", "x"), false),
            ("a board in a sum", gpu(0, "x"), sensor(0, Gpu, "original", "original:gpu"), true),
            ("two packages", perf(), sensor(0, CpuPackage, "rapl_perf", "1"), false),
            ("by two ways", perf(), sensor(0, CpuPackage, "rapl_powercap", "/0"), true),
            ("package and DRAM", perf(), sensor(0, Dram, "rapl_powercap", "/0"), false),
            ("a model beside it", perf(), sensor(0, CpuPackage, "estimate", "cpu"), false),
            ("one chip", sensor(0, Soc, "a", "1"), sensor(0, Soc, "b", "2"), true),
            ("memory", memory(0), memory(0), false),
        ];
        for (case, first, second, refused) in cases {
            // Boots that differ are two hosts; one that isn't known leaves the name.
            for (boots, applies) in [
                ([Some("1"), Some("1")], true),
                ([None, Some("1")], true),
                ([Some("1"), Some("2")], false),
            ] {
                let mut monitors = [
                    told("a", boots[0], vec![first.clone()]),
                    told("a", boots[1], vec![second.clone()]),
                ];
                monitors[1].place = "http://b:1".into();
                let error = shared(&monitors).err().map(|error| error.to_string());
                assert_eq!(error.is_some(), refused && applies, "{case} {boots:?}: {error:?}");
                if let Some(error) = error {
                    for text in ["http://a:1", "http://b:1", second.name.as_str()] {
                        assert!(error.contains(text), "{case}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_has_no_energy_and_is_shown_twice_is_taken_once() {
        let (shares, united) = shared(&[
            told("a", Some("1"), vec![gpu(0, "x"), memory(1)]),
            told("a", Some("1"), vec![memory(0), gpu(1, "y")]),
        ])
        .unwrap();
        assert_eq!(shares[1].ids, HashMap::from([(1, 3)]));
        assert_eq!(united.sensors.len(), 3);
        let denied = |sensor: SensorInfo| SensorInfo { status: Status::PermissionDenied, ..sensor };
        let (shares, _) = shared(&[
            told("a", Some("1"), vec![gpu(0, "x")]),
            told("a", Some("1"), vec![denied(gpu(0, "x"))]),
        ])
        .unwrap();
        assert!(shares[1].sensors.is_empty());
    }

    #[test]
    fn without_a_monitor_there_is_nothing_to_describe() {
        assert_eq!(description(&[], &[]), None);
    }
}
