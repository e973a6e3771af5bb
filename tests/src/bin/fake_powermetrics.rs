//! `powermetrics` for tests, after the model in its environment.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use e2e::fake_powermetrics::{MODEL_VARIABLE, Model, run};

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let own = arguments.next().map(PathBuf::from).unwrap_or_default();
    // Without its directory nobody asks for it.
    let _ = std::fs::write(own.with_file_name("pid"), std::process::id().to_string());
    let model = std::env::var(MODEL_VARIABLE).unwrap_or_default();
    let model: Model = serde_json::from_str(&model).unwrap_or_default();
    let arguments: Vec<_> = arguments.collect();
    match run(model, &arguments, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // An error means that nobody hears it.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}
