//! What becomes of samples, of every version and of none.

use super::*;
use proptest::prelude::*;

macro_rules! recorded {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../../tests/data/powermetrics/", $name))
    };
}

const M1_PRO: &[u8] = recorded!("m1_pro.plist");
const M4_REALS: &[u8] = recorded!("m4_reals.plist");
const POWER_ONLY: &[u8] = recorded!("power_only.plist");
const INTEL: &[u8] = recorded!("intel.plist");

fn known(millijoules: f64) -> Taken {
    Taken::Known { energy: Joules(millijoules * 1e-3), from_power: false }
}

fn with(sample: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = str::from_utf8(sample).unwrap();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

#[test]
fn whole_millijoules_over_the_samples_own_time() {
    let sample = parse(M1_PRO).unwrap();
    assert_eq!(sample.elapsed, Duration::from_micros(107_900));
    assert_eq!(sample.model.as_deref(), Some("MacBookPro18,3"));
    assert_eq!((sample.cpu, sample.gpu, sample.ane), (known(1923.0), known(284.0), known(0.0)));
    assert_eq!((sample.gpu_active, sample.gpu_clock_mhz), (Some(0.125), Some(338)));
    // Four cores: idle 0.5, 0.75, then 0.25 and 0.5 with another 0.25 switched off.
    assert_eq!(sample.cores_active, sample.elapsed.mul_f64(0.5 + 0.25 + 0.5 + 0.25));
}

#[test]
fn reals_and_a_gpu_with_its_energy_in_its_own_part() {
    let sample = parse(M4_REALS).unwrap();
    assert_eq!((sample.cpu, sample.gpu, sample.ane), (known(1210.25), known(212.0), known(12.5)));
    assert_eq!(sample.gpu_clock_mhz, Some(1338));
}

#[test]
fn without_energies_the_powers_and_the_samples_own_time_make_them() {
    let sample = parse(POWER_ONLY).unwrap();
    let Taken::Known { energy, from_power: true } = sample.cpu else { panic!("{sample:?}") };
    assert!((energy.0 - 5.0 * 0.1079).abs() < 1e-12);
}

#[test]
fn a_machine_without_the_rails_has_none_of_them() {
    let sample = parse(INTEL).unwrap();
    assert_eq!([sample.cpu, sample.gpu, sample.ane], [Taken::Absent; 3]);
    assert_eq!((sample.gpu_active, sample.gpu_clock_mhz), (None, None));
}

#[test]
fn what_is_no_energy_costs_its_own_rail_alone() {
    let energy = "<key>cpu_energy</key><integer>1923</integer>";
    for bad in ["<integer>-5</integer>", "<string>1923</string>", "<real>nan</real>", "<true/>"] {
        let sample = parse(&with(M1_PRO, energy, &format!("<key>cpu_energy</key>{bad}"))).unwrap();
        assert_eq!((sample.cpu, sample.gpu), (Taken::Impossible, known(284.0)), "{bad}");
    }
    assert_eq!(parse(&with(M1_PRO, energy, "")).unwrap().gpu, known(284.0));
}

#[test]
fn no_time_no_sample() {
    let elapsed = "<integer>107900000</integer>";
    for bad in ["<integer>0</integer>", "<integer>-1</integer>", "<real>1e300</real>", "<true/>"] {
        assert!(matches!(parse(&with(M1_PRO, elapsed, bad)), Err(NotASample::Elapsed)), "{bad}");
    }
    for bad in [&b""[..], b"\0\0", b"powermetrics must be", b"<plist/>", b"<plist><array/></plist>"]
    {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_deep_sample_is_refused_however_its_depth_is_hidden() {
    let deep = |open: &str| format!("<plist version=\"1.0\">{}", open.repeat(100_000)).into_bytes();
    for open in [
        "<array>",
        "<array\n>",
        "<x:array>",
        "<dict><key>a</key>",
        "<array a=\"></array>\">",
        "<array a='></array>'>",
        "<array><!-- </array> -->",
        "<array><![CDATA[</array>]]>",
        "<array><?a </array>?>",
        "<array <array>",
    ] {
        assert!(matches!(parse(&deep(open)), Err(NotASample::Shape)), "{open}");
    }
    let hidden = "<key a=\"></array></array>\">".repeat(2);
    assert!(matches!(parse(&deep(&format!("<array>{hidden}"))), Err(NotASample::Shape)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn a_mutated_sample_is_a_sample_or_an_error(
        sample in proptest::sample::select(vec![M1_PRO, M4_REALS, POWER_ONLY, INTEL]),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), 0_u8..4, any::<u8>()), 1..8),
    ) {
        let mut bytes = sample.to_vec();
        for (index, edit, byte) in edits {
            let at = index.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => bytes.truncate(at.max(1)),
                _ => bytes.extend_from_within(at..),
            }
        }
        if let Ok(sample) = parse(&bytes) {
            for taken in [sample.cpu, sample.gpu, sample.ane] {
                if let Taken::Known { energy, .. } = taken {
                    prop_assert!(energy.0 >= 0.0 && energy.0.is_finite());
                }
            }
            prop_assert!(!sample.elapsed.is_zero() && sample.elapsed <= LONGEST);
        }
    }
}
