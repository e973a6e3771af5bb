//! Telemetry as a run writes it, and what becomes of it when it is damaged.

use super::*;
use proptest::prelude::*;
use std::fs;

/// A row as it is written: segment, host, instance, sequence, sensor, energy.
type Written = (u32, &'static str, u64, u64, u32, u64);

fn numbers<T: NativeType>(
    rows: &[Written],
    cell: impl Fn(&Written) -> Option<T>,
) -> Box<dyn Array> {
    PrimitiveArray::from_iter(rows.iter().map(cell)).boxed()
}

fn batch(rows: &[Written]) -> Batch {
    let at = |row: &Written| 1_000_000 + row.3 * 50_000_000;
    let columns = COLUMNS.iter().map(|(name, data_type)| match (*name, data_type) {
        ("segment", _) => numbers(rows, |row| Some(row.0)),
        ("host", _) => Utf8Array::<i32>::from_iter_values(rows.iter().map(|row| row.1)).boxed(),
        ("instance", _) => numbers(rows, |row| Some(row.2)),
        ("sequence", _) => numbers(rows, |row| Some(row.3)),
        ("monotonic_nanos" | "read_end_nanos", _) => numbers(rows, |row| Some(at(row))),
        ("read_start_nanos", _) => numbers(rows, |row| Some(at(row) - 1_000)),
        ("sensor", _) => numbers(rows, |row| Some(row.4)),
        ("energy_microjoules", _) => numbers(rows, |row| Some(row.5)),
        ("epoch", _) => numbers(rows, |_| Some(3_u32)),
        ("power_watts", _) => numbers(rows, |_| Some(90.5)),
        ("status", _) => Utf8Array::<i32>::from_iter_values(rows.iter().map(|_| "ok")).boxed(),
        (_, DataType::UInt32) => numbers(rows, |_| None::<u32>),
        (_, DataType::Float64) => numbers(rows, |_| None::<f64>),
        (_, _) => numbers(rows, |_| None::<u64>),
    });
    Batch::new(columns.collect())
}

/// A stream of these batches.
fn stream(batches: &[Vec<Written>]) -> Vec<u8> {
    let fields = COLUMNS.map(|(name, data_type)| Field::new(name, data_type, true));
    let mut writer = StreamWriter::new(Vec::new(), WriteOptions { compression: None });
    writer.start(&Schema::from(fields.to_vec()), None).unwrap();
    for rows in batches {
        writer.write(&batch(rows), None).unwrap();
    }
    writer.finish().unwrap();
    writer.into_inner()
}

fn ticks_in(bytes: &[u8]) -> Result<Vec<Result<Tick, String>>, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("telemetry.arrow");
    fs::write(&path, bytes).unwrap();
    let mut file = TraceFile::open(&path)?;
    file.first_segment()?;
    file.number(HashMap::from([(4, 0), (9, 1)]));
    Ok(file.collect())
}

fn energies(ticks: &[Result<Tick, String>]) -> Vec<Vec<(u32, Option<u64>)>> {
    let of_tick = |tick: &Tick| -> Vec<_> {
        tick.readings.iter().map(|read| (read.sensor, read.energy_microjoules)).collect()
    };
    ticks.iter().map(|tick| of_tick(tick.as_ref().unwrap())).collect()
}

fn good() -> Vec<Vec<Written>> {
    vec![
        vec![(2, "h", 7, 0, 4, 10), (2, "h", 7, 0, 9, 20), (2, "h", 7, 1, 4, 11)],
        vec![(2, "h", 7, 1, 9, 21), (2, "h", 7, 2, 4, 12)],
    ]
}

#[test]
fn rows_of_one_reading_are_a_tick_across_batches_too() {
    let ticks = ticks_in(&stream(&good())).unwrap();
    let expected = [
        vec![(0, Some(10)), (1, Some(20))],
        vec![(0, Some(11)), (1, Some(21))],
        vec![(0, Some(12))],
    ];
    assert_eq!(energies(&ticks), expected);
    let tick = ticks[1].as_ref().unwrap();
    assert_eq!(tick.at, Nanos(51_000_000));
    let reading = tick.readings[0];
    assert_eq!((reading.epoch, reading.power), (3, Some(Watts(90.5))));
    assert_eq!((reading.read_start, reading.read_end), (Nanos(50_999_000), Nanos(51_000_000)));
}

#[test]
fn the_first_segment_of_the_first_host_is_replayed_and_its_known_sensors() {
    let rows = vec![
        (1, "a", 7, 0, 4, 10),
        (1, "b", 8, 0, 4, 99),
        (1, "a", 7, 0, 5, 99),
        (1, "a", 7, 1, 4, 11),
        (2, "a", 7, 2, 4, 99),
        (1, "a", 7, 3, 4, 99),
    ];
    let ticks = ticks_in(&stream(&[rows])).unwrap();
    assert_eq!(energies(&ticks), [[(0, Some(10))], [(0, Some(11))]]);
}

#[test]
fn a_stream_without_readings_or_of_other_columns_is_refused() {
    assert!(ticks_in(&stream(&[])).unwrap_err().contains("no readings"));
    let mut other = stream(&good());
    let name = other.windows(8).position(|window| window == b"instance").unwrap();
    other[name] = b'I';
    assert!(ticks_in(&other).unwrap_err().contains("columns"));
    assert!(ticks_in(&[0xff; 3]).is_err());
}

#[test]
fn what_is_damaged_ends_the_ticks_before_it() {
    let bytes = stream(&good());
    let cut = ticks_in(&bytes[..bytes.len() - 100]).unwrap();
    assert!(cut.len() < 3 && cut[cut.len() - 1].is_err(), "{cut:?}");
    let mut unknown = bytes;
    let status = unknown.windows(2).rposition(|window| window == b"ok").unwrap();
    unknown[status] = b'x';
    let ticks = ticks_in(&unknown).unwrap();
    assert!(ticks[ticks.len() - 1].is_err(), "{ticks:?}");
}

#[test]
fn a_huge_body_is_refused_before_it_is_read() {
    let bytes = stream(&good());
    let end = own_schema().unwrap().0.len();
    let header = u32::from_le_bytes(bytes[end + 4..end + 8].try_into().unwrap()) as usize;
    let length = MessageRef::read_as_root(&bytes[end + 8..]).unwrap().body_length().unwrap();
    let at = bytes[end + 8..end + 8 + header]
        .windows(8)
        .position(|window| window == length.to_le_bytes())
        .unwrap();
    let mut huge = bytes.clone();
    huge[end + 8 + at..end + 16 + at].copy_from_slice(&(1_i64 << 40).to_le_bytes());
    assert!(ticks_in(&huge).unwrap_err().contains("no batch"), "{:?}", ticks_in(&huge));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    #[test]
    fn flipped_bytes_never_make_it_panic(
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let mut bytes = stream(&good());
        // The columns' message is compared as a whole: what lies behind it is of interest.
        let schema = own_schema().unwrap().0.len();
        for (index, byte) in flips {
            let at = schema + index.index(bytes.len() - schema);
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(ticks) = ticks_in(&bytes) {
            prop_assert!(ticks.len() <= 6);
            prop_assert!(ticks.iter().flatten().all(|tick| tick.readings.len() <= 2));
        }
    }
}
