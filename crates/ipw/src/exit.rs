//! Exit codes, and which error ends in which: the one table of them.

use std::process::ExitCode;

use crate::client::ClientError;
use crate::dataset::DatasetError;
use crate::monitor::MonitorError;
use crate::results::ResultsError;
use crate::runner::{End, RunError};
use crate::telemetry::SessionError;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed: unwritable, disk full, the monitor won't start.
    Failed = 1,
    /// Wrong usage: a flag, an unknown id, an existing run.
    Usage = 2,
    /// Server or model not available, lost, or too many failures in a row.
    Server = 3,
    /// Finished, but some queries failed.
    SomeFailed = 4,
    /// Interrupted; results are saved.
    Interrupted = 130,
}

impl Exit {
    /// The one of two outcomes that the user has to know of: a stop before a lost server before failures.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let order = [Self::Interrupted, Self::Server, Self::SomeFailed];
        order.into_iter().find(|exit| [self, other].contains(exit)).unwrap_or(self)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The code for an error, by its type wherever it stands in the chain of causes.
#[must_use]
pub fn of(error: &anyhow::Error) -> Exit {
    error.chain().find_map(code).unwrap_or(Exit::Failed)
}

fn code(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(error) = cause.downcast_ref::<RunError>() {
        return Some(of_run(error));
    }
    if let Some(error) = cause.downcast_ref::<ClientError>() {
        return Some(of_client(error));
    }
    if let Some(error) = cause.downcast_ref::<ResultsError>() {
        return Some(of_results(error));
    }
    if let Some(error) = cause.downcast_ref::<DatasetError>() {
        return Some(of_dataset(error));
    }
    cause.downcast_ref::<UsageError>().map(|_| Exit::Usage)
}

fn of_run(error: &RunError) -> Exit {
    match error {
        RunError::Client(error) => of_client(error),
        RunError::Results(error) => of_results(error),
        RunError::Usage(_)
        | RunError::Monitor(MonitorError::Usage { .. })
        | RunError::Telemetry(SessionError::SameDevice { .. }) => Exit::Usage,
        RunError::ServerLost(_) => Exit::Server,
        RunError::Interrupted => Exit::Interrupted,
        RunError::Monitor(_)
        | RunError::Telemetry(_)
        | RunError::NoEnergy { .. }
        | RunError::Internal(_) => Exit::Failed,
    }
}

fn of_client(error: &ClientError) -> Exit {
    if error.is_usage() { Exit::Usage } else { Exit::Server }
}

fn of_results(error: &ResultsError) -> Exit {
    match error {
        ResultsError::AlreadyThere { .. } | ResultsError::NotARun { .. } => Exit::Usage,
        _ => Exit::Failed,
    }
}

fn of_dataset(error: &DatasetError) -> Exit {
    match error {
        DatasetError::Unknown(..) | DatasetError::Parameter(_) => Exit::Usage,
        _ => Exit::Failed,
    }
}

/// The code for a run that ended with results.
#[must_use]
pub fn of_end(end: &End, failed_queries: u64) -> Exit {
    match end {
        End::Interrupted => Exit::Interrupted,
        End::ServerLost(_) => Exit::Server,
        End::Complete if failed_queries > 0 => Exit::SomeFailed,
        End::Complete => Exit::Done,
    }
}

/// Something the user asked for that can't be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn an_error_keeps_its_code_under_added_context() {
        let usage = Err::<(), _>(UsageError("no".into())).context("while reading flags");
        assert_eq!(of(&usage.unwrap_err()), Exit::Usage);
        let client = anyhow::Error::from(RunError::from(ClientError::UnknownClient("x".into())));
        assert_eq!(of(&client), Exit::Usage);
        assert_eq!(of(&anyhow::anyhow!("anything else")), Exit::Failed);
    }

    #[test]
    fn of_two_outcomes_a_stop_is_told_first() {
        assert_eq!(Exit::Done.worse(Exit::SomeFailed), Exit::SomeFailed);
        assert_eq!(Exit::SomeFailed.worse(Exit::Interrupted), Exit::Interrupted);
        assert_eq!(Exit::Server.worse(Exit::SomeFailed), Exit::Server);
        assert_eq!(Exit::Done.worse(Exit::Done), Exit::Done);
    }

    #[test]
    fn an_interrupted_run_is_130_even_with_failed_queries() {
        assert_eq!(of_end(&End::Interrupted, 3), Exit::Interrupted);
        assert_eq!(of_end(&End::Complete, 3), Exit::SomeFailed);
        assert_eq!(of_end(&End::Complete, 0), Exit::Done);
        assert_eq!(of_end(&End::ServerLost(String::new()), 0), Exit::Server);
    }
}
