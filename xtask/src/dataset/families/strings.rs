//! Work on letters, words and short texts.

use std::collections::BTreeMap;

use anyhow::Result;

use super::super::draft::{Draft, agreed, drawn};
use super::super::random::Random;
use super::super::text::{capitalised, joined, listed, ordinal, reversed};
use super::super::words::{NAMES, TOWNS, WORDS};
use super::Family;

const NUMBER: &str = "the number alone";
const RESULT: &str = "the result alone";

pub(super) const FAMILY: Family = Family {
    name: "strings",
    weight: 40,
    templates: &[
        backwards,
        count_letter,
        position,
        sorted_letters,
        shifted,
        replaced,
        palindrome,
        initials,
        run_lengths,
        interleaved,
        anagram,
        count_words,
        vowels,
        distances,
        deduplicated,
        title,
        longest,
        common_part,
    ],
};

/// A word, more rarely two in one.
fn word(random: &mut Random) -> String {
    let word = random.choose(WORDS);
    if random.percent(25) { format!("{word}{}", random.choose(WORDS)) } else { word.to_owned() }
}

/// A sentence of made-up news.
fn sentence(random: &mut Random) -> String {
    let (name, town) = (random.choose(NAMES), random.choose(TOWNS));
    let words = random.sample(&WORDS, 4);
    let [a, b, c, d] = [words[0], words[1], words[2], words[3]];
    random.choose([
        format!("{name} carried the {a} and the {b} from {town} to the old {c} near the {d}."),
        format!("In {town} the {a} stands between a {b} and a {c}, and nobody knows where the {d} went."),
        format!("Before the {a} was closed, {name} had painted every {b} and every {c} in the {d}."),
        format!("The {a} that {name} found under the {b} belongs to the people who look after the {c} and the {d}."),
    ])
}

fn words_of(text: &str) -> Vec<String> {
    text.split_whitespace().map(|word| word.trim_matches(['.', ',']).to_owned()).collect()
}

fn backwards(random: &mut Random) -> Result<Draft> {
    let word = word(random);
    let mut pushed = String::new();
    for letter in word.chars() {
        pushed.insert(0, letter);
    }
    let answer = agreed(reversed(&word), pushed)?;
    let (task, answer) = random.choose([
        (format!("Spell the word \"{word}\" backwards."), answer.clone()),
        (format!("reverse this string: {word}"), answer.clone()),
        (
            format!("What do you get if you write \"{word}\" from the last letter to the first?"),
            answer.clone(),
        ),
        (format!("Somebody has written a word backwards: \"{answer}\". Which word is it?"), word),
    ]);
    Ok(Draft::exact("reversing", task, answer, RESULT))
}

fn count_letter(random: &mut Random) -> Result<Draft> {
    let text = if random.percent(50) { word(random) } else { sentence(random) };
    let letter = random.choose(["a", "e", "n", "r", "t", "o"]);
    let lower = text.to_lowercase();
    let count = agreed(lower.matches(letter).count(), lower.split(letter).count() - 1)?;
    let (what, note) =
        if text.contains(' ') { ("this sentence", ", capital or not,") } else { ("this word", "") };
    let task = random.choose([
        format!("How many times does the letter {letter}{note} occur in {what}? \"{text}\""),
        format!("Count the letter \"{letter}\"{note} in {what}: {text}"),
    ]);
    Ok(Draft::exact("counting letters", task, count, NUMBER))
}

fn position(random: &mut Random) -> Result<Draft> {
    if random.percent(50) {
        let word = word(random);
        let at = random.size(2, word.len() - 1);
        let letter = &word[at - 1..at];
        agreed(Some(letter.to_owned()), word.chars().nth(at - 1).map(String::from))?;
        let from_end = random.percent(40);
        let place = if from_end { word.len() - at + 1 } else { at };
        let end = if from_end { ", counted from its end" } else { "" };
        let task = format!("What is the {} letter of \"{word}\"{end}?", ordinal(place as i64));
        return Ok(Draft::exact("positions", task, letter, "the letter"));
    }
    let sentence = sentence(random);
    let words = words_of(&sentence);
    let at = random.below(words.len());
    agreed(words.len(), sentence.split(' ').count())?;
    let task = random.choose([
        format!("What is the {} word of this sentence? \"{sentence}\"", ordinal(at as i64 + 1)),
        format!("Give word number {} of: {sentence}", at + 1),
    ]);
    Ok(Draft::exact("positions", task, &words[at], "the word"))
}

