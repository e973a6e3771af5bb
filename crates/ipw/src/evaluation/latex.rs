//! The little LaTeX in which models wrap their answers: `\boxed{...}` and commands around a text.

/// Commands whose single argument is the text itself.
const WRAPPERS: [&str; 9] = [
    "\\boxed",
    "\\fbox",
    "\\text",
    "\\textbf",
    "\\textit",
    "\\mathrm",
    "\\mathbf",
    "\\mathit",
    "\\operatorname",
];

/// What stands in the last `\boxed{...}` whose braces match. One pass, whatever the nesting.
pub(super) fn last_boxed(text: &str) -> Option<&str> {
    const OPENING: &str = "\\boxed{";
    let bytes = text.as_bytes();
    // Boxes that are still open: where the content starts, and how many braces are open inside.
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut last = None;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if bytes[at..].starts_with(OPENING.as_bytes()) => {
                at += OPENING.len();
                open.push((at, 0));
                continue;
            }
            // An escaped brace is text.
            b'\\' => at += 1,
            b'{' => {
                if let Some((_, inside)) = open.last_mut() {
                    *inside += 1;
                }
            }
            b'}' => match open.last_mut() {
                Some((start, 0)) => {
                    last = Some(&text[*start..at]);
                    open.pop();
                }
                Some((_, inside)) => *inside -= 1,
                None => {}
            },
            _ => {}
        }
        at += 1;
    }
    last
}

/// The argument of a command that wraps the whole text: `4` of `\boxed{4}` or `\text{4}`.
pub(super) fn unwrapped(text: &str) -> Option<&str> {
    let inside = text.strip_suffix('}')?;
    WRAPPERS.iter().find_map(|command| {
        let argument = inside.strip_prefix(command)?.strip_prefix('{')?;
        is_balanced(argument, b"{", b"}").then_some(argument)
    })
}

/// Both arguments of `\frac{a}{b}` or its relatives at the start of a text, and what follows.
pub(super) fn fraction(text: &str) -> Option<(&str, &str, &str)> {
    let rest = ["\\frac{", "\\dfrac{", "\\tfrac{"].iter().find_map(|it| text.strip_prefix(it))?;
    let (numerator, rest) = rest.split_once('}')?;
    let (denominator, rest) = rest.strip_prefix('{')?.split_once('}')?;
    Some((numerator, denominator, rest))
}

/// Whether each of the brackets `open` was closed by one of `close` in the text, and the other way round.
pub(super) fn is_balanced(text: &str, open: &[u8], close: &[u8]) -> bool {
    let mut depth = 0_usize;
    for byte in text.bytes() {
        if open.contains(&byte) {
            depth += 1;
        } else if close.contains(&byte) {
            match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            }
        }
    }
    depth == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_complete_box_is_found_with_its_inner_braces() {
        let cases = [
            (r"\boxed{4}", Some("4")),
            (r"first \boxed{4}, then \boxed{5}.", Some("5")),
            (r"\boxed{\frac{1}{2}}", Some(r"\frac{1}{2}")),
            (r"\boxed{\boxed{7}}", Some(r"\boxed{7}")),
            (r"\boxed{4} and \boxed{5", Some("4")),
            (r"{ } } { \boxed{6}", Some("6")),
            (r"\boxed{a\}b}", Some(r"a\}b")),
            (r"\boxed{}", Some("")),
            (r"\boxed 4", None),
            (r"\boxed{4", None),
            ("", None),
            ("\\", None),
        ];
        for (text, expected) in cases {
            assert_eq!(last_boxed(text), expected, "{text}");
        }
    }

    #[test]
    fn a_wrapper_is_taken_off_only_where_it_wraps_the_whole() {
        assert_eq!(unwrapped(r"\text{B}"), Some("B"));
        assert_eq!(unwrapped(r"\text{a}\text{b}"), None);
        assert_eq!(unwrapped(r"\text{a} b"), None);
        assert_eq!(unwrapped(r"\sqrt{2}"), None);
    }

    #[test]
    fn a_fraction_is_split_into_its_two_parts_and_the_rest() {
        assert_eq!(fraction(r"\frac{3}{4} kg"), Some(("3", "4", " kg")));
        assert_eq!(fraction(r"\dfrac{10}{4}"), Some(("10", "4", "")));
        assert_eq!(fraction(r"\frac34"), None);
        assert_eq!(fraction(r"\frac{3}{4"), None);
    }
}
