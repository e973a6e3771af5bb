//! Words, sentences, lines and lists of a text, counted. Each in one pass.

use memchr::memmem::Finder;

/// Signs that begin an item of a list by themselves.
const BULLETS: [char; 6] = ['\u{2022}', '\u{25e6}', '\u{25aa}', '\u{25cf}', '\u{2023}', '\u{2043}'];
/// What may close behind a sentence's last sign.
const CLOSING: [char; 9] = ['"', '\'', ')', ']', '*', '_', '\u{201d}', '\u{2019}', '\u{bb}'];
/// Words whose full stop ends no sentence.
const ABBREVIATIONS: [&str; 13] =
    ["mr", "mrs", "ms", "dr", "prof", "st", "vs", "e.g", "i.e", "cf", "approx", "fig", "u.s"];

/// Words: what stands between spaces and has a letter or a digit.
pub(super) fn words(text: &str) -> usize {
    text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count()
}

/// Lines that aren't blank.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim().is_empty())
}

/// Runs of lines between blank ones.
pub(super) fn paragraphs(text: &str) -> usize {
    let mut inside = false;
    let begins = |line: &str| {
        let was_inside = std::mem::replace(&mut inside, !line.trim().is_empty());
        !was_inside && inside
    };
    text.lines().map(begins).filter(|begins| *begins).count()
}

/// Lines that begin with `- `, `* ` or a bullet sign.
pub(super) fn bullets(text: &str) -> usize {
    lines(text).filter(|line| after_bullet(line).is_some()).count()
}

/// `12` of a line that begins with `12. `.
pub(super) fn number_mark(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let end = line.find(|letter: char| !letter.is_ascii_digit())?;
    let after = line[end..].strip_prefix('.')?;
    let separate = after.is_empty() || after.starts_with(char::is_whitespace);
    (end > 0 && separate).then(|| &line[..end])
}

/// A line without space around it and the mark of a list before it.
pub(super) fn unmarked(line: &str) -> &str {
    let numbered = || line.trim_start().strip_prefix(number_mark(line)?)?.strip_prefix('.');
    after_bullet(line).or_else(numbered).unwrap_or(line).trim()
}

fn after_bullet(line: &str) -> Option<&str> {
    let line = line.trim_start();
    line.strip_prefix("- ")
        .or_else(|| line.strip_prefix("* "))
        .or_else(|| line.strip_prefix(BULLETS))
}

/// Sentences: each ends with `.`, `!`, `?` or `...` before a space, where a paragraph or an item of a list
/// ends, or where the text does. It has a letter, or is the only one.
pub(super) fn sentences(text: &str) -> usize {
    let (mut count, mut open) = (0, false);
    for line in text.lines() {
        let bare = unmarked(line);
        if bare.is_empty() || bare.len() != line.trim().len() {
            count += usize::from(std::mem::take(&mut open));
        }
        for word in bare.split_whitespace() {
            open |= word.contains(char::is_alphabetic);
            if open && ends_sentence(word) {
                (count, open) = (count + 1, false);
            }
        }
    }
    count += usize::from(open);
    count.max(usize::from(text.contains(char::is_alphanumeric)))
}

fn ends_sentence(word: &str) -> bool {
    let word = word.trim_end_matches(CLOSING);
    let Some(rest) = word.strip_suffix('.') else {
        return word.ends_with(['!', '?', '\u{2026}', '\u{3002}', '\u{ff01}', '\u{ff1f}']);
    };
    let name = rest.trim_start_matches(['(', '"', '\'', '*', '_', '\u{201c}']);
    !ABBREVIATIONS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// How often `part` occurs as whole words, whatever its case.
pub(super) fn occurrences(text: &str, part: &str) -> usize {
    let (text, part) = (text.to_lowercase(), part.trim().to_lowercase());
    let finder = Finder::new(&part);
    let in_word = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    let (first, last) = (part.chars().next(), part.chars().next_back());
    let (mut count, mut from) = (0, 0);
    while let Some(at) = finder.find(&text.as_bytes()[from..]) {
        let (start, end) = (from + at, from + at + part.len());
        let goes_on = in_word(first) && in_word(text[..start].chars().next_back())
            || in_word(last) && in_word(text[end..].chars().next());
        count += usize::from(!goes_on);
        let step = first.map_or(1, char::len_utf8);
        from = if goes_on { start + step } else { end };
    }
    count
}

/// How often a character occurs in either case.
pub(super) fn characters_like(text: &str, character: char) -> usize {
    let same =
        |other: &char| *other == character || other.to_lowercase().eq(character.to_lowercase());
    text.chars().filter(same).count()
}

/// What stands in a fence of backticks around the whole text; the text itself if there is none.
pub(super) fn unfenced(text: &str) -> &str {
    const FENCE: &str = "```";
    let inside = text.trim().strip_prefix(FENCE).and_then(|rest| rest.strip_suffix(FENCE));
    // The rest of the first line names the language.
    inside.and_then(|inside| inside.split_once('\n')).map_or(text, |(_, inside)| inside)
}