fn sorted_letters(random: &mut Random) -> Result<Draft> {
    let word = word(random);
    let mut letters: Vec<char> = word.chars().collect();
    letters.sort_unstable();
    let by_alphabet: String =
        ('a'..='z').map(|letter| letter.to_string().repeat(word.matches(letter).count())).collect();
    let sorted = agreed(letters.iter().collect::<String>(), by_alphabet)?;
    let task = random.choose([
        format!("Write the letters of \"{word}\" in alphabetical order, without spaces."),
        format!("sort the characters of the string \"{word}\" from a to z"),
    ]);
    Ok(Draft::exact("sorting letters", task, sorted, RESULT))
}

fn shifted(random: &mut Random) -> Result<Draft> {
    let word = word(random);
    let by = random.choose([1_u8, 2, 3, 5, 13]);
    let shift = |text: &str, by: u8| -> String {
        text.bytes().map(|letter| char::from((letter - b'a' + by) % 26 + b'a')).collect()
    };
    let secret = shift(&word, by);
    agreed(shift(&secret, 26 - by), word.clone())?;
    let example = char::from(b'a' + by);
    let (task, answer) = random.choose([
        (format!("Shift every letter of \"{word}\" {by} places forward in the alphabet (a becomes {example}, after z comes a)."), secret.clone()),
        (format!("\"{secret}\" was written by moving each letter of a word {by} places forward in the alphabet (a became {example}). What is the word?"), word),
    ]);
    Ok(Draft::exact("ciphers", task, answer, RESULT))
}

fn replaced(random: &mut Random) -> Result<Draft> {
    let text = format!("{} {}", random.choose(WORDS), random.choose(WORDS));
    let letters: Vec<char> = text.chars().filter(char::is_ascii_alphabetic).collect();
    let (from, to) = (random.choose(&letters), random.choose(['x', 'z', 'q', 'j']));
    let answer = text.replace(from, &to.to_string());
    let by_letter: String =
        text.chars().map(|letter| if letter == from { to } else { letter }).collect();
    let answer = agreed(answer, by_letter)?;
    let gone: String = text.chars().filter(|letter| *letter != from).collect();
    let (task, answer) = random.choose([
        (format!("Replace every {from} in \"{text}\" by {to}."), answer),
        (format!("Delete all letters {from} from \"{text}\" and leave the rest as it is."), gone),
    ]);
    Ok(Draft::exact("replacing", task, answer, RESULT))
}

fn palindrome(random: &mut Random) -> Result<Draft> {
    let right = random.choose([
        "rotor", "level", "kayak", "civic", "radar", "refer", "tenet", "madam", "noon", "deed",
        "racecar",
    ]);
    let mut words = random.sample(
        &[
            "motor", "label", "karma", "civil", "ruder", "defer", "tenant", "medal", "moon",
            "dead", "racket", "never", "seven",
        ],
        4,
    );
    anyhow::ensure!(words.iter().all(|word| reversed(word) != *word), "only one palindrome");
    agreed(reversed(right).as_str(), right)?;
    words.push(right);
    random.shuffle(&mut words);
    let task = random.choose([
        format!("Which one of these words is a palindrome: {}?", joined(&words)),
        format!("One of these words reads the same backwards: {}. Which?", listed(&words)),
    ]);
    Ok(Draft::exact("palindromes", task, right, "the word"))
}

