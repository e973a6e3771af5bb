//! Tables as text, and back.

use anyhow::{Context, Result, ensure};

use super::super::super::random::Random;
use super::super::super::words::{NAMES, TOWNS, WORDS};

/// What a table is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Domain {
    pub(super) title: &'static str,
    /// The column that names a row, in the singular and plural.
    pub(super) key: &'static str,
    pub(super) keys: &'static str,
    keys_from: Keys,
    pub(super) group: &'static str,
    groups: &'static [&'static str],
    pub(super) number: &'static str,
    range: (i64, i64),
    pub(super) second: &'static str,
    second_range: (i64, i64),
    /// What a second table gives for each group.
    pub(super) factor: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum Keys {
    Names,
    Towns,
    Words,
    Codes(&'static str),
}

const DOMAINS: [Domain; 7] = [
    Domain {
        title: "Orders",
        key: "order",
        keys: "orders",
        keys_from: Keys::Codes("A"),
        group: "region",
        groups: &["north", "south", "east", "west"],
        number: "amount",
        range: (15, 980),
        second: "items",
        second_range: (1, 12),
        factor: "fee",
    },
    Domain {
        title: "Hours worked in a month",
        key: "person",
        keys: "persons",
        keys_from: Keys::Names,
        group: "team",
        groups: &["design", "kitchen", "sales", "workshop"],
        number: "hours",
        range: (20, 180),
        second: "sick days",
        second_range: (0, 9),
        factor: "rate",
    },
    Domain {
        title: "Power readings",
        key: "sensor",
        keys: "sensors",
        keys_from: Keys::Codes("S"),
        group: "room",
        groups: &["attic", "cellar", "hall", "lab"],
        number: "power",
        range: (12, 2_400),
        second: "minutes",
        second_range: (1, 60),
        factor: "weight",
    },
    Domain {
        title: "Stock list",
        key: "article",
        keys: "articles",
        keys_from: Keys::Words,
        group: "shelf",
        groups: &["K1", "K2", "L1", "L4", "M3"],
        number: "quantity",
        range: (1, 400),
        second: "minimum",
        second_range: (5, 90),
        factor: "price",
    },
    Domain {
        title: "Weather stations",
        key: "station",
        keys: "stations",
        keys_from: Keys::Towns,
        group: "district",
        groups: &["coast", "hills", "plain"],
        number: "rainfall",
        range: (2, 310),
        second: "sun hours",
        second_range: (20, 260),
        factor: "factor",
    },
    Domain {
        title: "Delays",
        key: "train",
        keys: "trains",
        keys_from: Keys::Codes("R"),
        group: "line",
        groups: &["blue", "green", "red", "grey"],
        number: "delay",
        range: (0, 75),
        second: "stops",
        second_range: (3, 24),
        factor: "penalty",
    },
    Domain {
        title: "Test runs",
        key: "run",
        keys: "runs",
        keys_from: Keys::Codes("T"),
        group: "machine",
        groups: &["atlas", "borea", "ceres"],
        number: "energy",
        range: (110, 9_900),
        second: "errors",
        second_range: (0, 20),
        factor: "divisor",
    },
];

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) group: &'static str,
    pub(super) number: i64,
    pub(super) second: i64,
    /// The number is shown as a question mark.
    pub(super) is_hidden: bool,
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) domain: Domain,
    pub(super) rows: Vec<Row>,
}

impl Table {
    /// A table with so many rows, about anything that has as many names.
    pub(super) fn drawn(random: &mut Random, rows: usize) -> Result<Self> {
        let fitting: Vec<Domain> =
            DOMAINS.into_iter().filter(|domain| domain.keys_from.most() >= rows).collect();
        let domain = random.choose(&fitting);
        let keys = domain.keys_from.drawn(random, rows);
        ensure!(keys.len() == rows, "{} has too few keys for {rows} rows", domain.title);
        let row = |key| Row {
            key,
            group: random.choose(domain.groups),
            number: random.number(domain.range.0, domain.range.1),
            second: random.number(domain.second_range.0, domain.second_range.1),
            is_hidden: false,
        };
        Ok(Self { domain, rows: keys.into_iter().map(row).collect() })
    }

