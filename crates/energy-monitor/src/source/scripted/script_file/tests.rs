//! What a script may say, and what is refused.

use super::*;
use proptest::prelude::*;

const SCRIPT: &str = r#"{
  "recorded_by": "bench",
  "sensors": [
    {"kind": "gpu", "name": "H100", "uuid": "GPU-1", "measures": ["energy", "power"],
     "update_period_nanos": 100000000, "power_limit_watts": 700.0},
    {"kind": "cpu_package", "measures": ["energy"], "source": "rapl_perf"}],
  "readings": [
    {"offset_ms": 0, "sensors": [
      {"sensor": 0, "energy_microjoules": 1000, "power_watts": 90.5, "changed_after_ms": -20,
       "changed_before_ms": -1.5, "read_start_ms": -2, "read_end_ms": -1.5},
      {"sensor": 1, "energy_microjoules": 5}]},
    {"offset_ms": 50.25, "sensors": [{"sensor": 0, "energy_microjoules": 5500, "epoch": 2}]},
    {"offset_ms": 50.25, "sensors": [{"sensor": 1, "status": "lost"}]}]
}"#;

fn ticks(trace: Trace) -> Vec<Tick> {
    trace.ticks.map(Result::unwrap).collect()
}

fn refusal(from: &str, to: &str) -> String {
    assert!(SCRIPT.contains(from), "{from}");
    parse(SCRIPT.replacen(from, to, 1).as_bytes()).err().unwrap_or_else(|| panic!("{to}"))
}

#[test]
fn a_script_is_sensors_and_readings_at_their_offsets() {
    let trace = parse(SCRIPT.as_bytes()).unwrap();
    assert_eq!(
        (trace.sensors[0].source.as_str(), trace.sensors[0].name.as_str()),
        ("bench", "H100")
    );
    assert_eq!(trace.sensors[0].update_period, Some(Duration::from_millis(100)));
    assert_eq!((trace.sensors[1].source.as_str(), trace.sensors[1].id), ("rapl_perf", 1));
    let ticks = ticks(trace);
    let offsets: Vec<_> = ticks.iter().map(|tick| tick.at.0 - ORIGIN.0).collect();
    assert_eq!(offsets, [0, 50_250_000, 50_250_000]);
    let first = ticks[0].readings[0];
    assert_eq!((first.energy_microjoules, first.power), (Some(1000), Some(Watts(90.5))));
    assert_eq!(first.changed_after, Some(Nanos(ORIGIN.0 - 20_000_000)));
    assert_eq!(
        (first.read_start, first.read_end),
        (Nanos(ORIGIN.0 - 2_000_000), Nanos(ORIGIN.0 - 1_500_000))
    );
    assert_eq!((ticks[1].readings[0].epoch, ticks[1].readings[0].read_end), (2, ticks[1].at));
    assert_eq!(ticks[2].readings[0].status, Status::Lost);
}

#[test]
fn the_script_in_the_documentation_is_one() {
    let documented: Vec<_> = include_str!("../script_file.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .skip_while(|line| !line.starts_with("```json"))
        .skip(1)
        .take_while(|line| !line.starts_with("```"))
        .collect();
    assert_eq!(ticks(parse(documented.join("\n").as_bytes()).unwrap()).len(), 3);
}

#[test]
fn what_is_not_understood_or_can_not_be_is_refused_by_its_place() {
    assert!(refusal("\"power_watts\"", "\"power_wats\"").contains("power_wats"));
    assert!(refusal("\"offset_ms\": 50.25", "\"offset_ms\": -50").contains("reading 1"));
    assert!(refusal("\"offset_ms\": 0", "\"offset_ms\": 1e300").contains("reading 0"));
    assert!(
        refusal("{\"sensor\": 1, \"energy", "{\"sensor\": 2, \"energy").contains("no sensor 2")
    );
    assert!(refusal("{\"sensor\": 1, \"energy", "{\"sensor\": 0, \"energy").contains("twice"));
    assert!(refusal("\"read_end_ms\": -1.5", "\"read_end_ms\": 1").contains("read_end_ms"));
    assert!(refusal("\"energy_microjoules\": 1000", "\"energy_microjoules\": -1").contains("-1"));
    assert!(refusal("\"kind\": \"gpu\"", "\"kind\": \"card\"").contains("card"));
    let empty = r#"{"sensors": [], "readings": []}"#;
    assert!(parse(empty.as_bytes()).err().unwrap().contains("0 sensors"));
    let deep = "[".repeat(1 << 20);
    assert!(parse(deep.as_bytes()).is_err());
}

#[test]
fn more_than_can_be_kept_is_refused_where_it_is_too_much() {
    let script = |sensors: &str, readings: &str| {
        parse(format!(r#"{{"sensors": [{sensors}], "readings": [{readings}]}}"#).as_bytes())
    };
    let many = |entry: &str, count: usize| vec![entry; count].join(",");
    let is_refused = |script: Result<Trace, String>, most: usize| {
        let said = script.err().unwrap();
        assert!(said.contains(&format!("more than {most} ")), "{said}");
    };
    let sensor = r#"{"kind":"gpu","measures":[]}"#;
    is_refused(script(&many(sensor, MAX_SENSORS + 1), ""), MAX_SENSORS);
    let measures = many("\"\"", MAX_MEASURES + 1);
    is_refused(script(&format!(r#"{{"kind":"gpu","measures":[{measures}]}}"#), ""), MAX_MEASURES);
    let of = |readings: &str| format!(r#"{{"offset_ms":0,"sensors":[{readings}]}}"#);
    let reading = r#"{"sensor":0}"#;
    is_refused(script(sensor, &of(&many(reading, MAX_SENSORS + 1))), MAX_SENSORS);
    let tick = of(&many(reading, 4_000));
    is_refused(script(sensor, &many(&tick, MAX_READINGS / 4_000 + 1)), MAX_READINGS);
    is_refused(script(sensor, &many(&of(""), MAX_READINGS + 1)), MAX_READINGS);
    assert!(script(sensor, &many(&of(reading), 5_000)).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parse(&bytes).is_err());
    }

    #[test]
    fn a_mutated_script_is_a_script_in_order_or_an_error(
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), 0_u8..3, any::<u8>()), 1..6),
    ) {
        let mut bytes = SCRIPT.as_bytes().to_vec();
        for (index, edit, byte) in edits {
            let at = index.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes[at] = b'0' + byte % 10,
                _ => { bytes.remove(at); }
            }
        }
        if let Ok(trace) = parse(&bytes) {
            let sensors = trace.sensors.len();
            let ticks = ticks(trace);
            prop_assert!(ticks.is_sorted_by_key(|tick| tick.at));
            for reading in ticks.iter().flat_map(|tick| &tick.readings) {
                prop_assert!((reading.sensor as usize) < sensors);
                prop_assert!(reading.read_start <= reading.read_end);
            }
        }
    }
}
