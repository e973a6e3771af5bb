//! A benchmark that lies on the hub: its file is fetched, read and made into prompts.
//!
//! Answers: which file of which revision it is, which of its rows are asked for, and what is asked in each.
//! The revision of the dataset is the hub's commit.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::BufReader;
use std::path::Path;

use async_trait::async_trait;

use super::choice::{Choice, number};
use super::hub::{self, Fetched, HubError, HubFile};
use super::parquet::{self, Wanted};
use super::rows::{Fields, ReadError, Rows, open};
use super::{
    Dataset, DatasetError, DatasetParams, DatasetProvider, Request, Sample, Scoring,
    check_parameters, csv, jsonl, not_empty,
};

const PARAMETERS: [&str; 5] = ["max_samples", "seed", "revision", "split", "subset"];
/// The branch that is used unless a revision is given.
const DEFAULT_REVISION: &str = "main";

/// One benchmark.
pub(super) struct Benchmark {
    pub(super) id: &'static str,
    /// For people.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// `organisation/name` on the hub.
    pub(super) repo: &'static str,
    /// Its files; the first is the usual one.
    pub(super) parts: &'static [Part],
    /// The columns that are read, where a format has columns.
    pub(super) columns: &'static [&'static str],
    /// What is asked in a row, with the seed, or why nothing can be.
    pub(super) question: fn(&Fields, u64) -> Result<Question, String>,
}

/// A file of a benchmark.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) split: &'static str,
    /// `None`: a subset is chosen by the rows' subjects.
    pub(super) subset: Option<&'static str>,
    /// In the repository. Its ending is its format.
    pub(super) path: &'static str,
}

/// What is asked in a row.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) problem: String,
    pub(super) answer: String,
    pub(super) subject: String,
    pub(super) scoring: Scoring,
    pub(super) metadata: Fields,
}

/// What the parameters ask for.
struct Plan {
    part: &'static Part,
    /// Only rows of this subject.
    subject: Option<String>,
    revision: String,
    choice: Choice,
    seed: u64,
}

#[async_trait]
impl DatasetProvider for Benchmark {
    fn id(&self) -> &'static str {
        self.id
    }

    fn help(&self) -> &'static str {
        self.help
    }

    async fn load(&self, request: &Request<'_>) -> Result<Dataset, DatasetError> {
        let plan = self.plan(request.params)?;
        let file =
            HubFile { repo: self.repo, path: plan.part.path, revision: plan.revision.as_str() };
        let fetched =
            hub::fetch(&file, request.hub, request.events).await.map_err(|error| match error {
                HubError::BadRevision(_) => DatasetError::Parameter(error.to_string()),
                error => error.into(),
            })?;
        self.read(&fetched, &plan)
    }
}

impl Benchmark {
    fn plan(&self, params: &DatasetParams) -> Result<Plan, DatasetError> {
        check_parameters(self.id, params, &PARAMETERS)?;
        let part = self.part(params)?;
        let subject = match part.subset {
            None => params.get("subset").cloned(),
            Some(_) => None,
        };
        // A seed alone is of use where options are shuffled; elsewhere it asks for a number of rows.
        let shuffles = part.subset.is_some() && !params.contains_key("max_samples");
        let choice = if shuffles { Choice::All } else { Choice::from(params)? };
        Ok(Plan {
            part,
            subject,
            revision: params.get("revision").map_or(DEFAULT_REVISION, String::as_str).to_owned(),
            choice,
            seed: number(params, "seed")?.unwrap_or(0),
        })
    }

