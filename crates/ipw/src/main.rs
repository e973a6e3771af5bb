//! `ipw`: how much intelligence per joule and per watt does a model give on this hardware?

use std::process::ExitCode;

use ipw::{cli, ui};

fn main() -> ExitCode {
    let command = cli::parse();
    ui::init_log();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        // One worker can wait for the disk while the other stamps arriving tokens.
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return ui::fail(&error.into()),
    };
    match runtime.block_on(cli::run(command)) {
        Ok(exit) => exit.into(),
        Err(error) => ui::fail(&error),
    }
}
