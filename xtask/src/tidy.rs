//! `cargo xtask tidy`: the rules of docs/architecture.md that can be read off the source text.
//!
//! It knows lines and words, not Rust: what follows `//` on a line is left out, so a word behind a
//! URL in a string is not seen.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// A file above this holds more than one idea.
const MOST_LINES: usize = 800;
/// The folders with sources.
const SOURCES: [&str; 3] = ["crates", "tests", "xtask"];

/// Words that may not stand in some places.
struct Rule {
    words: &'static [&'static str],
    /// Where it holds: folders, or modules with all that is below them.
    within: &'static [&'static str],
    /// Where it doesn't.
    except: &'static [&'static str],
    why: &'static str,
}

const RULES: [Rule; 6] = [
    Rule {
        // The last one is what a gRPC connection over a Unix socket is made of.
        words: &["tonic", "tonic_health", "tonic_prost", "hyper_util"],
        within: &["crates"],
        except: &[
            "crates/energy-proto",
            "crates/energy-monitor/build",
            "crates/energy-monitor/src/service",
            // HTTP on sockets that were accepted for metrics.
            "crates/energy-monitor/src/metrics",
            "crates/ipw/src/telemetry/session",
        ],
        why: "gRPC is spoken only in energy-proto, service and telemetry/session",
    },
    Rule {
        words: &["arrow2"],
        within: &["crates", "tests", "xtask"],
        except: &[
            "crates/ipw/src/results",
            "crates/energy-monitor/src/source/scripted/trace_file",
            "xtask/src/tidy",
        ],
        why: "Arrow is known only in results and trace_file: its crate is archived and must stay replaceable",
    },
    Rule {
        words: &["reqwest", "hyper"],
        within: &["crates"],
        except: &[
            "crates/energy-monitor/src/metrics",
            "crates/ipw/src/client",
            "crates/ipw/src/dataset/hub",
            "crates/ipw/src/evaluation/judge/server",
        ],
        why: "HTTP is spoken only in client, dataset/hub, judge/server and the monitor's metrics",
    },
    Rule {
        words: &["tiny_skia", "ttf_parser"],
        within: &["crates", "tests", "xtask"],
        except: &["crates/ipw/src/plot/font", "crates/ipw/src/plot/png", "xtask/src/tidy"],
        why: "glyphs are read only in plot/font, and pixels painted only in plot/png",
    },
    Rule {
        words: &["println!", "print!", "eprintln!", "eprint!", "io::stdout", "stdout()"],
        within: &["crates", "xtask"],
        except: &[
            // The table of sensors, and the one line when it serves.
            "crates/energy-monitor/src/describe",
            "crates/energy-monitor/src/run",
            "crates/energy-monitor/src/main",
            "crates/ipw/src/main",
            "crates/ipw/src/ui",
            "crates/energy-monitor/build",
            "crates/energy-proto/build",
            "xtask/src/steps",
            "xtask/src/tidy",
        ],
        why: "only ui, the monitor's describe and run, and xtask's steps print",
    },
    Rule {
        words: &["Instant::now", "SystemTime::now", "std::fs", "std::net", "tokio", "std::thread"],
        within: &[
            "crates/energy-monitor/src/counter",
            "crates/ipw/src/attribution",
            "crates/ipw/src/telemetry/backoff",
            "crates/ipw/src/analysis",
            "crates/ipw/src/evaluation/constraints",
            "crates/ipw/src/evaluation/exact",
            "crates/ipw/src/evaluation/judge",
            "crates/ipw/src/evaluation/marked",
            "crates/ipw/src/evaluation/math",
            "crates/ipw/src/evaluation/mcq",
            "crates/ipw/src/evaluation/numeric",
            "crates/ipw/src/evaluation/quantity",
            "crates/ipw/src/evaluation/supergpqa",
        ],
        except: &["crates/ipw/src/evaluation/judge/server"],
        why: "this module is pure: no I/O, no clock",
    },
];

/// A source file as text.
struct Source {
    /// From the workspace's root, with `/`.
    path: String,
    text: String,
}

/// Checks every Rust source below `root`.
///
/// # Errors
/// If a rule is broken (all places are named), or a file can't be read.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut sources = Vec::new();
    for folder in SOURCES {
        collect(root, &root.join(folder), &mut sources)?;
    }
    let findings: Vec<String> = sources.iter().flat_map(findings).collect();
    if !findings.is_empty() {
        bail!(
            "{} place(s) break a rule of docs/architecture.md:\n{}",
            findings.len(),
            findings.join("\n")
        );
    }
    Ok(())
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("can't read {}", path.display()))?;
            let path = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            sources.push(Source { path, text });
        }
    }
    Ok(())
}

