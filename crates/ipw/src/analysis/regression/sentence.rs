//! The energy model in words, with how far they can be trusted.

use super::report::{EnergyModel, RegressionReport, RobustEnergyModel};
use crate::analysis::words::{percent, range_with_unit, three_digits, with_unit};

impl RegressionReport {
    /// What the energy model says, in a few sentences; why there is none, if so. Its intervals are those
    /// that hold though errors may grow with the tokens, where there are such.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Some(model) = &self.data.energy_model else {
            return format!("What a token costs is not known: {}.", self.data.energy_model_status);
        };
        let mark = if self.summary.energy_is_estimated { "ESTIMATED: " } else { "" };
        let sentences = [
            Some(format!("{mark}{}", costs(model))),
            exchange(model),
            below_zero(model),
            Some(scope(model)),
            model.robust.as_ref().map(|robust| outliers(robust, model.count)),
        ];
        sentences.into_iter().flatten().collect::<Vec<String>>().join(" ")
    }
}

/// A cost and its interval.
type Cost = (f64, Option<[f64; 2]>);

fn of_input(model: &EnergyModel) -> Cost {
    let interval = model.joules_per_input_token_ci95_hc3.or(model.joules_per_input_token_ci95);
    (model.joules_per_input_token, interval)
}

fn of_output(model: &EnergyModel) -> Cost {
    let interval = model.joules_per_output_token_ci95_hc3.or(model.joules_per_output_token_ci95);
    (model.joules_per_output_token, interval)
}

fn of_query(model: &EnergyModel) -> Cost {
    (model.intercept_joules, model.intercept_joules_ci95_hc3.or(model.intercept_joules_ci95))
}

fn costs(model: &EnergyModel) -> String {
    format!(
        "A generated token costs {}, a prompt token {}, and a query {} beside its tokens: {} energy, with \
         95 % intervals over {} queries.",
        cost(of_output(model)),
        cost(of_input(model)),
        cost(of_query(model)),
        model.basis.as_deref().unwrap_or("unnamed"),
        model.count
    )
}

fn cost((value, interval): Cost) -> String {
    match interval {
        Some([low, high]) if low <= 0.0 && 0.0 <= high => {
            format!("nothing that can be told from zero ({})", range_with_unit([low, high], "J"))
        }
        Some(interval) => format!("{} ({})", with_unit(value, "J"), range_with_unit(interval, "J")),
        None => with_unit(value, "J"),
    }
}

/// How many prompt tokens cost as much as a generated one, where both costs are surely above zero.
fn exchange(model: &EnergyModel) -> Option<String> {
    let surely = |(value, interval): Cost| interval.filter(|[low, _]| *low > 0.0).map(|_| value);
    let (output, input) = (surely(of_output(model))?, surely(of_input(model))?);
    let (many, text) = (output / input, |ratio: f64| three_digits(ratio));
    Some(if many >= 1.0 {
        format!("A generated token costs about as much as {} prompt tokens.", text(many))
    } else {
        format!("A prompt token costs about as much as {} generated tokens.", text(1.0 / many))
    })
}

fn below_zero(model: &EnergyModel) -> Option<String> {
    let surely = |(_, interval): Cost| interval.is_some_and(|[_, high]| high < 0.0);
    (surely(of_output(model)) || surely(of_input(model)) || surely(of_query(model))).then(|| {
        "A cost below zero can't be: these energies don't follow the tokens in a straight line."
            .to_owned()
    })
}

fn scope(model: &EnergyModel) -> String {
    let [fewest_in, most_in] = model.input_tokens;
    let [fewest_out, most_out] = model.output_tokens;
    let explained = match model.r2 {
        Some(r2) => format!(
            "tokens account for {} of how much their energies vary, and the rest is not explained",
            percent(r2)
        ),
        None => "their energies don't vary".to_owned(),
    };
    format!(
        "This describes queries of {fewest_in} to {most_in} prompt and {fewest_out} to {most_out} generated \
         tokens, and says nothing beyond; {explained}."
    )
}

fn outliers(robust: &RobustEnergyModel, count: usize) -> String {
    format!(
        "{} of the {count} queries lie far off: without their pull a generated token costs {} and a prompt \
         token {}.",
        robust.outliers,
        cost((robust.joules_per_output_token, robust.joules_per_output_token_ci95)),
        cost((robust.joules_per_input_token, robust.joules_per_input_token_ci95))
    )
}
