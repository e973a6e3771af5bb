//! Pictures of a run, as SVG and PNG.
//!
//! Answers: what each visualization draws of a run, or why it can't. A visualization makes a [`Figure`],
//! which lays itself out as a [`scene::Scene`], and both files are made from that, so that they look alike.
//! What a figure states is computed in `analysis`; nothing here is a result. Pure but for reading the run
//! and writing the files.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::results::ResultsError;

pub mod axis;
mod cells;
pub mod data;
pub mod figure;
mod figures;
pub mod font;
pub mod mark;
pub mod number;
pub mod palette;
mod panel;
pub mod png;
mod power;
mod run_time;
pub mod scene;
pub mod svg;
pub mod ticks;

pub use data::RunData;
pub use figure::Figure;
pub use figures::pareto::{self, Standing};

/// Why a figure can't be drawn, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotDrawable(pub String);

/// A figure of one run that can be asked for by id.
pub trait Visualization: Sync {
    /// For `--visualization`, and the name of its files.
    fn id(&self) -> &'static str;
    /// One line of help.
    fn help(&self) -> &'static str;
    /// Draws it.
    ///
    /// # Errors
    /// The run hasn't got what it shows.
    fn draw(&self, run: &RunData) -> Result<Figure, NotDrawable>;
}

/// All figures of one run.
pub const VISUALIZATIONS: [&dyn Visualization; 7] = [
    &figures::regression::Regression,
    &figures::output_kde::OutputKde,
    &figures::energy_over_time::EnergyOverTime,
    &figures::power_timeline::PowerTimeline,
    &figures::energy_accuracy::EnergyAccuracy,
    &figures::latency::Latency,
    &figures::joules_per_token::JoulesPerToken,
];

/// The kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Pixels.
    Png,
    /// Shapes and text.
    Svg,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "png",
            Self::Svg => "svg",
        })
    }
}

/// Why a figure's files can't be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No picture could be made.
    #[error(transparent)]
    Png(#[from] png::PngError),
    /// The place can't be written.
    #[error(transparent)]
    File(#[from] ResultsError),
}

/// Writes a figure into a directory, which is made if there is none; gives the files' paths.
///
/// # Errors
/// The place can't be written, or there is no memory for the picture.
pub fn write(
    figure: &Figure,
    directory: &Path,
    formats: &[Format],
) -> Result<Vec<PathBuf>, WriteError> {
    let scene = figure.scene();
    let mut written = Vec::new();
    for format in formats {
        let bytes = match format {
            Format::Png => png::encode(&scene)?,
            Format::Svg => svg::document(&scene).into_bytes(),
        };
        let path = directory.join(format!("{}.{format}", figure.id));
        crate::results::write_bytes(&path, &bytes)?;
        written.push(path);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_every_visualization_has_a_line_of_help() {
        for (position, one) in VISUALIZATIONS.iter().enumerate() {
            assert!(!one.help().is_empty() && !one.help().contains('\n'));
            assert!(VISUALIZATIONS[..position].iter().all(|other| other.id() != one.id()));
            assert_ne!(one.id(), pareto::ID);
        }
    }
}
