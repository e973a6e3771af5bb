//! Multiple-choice questions: a question and its options made into a prompt.
//!
//! Answers: the prompt, with options lettered from A to J, and the letter of the right one, or why there
//! is none.

/// The letters that options can have.
const LETTERS: [char; 10] = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J'];

/// The form in which the answer is asked for.
pub(super) enum Form {
    /// `The answer is (X).`, which MMLU-Pro's rules look for first.
    TheAnswerIs,
    /// `Answer: X`, which SuperGPQA's rules look for.
    Answer,
}

/// The letter at a place.
pub(super) fn letter(place: usize) -> Option<char> {
    LETTERS.get(place).copied()
}

/// The place of a letter.
pub(super) fn place(letter: char) -> Option<usize> {
    LETTERS.iter().position(|known| *known == letter)
}

/// The letter of the right one of these options.
pub(super) fn right_letter(options: &[String], right: usize) -> Result<char, String> {
    if options.len() < 2 {
        return Err(format!("it has {} options to choose from", options.len()));
    }
    if options.len() > LETTERS.len() {
        return Err(format!("it has {} options; letters go up to J", options.len()));
    }
    letter(right).filter(|_| right < options.len()).ok_or_else(|| {
        format!("its answer is option {} of {}", right.saturating_add(1), options.len())
    })
}

/// The whole prompt. The instruction stands last: a small model follows best what it read just before.
pub(super) fn prompt(
    subject: &str,
    question: &str,
    options: &[String],
    form: &Form,
) -> Result<String, String> {
    let question = question.trim();
    if question.is_empty() {
        return Err("its question is empty".to_owned());
    }
    let lines: String = LETTERS
        .iter()
        .zip(options)
        .map(|(letter, option)| format!("{letter}. {}\n", option.trim()))
        .collect();
    let about = match subject.trim() {
        "" => String::new(),
        subject => format!(" about {subject}"),
    };
    let last_line = match form {
        Form::TheAnswerIs => "\"The answer is (X).\"",
        Form::Answer => "\"Answer: X\"",
    };
    Ok(format!(
        "A multiple-choice question{about}:\n\n{question}\n\n{lines}\nThink it through step by step. \
         Then end with a line that gives the letter of the right option in place of X: {last_line}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("option {number}")).collect()
    }

    #[test]
    fn a_prompt_has_the_question_every_option_and_the_form_at_its_end() {
        let prompt = prompt("law", " Which?\n", &options(10), &Form::TheAnswerIs).unwrap();
        assert!(
            prompt.starts_with("A multiple-choice question about law:\n\nWhich?\n\nA. option 0\n")
        );
        assert!(prompt.contains("\nJ. option 9\n"));
        assert!(prompt.ends_with("\"The answer is (X).\""));
        let other = super::prompt("", "Which?", &options(2), &Form::Answer).unwrap();
        assert!(
            other.starts_with("A multiple-choice question:\n") && other.ends_with("\"Answer: X\"")
        );
        assert!(super::prompt("law", " \n", &options(2), &Form::Answer).is_err());
    }

    #[test]
    fn the_right_option_must_be_one_of_those_that_have_letters() {
        assert_eq!(right_letter(&options(10), 9), Ok('J'));
        assert_eq!(right_letter(&options(2), 0), Ok('A'));
        for (count, right, reason) in [
            (11, 0, "it has 11 options; letters go up to J"),
            (4, 4, "its answer is option 5 of 4"),
            (1, 0, "it has 1 options to choose from"),
            (0, 0, "it has 0 options to choose from"),
            (10, usize::MAX, "its answer is option 18446744073709551615 of 10"),
        ] {
            assert_eq!(right_letter(&options(count), right).unwrap_err(), reason);
        }
    }

    #[test]
    fn letters_and_places_belong_together() {
        for number in 0..10 {
            assert_eq!(letter(number).and_then(place), Some(number));
        }
        assert_eq!((letter(10), place('K'), place('a')), (None, None, None));
    }
}