    /// The file with the split and the subset that are asked for.
    fn part(&self, params: &DatasetParams) -> Result<&'static Part, DatasetError> {
        let split = params.get("split").map(String::as_str);
        let subset = params.get("subset").map(String::as_str);
        let has_split = |part: &&Part| split.is_none_or(|split| split == part.split);
        let has_subset =
            |part: &&Part| part.subset.is_none() || subset.is_none() || subset == part.subset;
        if !self.parts.iter().any(|part| has_split(&part)) {
            let splits: BTreeSet<&str> = self.parts.iter().map(|part| part.split).collect();
            return Err(self.no_such("split", split.unwrap_or_default(), splits));
        }
        self.parts.iter().find(|part| has_split(part) && has_subset(part)).ok_or_else(|| {
            let subsets = self.parts.iter().filter_map(|part| part.subset).collect();
            self.no_such("subset", subset.unwrap_or_default(), subsets)
        })
    }

    fn no_such(&self, what: &str, given: &str, known: BTreeSet<&str>) -> DatasetError {
        let known: Vec<&str> = known.into_iter().collect();
        DatasetError::Parameter(format!(
            "dataset `{}` has no {what} `{given}`; it has {}",
            self.id,
            known.join(", ")
        ))
    }

    fn read(&self, fetched: &Fetched, plan: &Plan) -> Result<Dataset, DatasetError> {
        let others = RefCell::new(BTreeSet::new());
        let convert = |index: usize, fields: Fields| {
            let Question { problem, answer, subject, scoring, metadata } =
                (self.question)(&fields, plan.seed)?;
            let is_other = |wanted: &String| !wanted.trim().eq_ignore_ascii_case(subject.trim());
            if plan.subject.as_ref().is_some_and(is_other) {
                others.borrow_mut().insert(subject);
                return Ok(None);
            }
            Ok(Some(Sample { index, problem, answer, subject, scoring, metadata }))
        };
        let mut rows = Rows::new(&convert);
        self.read_into(&fetched.path, &mut rows).map_err(|error| damaged(error, &fetched.path))?;
        let (samples, skipped) = (rows.samples, rows.skipped);
        if let (true, Some(subject)) = (samples.is_empty(), &plan.subject) {
            let others = others.borrow();
            if !others.is_empty() {
                let known = others.iter().map(String::as_str).collect();
                return Err(self.no_such("subset", subject, known));
            }
        }
        let samples = plan.choice.of(samples);
        not_empty(&samples, &skipped, &fetched.path.display().to_string())?;
        Ok(Dataset {
            id: self.full_id(plan),
            name: self.name.to_owned(),
            revision: fetched.commit.clone(),
            samples,
            skipped,
        })
    }

    fn read_into(&self, path: &Path, rows: &mut Rows<'_>) -> Result<(), ReadError> {
        let file = open(path)?;
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("parquet") => parquet::read(file, &Wanted::Only(self.columns), rows),
            Some("csv") => csv::read(file, b',', rows).map(drop),
            _ => jsonl::read(BufReader::new(file), rows).map(drop),
        }
    }

    /// The id, and what of the benchmark it is if it isn't the usual part.
    fn full_id(&self, plan: &Plan) -> String {
        let mut id = self.id.to_owned();
        let usual = &self.parts[0];
        let unusual = [
            (plan.part.split != usual.split).then_some(plan.part.split),
            plan.part.subset.filter(|_| plan.part.subset != usual.subset),
            plan.subject.as_deref(),
        ];
        for word in unusual.into_iter().flatten() {
            id.push('-');
            id.push_str(word);
        }
        id
    }
}

