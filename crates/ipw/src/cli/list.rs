//! `ipw list`: the registries.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::client::{CLIENTS, ClientKind};
use crate::dataset::DATASETS;
use crate::exit::Exit;
use crate::plot::{VISUALIZATIONS, pareto};
use crate::ui;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Which registry
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Clients,
    Datasets,
    Analyses,
    Visualizations,
    All,
}

/// What can be chosen by its id.
#[derive(Debug, Serialize)]
struct Entry {
    id: &'static str,
    help: &'static str,
    /// Of a client: where it looks for its server unless it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_url: Option<&'static str>,
}

/// A registry: which one, its name for programs and for people, and what is in it.
type Section = (What, &'static str, &'static str, Vec<Entry>);

pub(super) fn run(args: ListArgs) -> Exit {
    let sections: [Section; 4] = [
        (What::Clients, "clients", "Clients (ipw profile --client)", clients()),
        (What::Datasets, "datasets", "Datasets (ipw profile --dataset)", datasets()),
        (What::Analyses, "analyses", "Analyses (ipw analyze --analysis)", analyses()),
        (
            What::Visualizations,
            "visualizations",
            "Visualizations (ipw plot --visualization)",
            visualizations(),
        ),
    ];
    let asked = |section: &Section| args.what == What::All || args.what == section.0;
    let sections = sections.into_iter().filter(asked);
    if args.json {
        let entries: BTreeMap<_, _> =
            sections.map(|(_, name, _, entries)| (name, entries)).collect();
        ui::json(&entries);
    } else {
        for (_, _, title, entries) in sections {
            ui::list(title, &entries.iter().map(Entry::shown).collect::<Vec<_>>());
        }
    }
    Exit::Done
}

impl Entry {
    fn new(id: &'static str, help: &'static str) -> Self {
        Self { id, help, default_url: None }
    }

    fn shown(&self) -> (String, String) {
        let url = self.default_url.map(|url| format!(" [{url}]")).unwrap_or_default();
        (self.id.to_owned(), format!("{}{url}", self.help))
    }
}

fn clients() -> Vec<Entry> {
    let entry = |kind: &ClientKind| Entry {
        default_url: kind.default_url,
        ..Entry::new(kind.id, kind.help)
    };
    CLIENTS.iter().map(entry).collect()
}

fn datasets() -> Vec<Entry> {
    DATASETS.iter().map(|set| Entry::new(set.id(), set.help())).collect()
}

fn analyses() -> Vec<Entry> {
    vec![
        Entry::new("accuracy", "accuracy, IPJ and IPW, with 95 % intervals"),
        Entry::new(
            "regression",
            "time, energy and power on tokens; joules per prompt and generated token",
        ),
    ]
}

fn visualizations() -> Vec<Entry> {
    let of_one = VISUALIZATIONS.iter().map(|one| Entry::new(one.id(), one.help()));
    of_one.chain([Entry::new(pareto::ID, pareto::HELP)]).collect()
}
