//! The last sentences of a prompt, which say how the answer is to be given so that it can be scored.

use super::draft::{Draft, Key};
use super::random::Random;

/// What people write before a short question, now and then.
const OPENINGS: [&str; 6] = [
    "Quick question: ",
    "Please help me with this. ",
    "I want to check something. ",
    "Here is one for you: ",
    "Hello! ",
    "Can you work this out? ",
];
/// A longer question needs no opening.
const LONGEST_OPENED: usize = 160;

/// The instruction for an answer of this kind; none where the task says all.
pub(super) fn instruction(key: &Key, random: &mut Random) -> Option<String> {
    match key {
        Key::Choice { .. } => Some(random.choose([
            "End with \"The answer is (X).\" where X is the letter of the right option.".to_owned(),
            "Choose one option and finish with the sentence \"The answer is (X).\", X being its letter.".to_owned(),
            "Your last sentence must be \"The answer is (X).\", with the letter of your choice for X.".to_owned(),
            "Which letter? Finish with \"The answer is (X).\", X being that letter.".to_owned(),
        ])),
        Key::Exact { form, .. } => Some(random.choose([
            format!("End with a line \"Answer: \" followed by {form}."),
            format!("Your last line must be \"Answer: \" and then {form}."),
            format!("Finish with a last line of the form \"Answer: ...\" that holds {form}."),
            format!("On the last line write \"Answer: \" and {form}, nothing else."),
            format!("Close with a line \"Answer: ...\"; the dots stand for {form}."),
        ])),
        Key::Constraints { .. } | Key::Judge { .. } => None,
    }
}

/// A short question as some people begin it.
pub(super) fn opened(draft: &mut Draft, random: &mut Random) {
    let is_short = draft.task.len() <= LONGEST_OPENED && !draft.task.contains('\n');
    if is_short && matches!(draft.key, Key::Exact { .. }) && random.percent(12) {
        draft.task = format!("{}{}", random.choose(OPENINGS), draft.task);
    }
}

/// The task and, behind it, its instruction: in the same line only where the task is one whole
/// sentence.
pub(super) fn joined(task: &str, instruction: Option<&str>) -> String {
    let Some(instruction) = instruction else { return task.to_owned() };
    let is_sentence = !task.contains('\n') && task.ends_with(['.', '?', '!']);
    let space = if is_sentence { " " } else { "\n\n" };
    format!("{task}{space}{instruction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instruction_names_the_mark_that_the_scorer_looks_for() {
        for attempt in 0..30 {
            let mut random = Random::new(attempt, "test");
            let exact = Key::Exact { answer: "4".to_owned(), form: "the number alone".to_owned() };
            let text = instruction(&exact, &mut random).unwrap();
            assert!(text.contains("\"Answer: ") && text.contains("the number alone"), "{text}");
            let choice = Key::Choice { options: Vec::new() };
            let text = instruction(&choice, &mut random).unwrap();
            assert!(text.contains("The answer is (X)."), "{text}");
        }
    }

    #[test]
    fn an_instruction_gets_its_own_paragraph_behind_lines_and_fragments() {
        assert_eq!(joined("What is 2 + 2?", Some("End.")), "What is 2 + 2? End.");
        assert_eq!(joined("sort: b, a", Some("End.")), "sort: b, a\n\nEnd.");
        assert_eq!(joined("a\nb.", Some("End.")), "a\nb.\n\nEnd.");
        assert_eq!(joined("Write a poem.", None), "Write a poem.");
    }
}
