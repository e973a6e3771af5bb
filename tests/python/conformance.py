"""Fits the same numbers as ipw does, with numpy, scipy and statsmodels.

    conformance.py FILE

Prints one JSON object with what FILE's numbers give: `degrees` (97.5 % points of Student's t), `regressions`
and `energy_model` in the form of analysis/regression.json, `density` at the points asked for with its
`bandwidth`, and `comparison` (accuracy and energy of two runs). The rules by which a robust fit is told
stand here a second time.
"""

import json
import sys

import numpy as np
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

REGRESSIONS = {
    "input_tokens_vs_ttft": ("input", "first"),
    "total_tokens_vs_energy": ("total", "joules"),
    "total_tokens_vs_latency": ("total", "seconds"),
    "total_tokens_vs_power": ("total", "watts"),
    "total_tokens_vs_power_log": ("total_log", "watts"),
    "input_tokens_vs_energy": ("input", "joules"),
    "output_tokens_vs_energy": ("output", "joules"),
    "input_tokens_vs_power": ("input", "watts"),
    "output_tokens_vs_latency": ("output", "seconds"),
}


def columns(rows):
    """Each figure of all rows, NaN where there is none."""
    names = ["input", "output", "joules", "seconds", "first"]
    read = {name: np.array([row[name] for row in rows], dtype=float) for name in names}
    read["total"] = read["input"] + read["output"]
    read["total_log"] = np.log(read["total"])
    read["watts"] = read["joules"] / read["seconds"]
    return read


def fits(x, y):
    """Least squares, and Huber's fit with its intervals if it tells something else."""
    design = sm.add_constant(x, has_constant="add")
    plain = sm.OLS(y, design).fit()
    # No tolerance: until the last digit stands.
    huber = sm.RLM(y, design, M=sm.robust.norms.HuberT()).fit(conv="coefs", tol=0, maxiter=200)
    half_widths = stats.t.ppf(0.975, len(y) - design.shape[1]) * huber.bse
    intervals = np.column_stack([huber.params - half_widths, huber.params + half_widths])
    differs = False
    for slope, robust, (low, high) in zip(plain.params[1:], huber.params[1:], intervals[1:]):
        by_much = abs(slope - robust) > 0.1 * max(abs(slope), abs(robust))
        differs |= bool(by_much and not low <= slope <= high)
    residuals = y - design @ huber.params
    outliers = int(np.sum(np.abs(residuals) > 5 * huber.scale))
    return plain, (huber.params, intervals, outliers) if differs else None


def line(x, y):
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    plain, robust = fits(x, y)
    told = {
        "count": len(y),
        "slope": plain.params[1],
        "intercept": plain.params[0],
        "r2": plain.rsquared,
        "avg_y": np.mean(y),
        "slope_ci95": list(plain.conf_int()[1]),
    }
    if robust:
        params, intervals, outliers = robust
        told["robust"] = {
            "slope": params[1],
            "intercept": params[0],
            "slope_ci95": list(intervals[1]),
            "outliers": outliers,
        }
    return told


COSTS = ["intercept_joules", "joules_per_input_token", "joules_per_output_token"]


def energy_model(read):
    x = np.column_stack([read["input"], read["output"]])
    both = np.isfinite(x).all(axis=1) & np.isfinite(read["joules"])
    x, y = x[both], read["joules"][both]
    plain, robust = fits(x, y)
    heteroscedastic = plain.get_robustcov_results("HC3", use_t=True)
    told = {
        "count": len(y),
        "r2": plain.rsquared,
        "token_correlation": np.corrcoef(x.T)[0, 1],
        "input_tokens": [x[:, 0].min(), x[:, 0].max()],
        "output_tokens": [x[:, 1].min(), x[:, 1].max()],
    }
    for position, name in enumerate(COSTS):
        told[name] = plain.params[position]
        told[f"{name}_ci95"] = list(plain.conf_int()[position])
        told[f"{name}_ci95_hc3"] = list(heteroscedastic.conf_int()[position])
    if robust:
        params, intervals, outliers = robust
        told["robust"] = {"outliers": outliers}
        for position, name in enumerate(COSTS):
            told["robust"][name] = params[position]
            told["robust"][f"{name}_ci95"] = list(intervals[position])
    return told


def density(values, x):
    kernel = stats.gaussian_kde(values)
    return {"bandwidth": np.sqrt(kernel.covariance[0, 0]), "density": list(kernel(x))}


def newcombe(both, only_a, only_b, neither):
    """The paired interval by its formula, on statsmodels' intervals of the single shares."""
    n = both + only_a + only_b + neither
    a, b = (both + only_a) / n, (both + only_b) / n
    a_low, a_high = proportion_confint(both + only_a, n, method="wilson")
    b_low, b_high = proportion_confint(both + only_b, n, method="wilson")
    product = both * neither - only_a * only_b
    if product > 0:
        product = max(product - n / 2, 0)
    phi = product / np.sqrt(
        float((both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither))
    )
    below = np.sqrt((a - a_low) ** 2 - 2 * phi * (a - a_low) * (b_high - b) + (b_high - b) ** 2)
    above = np.sqrt((a_high - a) ** 2 - 2 * phi * (a_high - a) * (b - b_low) + (b - b_low) ** 2)
    return [a - b - below, a - b + above]


def comparison(a, b):
    right = {run: np.array([row["right"] for row in rows]) for run, rows in [("a", a), ("b", b)]}
    joules = {run: np.array([row["joules"] for row in rows]) for run, rows in [("a", a), ("b", b)]}
    table = [
        [int(np.sum(right["a"] & right["b"])), int(np.sum(right["a"] & ~right["b"]))],
        [int(np.sum(~right["a"] & right["b"])), int(np.sum(~right["a"] & ~right["b"]))],
    ]
    (both, only_a), (only_b, neither) = table

    def log_ratio(a, b, axis=-1):
        return np.log(np.mean(a, axis=axis)) - np.log(np.mean(b, axis=axis))

    limits = stats.bootstrap(
        (joules["a"], joules["b"]),
        log_ratio,
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        batch=1_000,
        method="BCa",
        random_state=np.random.default_rng(1),
    ).confidence_interval
    return {
        "accuracy": {
            "pairs": len(a),
            "a": np.mean(right["a"]),
            "b": np.mean(right["b"]),
            "difference_ci95": newcombe(both, only_a, only_b, neither),
            "p_value": mcnemar(table, exact=True).pvalue,
        },
        "energy": {"a": np.mean(joules["a"]), "b": np.mean(joules["b"])},
        "bootstrapped_ratio_ci95": [np.exp(limits.low), np.exp(limits.high)],
    }


def main(path):
    with open(path, encoding="utf-8") as file:
        given = json.load(file)
    read = columns(given["rows"])
    told = {
        "degrees": [stats.t.ppf(0.975, degrees) for degrees in given["degrees"]],
        "regressions": {name: line(read[x], read[y]) for name, (x, y) in REGRESSIONS.items()},
        "energy_model": energy_model(read),
        "density": density(given["values"], given["x"]),
        "comparison": comparison(*given["runs"]),
    }
    print(json.dumps(told, default=float))


if __name__ == "__main__":
    main(*sys.argv[1:])
