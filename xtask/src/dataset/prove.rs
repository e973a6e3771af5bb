//! What other programs say: Python runs the programs, SQLite (in Python's standard library) the
//! queries, and each must give the answer that we worked out.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::draft::{Draft, Key, Proof};
use crate::workspace::Workspace;

const RUNNER: &str = include_str!("run_programs.py");

/// Checks every prompt that has a proof.
///
/// # Errors
/// If one of them gives another answer, or python3 is missing or has no sqlite3.
pub(super) fn all<'a>(
    workspace: &Workspace,
    drafts: impl Iterator<Item = &'a Draft>,
) -> Result<()> {
    let proofs: Vec<(&Draft, &Proof)> =
        drafts.filter_map(|draft| Some((draft, draft.proof.as_ref()?))).collect();
    let jobs: Vec<Value> = proofs.iter().map(|(_, proof)| job(proof)).collect();
    let file = workspace.target.join("xtask").join("dataset-programs.json");
    fs::write(&file, Value::Array(jobs).to_string())
        .with_context(|| format!("can't write {}", file.display()))?;
    let mut python = Command::new("python3");
    python.args(["-I", "-c", RUNNER]).arg(&file);
    let output = workspace.processes.quiet("dataset-programs", &mut python).context(
        "the programs of the prompts can't be run: Python 3.10 or newer with sqlite3 is needed",
    )?;
    let outcomes: Vec<String> = serde_json::from_str(&output).context("the programs' outcomes")?;
    ensure!(outcomes.len() == proofs.len(), "{} outcomes of {}", outcomes.len(), proofs.len());
    proofs.iter().zip(&outcomes).try_for_each(|((draft, _), outcome)| compare(draft, outcome))
}

fn job(proof: &Proof) -> Value {
    match proof {
        Proof::Python(program) => json!({ "python": program }),
        Proof::Sql { script, query } => json!({ "script": script, "query": query }),
    }
}

fn compare(draft: &Draft, outcome: &str) -> Result<()> {
    match &draft.key {
        Key::Exact { answer, .. } if answer == outcome => Ok(()),
        Key::Exact { answer, .. } => {
            bail!("the program gives {outcome:?}, not {answer:?}:\n{}", draft.task)
        }
        _ => bail!("only an exact answer can be proven by a program:\n{}", draft.task),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_outcome_than_the_answer_is_an_error() {
        let draft = Draft::exact("x", "What is printed?", 4, "what is printed");
        assert!(compare(&draft, "4").is_ok());
        assert!(compare(&draft, "5").unwrap_err().to_string().contains("\"5\", not \"4\""));
    }
}
