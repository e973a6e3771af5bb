//! How busy a GPU's tensor cores were, from GPM: the difference of two samples of its counters.
//!
//! Hopper and newer. Its counters are shared: another program that programs them (DCGM's profiling)
//! may disturb them. In percent of the time between the samples, which is that between two reads of
//! the GPU, however long: the counters add up, so their difference is the mean over all of it.

use std::time::Duration;

use energy_proto::{Nanos, monotonic_now};
use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::gpm::gpm_metrics_get;
use nvml_wrapper::{Device, GpmSample};

/// NVIDIA's word for Hopper is that figures of less than 100 ms are not valid (NVIDIA/DCGM issue 310).
const SHORTEST: Duration = Duration::from_millis(100);

/// Tensor activity of one GPU.
pub(super) struct Tensor {
    last: Option<(GpmSample<'static>, Nanos)>,
    /// What the last pair of samples showed.
    busy_pct: Option<f64>,
}

impl Tensor {
    /// Nothing if the GPU has no GPM or it may not be used.
    pub(super) fn probe(device: &Device<'static>) -> Option<Self> {
        let supported = device.gpm_support().unwrap_or(false);
        let mut tensor = Self { last: None, busy_pct: None };
        tensor.last = Some(sample(device).filter(|_| supported)?);
        Some(tensor)
    }

    /// The busy share between the last two samples; nothing until there are two, or if one fails.
    pub(super) fn read(&mut self, device: &Device<'static>) -> Option<f64> {
        let age = self.last.as_ref().map(|(_, at)| monotonic_now().since(*at));
        if age.is_some_and(|age| age < SHORTEST) {
            return self.busy_pct;
        }
        let next = sample(device);
        self.busy_pct = match (&self.last, &next) {
            (Some((first, _)), Some((second, _))) => difference(device, first, second),
            _ => None,
        };
        self.last = next;
        self.busy_pct
    }

    pub(super) fn restart(&mut self) {
        (self.last, self.busy_pct) = (None, None);
    }
}

/// A sample, and when it was asked for at the latest.
fn sample(device: &Device<'static>) -> Option<(GpmSample<'static>, Nanos)> {
    let sample = device.gpm_sample().ok()?;
    Some((sample, monotonic_now()))
}

fn difference(
    device: &Device<'static>,
    first: &GpmSample<'static>,
    second: &GpmSample<'static>,
) -> Option<f64> {
    let metrics = gpm_metrics_get(device.nvml(), first, second, &[GpmMetricId::AnyTensorUtil]);
    let busy = metrics.ok()?.pop()?.ok()?.value;
    (0.0..=100.0).contains(&busy).then_some(busy)
}
