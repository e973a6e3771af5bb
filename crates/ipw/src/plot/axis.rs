//! An axis: what it shows, from where to where, on which scale, and how much lies beyond it.
//!
//! A single value far from all others would press them into a line. So an axis ends where the bulk ends if
//! that is much less than all, and who draws it says how many are beyond.

use super::number::Unit;
use super::ticks::{self, Tick};
use crate::analysis::stats::quantile;

/// Larger numbers than this can't be computed with.
const LARGEST: f64 = 1e100;

/// Values further from the middle half than so many of its widths are far out.
const FAR_OUT: f64 = 12.0;

/// The axis is only cut where that makes the bulk this much larger.
const WORTH_CUTTING: f64 = 4.0;

/// The share of an axis that is left free at an end.
const MARGIN: f64 = 0.04;

/// How positions follow from values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// By difference.
    Linear,
    /// By ratio.
    Logarithmic,
}

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What it shows, without its unit.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// Its scale.
    pub scale: Scale,
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Names in the place of numbers, at 0, 1, ...
    pub names: Vec<String>,
}

/// Whether a value can be shown at all.
#[must_use]
pub fn is_plottable(value: f64) -> bool {
    value.is_finite() && value.abs() <= LARGEST
}

impl Axis {
    /// From `low` to `high`, which a little is added to where they are equal.
    #[must_use]
    pub fn new(name: &str, unit: Unit, low: f64, high: f64) -> Self {
        let (low, high) = apart(low, high);
        let name = name.to_owned();
        Self { name, unit, scale: Scale::Linear, low, high, names: Vec::new() }
    }

    /// For names, from the first, on top, to the last.
    #[must_use]
    pub fn of_names(names: Vec<String>) -> Self {
        let last = names.len().max(1) as f64 - 1.0;
        Self { names, low: last + 0.5, high: -0.5, ..Self::new("", Unit::Plain, 0.0, 1.0) }
    }

    /// Around the values, or their bulk; from zero on if they are near it. `None` if none can be shown.
    #[must_use]
    pub fn around(name: &str, unit: Unit, values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let [low, high] = bulk(values)?;
        // Zero belongs to quantities, unless it would take most of the room.
        if low >= 0.0 && low <= 0.5 * high {
            return Some(Self::new(name, unit, 0.0, high * (1.0 + MARGIN)));
        }
        let margin = MARGIN * (high - low);
        Some(Self::new(name, unit, low - margin, high + margin))
    }

    /// The same, always from zero on, or from the least value if that is below it.
    #[must_use]
    pub fn from_zero(
        name: &str,
        unit: Unit,
        values: impl IntoIterator<Item = f64>,
    ) -> Option<Self> {
        let [low, high] = bulk(values)?;
        let span = high.max(0.0) - low.min(0.0);
        let end = |value: f64, margin: f64| if value == 0.0 { 0.0 } else { value + margin };
        let (low, high) = (end(low.min(0.0), -MARGIN * span), end(high.max(0.0), MARGIN * span));
        // Only zeros: nothing says how large an axis should be.
        Some(Self::new(name, unit, low, if low == high { 1.0 } else { high }))
    }

    /// By ratio where the values are positive and far apart, else from zero on.
    #[must_use]
    pub fn by_ratio(name: &str, unit: Unit, values: impl IntoIterator<Item = f64>) -> Option<Self> {
        /// From this ratio on the small ones can't be read on a linear axis.
        const FAR_APART: f64 = 20.0;
        let values: Vec<f64> = values.into_iter().filter(|value| is_plottable(*value)).collect();
        let positive = || values.iter().copied().filter(|value| *value > 0.0);
        let low = positive().fold(f64::INFINITY, f64::min);
        let high = positive().fold(0.0, f64::max);
        if values.iter().any(|value| *value < 0.0) || low * FAR_APART > high {
            return Self::from_zero(name, unit, values);
        }
        let margin = (high / low).powf(MARGIN);
        let scale = Scale::Logarithmic;
        Some(Self { scale, ..Self::new(name, unit, low / margin, high * margin) })
    }