fn initials(random: &mut Random) -> Result<Draft> {
    let hidden: Vec<&str> =
        WORDS.into_iter().filter(|word| (5..=7).contains(&word.len())).collect();
    let hidden = random.choose(&hidden);
    let words = drawn(random, |random| {
        hidden
            .chars()
            .map(|letter| {
                let fitting: Vec<&str> = WORDS
                    .into_iter()
                    .chain(NAMES)
                    .filter(|word| word.to_lowercase().starts_with(letter))
                    .collect();
                (!fitting.is_empty()).then(|| random.choose(&fitting).to_lowercase())
            })
            .collect::<Option<Vec<String>>>()
    });
    let Ok(words) = words else {
        // No word begins with one of its letters.
        return sorted_letters(random);
    };
    let spelled: String = words.iter().filter_map(|word| word.chars().next()).collect();
    agreed(spelled.as_str(), hidden)?;
    let task = random.choose([
        format!("Which word do the first letters of these words form? {}", words.join(" ")),
        format!("Take the initial of each word and put them together: {}", joined(&words)),
    ]);
    Ok(Draft::exact("acronyms", task, hidden, "the word"))
}

fn run_lengths(random: &mut Random) -> Result<Draft> {
    let count = random.size(3, 6);
    let letters = random.sample(&["a", "b", "c", "d", "k", "m", "x", "z"], count);
    let lengths = random.numbers(letters.len(), 1, 6);
    let long: String = letters
        .iter()
        .zip(&lengths)
        .map(|(letter, length)| letter.repeat(*length as usize))
        .collect();
    let short: String =
        letters.iter().zip(&lengths).map(|(letter, length)| format!("{letter}{length}")).collect();
    let mut counted = String::new();
    for letter in &letters {
        counted.push_str(&format!("{letter}{}", long.matches(letter).count()));
    }
    let short = agreed(short, counted)?;
    let (task, answer) = random.choose([
        (format!("Compress \"{long}\" by writing each run of equal letters as the letter and its length, so that \"aab\" becomes a2b1."), short.clone()),
        (format!("In the code \"{short}\" each letter is followed by how often it is repeated (a2b1 stands for aab). Write it out."), long),
    ]);
    Ok(Draft::exact("run lengths", task, answer, RESULT))
}

fn interleaved(random: &mut Random) -> Result<Draft> {
    let same: Vec<&str> = WORDS.into_iter().filter(|word| word.len() == 6).collect();
    let pair = random.sample(&same, 2);
    let (a, b) = (pair[0], pair[1]);
    let mixed: String = a.chars().zip(b.chars()).flat_map(|(x, y)| [x, y]).collect();
    let odd: String = mixed.chars().step_by(2).collect();
    agreed(odd.as_str(), a)?;
    let halves = format!("{}{}", &a[..3], &b[3..]);
    let (task, answer) = random.choose([
        (format!("Take letters from \"{a}\" and \"{b}\" in turn: the first of each, then the second of each, and so on. Which string results?"), mixed.clone()),
        (format!("Write every second letter of \"{mixed}\", starting with the first one."), a.to_owned()),
        (format!("Join the first three letters of \"{a}\" and the last three of \"{b}\"."), halves),
    ]);
    Ok(Draft::exact("combining", task, answer, RESULT))
}

fn anagram(random: &mut Random) -> Result<Draft> {
    let (given, right, wrong) = random.choose([
        ("listens", "enlists", ["nestled", "lintels", "whistle"]),
        ("teacher", "cheater", ["reached", "treacle", "charted"]),
        ("players", "parsley", ["parlays", "splayed", "relapse"]),
        ("danger", "garden", ["grander", "dagger", "ranger"]),
        ("master", "stream", ["matters", "steams", "mister"]),
        ("night", "thing", ["eight", "tight", "thin"]),
        ("artist", "traits", ["starts", "tarries", "artiste"]),
    ]);
    let sorted = |word: &str| {
        let mut letters: Vec<char> = word.chars().filter(|letter| *letter != ' ').collect();
        letters.sort_unstable();
        letters
    };
    agreed(sorted(given), sorted(right))?;
    anyhow::ensure!(wrong.iter().all(|word| sorted(word) != sorted(given)), "only one anagram");
    let mut words = [&wrong[..], &[right]].concat();
    random.shuffle(&mut words);
    let task = random.choose([
        format!("Which of these is an anagram of \"{given}\": {}?", joined(&words)),
        format!(
            "The letters of \"{given}\" can be rearranged into one of these. Which one? {}",
            joined(&words)
        ),
    ]);
    Ok(Draft::exact("anagrams", task, right, "the one you choose"))
}

