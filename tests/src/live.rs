//! The load that is [simulated](crate::simulated), live: a server whose answers take time and make a
//! fake GPU take power. Without the noise, and with a step of power at each token in place of a slope.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fake_nvml::Gpu;
use fastrand::Rng;

use crate::fake_server::{Behaviour, ChatRequest, Load, Power};
use crate::simulated::{DECODE_WATTS, IDLE_WATTS, PREFILL_SHARE, PREFILL_WATTS, SLOPE, between};

/// Of the length asked for: edges fall everywhere in a counter's period.
const LENGTH: (f64, f64) = (0.95, 1.05);
const PER_TOKEN: Duration = Duration::from_millis(10);

/// Queries of about the same length, each at powers of its own.
#[derive(Debug, Clone)]
pub struct Queries {
    load: Arc<Load>,
    length: Duration,
    seed: u64,
}

impl Queries {
    /// Theirs is the load in the file `path`, idle from now on.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn new(path: PathBuf, length: Duration, seed: u64) -> io::Result<Self> {
        Ok(Self { load: Arc::new(Load::create(path, IDLE_WATTS)?), length, seed })
    }

    /// A GPU that follows their load.
    #[must_use]
    pub fn gpu(&self) -> Gpu {
        Gpu { power: self.load.power(), ..Gpu::default() }
    }

    /// The answer to one: the same for the same seed and number.
    #[must_use]
    pub fn answer(&self, request: &ChatRequest) -> Behaviour {
        let mut rng = Rng::with_seed(self.seed << 32 | request.index as u64);
        let length = self.length.mul_f64(between(LENGTH, &mut rng));
        let prefill = length.mul_f64(PREFILL_SHARE);
        let decode = length - prefill;
        let tokens = (decode.as_secs_f64() / PER_TOKEN.as_secs_f64()).round() as u32;
        // The last token ends the decode.
        let text = " word".repeat(tokens as usize + 1);
        let level = between(DECODE_WATTS, &mut rng);
        let slope = if rng.bool() { SLOPE } else { -SLOPE };
        let power = Power {
            load: Arc::clone(&self.load),
            prefill_watts: between(PREFILL_WATTS, &mut rng),
            decode_watts: (level * (1.0 - slope), level * (1.0 + slope)),
        };
        Behaviour { power: Some(power), ..Behaviour::saying(&text) }.timed(prefill, decode / tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(behaviour: &Behaviour) -> f64 {
        let tokens = behaviour.tokens.len() as u32 - 1;
        (behaviour.prefill + behaviour.per_token * tokens).as_secs_f64()
    }

    #[test]
    fn answers_take_about_the_length_asked_for_and_hardly_two_are_alike() {
        let directory = tempfile::tempdir().unwrap();
        for asked in [0.1, 0.3, 1.0] {
            let path = directory.path().join("load");
            let queries = Queries::new(path, Duration::from_secs_f64(asked), 3).unwrap();
            let answer = |index| {
                let body = serde_json::Value::Null;
                queries.answer(&ChatRequest { index, prompt: String::new(), body })
            };
            let all: Vec<Behaviour> = (0..50).map(answer).collect();
            let near = |behaviour: &Behaviour| (0.94..1.06).contains(&(length(behaviour) / asked));
            assert!(all.iter().all(near));
            let step = |behaviour: &Behaviour| behaviour.per_token.as_secs_f64();
            assert!(all.iter().all(|behaviour| (0.008..0.012).contains(&step(behaviour))));
            assert!(all.windows(2).all(|pair| pair[0].prefill != pair[1].prefill));
            assert_eq!(answer(7).prefill, all[7].prefill, "the same again");
        }
    }
}