    /// From the highest number to the lowest.
    pub(super) fn by_number(&self) -> Vec<&Row> {
        let mut sorted: Vec<&Row> = self.rows.iter().collect();
        sorted.sort_by_key(|row| -row.number);
        sorted
    }

    pub(super) fn of_group(&self, group: &str) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.group == group).collect()
    }

    /// The groups that occur, in alphabetical order.
    pub(super) fn groups(&self) -> Vec<&'static str> {
        let mut groups: Vec<&str> = self.rows.iter().map(|row| row.group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    pub(super) fn total(&self) -> i64 {
        self.rows.iter().map(|row| row.number).sum()
    }

    /// The table in one of several formats, out of which it can be read again.
    ///
    /// # Errors
    /// If it can't.
    pub(super) fn rendered(&self, random: &mut Random) -> Result<String> {
        let header = [self.domain.key, self.domain.group, self.domain.number, self.domain.second];
        let mut lines = vec![header.map(str::to_owned)];
        lines.extend(self.rows.iter().map(Row::cells));
        let format =
            random.choose([Format::Csv, Format::Markdown, Format::FixedWidth, Format::Markdown]);
        let text = format.write(&lines);
        ensure!(format.read(&text) == lines, "the table's text says something else:\n{text}");
        for (row, cells) in self.rows.iter().zip(&lines[1..]) {
            let number = cells[2].parse().ok().or(row.is_hidden.then_some(row.number));
            ensure!(number.context("a number")? == row.number, "the number of {}", row.key);
        }
        Ok(text)
    }
}

impl Row {
    fn cells(&self) -> [String; 4] {
        let number = if self.is_hidden { "?".to_owned() } else { self.number.to_string() };
        [self.key.clone(), self.group.to_owned(), number, self.second.to_string()]
    }
}

impl Keys {
    fn most(self) -> usize {
        match self {
            Self::Names => NAMES.len(),
            Self::Towns => TOWNS.len(),
            Self::Words => WORDS.len(),
            Self::Codes(_) => 90,
        }
    }

    fn drawn(self, random: &mut Random, count: usize) -> Vec<String> {
        let from = |random: &mut Random, words: &[&str]| {
            random.sample(words, count).into_iter().map(str::to_owned).collect()
        };
        match self {
            Self::Names => from(random, &NAMES),
            Self::Towns => from(random, &TOWNS),
            Self::Words => from(random, &WORDS),
            Self::Codes(letter) => {
                let first = random.number(100, 800);
                (0..count as i64).map(|at| format!("{letter}{}", first + at)).collect()
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Csv,
    Markdown,
    FixedWidth,
}

impl Format {
    fn write(self, lines: &[[String; 4]]) -> String {
        let widths: [usize; 4] = std::array::from_fn(|column| {
            lines.iter().map(|line| line[column].len()).max().unwrap_or(0) + 2
        });
        let mut text = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            text.push(match self {
                Self::Csv => line.join(","),
                Self::Markdown => format!("| {} |", line.join(" | ")),
                Self::FixedWidth => {
                    let cells: Vec<String> = line
                        .iter()
                        .zip(widths)
                        .map(|(cell, width)| format!("{cell:width$}"))
                        .collect();
                    cells.concat().trim_end().to_owned()
                }
            });
            if at == 0 && matches!(self, Self::Markdown) {
                text.push("|---|---|---|---|".to_owned());
            }
        }
        let text = text.join("\n");
        if matches!(self, Self::Markdown) { text } else { format!("```\n{text}\n```") }
    }

    fn read(self, text: &str) -> Vec<[String; 4]> {
        let lines =
            text.lines().filter(|line| !line.starts_with("```") && !line.starts_with("|---"));
        let cells = |line: &str| -> Vec<String> {
            let parts: Vec<&str> = match self {
                Self::Csv => line.split(',').collect(),
                Self::Markdown => line.trim_matches(['|', ' ']).split(" | ").collect(),
                // Cells may have single spaces inside.
                Self::FixedWidth => {
                    line.split("  ").filter(|part| !part.trim().is_empty()).collect()
                }
            };
            parts.into_iter().map(|part| part.trim().to_owned()).collect()
        };
        lines.filter_map(|line| cells(line).try_into().ok()).collect()
    }
}