/// A file that came from the hub can be had again.
fn damaged(error: ReadError, path: &Path) -> DatasetError {
    let place = path.display().to_string();
    match error {
        ReadError::Unsuitable(reason) => DatasetError::Unsuitable {
            path: place,
            reason: format!("{reason}; remove it, and it is fetched again"),
        },
        error => error.of(&place),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::super::{gpqa::GPQA, math500::MATH500, mmlu_pro::MMLU_PRO};
    use super::*;

    fn params(given: &[(&str, &str)]) -> DatasetParams {
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn refusal(benchmark: &Benchmark, given: &[(&str, &str)]) -> String {
        benchmark.plan(&params(given)).map(drop).unwrap_err().to_string()
    }

    /// A file of MATH-500's kind with problems of two subjects, and two rows that can't be used.
    fn math(given: &[(&str, &str)]) -> Result<Dataset, DatasetError> {
        let rows: String = (0..20)
            .map(|n| {
                let subject = if n % 2 == 0 { "Algebra" } else { "Number Theory" };
                format!(
                    "{{\"problem\": \"p{n}\", \"answer\": \"{n}\", \"subject\": \"{subject}\"}}\n"
                )
            })
            .collect();
        math_from(&format!("{{}}\n{rows}nonsense\n"), given)
    }

    fn math_from(rows: &str, given: &[(&str, &str)]) -> Result<Dataset, DatasetError> {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("test.jsonl");
        fs::write(&path, rows).unwrap();
        let plan = MATH500.plan(&params(given))?;
        MATH500.read(&Fetched { path, commit: "c0ffee".to_owned() }, &plan)
    }

    #[test]
    fn the_parameters_choose_the_file() {
        let path = |benchmark: &Benchmark, given: &[(&str, &str)]| {
            benchmark.plan(&params(given)).unwrap().part.path
        };
        assert_eq!(path(&MMLU_PRO, &[]), "data/test-00000-of-00001.parquet");
        assert!(path(&MMLU_PRO, &[("split", "validation")]).contains("validation"));
        assert_eq!(path(&MMLU_PRO, &[("subset", "law")]), "data/test-00000-of-00001.parquet");
        assert_eq!(path(&GPQA, &[]), "gpqa_diamond.csv");
        assert_eq!(path(&GPQA, &[("subset", "main"), ("split", "train")]), "gpqa_main.csv");
        assert_eq!(
            refusal(&MMLU_PRO, &[("split", "train")]),
            "dataset `mmlu-pro` has no split `train`; it has test, validation"
        );
        assert_eq!(
            refusal(&GPQA, &[("subset", "hard")]),
            "dataset `gpqa` has no subset `hard`; it has diamond, extended, main"
        );
    }

    #[test]
    fn a_seed_alone_is_for_shuffled_options_only() {
        assert_eq!(GPQA.plan(&params(&[("seed", "7")])).unwrap().seed, 7);
        assert!(refusal(&MATH500, &[("seed", "7")]).contains("max_samples=N"));
        assert_eq!(refusal(&GPQA, &[("seed", "x")]), "seed=x is not a whole number");
    }

    #[test]
    fn the_id_says_which_part_it_is_and_the_commit_is_the_revision() {
        let id = |benchmark: &Benchmark, given: &[(&str, &str)]| {
            benchmark.full_id(&benchmark.plan(&params(given)).unwrap())
        };
        assert_eq!(id(&MMLU_PRO, &[("max_samples", "3")]), "mmlu-pro");
        assert_eq!(
            id(&MMLU_PRO, &[("split", "validation"), ("subset", "law")]),
            "mmlu-pro-validation-law"
        );
        assert_eq!(id(&GPQA, &[("subset", "diamond")]), "gpqa");
        assert_eq!(id(&GPQA, &[("subset", "main")]), "gpqa-main");
        assert_eq!(math(&[]).unwrap().revision, "c0ffee");
    }

    #[test]
    fn rows_are_used_skipped_with_a_reason_or_of_another_subject_and_keep_their_index() {
        let all = math(&[]).unwrap();
        assert_eq!((all.samples.len(), all.skipped.len()), (20, 2));
        assert_eq!(all.skipped[0].place, "line 1");
        assert_eq!(all.skipped[0].reason, "there is no `problem`");
        assert_eq!(all.skipped[1].place, "line 22");
        let algebra = math(&[("subset", "algebra"), ("max_samples", "3")]).unwrap();
        let indices: Vec<usize> = algebra.samples.iter().map(|sample| sample.index).collect();
        assert_eq!(indices, [1, 3, 5]);
        let drawn = math(&[("max_samples", "5"), ("seed", "4")]).unwrap();
        assert_eq!(drawn.samples.len(), 5);
        assert_eq!(drawn.samples, math(&[("max_samples", "5"), ("seed", "4")]).unwrap().samples);
    }

    #[test]
    fn what_has_no_row_is_an_error_that_says_why() {
        let error = math(&[("subset", "Topology")]).unwrap_err().to_string();
        assert_eq!(
            error,
            "dataset `math500` has no subset `Topology`; it has Algebra, Number Theory"
        );
        let error = math_from("{}\n", &[]).unwrap_err().to_string();
        assert!(
            error.ends_with("no usable row; the first problem: line 1: there is no `problem`"),
            "{error}"
        );
    }
}
