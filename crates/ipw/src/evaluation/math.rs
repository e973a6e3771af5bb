//! A mathematical answer (MATH-500): is it the same expression as the reference, as text or by value?
//!
//! It is taken from the last `\boxed{}`, else from behind "final answer is"; where there is neither, an `Answer:`
//! line or "answer is" will do, and the method says `loose`. Both sides are brought to one spelling
//! (`canonical`) and compared as text, then by value (`value`), element by element where there are several. Which
//! brackets an interval has matters, the order in a set or a list of solutions doesn't, and a unit only where
//! both have one. What can be compared in neither way is wrong as far as the rules can tell, and `undecided`.

use std::borrow::Cow;

use super::exact::LONGEST_DRESSING;
use super::marked::{answer_line, behind_last, boxed, is_blank};
use super::{Evaluation, latex};

mod canonical;
mod likeness;
mod value;

use canonical::{Comma, canonical};
use likeness::{Likeness, likeness};

/// Scores an expression against its reference.
pub(super) fn evaluate(reference: &str, response: &str) -> Evaluation {
    let reference = reference.trim();
    if reference.is_empty() {
        return Evaluation::unevaluated("math:no_reference");
    }
    let Some((answer, rule)) = final_answer(response) else {
        return Evaluation::unparsed("math:none");
    };
    let compared = compared(reference, answer);
    let evaluation =
        Evaluation::decided(compared == Likeness::Same, format!("math:{rule}"), answer);
    Evaluation { undecided: compared == Likeness::Unclear, ..evaluation }
}

/// What a text gives as its answer, and the rule that found it.
fn final_answer(text: &str) -> Option<(&str, &'static str)> {
    boxed(text)
        .map(|answer| (answer, "boxed"))
        .or_else(|| {
            let answer = behind_last(text, "final answer is", formula)?;
            Some((answer, "final_answer"))
        })
        .or_else(|| Some((answer_line(text).and_then(formula)?, "loose_answer_line")))
        .or_else(|| Some((behind_last(text, "answer is", formula)?, "loose_answer_is")))
}

/// The displayed formula that a text begins with, else its first sentence on its first line with anything.
fn formula(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(|it: char| it.is_whitespace() || matches!(it, ':' | '*'));
    let displayed = [("$$", "$$"), ("\\[", "\\]")].iter().find_map(|(opening, closing)| {
        let (formula, _) = text.strip_prefix(opening)?.split_once(closing)?;
        Some(formula)
    });
    let sentence = || {
        let line = text.lines().next()?;
        Some(line.split_once(". ").map_or(line, |(sentence, _)| sentence))
    };
    displayed.or_else(sentence).filter(|formula| !is_blank(formula))
}

/// How an answer compares to the reference.
fn compared(reference: &str, answer: &str) -> Likeness {
    if answer.len() > reference.len() + LONGEST_DRESSING {
        return Likeness::Other;
    }
    let (reference, answer) = (without_box(reference).trim(), answer.trim());
    let read = |comma| {
        let spelled = |text| canonical(text, comma).map_or(Cow::Borrowed(text), Cow::Owned);
        likeness(&spelled(reference), &spelled(answer))
    };
    match read(Comma::Thousands) {
        Likeness::Same => Likeness::Same,
        // `(1,200)` may be a number or a pair, in the reference as in the answer.
        _ if answer.contains(',') && read(Comma::Separator) == Likeness::Same => Likeness::Same,
        unlike => unlike,
    }
}

/// A whole solution gives its answer in a box.
fn without_box(reference: &str) -> &str {
    latex::last_boxed(reference).unwrap_or(reference)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn the_answer_is_found_where_the_rules_say() {
        let cases = [
            (r"So it is $\boxed{\frac12}$.", "boxed"),
            (r"First \boxed{3}, no: $$\boxed{ \dfrac{1}{2} }$$ The final answer is 3.", "boxed"),
            (r"\boxed{x = \boxed{0.5}}", "boxed"),
            (r"The final answer is $\frac{1}{2}$. I hope it is correct.", "final_answer"),
            ("The final answer is:\n\n$$\n\\frac{1}{2}\n$$\n\nThat is it.", "final_answer"),
            ("**The final answer is:** \\[ \\frac12 \\]", "final_answer"),
            ("Final answer is 0.5", "final_answer"),
            ("Hence.\n**Answer:** $\\frac{1}{2}$", "loose_answer_line"),
            ("Final Answer: 0.5. Checked twice.", "loose_answer_line"),
            ("Therefore, the answer is $x = 1/2$.", "loose_answer_is"),
        ];
        for (response, rule) in cases {
            let evaluation = evaluate(r"\frac{1}{2}", response);
            assert_eq!(evaluation.method, format!("math:{rule}"), "{response}");
            assert_eq!(evaluation.verdict, Verdict::Correct, "{response}: {evaluation:?}");
            assert!(!evaluation.undecided);
        }
        for response in ["", "It is 0.5.", r"\boxed{", r"\boxed{ }", "The final answer is:"] {
            assert_eq!(evaluate(r"\frac{1}{2}", response).verdict, Verdict::Unparsed, "{response}");
        }
    }

    #[test]
    fn a_judge_is_asked_for_only_where_values_do_not_decide() {
        let decided = |reference: &str, answer: &str| {
            let evaluation = evaluate(reference, &format!("\\boxed{{{answer}}}"));
            (evaluation.verdict, evaluation.undecided)
        };
        assert_eq!(decided("42", "42"), (Verdict::Correct, false));
        assert_eq!(decided("42", "43"), (Verdict::Incorrect, false));
        assert_eq!(decided("2x+3", "3+2x"), (Verdict::Incorrect, true));
        assert_eq!(decided("42", &"4".repeat(10_000)), (Verdict::Incorrect, false));
        assert_eq!(decided("42", &"{".repeat(1_000)), (Verdict::Unparsed, false));
        let deep = format!("{}42{}", "{".repeat(1_000), "}".repeat(1_000));
        assert_eq!(decided("42", &deep), (Verdict::Incorrect, true));
        assert_eq!(decided(&deep, &deep), (Verdict::Correct, false));
    }

    #[test]
    fn a_comma_between_digits_may_be_either() {
        for (reference, answer) in [
            ("10,000", "10000"),
            ("10000", r"10{,}000"),
            ("(1,200)", "(1, 200)"),
            ("100,200", "200, 100"),
            (r"\$1,234.50", "1234.5"),
        ] {
            assert_eq!(compared(reference, answer), Likeness::Same, "{reference} / {answer}");
        }
        assert_eq!(compared("10,000", "10,001"), Likeness::Other);
    }

    #[test]
    fn the_reference_may_be_a_solution_and_must_be_there() {
        assert_eq!(evaluate(r"It is $\boxed{4}$.", r"\boxed{4}").verdict, Verdict::Correct);
        assert_eq!(evaluate(" ", r"\boxed{4}").verdict, Verdict::Unevaluated);
    }
}
