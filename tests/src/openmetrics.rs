//! OpenMetrics text, read strictly: what breaks the specification's rules for gauges and counters is
//! an error, and so is a series that comes twice.
//!
//! Faithful to: the order and uniqueness of families, their metadata, suffixes, units, labels, their
//! escapes, values, the end. Not faithful to: other types, exemplars, timestamps.

use std::collections::{BTreeMap, HashSet};

/// A value with its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The metric's name, with its suffix.
    pub name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// All samples of a text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metrics(pub Vec<Sample>);

impl Metrics {
    /// Reads a text.
    ///
    /// # Errors
    /// If it isn't OpenMetrics; the error has the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let body = text.strip_suffix("# EOF\n").ok_or("it does not end with `# EOF`")?;
        let mut parser = Parser::default();
        for line in body.lines() {
            parser.take(line).map_err(|error| format!("{error}: {line:?}"))?;
        }
        Ok(Self(parser.samples))
    }

    /// The value of the one sample with this name and, among others, these labels.
    #[must_use]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |sample: &Sample| {
            labels
                .iter()
                .all(|(key, value)| sample.labels.get(*key).is_some_and(|has| has == value))
        };
        let mut found = self.0.iter().filter(|sample| sample.name == name && has(sample));
        let first = found.next();
        found.next().is_none().then_some(first?.value)
    }
}

#[derive(Default)]
struct Parser {
    family: String,
    kind: Option<String>,
    families: HashSet<String>,
    series: HashSet<String>,
    samples: Vec<Sample>,
}

impl Parser {
    fn take(&mut self, line: &str) -> Result<(), &'static str> {
        match line.strip_prefix("# ") {
            Some(metadata) => self.metadata(metadata),
            None => self.sample(line),
        }
    }

    fn metadata(&mut self, line: &str) -> Result<(), &'static str> {
        let mut parts = line.splitn(3, ' ');
        let (Some(what), Some(name), Some(rest)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err("metadata of less than three parts");
        };
        if name != self.family {
            if !is_name(name) || !self.families.insert(name.to_owned()) {
                return Err("a family that is no name or comes twice");
            }
            self.family = name.to_owned();
            self.kind = None;
        }
        match (what, rest) {
            ("HELP", help) if !help.is_empty() => Ok(()),
            ("TYPE", "gauge" | "counter") if !name.ends_with("_total") => {
                self.kind = Some(rest.to_owned());
                Ok(())
            }
            ("UNIT", unit) if name.ends_with(&format!("_{unit}")) => Ok(()),
            _ => Err("not a rule of metadata"),
        }
    }

    fn sample(&mut self, line: &str) -> Result<(), &'static str> {
        let (series, value) = line.rsplit_once(' ').ok_or("no value")?;
        let value: f64 = value.parse().map_err(|_| "the value is no number")?;
        let (name, labels) = match series.split_once('{') {
            Some((name, rest)) => {
                (name, labels(rest.strip_suffix('}').ok_or("no end of labels")?)?)
            }
            None => (series, BTreeMap::new()),
        };
        let belongs = match self.kind.as_deref() {
            Some("counter") => name.strip_suffix("_total") == Some(&self.family),
            Some(_) => name == self.family,
            None => false,
        };
        if !belongs {
            return Err("not of the family before it");
        }
        if self.kind.as_deref() == Some("counter") && (value.is_nan() || value < 0.0) {
            return Err("no value for a counter");
        }
        if !self.series.insert(format!("{name}{labels:?}")) {
            return Err("the same series again");
        }
        self.samples.push(Sample { name: name.to_owned(), labels, value });
        Ok(())
    }
}

/// `a="b",c="d"`.
fn labels(mut text: &str) -> Result<BTreeMap<String, String>, &'static str> {
    let mut labels = BTreeMap::new();
    loop {
        let (key, rest) = text.split_once("=\"").ok_or("no label")?;
        let (value, rest) = quoted(rest)?;
        if !is_name(key) || key.contains(':') || labels.insert(key.to_owned(), value).is_some() {
            return Err("a label that is no name or comes twice");
        }
        match rest.strip_prefix(',') {
            Some(next) => text = next,
            None if rest.is_empty() => return Ok(labels),
            None => return Err("something after a label"),
        }
    }
}

/// A value up to its closing quotation mark, and what follows.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                _ => return Err("an escape that is none"),
            },
            _ => value.push(character),
        }
    }
    Err("no end of a label")
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|part| part.is_ascii_alphanumeric() || part == '_' || part == ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP a_joules Energy.\n# TYPE a_joules counter\n# UNIT a_joules joules\n\
                        a_joules_total{x=\"1\\\"\\\\\"} 2.5\na_joules_total{x=\"2\"} 0\n# EOF\n";

    #[test]
    fn a_text_that_keeps_the_rules_is_read() {
        let metrics = Metrics::parse(GOOD).unwrap();
        assert_eq!(metrics.get("a_joules_total", &[("x", "1\"\\")]), Some(2.5));
        assert_eq!(metrics.get("a_joules_total", &[]), None, "two of them");
    }

    #[test]
    fn a_text_that_breaks_one_is_not() {
        for (from, to) in [
            ("# EOF\n", ""),
            ("joules_total{x=\"2\"}", "joules{x=\"2\"}"),
            ("x=\"2\"", "x=\"1\\\"\\\\\""),
            ("# UNIT a_joules joules", "# UNIT a_joules watts"),
            ("2.5", "-2.5"),
            ("2.5", "x"),
            ("counter", "guess"),
            ("x=\"2\"", "x=\"2"),
        ] {
            assert!(Metrics::parse(&GOOD.replace(from, to)).is_err(), "{from} -> {to}");
        }
    }
}