    /// Where on the axis a value is: 0 at its lower end, 1 at its upper one.
    #[must_use]
    pub fn share(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic if value <= 0.0 => f64::NEG_INFINITY,
            Scale::Logarithmic => (value / self.low).ln() / (self.high / self.low).ln(),
        }
    }

    /// The value at a share.
    #[must_use]
    pub fn at(&self, share: f64) -> f64 {
        match self.scale {
            Scale::Linear => self.low + share * (self.high - self.low),
            Scale::Logarithmic => self.low * (self.high / self.low).powf(share),
        }
    }

    /// Whether a value is on it.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        (-1e-9..=1.0 + 1e-9).contains(&self.share(value))
    }

    /// What stands beside it.
    #[must_use]
    pub fn title(&self) -> String {
        match self.step().1 {
            _ if self.name.is_empty() => String::new(),
            "" => self.name.clone(),
            // The name of what is counted has the unit already.
            step if self.unit == Unit::Tokens && step == "tokens" => self.name.clone(),
            "thousand tokens" => format!("{} (thousands)", self.name),
            "million tokens" => format!("{} (millions)", self.name),
            unit => format!("{} ({unit})", self.name),
        }
    }

    /// At most `most` ticks, with the values where they are.
    #[must_use]
    pub fn ticks(&self, most: usize) -> Vec<Tick> {
        if !self.names.is_empty() {
            let names = self.names.iter().enumerate();
            return names.map(|(place, name)| (place as f64, name.clone())).collect();
        }
        let factor = self.step().0;
        let (low, high) = (self.low / factor, self.high / factor);
        let ticks = match self.scale {
            Scale::Linear => ticks::linear(low, high, most),
            Scale::Logarithmic => ticks::logarithmic(low, high, most),
        };
        ticks.into_iter().map(|(at, label)| (at * factor, label)).collect()
    }

    fn step(&self) -> (f64, &'static str) {
        match self.scale {
            // Of a stretch of time its length, and not how late it was, as long as that leaves few digits.
            Scale::Linear if self.unit == Unit::Seconds => {
                let latest = self.low.abs().max(self.high.abs());
                self.unit.step((self.high - self.low).max(latest / 1e4))
            }
            Scale::Linear => self.unit.step(self.low.abs().max(self.high.abs())),
            // Its middle, so that neither end has too many zeros.
            Scale::Logarithmic => {
                self.unit.step((self.low.ln() / 2.0 + self.high.ln() / 2.0).exp())
            }
        }
    }
}

/// Two ends that can be told apart.
fn apart(low: f64, high: f64) -> (f64, f64) {
    let middle = f64::midpoint(low, high);
    if high - low > 1e-9 * middle.abs() {
        return (low, high);
    }
    let half = if middle == 0.0 { 1.0 } else { 0.1 * middle.abs() };
    (middle - half, middle + half)
}