fn count_words(random: &mut Random) -> Result<Draft> {
    let count = random.choose([1, 2, 5]);
    let sentences: Vec<String> = (0..count).map(|_| sentence(random)).collect();
    let text = sentences.join(" ");
    let words = words_of(&text);
    agreed(words.len(), text.matches(' ').count() + 1)?;
    let the = words.iter().filter(|word| word.eq_ignore_ascii_case("the")).count();
    let long = words.iter().filter(|word| word.len() > 5).count();
    let capital = words.iter().filter(|word| word.starts_with(char::is_uppercase)).count();
    let (task, answer) = random.choose([
        (format!("How many words does this text have?\n\n{text}"), words.len()),
        (
            format!(
                "How often does the word \"the\" occur in this text, capitalised or not?\n\n{text}"
            ),
            the,
        ),
        (format!("How many words of the text have more than five letters?\n\n{text}"), long),
        (format!("How many words in this text begin with a capital letter?\n\n{text}"), capital),
    ]);
    Ok(Draft::exact("counting words", task, answer, NUMBER))
}

fn vowels(random: &mut Random) -> Result<Draft> {
    let word = word(random);
    let is_vowel = |letter: &char| "aeiou".contains(*letter);
    let without: String = word.chars().filter(|letter| !is_vowel(letter)).collect();
    let count = agreed(word.chars().filter(is_vowel).count(), word.len() - without.len())?;
    let raised: String = word
        .chars()
        .map(|letter| if is_vowel(&letter) { letter.to_ascii_uppercase() } else { letter })
        .collect();
    let (task, answer, form) = random.choose([
        (format!("How many vowels (a, e, i, o, u) are in \"{word}\"?"), count.to_string(), NUMBER),
        (format!("Remove the vowels a, e, i, o and u from \"{word}\"."), without, RESULT),
        (
            format!(
                "Count the consonants in \"{word}\" (every letter that is not a, e, i, o or u)."
            ),
            (word.len() - count).to_string(),
            NUMBER,
        ),
        (
            format!("In \"{word}\", double each of the vowels a, e, i, o, u."),
            raised
                .chars()
                .map(|letter| {
                    if letter.is_uppercase() {
                        letter.to_lowercase().to_string().repeat(2)
                    } else {
                        letter.to_string()
                    }
                })
                .collect(),
            RESULT,
        ),
    ]);
    Ok(Draft::exact("vowels", task, answer, form))
}

fn distances(random: &mut Random) -> Result<Draft> {
    let length = random.size(6, 14);
    let symbols = random.choose(["01", "ACGT"]);
    let symbols: Vec<char> = symbols.chars().collect();
    let mut string = || -> Vec<char> { (0..length).map(|_| random.choose(&symbols)).collect() };
    let (one, other) = (string(), string());
    let differing = one.iter().zip(&other).filter(|(a, b)| a != b).count();
    let equal = one.iter().zip(&other).filter(|(a, b)| a == b).count();
    agreed(differing + equal, length)?;
    let (a, b): (String, String) = (one.iter().collect(), other.iter().collect());
    let task = random.choose([
        format!("In how many positions do \"{a}\" and \"{b}\" differ?"),
        format!("{a}\n{b}\n\nHow many of the characters in the same place are different?"),
    ]);
    Ok(Draft::exact("comparing", task, differing, NUMBER))
}

