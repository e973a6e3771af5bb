//! Answers that show that rules can be kept: nothing that one would want to read.

/// Sentences of eight words each without commas.
const SENTENCES: [&str; 8] = [
    "The river was calm in the morning light.",
    "Two boats lay at the end of town.",
    "Nobody had opened the old shop for weeks.",
    "A small dog slept beside the green door.",
    "It smelled of bread and of wet stones.",
    "Later the bells rang from the far hill.",
    "Some children ran down to see the boats.",
    "Then the wind turned and rain set in.",
];

/// So many sentences.
pub(super) fn sentences(count: usize) -> String {
    SENTENCES.into_iter().cycle().take(count).collect::<Vec<_>>().join(" ")
}

/// So many words in sentences.
pub(super) fn prose(words: usize) -> String {
    let text = sentences(words.div_ceil(8));
    let kept: Vec<&str> = text.split(' ').take(words).collect();
    let kept = kept.join(" ");
    if kept.ends_with('.') { kept } else { format!("{kept}.") }
}

/// Words in which a letter doesn't occur.
pub(super) fn words_without(letter: char) -> Vec<&'static str> {
    const WORDS: [&str; 16] = [
        "warm", "wind", "rolls", "in", "slow", "dusk", "the", "feet", "here", "keep", "quiet",
        "milk", "zebra", "blue", "light", "cold",
    ];
    WORDS.into_iter().filter(|word| !word.contains(letter)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::constraint::words;

    #[test]
    fn prose_has_as_many_words_as_asked_for() {
        for count in [1, 7, 8, 9, 250] {
            assert_eq!(words(&prose(count)), count);
        }
    }
}