fn findings(source: &Source) -> Vec<String> {
    let words = RULES.iter().filter(|rule| rule.holds_in(&source.path));
    words.flat_map(|rule| rule.findings(source)).chain(shape_findings(source)).collect()
}

/// What a file must look like, whatever is in it.
fn shape_findings(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    if lines > MOST_LINES {
        findings.push(format!("{}: {lines} lines, at most {MOST_LINES}: split it", source.path));
    }
    if !source.text.starts_with("//!") {
        findings
            .push(format!("{}:1: opens without `//!`: say what the module answers", source.path));
    }
    findings
}

impl Rule {
    fn holds_in(&self, path: &str) -> bool {
        let lies_in = |places: &[&str]| places.iter().any(|place| is_at(path, place));
        lies_in(self.within) && !lies_in(self.except)
    }

    fn findings(&self, source: &Source) -> Vec<String> {
        let lines = source.text.lines().enumerate();
        lines.filter_map(|(index, line)| self.finding(source, index + 1, line)).collect()
    }

    fn finding(&self, source: &Source, number: usize, line: &str) -> Option<String> {
        let code = line.split("//").next()?;
        let word = self.words.iter().find(|word| contains_word(code, word))?;
        Some(format!("{}:{number}: `{word}`: {}", source.path, self.why))
    }
}

/// Whether `path` is the module `place`, or below that folder.
fn is_at(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// Whether `word` stands in `code`, not as a part of a longer name.
fn contains_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + word.len()..].chars().next();
        // A word that ends in punctuation ends there, whatever follows.
        let goes_on = word.ends_with(is_of_a_name) && after.is_some_and(is_of_a_name);
        !goes_on && !before.is_some_and(is_of_a_name)
    })
}

fn is_of_a_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, code: &str) -> Vec<String> {
        findings(&Source { path: path.to_owned(), text: format!("//! header\n{code}\n") })
    }

    #[test]
    fn a_word_outside_its_home_is_reported_with_its_line_and_the_reason() {
        let findings = found("crates/ipw/src/runner.rs", "use arrow2::array::Array;");
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].starts_with("crates/ipw/src/runner.rs:2: `arrow2`: Arrow is known only")
        );
    }

    #[test]
    fn a_word_at_home_is_fine_in_the_module_and_below_it() {
        for path in ["crates/ipw/src/results.rs", "crates/ipw/src/results/writer.rs"] {
            assert!(found(path, "use arrow2::array::Array;").is_empty(), "{path}");
        }
    }

    #[test]
    fn a_module_whose_name_only_begins_alike_is_not_that_home() {
        assert_eq!(found("crates/ipw/src/results_old.rs", "use arrow2::array::Array;").len(), 1);
        assert_eq!(found("crates/ipw/src/clients.rs", "use reqwest::Client;").len(), 1);
    }

    #[test]
    fn longer_names_and_comments_are_no_such_word() {
        for code in
            ["let isotonic = 1;", "let arrow2_like = 1;", "// tonic is elsewhere", "writeln!(f)"]
        {
            assert!(found("crates/ipw/src/runner.rs", code).is_empty(), "{code}");
        }
    }

    #[test]
    fn printing_is_found_whatever_its_arguments() {
        for code in ["println!(\"x\")", "eprint!(\"x\")", "std::io::stdout().lock()"] {
            assert_eq!(found("crates/ipw/src/runner.rs", code).len(), 1, "{code}");
            assert!(found("crates/ipw/src/ui/table.rs", code).is_empty(), "{code}");
        }
    }

    #[test]
    fn a_pure_module_may_not_read_the_clock() {
        assert_eq!(
            found("crates/ipw/src/attribution/energy.rs", "let now = Instant::now();").len(),
            1
        );
        assert!(found("crates/ipw/src/runner.rs", "let now = Instant::now();").is_empty());
    }

    #[test]
    fn a_file_that_is_too_long_or_has_no_header_is_reported() {
        let text = "//! header\n".to_owned() + &"\n".repeat(MOST_LINES);
        let long = Source { path: "crates/ipw/src/long.rs".to_owned(), text };
        assert!(findings(&long)[0].contains("801 lines, at most 800"));
        let bare =
            Source { path: "crates/ipw/src/bare.rs".to_owned(), text: "fn main() {}".to_owned() };
        assert!(findings(&bare)[0].contains("opens without `//!`"));
    }
}