/// The least and the greatest value, or of those that aren't far out where that makes a great difference.
fn bulk(values: impl IntoIterator<Item = f64>) -> Option<[f64; 2]> {
    let mut sorted: Vec<f64> = values.into_iter().filter(|value| is_plottable(*value)).collect();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (*sorted.first()?, *sorted.last()?);
    let (lower, upper) = (quantile(&sorted, 0.25)?, quantile(&sorted, 0.75)?);
    let far = FAR_OUT * (upper - lower);
    let from = sorted.partition_point(|value| *value < lower - far);
    let to = sorted.partition_point(|value| *value <= upper + far);
    let near = sorted.get(from..to).filter(|near| !near.is_empty()).unwrap_or(&sorted);
    let (near_low, near_high) = (near[0], near[near.len() - 1]);
    // From zero on, as most axes are: what is cut off must be worth it there, too.
    let span = |low: f64, high: f64| high.max(0.0) - low.min(0.0);
    if far > 0.0 && span(low, high) > WORTH_CUTTING * span(near_low, near_high) {
        return Some([near_low, near_high]);
    }
    Some([low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(values: &[f64]) -> (f64, f64) {
        let axis = Axis::around("x", Unit::Plain, values.iter().copied()).unwrap();
        (axis.low, axis.high)
    }

    #[test]
    fn an_axis_begins_at_zero_where_that_is_near() {
        assert_eq!(around(&[1.0, 10.0]), (0.0, 10.4));
        let (low, high) = around(&[90.0, 100.0]);
        assert!((89.0..90.0).contains(&low) && (100.0..101.0).contains(&high));
        let (low, high) = around(&[-5.0, 5.0]);
        assert!(low < -5.0 && high > 5.0);
    }

    #[test]
    fn equal_values_are_in_the_middle() {
        assert_eq!(around(&[0.0, 0.0]), (-1.0, 1.0));
        assert_eq!(around(&[50.0]), (45.0, 55.0));
        assert_eq!(around(&[-50.0; 3]), (-55.0, -45.0));
    }

    #[test]
    fn zeros_are_on_an_axis_from_zero() {
        let axis = Axis::from_zero("x", Unit::Joules, [0.0, 0.0]).unwrap();
        assert_eq!((axis.low, axis.high), (0.0, 1.0));
        let axis = Axis::from_zero("x", Unit::Joules, [-10.0, 0.0]).unwrap();
        assert!(axis.low < -10.0 && axis.high == 0.0);
    }

    #[test]
    fn what_is_far_out_does_not_press_the_rest_together() {
        let mut values: Vec<f64> = (0..100).map(f64::from).collect();
        values.extend([1e6, 2e6]);
        assert!(around(&values).1 < 110.0);
        // An only moderately far one is worth its room.
        let mut values: Vec<f64> = (0..100).map(f64::from).collect();
        values.push(300.0);
        assert!(around(&values).1 > 300.0);
        // Of three values none is far out.
        assert!(around(&[1.0, 2.0, 1e6]).1 > 1e6);
    }

    #[test]
    fn what_cannot_be_shown_is_left_out() {
        let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300];
        assert_eq!(Axis::around("x", Unit::Plain, values), None);
        assert_eq!(around(&[f64::NAN, 1.0, f64::MAX, 2.0]), (0.0, 2.08));
    }

    #[test]
    fn ratios_are_shown_where_values_are_far_apart_and_positive() {
        let axis =
            |values: &[f64]| Axis::by_ratio("x", Unit::Seconds, values.iter().copied()).unwrap();
        assert_eq!(axis(&[0.01, 10.0]).scale, Scale::Logarithmic);
        // Zeros have no place on it, but don't forbid it.
        assert_eq!(axis(&[0.0, 0.01, 10.0]).scale, Scale::Logarithmic);
        assert_eq!(axis(&[1.0, 19.0]).scale, Scale::Linear);
        assert_eq!(axis(&[-1.0, 0.01, 10.0]).scale, Scale::Linear);
        assert_eq!(axis(&[0.0, 0.0]).scale, Scale::Linear);
        let wide = axis(&[0.01, 10.0]);
        assert!((wide.share(wide.at(0.3)) - 0.3).abs() < 1e-9);
        assert!(!wide.holds(0.0) && wide.holds(0.01) && wide.holds(10.0));
    }

    #[test]
    fn a_title_has_the_unit_that_suits_the_values() {
        let title = |unit, high| Axis::new("Energy", unit, 0.0, high).title();
        assert_eq!(title(Unit::Joules, 5_000.0), "Energy (kJ)");
        assert_eq!(title(Unit::Seconds, 0.5), "Energy (ms)");
        assert_eq!(title(Unit::Tokens, 500.0), "Energy");
        assert_eq!(title(Unit::Tokens, 50_000.0), "Energy (thousands)");
        assert_eq!(title(Unit::Plain, 5.0), "Energy");
        assert_eq!(Axis::new("Time", Unit::Seconds, 6_000.0, 6_010.0).title(), "Time (s)");
        assert_eq!(Axis::new("", Unit::Seconds, 0.0, 1.0).title(), "");
    }
}
