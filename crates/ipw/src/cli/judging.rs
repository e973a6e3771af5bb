//! The judge's part of `ipw profile` and `ipw analyze`: who it is, whether it can be asked, and asking it.

use std::path::Path;

use clap::{Args, ValueEnum};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::env;
use crate::client::is_in_the_clear;
use crate::evaluation::judge::Case;
use crate::evaluation::judge::server::{Judge, JudgeConfig};
use crate::exit::{Exit, UsageError};
use crate::finalize::{self, Finished};
use crate::results::{RunDirectory, read_rows};
use crate::scoring::{self, ScoreOptions, Verdicts};
use crate::ui;

const DEFAULT_URL: &str = "https://api.openai.com/v1";
const DEFAULT_MODEL: &str = "gpt-5-nano-2025-08-07";

/// Who judges the answers that rules can't.
#[derive(Debug, Clone, Args)]
#[command(
    next_help_heading = "Judge (key: IPW_EVAL_API_KEY or OPENAI_API_KEY, environment or .env)"
)]
pub(super) struct EvalArgs {
    /// The judge's API
    #[arg(long, value_enum, value_name = "ID", default_value = "openai")]
    pub(super) eval_client: EvalClient,
    /// The judge's root [default: https://api.openai.com/v1]
    #[arg(long, value_name = "URL")]
    pub(super) eval_base_url: Option<String>,
    /// The judge's model [default: gpt-5-nano-2025-08-07]
    #[arg(long, value_name = "NAME")]
    pub(super) eval_model: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EvalClient {
    /// Any server that speaks OpenAI's chat completions
    Openai,
}

impl EvalClient {
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Openai => "openai",
        }
    }
}

impl EvalArgs {
    pub(super) fn url(&self) -> &str {
        self.eval_base_url.as_deref().unwrap_or(DEFAULT_URL)
    }

    pub(super) fn model(&self) -> &str {
        self.eval_model.as_deref().unwrap_or(DEFAULT_MODEL)
    }

    /// As they would be given again.
    fn flags(&self) -> String {
        let flag = |name, value: &Option<String>| {
            value.as_ref().map(|value| format!(" {name} {value}")).unwrap_or_default()
        };
        flag("--eval-base-url", &self.eval_base_url) + &flag("--eval-model", &self.eval_model)
    }

    /// The key for this judge. `OPENAI_API_KEY`, which may be there for something else, is left out where
    /// it would go out in the clear; our own is refused there.
    fn key(&self) -> Option<SecretString> {
        env::secret("IPW_EVAL_API_KEY").or_else(|| {
            (!is_in_the_clear(self.url())).then(|| env::secret("OPENAI_API_KEY")).flatten()
        })
    }
}

/// A judge, or why there is none.
pub(super) enum Available {
    /// It can be asked.
    Judge(Box<Judge>),
    /// Why not, and what to do.
    None(String),
}

/// Sets the judge up; nothing is sent yet.
///
/// # Errors
/// Its URL can't be one, or a key would go out in the clear.
pub(super) fn available(args: &EvalArgs) -> Result<Available, UsageError> {
    let key = args.key();
    if key.is_none() && args.eval_base_url.is_none() {
        return Ok(Available::None(
            "there is no key for it: set IPW_EVAL_API_KEY or OPENAI_API_KEY (environment or .env), or \
             name a judge of your own with --eval-base-url URL --eval-model NAME"
                .to_owned(),
        ));
    }
    let config = JudgeConfig::new(args.url(), args.model(), key);
    let judge = Judge::new(config).map_err(|error| UsageError(error.to_string()))?;
    Ok(Available::Judge(Box::new(judge)))
}

/// How judging ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// No answer waits for a judge any more.
    All,
    /// Some do; said already.
    Left,
    /// The judge couldn't be had for some of them; said already.
    SomeFailed,
    /// The judge couldn't be had for any of them; said already.
    Failed,
    /// The user stopped it; said already.
    Interrupted,
}

