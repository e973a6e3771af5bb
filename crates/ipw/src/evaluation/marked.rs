//! Where a text marks its answer, whatever is asked for: an `Answer:` line, a `\boxed{}`, a phrase.

use memchr::memmem;

use super::latex;

/// What follows the last `Answer:` that is followed by anything, be it on the next line.
pub(super) fn answer_line(text: &str) -> Option<&str> {
    let (mut last, mut announced) = (None, false);
    for line in text.lines() {
        match after_answer(line) {
            Some(rest) if is_blank(rest) => announced = true,
            Some(rest) => (last, announced) = (Some(rest), false),
            None if announced && !is_blank(line) => (last, announced) = (Some(line), false),
            None => {}
        }
    }
    last
}

/// What stands behind the last `answer:` of a line, whatever its case and emphasis.
fn after_answer(line: &str) -> Option<&str> {
    const WORD: &str = "answer";
    line.rmatch_indices(':').find_map(|(at, _)| {
        let before = line[..at].trim_end_matches(['*', '_', ' ']);
        let start = before.len().checked_sub(WORD.len())?;
        let found = before.get(start..)?.eq_ignore_ascii_case(WORD)
            && !before[..start].ends_with(char::is_alphanumeric);
        let rest = &line[at + 1..];
        // `**Answer:** 42`: the emphasis closes behind the colon.
        found.then(|| rest.strip_prefix("**").or(rest.strip_prefix("__")).unwrap_or(rest))
    })
}

/// The content of the last `\boxed{}`, if there is any.
pub(super) fn boxed(text: &str) -> Option<&str> {
    latex::last_boxed(text).filter(|content| !is_blank(content))
}

/// What `take` finds behind the last `phrase` behind which it finds something. It is given the text up to the
/// next `phrase`, so that no part of it is read twice. The phrase is ASCII in lower case; its first letter may
/// be a capital in the text.
pub(super) fn behind_last<'a>(
    text: &'a str,
    phrase: &str,
    take: impl Fn(&'a str) -> Option<&'a str>,
) -> Option<&'a str> {
    let (first, others) = phrase.split_at_checked(1)?;
    let mut end = text.len();
    memmem::rfind_iter(text.as_bytes(), others).find_map(|at| {
        let start = at.checked_sub(1)?;
        if !text.get(start..at)?.eq_ignore_ascii_case(first) {
            return None;
        }
        let rest = text.get(at + others.len()..end)?;
        end = start;
        take(rest)
    })
}

/// Whether there is nothing but space and marks of emphasis or code.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(|letter| letter.is_whitespace() || matches!(letter, '*' | '_' | '`'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_looked_for_from_the_end_until_something_useful_follows_it() {
        fn long(rest: &str) -> Option<&str> {
            rest.lines().next().filter(|line| line.len() > 3)
        }
        let cases = [
            ("The answer is four.", Some(" four.")),
            ("Answer is four\nand more", Some(" four")),
            ("the answer is four. This answer is a", Some(" four. This ")),
            ("the answer is four. The answer is five", Some(" five")),
            ("my \u{e4}nswer is four", None),
            ("nswer is four", None),
            ("answer is\nfour", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(behind_last(text, "answer is", long), expected, "{text}");
        }
    }
}