fn deduplicated(random: &mut Random) -> Result<Draft> {
    let word = drawn(random, |random| {
        let word = word(random);
        ('a'..='z').any(|letter| word.matches(letter).count() > 1).then_some(word)
    })?;
    let mut first = String::new();
    for letter in word.chars() {
        if !first.contains(letter) {
            first.push(letter);
        }
    }
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    for letter in word.chars() {
        *counts.entry(letter).or_default() += 1;
    }
    agreed(first.len(), counts.len())?;
    let (task, answer, form) = random.choose([
        (format!("Go through \"{word}\" and keep each letter only the first time it occurs. What is left?"), first, RESULT),
        (format!("How many different letters does \"{word}\" have?"), counts.len().to_string(), NUMBER),
    ]);
    Ok(Draft::exact("different letters", task, answer, form))
}

fn title(random: &mut Random) -> Result<Draft> {
    let count = random.size(2, 4);
    let words = random.sample(&WORDS, count);
    let pascal: String = words.iter().map(|word| capitalised(word)).collect();
    let snake = words.join("_");
    let again: Vec<String> = snake.split('_').map(capitalised).collect();
    agreed(again.concat(), pascal.clone())?;
    let camel = format!("{}{}", words[0], &pascal[words[0].len()..]);
    let kebab = words.join("-").to_uppercase();
    let (task, answer) = random.choose([
        (format!("Turn the phrase \"{}\" into snake_case.", words.join(" ")), snake.clone()),
        (format!("Write the identifier {snake} in camelCase."), camel.clone()),
        (format!("{camel} -> snake_case?"), snake),
        (
            format!(
                "Join the words of \"{}\" with hyphens and write everything in capital letters.",
                words.join(" ")
            ),
            kebab,
        ),
    ]);
    Ok(Draft::exact("cases", task, answer, RESULT))
}

fn longest(random: &mut Random) -> Result<Draft> {
    let (sentence, longest) = drawn(random, |random| {
        let sentence = sentence(random);
        let mut words = words_of(&sentence);
        words.sort_by_key(|word| word.len());
        let (last, before) = (words.pop()?, words.pop()?);
        (last.len() > before.len()).then_some((sentence, last))
    })?;
    let again = words_of(&sentence).into_iter().max_by_key(String::len);
    agreed(Some(longest.clone()), again)?;
    let (task, answer, form) = random.choose([
        (
            format!("Which is the longest word in this sentence? \"{sentence}\""),
            longest.clone(),
            "the word",
        ),
        (
            format!("How many letters does the longest word of this sentence have? \"{sentence}\""),
            longest.len().to_string(),
            NUMBER,
        ),
    ]);
    Ok(Draft::exact("longest words", task, answer, form))
}

fn common_part(random: &mut Random) -> Result<Draft> {
    let (stem, ends) = random.choose([
        ("inter", ["view", "val", "nal", "est"]),
        ("trans", ["port", "late", "form", "parent"]),
        ("under", ["stand", "ground", "line", "water"]),
        ("micro", ["scope", "phone", "wave", "chip"]),
        ("photo", ["graph", "copy", "synthesis", "n"]),
    ]);
    let count = random.size(2, 4);
    let words: Vec<String> =
        random.sample(&ends, count).iter().map(|end| format!("{stem}{end}")).collect();
    let shared = (0..words[0].len())
        .rev()
        .find(|length| words.iter().all(|word| word.starts_with(&words[0][..=*length])));
    let shared = shared.map_or("", |length| &words[0][..=length]);
    let by_letter: String = (0..)
        .map_while(|at| {
            let letter = words[0].chars().nth(at)?;
            words.iter().all(|word| word.chars().nth(at) == Some(letter)).then_some(letter)
        })
        .collect();
    let shared = agreed(shared.to_owned(), by_letter)?;
    let task = random.choose([
        format!("What is the longest beginning that these words share? {}", joined(&words)),
        format!("Find the longest common prefix of {}.", listed(&words)),
    ]);
    Ok(Draft::exact("common beginnings", task, shared, RESULT))
}
