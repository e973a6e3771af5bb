//! `ipw list`: the registries.

use clap::{Args, ValueEnum};

use crate::client::CLIENTS;
use crate::dataset::DATASETS;
use crate::exit::Exit;
use crate::plot::{VISUALIZATIONS, pareto};
use crate::ui;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Which registry
    #[arg(value_enum, default_value = "all")]
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Clients,
    Datasets,
    Analyses,
    Visualizations,
    All,
}

pub(super) fn run(args: ListArgs) -> Exit {
    let sections = [
        (What::Clients, "Clients (--client)", clients()),
        (What::Datasets, "Datasets (--dataset)", datasets()),
        (What::Analyses, "Analyses (made by ipw analyze)", analyses()),
        (What::Visualizations, "Visualizations (ipw plot --visualization)", visualizations()),
    ];
    for (what, title, entries) in sections {
        if args.what == What::All || args.what == what {
            ui::list(title, &entries);
        }
    }
    Exit::Done
}

fn clients() -> Vec<(String, String)> {
    let entry = |kind: &crate::client::ClientKind| {
        let url = kind.default_url.map(|url| format!(" [{url}]")).unwrap_or_default();
        (kind.id.to_owned(), format!("{}{url}", kind.help))
    };
    CLIENTS.iter().map(entry).collect()
}

fn datasets() -> Vec<(String, String)> {
    DATASETS.iter().map(|set| (set.id().to_owned(), set.help().to_owned())).collect()
}

fn analyses() -> Vec<(String, String)> {
    let entries = [
        ("accuracy", "accuracy, IPJ and IPW, with 95 % intervals"),
        ("regression", "time, energy and power on tokens; joules per prompt and generated token"),
    ];
    entries.map(|(id, help)| (id.to_owned(), help.to_owned())).into()
}

fn visualizations() -> Vec<(String, String)> {
    let of_one = VISUALIZATIONS.iter().map(|one| (one.id(), one.help()));
    of_one
        .chain([(pareto::ID, pareto::HELP)])
        .map(|(id, help)| (id.to_owned(), help.to_owned()))
        .collect()
}
