//! Where an axis has ticks: at multiples of 1, 2 or 5 times a power of ten, and on a logarithmic axis at
//! 1, 2 and 5 times powers of ten.

use super::number::{fixed, scientific};

/// A tick and its label.
pub type Tick = (f64, String);

/// Numbers with more digits than this before or behind the point have exponents.
const MOST_DIGITS: i32 = 6;

/// At most `most` ticks in `[low, high]`, and at least two if `most` allows it and the numbers can be told
/// apart.
#[must_use]
pub fn linear(low: f64, high: f64, most: usize) -> Vec<Tick> {
    let span = high - low;
    if most == 0 || span <= 0.0 || !span.is_finite() {
        return Vec::new();
    }
    // Some powers of ten hold every step that could be right.
    let first = (span / most as f64).log10().floor() as i32 - 1;
    for exponent in first..first + 4 {
        for factor in [1.0, 2.0, 5.0] {
            let ticks = multiples(low, high, factor, exponent, most);
            if let Some(ticks) = ticks {
                return ticks;
            }
        }
    }
    Vec::new()
}

/// The multiples of `factor * 10^exponent`, if they aren't too many.
fn multiples(low: f64, high: f64, factor: f64, exponent: i32, most: usize) -> Option<Vec<Tick>> {
    let scaled = |whole: f64| {
        // A division by a power of ten gives the decimal that was meant, a product with a tenth doesn't.
        if exponent < 0 { whole / 10_f64.powi(-exponent) } else { whole * 10_f64.powi(exponent) }
    };
    let step = scaled(factor);
    // What is off by rounding still counts as on the end.
    let (first, last) = ((low / step - 1e-6).ceil(), (high / step + 1e-6).floor());
    let count = last - first + 1.0;
    if !count.is_finite() || count > most as f64 {
        return None;
    }
    let largest = low.abs().max(high.abs());
    let label = |value: f64| {
        if value == 0.0 {
            "0".to_owned()
        } else if largest >= 10_f64.powi(MOST_DIGITS) || exponent < -MOST_DIGITS {
            // As many digits as the step tells apart.
            let digits = (largest.log10().floor() as i32 - exponent + 1).clamp(1, 15);
            scientific(value, digits as usize)
        } else {
            fixed(value, usize::try_from(-exponent).unwrap_or(0))
        }
    };
    let count = count.max(0.0) as usize;
    let values = (0..count).map(|n| scaled((first + n as f64) * factor));
    Some(values.map(|value| (value, label(value))).collect())
}

/// At most `most` ticks in `[low, high]`, both positive.
#[must_use]
pub fn logarithmic(low: f64, high: f64, most: usize) -> Vec<Tick> {
    if !(low > 0.0 && high > low && high.is_finite()) || most == 0 {
        return Vec::new();
    }
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    for (factors, every) in [(&[1.0, 2.0, 5.0][..], 1), (&[1.0, 5.0], 1), (&[1.0], 1)]
        .into_iter()
        .chain((2..).take(400).map(|every| (&[1.0][..], every)))
    {
        let ticks: Vec<Tick> = (first..=last)
            .filter(|exponent| exponent % every == 0)
            .flat_map(|exponent| factors.iter().map(move |factor| power(*factor, exponent)))
            .filter(|value| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(value))
            .map(|value| (value, plain_or_power(value)))
            .collect();
        if ticks.len() <= most {
            // Less than a factor of ten may hold too few of them.
            return if ticks.len() < 2 && most >= 2 { linear(low, high, most) } else { ticks };
        }
    }
    Vec::new()
}

fn power(factor: f64, exponent: i32) -> f64 {
    if exponent < 0 { factor / 10_f64.powi(-exponent) } else { factor * 10_f64.powi(exponent) }
}

fn plain_or_power(value: f64) -> String {
    if (1e-3..1e5).contains(&value) {
        let decimals = (-value.log10().floor()).max(0.0) as usize;
        fixed(value, decimals)
    } else {
        scientific(value, 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.1.as_str()).collect()
    }

    #[test]
    fn ticks_are_multiples_of_one_two_or_five() {
        assert_eq!(labels(&linear(0.0, 10.0, 6)), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(labels(&linear(0.0, 1.0, 6)), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&linear(-0.25, 0.26, 4)), ["−0.2", "0", "0.2"]);
        assert_eq!(
            labels(&linear(0.0, 45_000.0, 5)),
            ["0", "10,000", "20,000", "30,000", "40,000"]
        );
        assert_eq!(labels(&linear(1_000.1, 1_000.4, 4)), ["1000.1", "1000.2", "1000.3", "1000.4"]);
    }

    #[test]
    fn huge_and_tiny_numbers_have_exponents() {
        assert_eq!(labels(&linear(0.0, 2.5e12, 4)), ["0", "10¹²", "2×10¹²"]);
        assert_eq!(labels(&linear(0.0, 3e-9, 4)), ["0", "10⁻⁹", "2×10⁻⁹", "3×10⁻⁹"]);
    }

    #[test]
    fn a_logarithmic_axis_has_one_two_and_five_where_there_is_room() {
        assert_eq!(labels(&logarithmic(0.08, 3.0, 6)), ["0.1", "0.2", "0.5", "1", "2"]);
        assert_eq!(
            labels(&logarithmic(0.01, 1000.0, 6)),
            ["0.01", "0.1", "1", "10", "100", "1000"]
        );
        assert_eq!(labels(&logarithmic(1e-9, 1e9, 5)), ["10⁻⁸", "10⁻⁴", "1", "10,000", "10⁸"]);
        assert_eq!(labels(&logarithmic(2.2, 4.4, 4)), ["2.5", "3.0", "3.5", "4.0"]);
    }

    proptest! {
        #[test]
        fn ticks_lie_in_the_range_in_order_and_are_never_too_many(
            low in -1e12_f64..1e12, span in 1e-3_f64..1e12, most in 1_usize..12,
        ) {
            let high = low + span;
            let ticks = linear(low, high, most);
            prop_assert!(ticks.len() <= most);
            let slack = 1e-5 * span;
            prop_assert!(ticks.iter().all(|tick| low - slack <= tick.0 && tick.0 <= high + slack));
            prop_assert!(ticks.windows(2).all(|pair| pair[0].0 < pair[1].0));
            // Labels that don't tell ticks apart are worse than none.
            prop_assert!(ticks.windows(2).all(|pair| pair[0].1 != pair[1].1), "{:?}", labels(&ticks));
        }

        #[test]
        fn logarithmic_ticks_too(exponent in -30_f64..30.0, decades in 0.01_f64..20.0, most in 2_usize..12) {
            let (low, high) = (10_f64.powf(exponent), 10_f64.powf(exponent + decades));
            let ticks = logarithmic(low, high, most);
            prop_assert!(ticks.len() <= most);
            prop_assert!(ticks.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1),
                "{:?}", labels(&ticks));
        }
    }
}
