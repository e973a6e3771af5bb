//! What a prompt token and a generated token cost: energy on both together.

use super::least_squares::Points;
use super::report::{EnergyModel, RobustEnergyModel};
use super::robust::Robust;
use super::{OkRows, RegressionRow};
use crate::analysis::words::counted;

/// Fewer points than the three parameters and one more say nothing of how well they are known.
const FEWEST: usize = 4;
/// From this square of their correlation on two counts of tokens can't be told apart: the intervals would
/// be over thirty times as wide as those of one count alone.
const INSEPARABLE: f64 = 0.999;

/// The model of the queries that have both counts of tokens and energy.
///
/// # Errors
/// Why there is none.
pub(super) fn fit(rows: &OkRows) -> Result<EnergyModel, String> {
    if rows.bases.len() > 1 {
        return Err("the queries' energies are of different bases".to_owned());
    }
    let points = points(rows);
    can_be_told_apart(&points)?;
    let undetermined = || "the fit is not determined".to_owned();
    let ols = points.ols().ok_or_else(undetermined)?;
    let hc3 = points.ci95(&ols.plane, points.hc3(&ols.plane));
    let range = |variable| points.range(variable).ok_or_else(undetermined);
    Ok(EnergyModel {
        basis: rows.basis(),
        count: points.len(),
        joules_per_input_token: ols.plane.slopes[0],
        joules_per_input_token_ci95: ols.ci95.slopes[0],
        joules_per_input_token_ci95_hc3: hc3.slopes[0],
        joules_per_output_token: ols.plane.slopes[1],
        joules_per_output_token_ci95: ols.ci95.slopes[1],
        joules_per_output_token_ci95_hc3: hc3.slopes[1],
        intercept_joules: ols.plane.intercept(),
        intercept_joules_ci95: ols.ci95.intercept,
        intercept_joules_ci95_hc3: hc3.intercept,
        r2: ols.r2,
        token_correlation: points.correlation(),
        input_tokens: range(0)?,
        output_tokens: range(1)?,
        robust: Robust::if_it_differs(&points, &ols).as_ref().map(robust),
    })
}

fn robust(fit: &Robust<2>) -> RobustEnergyModel {
    RobustEnergyModel {
        joules_per_input_token: fit.plane.slopes[0],
        joules_per_input_token_ci95: fit.ci95.slopes[0],
        joules_per_output_token: fit.plane.slopes[1],
        joules_per_output_token_ci95: fit.ci95.slopes[1],
        intercept_joules: fit.plane.intercept(),
        intercept_joules_ci95: fit.ci95.intercept,
        outliers: fit.outliers,
    }
}

fn points(rows: &OkRows) -> Points<2> {
    let point = |row: &RegressionRow| Some(([row.input()?, row.output()?], rows.energy(row)?));
    let (x, y) = rows.rows.iter().filter_map(|row| point(row)).unzip();
    Points { x, y }
}

fn can_be_told_apart(points: &Points<2>) -> Result<(), String> {
    if points.len() == 0 {
        return Err("no query has both tokens and energy".to_owned());
    }
    if points.len() < FEWEST {
        return Err(format!(
            "{} tokens and energy, and at least {FEWEST} are needed",
            counted(points.len(), "query has", "queries have")
        ));
    }
    for (variable, kind) in [(0, "prompt"), (1, "generated")] {
        if let Some([least, most]) = points.range(variable)
            && least == most
        {
            return Err(format!(
                "every query has {least} {kind} tokens: what they cost can't be told from what a query \
                 costs"
            ));
        }
    }
    match points.correlation() {
        Some(r) if r * r < INSEPARABLE => Ok(()),
        _ => Err("prompt and generated tokens rise or fall together: what each costs can't be told apart"
            .to_owned()),
    }
}