impl Judged {
    /// The exit code, if nothing else went wrong.
    pub(super) fn exit(self) -> Exit {
        match self {
            Self::All | Self::Left => Exit::Done,
            Self::SomeFailed => Exit::SomeFailed,
            Self::Failed => Exit::Server,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}

/// All that judging a run's answers needs.
pub(super) struct Judging<'a> {
    pub(super) available: Available,
    pub(super) args: &'a EvalArgs,
    pub(super) options: ScoreOptions,
    pub(super) progress: &'a ui::Progress,
    pub(super) stop: CancellationToken,
}

impl Judging<'_> {
    /// Has the answers judged that wait for it, and the run's figures made again with what was said. What
    /// is left is said on stderr, with what finishes it.
    ///
    /// # Errors
    /// A file of the run can't be read or written; what was said before stays.
    pub(super) async fn judge(
        &self,
        run: &Path,
        finished: Finished,
    ) -> anyhow::Result<(Finished, Judged)> {
        if finished.undecided == 0 {
            return Ok((finished, Judged::All));
        }
        let verdicts = Verdicts::read(run)?;
        // Without being told otherwise, whoever judged the rest goes on.
        let judge = self.options.judge.as_deref().or(verdicts.last_judge());
        let judge = judge.unwrap_or(self.args.model());
        let cases = scoring::waiting(read_rows(run)?, &verdicts, judge)?;
        if cases.is_empty() {
            return Ok((finished, Judged::All));
        }
        match &self.available {
            Available::None(why) => self.left(run, judge, cases.len(), why),
            Available::Judge(asked) if asked.model() != judge => self.left(
                run,
                judge,
                cases.len(),
                "it was named by flags; give --eval-base-url and --eval-model again",
            ),
            Available::Judge(asked) if !self.stop.is_cancelled() => {
                return self.ask(run, finished, asked, &cases).await;
            }
            Available::Judge(_) => {
                self.left(run, judge, cases.len(), "interrupted");
                return Ok((finished, Judged::Interrupted));
            }
        }
        Ok((finished, Judged::Left))
    }

    async fn ask(
        &self,
        run: &Path,
        finished: Finished,
        judge: &Judge,
        cases: &[Case],
    ) -> anyhow::Result<(Finished, Judged)> {
        let directory = RunDirectory::reopen(run)?;
        self.progress.judging(cases.len());
        let asked =
            scoring::ask(&directory, judge, cases, &self.stop, |ok| self.progress.judged(ok));
        let asked = asked.await;
        self.progress.finish();
        let asked = asked?;
        let options =
            ScoreOptions { judge: Some(judge.model().to_owned()), ..self.options.clone() };
        let finished = finalize::analyze(&directory, finished.summary, &options)?;
        let unasked = cases.len() - asked.ruled;
        let judged = match asked.error {
            None if unasked == 0 => Judged::All,
            None => {
                self.left(run, judge.model(), unasked, "interrupted");
                Judged::Interrupted
            }
            Some(error) => {
                self.left(run, judge.model(), unasked, &error.to_string());
                if asked.ruled > 0 { Judged::SomeFailed } else { Judged::Failed }
            }
        };
        Ok((finished, judged))
    }

    fn left(&self, run: &Path, judge: &str, answers: usize, why: &str) {
        ui::note(&format!(
            "{answers} answers wait for a judge ({judge}): {why}\n`ipw analyze {}{}` finishes it",
            run.display(),
            self.args.flags()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(url: Option<&str>, model: Option<&str>) -> EvalArgs {
        EvalArgs {
            eval_client: EvalClient::Openai,
            eval_base_url: url.map(str::to_owned),
            eval_model: model.map(str::to_owned),
        }
    }

    #[test]
    fn what_finishes_it_repeats_the_flags_that_were_given() {
        assert_eq!(args(None, None).flags(), "");
        assert_eq!(
            args(Some("http://localhost:1"), Some("j")).flags(),
            " --eval-base-url http://localhost:1 --eval-model j"
        );
    }

    #[test]
    fn a_judge_of_ones_own_needs_no_key() {
        let available = available(&args(Some("http://localhost:1"), Some("j")));
        assert!(matches!(available, Ok(Available::Judge(_))));
    }
}
