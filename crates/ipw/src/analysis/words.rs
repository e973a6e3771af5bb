//! Figures as sentences have them: rounded to what matters, with their unit.

/// Digits that tables show of a figure: more than the sensors are good for, fewer than they print.
const DIGITS: usize = 4;

/// Prefixes of units, largest first.
const PREFIXES: [(f64, &str); 7] =
    [(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n")];

/// A figure with three digits and its unit: `12.3 mJ`.
pub(super) fn with_unit(value: f64, unit: &str) -> String {
    let (size, prefix) = scale(value);
    format!("{} {prefix}{unit}", three_digits(value / size))
}

/// A range in one unit: `11.9 to 12.7 mJ`.
pub(super) fn range_with_unit([low, high]: [f64; 2], unit: &str) -> String {
    let (size, prefix) = scale(low.abs().max(high.abs()));
    let decimals = decimals_of(low.abs().max(high.abs()) / size);
    let figure = |value: f64| signed(format!("{:.decimals$}", value / size));
    format!("{} to {} {prefix}{unit}", figure(low), figure(high))
}

/// A range of shares in percent, with as many digits as tell its ends apart: `12 to 18 %`.
pub(super) fn percent_range([low, high]: [f64; 2]) -> String {
    let (low, high) = (100.0 * low, 100.0 * high);
    let texts =
        [0, 1, 2].map(|decimals| (format!("{low:.decimals$}"), format!("{high:.decimals$}")));
    // A share that isn't nothing must not look like nothing.
    let shows_low = |text: &str| low == 0.0 || text.contains(|digit| ('1'..='9').contains(&digit));
    let tells_apart = |(low, high): &&(String, String)| low != high && shows_low(low);
    let (low, high) = texts.iter().find(tells_apart).unwrap_or(&texts[2]);
    if low == high { format!("{low} %") } else { format!("{low} to {high} %") }
}

/// A share in percent with one decimal: `71.0 %`.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A difference of shares in percentage points, with its sign: `+3.1`.
pub fn points(difference: f64) -> String {
    let text = format!("{:+.1}", 100.0 * difference);
    if text == "-0.0" { "+0.0".to_owned() } else { signed(text) }
}

/// A probability: `0.013`, `under 0.001`.
pub(super) fn probability(p: f64) -> String {
    if p < 0.001 { "under 0.001".to_owned() } else { format!("{p:.3}") }
}

/// Three digits, without a power of ten: `0.41`, `12.3`, `1234`.
pub(super) fn three_digits(value: f64) -> String {
    let decimals = decimals_of(value);
    signed(format!("{value:.decimals$}"))
}

/// A number with four significant digits, without an exponent where that stays readable.
pub fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-5..9).contains(&magnitude) {
        return format!("{value:.*e}", DIGITS - 1);
    }
    let decimals = (DIGITS as i32 - 1 - magnitude).max(0) as usize;
    format!("{value:.decimals$}")
}

/// `text` with what can't stand in a line, or in XML, or would turn the direction of what follows, as
/// spaces.
#[must_use]
pub fn printable(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_shown = |c: char| !(c.is_control() || turns(c) || matches!(c, '\u{fffe}' | '\u{ffff}'));
    let shown = |c: char| if is_shown(c) { c } else { ' ' };
    text.chars().map(shown).collect()
}

/// `1 query`, `2 queries`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn decimals_of(value: f64) -> usize {
    match value.abs() {
        large if large >= 99.95 => 0,
        middle if middle >= 9.995 => 1,
        _ => 2,
    }
}

/// The unit's prefix with which a value has one to three digits before the point.
fn scale(value: f64) -> (f64, &'static str) {
    let fitting = PREFIXES.iter().find(|(size, _)| value.abs() >= 0.9995 * size);
    match fitting {
        Some(fitting) => *fitting,
        None if value == 0.0 => (1.0, ""),
        None => (1e-9, "n"),
    }
}

/// With a true minus sign, which can't be taken for a dash between two figures.
fn signed(text: String) -> String {
    text.replacen('-', "−", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits() {
        assert_eq!(significant(1234.56), "1235");
        assert_eq!(significant(12.3456), "12.35");
        assert_eq!(significant(0.000_123_456), "0.0001235");
        assert_eq!(significant(1.5e-9), "1.500e-9");
        assert_eq!(significant(0.0), "0");
        assert_eq!(significant(-3.0), "-3.000");
    }

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        for (value, expected) in [
            (0.0123, "12.3 mJ"),
            (0.000_41, "410 µJ"),
            (1.0, "1.00 J"),
            (0.9999, "1.00 J"),
            (999.7, "1.00 kJ"),
            (-0.5, "−500 mJ"),
            (0.0, "0.00 J"),
            (3e-12, "0.00 nJ"),
        ] {
            assert_eq!(with_unit(value, "J"), expected);
        }
    }

    #[test]
    fn a_range_has_one_unit() {
        assert_eq!(range_with_unit([0.0119, 0.0127], "J"), "11.9 to 12.7 mJ");
        assert_eq!(range_with_unit([-1e-4, 3e-4], "J"), "−100 to 300 µJ");
        assert_eq!(range_with_unit([0.0, 0.0], "J"), "0.00 to 0.00 J");
    }

    #[test]
    fn a_range_of_percent_tells_its_ends_apart() {
        for (range, expected) in [
            ([0.118, 0.183], "12 to 18 %"),
            ([0.121, 0.123], "12.1 to 12.3 %"),
            ([0.12, 0.12], "12.00 %"),
            ([0.003, 0.18], "0.3 to 18.0 %"),
            ([0.0, 0.18], "0 to 18 %"),
        ] {
            assert_eq!(percent_range(range), expected);
        }
    }

    #[test]
    fn points_have_a_sign_and_small_probabilities_a_bound() {
        assert_eq!(
            (points(0.031), points(-0.05), points(-1e-9)),
            ("+3.1".into(), "−5.0".into(), "+0.0".into())
        );
        assert_eq!(
            (probability(0.0132), probability(1e-9)),
            ("0.013".into(), "under 0.001".into())
        );
        assert_eq!(percent(0.71), "71.0 %");
        assert_eq!(
            (counted(1, "query", "queries"), counted(2, "query", "queries")),
            ("1 query".into(), "2 queries".into())
        );
    }

    #[test]
    fn what_has_no_place_in_a_line_becomes_a_space() {
        assert_eq!(printable("a\nb\tc\u{0}d\u{ffff}e\u{202e}f"), "a b c d e f");
    }
}
