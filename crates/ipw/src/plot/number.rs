//! Numbers as people read them: units with their prefixes, and no more digits than are needed.

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Unit {
    Joules,
    JoulesPerToken,
    Watts,
    Seconds,
    Tokens,
    Percent,
    /// Without a unit.
    Plain,
}

/// Steps by which a unit is made larger: the factor, and how it is then written.
type Step = (f64, &'static str);

impl Unit {
    fn steps(self) -> &'static [Step] {
        match self {
            Self::Joules => {
                &[(1e-6, "µJ"), (1e-3, "mJ"), (1.0, "J"), (1e3, "kJ"), (1e6, "MJ"), (1e9, "GJ")]
            }
            Self::JoulesPerToken => &[
                (1e-6, "µJ per token"),
                (1e-3, "mJ per token"),
                (1.0, "J per token"),
                (1e3, "kJ per token"),
                (1e6, "MJ per token"),
            ],
            Self::Watts => &[(1e-3, "mW"), (1.0, "W"), (1e3, "kW"), (1e6, "MW"), (1e9, "GW")],
            Self::Seconds => {
                &[(1e-6, "µs"), (1e-3, "ms"), (1.0, "s"), (60.0, "min"), (3600.0, "h")]
            }
            Self::Tokens => &[(1.0, "tokens"), (1e3, "thousand tokens"), (1e6, "million tokens")],
            Self::Percent => &[(1.0, "%")],
            Self::Plain => &[(1.0, "")],
        }
    }

    /// From how many of a step on the next one reads better.
    fn enough(self, step: Step) -> f64 {
        match step {
            (_, "s" | "min") => 300.0,
            (_, "tokens") => 20_000.0,
            _ => 1_000.0,
        }
    }

    /// The step in which numbers as large as `value` are read best.
    #[must_use]
    pub fn step(self, value: f64) -> Step {
        let steps = self.steps();
        let one = steps.iter().position(|step| step.0 == 1.0).unwrap_or(0);
        let size = value.abs();
        if size == 0.0 {
            return steps[one];
        }
        let fits = |step: &Step| size / step.0 < self.enough(*step);
        steps.iter().copied().find(fits).unwrap_or(steps[steps.len() - 1])
    }

    /// The number with its unit, in three digits.
    #[must_use]
    pub fn text(self, value: f64) -> String {
        let (factor, name) = self.step(value);
        format!("{} {name}", significant(value / factor, 3)).trim_end().to_owned()
    }

    /// The number with an interval in brackets, all in the number's unit.
    #[must_use]
    pub fn with_interval(self, value: f64, interval: Option<[f64; 2]>) -> String {
        let Some([low, high]) = interval else { return self.text(value) };
        let (factor, name) = self.step(value);
        let [value, low, high] = [value, low, high].map(|one| significant(one / factor, 3));
        format!("{value} [{low}, {high}] {name}").trim_end().to_owned()
    }
}

/// A number in so many digits, without an exponent where that stays readable.
#[must_use]
pub fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return "?".to_owned();
    }
    // Rounded first: 9.999 has one digit before the point, and 10.0 two.
    let exponent = format!("{value:.*e}", digits.max(1) - 1)
        .split_once('e')
        .and_then(|(_, exponent)| exponent.parse::<i32>().ok())
        .unwrap_or(0);
    if !(-4..7).contains(&exponent) {
        return scientific(value, digits);
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    minus(&grouped(&format!("{value:.decimals$}")))
}

/// A number with so many decimals.
#[must_use]
pub fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let zero = text.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.'));
    minus(&grouped(if zero { text.trim_start_matches('-') } else { &text }))
}

/// A count.
#[must_use]
pub fn count(value: usize) -> String {
    grouped(&value.to_string())
}

/// `1.5×10⁶`; a mantissa of 1 isn't written.
#[must_use]
pub fn scientific(value: f64, digits: usize) -> String {
    let text = format!("{value:.*e}", digits.max(1) - 1);
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let mantissa = if mantissa.contains('.') {
        mantissa.trim_end_matches('0').trim_end_matches('.')
    } else {
        mantissa
    };
    let power = format!("10{}", exponent.chars().map(raised).collect::<String>());
    minus(&match mantissa {
        "1" => power,
        "-1" => format!("-{power}"),
        mantissa => format!("{mantissa}×{power}"),
    })
}

fn raised(c: char) -> char {
    match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => {
            digit.to_digit(10).and_then(|digit| char::from_u32('⁰' as u32 + digit)).unwrap_or(digit)
        }
    }
}

/// Digits before the point in groups of three, from five on.
fn grouped(text: &str) -> String {
    let whole = text.trim_start_matches('-').split('.').next().unwrap_or_default();
    if whole.len() < 5 {
        return text.to_owned();
    }
    let mut groups = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            groups.push(',');
        }
        groups.push(digit);
    }
    text.replacen(whole, &groups, 1)
}

/// A minus as wide as a plus.
fn minus(text: &str) -> String {
    text.replacen('-', "−", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_chosen_by_size() {
        let shown = [
            Unit::Joules.text(0.0),
            Unit::Joules.text(0.001_234),
            Unit::Joules.text(999.9),
            Unit::Joules.text(123_456.0),
            Unit::Joules.text(-4.0),
            Unit::Seconds.text(0.2),
            Unit::Seconds.text(90.0),
            Unit::Seconds.text(900.0),
            Unit::Seconds.text(90_000.0),
            Unit::Watts.text(1e12),
            Unit::Plain.text(0.5),
        ];
        let expected = [
            "0 J",
            "1.23 mJ",
            "1000 J",
            "123 kJ",
            "−4.00 J",
            "200 ms",
            "90.0 s",
            "15.0 min",
            "25.0 h",
            "1000 GW",
            "0.500",
        ];
        assert_eq!(shown, expected);
        let around = |value| Unit::Joules.with_interval(value, Some([500.0, 1500.0]));
        assert_eq!(around(600.0), "600 [500, 1500] J");
        assert_eq!(around(1000.0), "1.00 [0.500, 1.50] kJ");
        assert_eq!(Unit::Joules.with_interval(5.0, None), "5.00 J");
    }

    #[test]
    fn numbers_keep_their_digits_and_no_more() {
        let shown = [0.0, 1.0, 12.345, 99.96, 12_345.6, 1.5e9, 2.5e-7, 1e20, -1e-9, f64::NAN]
            .map(|value| significant(value, 3));
        let expected =
            ["0", "1.00", "12.3", "100", "12,346", "1.5×10⁹", "2.5×10⁻⁷", "10²⁰", "−10⁻⁹", "?"];
        assert_eq!(shown, expected);
        assert_eq!(fixed(-0.001, 2), "0.00");
        assert_eq!(fixed(-1_234_567.0, 0), "−1,234,567");
        assert_eq!((count(9999), count(10_000)), ("9999".to_owned(), "10,000".to_owned()));
    }
}
