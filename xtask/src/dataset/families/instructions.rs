//! Writing to rules that a program can check. Each prompt carries a sample answer that keeps them.

use anyhow::Result;

use super::super::constraint::{Constraint, Unit};
use super::super::draft::Draft;
use super::super::random::Random;
use super::super::text::{joined, listed};
use super::super::words::{NAMES, TOWNS};
use super::Family;

mod lists;
mod samples;

use samples::{prose, sentences};

pub(super) const FAMILY: Family = Family {
    name: "instructions",
    weight: 60,
    templates: &[
        some_sentences,
        lists::bullets,
        word_range,
        letter_case,
        lists::json_object,
        acrostic,
        lists::numbered_steps,
        without_letter,
        mail,
        lists::json_array,
        essay,
        key_words,
        lists::sorted_names,
        some_paragraphs,
        poem,
        short_post,
        single_word,
        no_commas,
        repeated_word,
        question,
        story,
        lists::long_guide,
        lists::dialogue,
        lists::labelled,
    ],
};

/// What one can write about.
const TOPICS: [&str; 36] = [
    "the sea in winter",
    "a rainy afternoon",
    "electric bicycles",
    "keeping bees",
    "sleeping well",
    "old maps",
    "learning to cook",
    "night trains",
    "public libraries",
    "growing tomatoes",
    "moving to a new town",
    "the first snow of the year",
    "saving energy at home",
    "working from home",
    "walking in the mountains",
    "repairing things instead of buying new ones",
    "street markets",
    "learning a language",
    "lighthouses",
    "a childhood hobby",
    "baking bread",
    "the sound of a city",
    "caring for an old dog",
    "small museums",
    "school lunches",
    "telescopes",
    "riding a bus across the country",
    "flea markets",
    "community gardens",
    "the smell of coffee",
    "paper letters",
    "solar panels on roofs",
    "swimming in lakes",
    "board games",
    "power cuts",
    "the last day of a holiday",
];

fn some_sentences(random: &mut Random) -> Result<Draft> {
    let (topic, count) = (random.choose(TOPICS), random.size(1, 5));
    let plural = if count == 1 { "sentence" } else { "sentences" };
    let task = random.choose([
        format!("Write about {topic} in exactly {count} {plural}."),
        format!("{topic} - exactly {count} {plural} please, no heading, no list."),
        format!("In exactly {count} {plural}, explain to a child why people like {topic}."),
    ]);
    let rules = vec![Constraint::exactly(Unit::Sentences, count)];
    Ok(Draft::constrained("sentences", task, rules, sentences(count)))
}

fn word_range(random: &mut Random) -> Result<Draft> {
    let topic = random.choose(TOPICS);
    let (min, max) =
        random.choose([(10, 20), (25, 40), (50, 70), (80, 120), (120, 150), (180, 220)]);
    let task = random.choose([
        format!("Write a paragraph about {topic}. It must have at least {min} and at most {max} words."),
        format!("Write between {min} and {max} words about {topic}."),
        format!("I need a text about {topic} for a small brochure, {min}-{max} words. Only the text, please."),
    ]);
    let rules = vec![Constraint::between(Unit::Words, min, max)];
    Ok(Draft::constrained("length", task, rules, prose((min + max) / 2)))
}

fn letter_case(random: &mut Random) -> Result<Draft> {
    let (topic, upper) = (random.choose(TOPICS), random.percent(50));
    let max = random.choose([15, 30, 50]);
    let sample = prose(max / 2);
    let (how, rule, sample) = if upper {
        ("capital letters only", Constraint::Upper, sample.to_uppercase())
    } else {
        (
            "lower case only, without a single capital letter",
            Constraint::Lower,
            sample.to_lowercase(),
        )
    };
    let task = random.choose([
        format!("Say something about {topic} in {how}. Use at most {max} words."),
        format!("Reply in {how}, {max} words at most: what do you think of {topic}?"),
    ]);
    Ok(Draft::constrained(
        "letter case",
        task,
        vec![rule, Constraint::at_most(Unit::Words, max)],
        sample,
    ))
}

fn acrostic(random: &mut Random) -> Result<Draft> {
    let word = random.choose([
        "WATT", "RIVER", "CLOUD", "LAMP", "GARDEN", "STONE", "BREAD", "WINTER", "HOME", "PAPER",
    ]);
    let topic = random.choose(TOPICS);
    let sample: Vec<String> =
        word.chars().map(|letter| format!("{letter} is for a line.")).collect();
    let task = random.choose([
        format!("Write an acrostic on the word {word}: {} lines, whose first letters spell it from top to bottom. Write nothing else.", word.len()),
        format!("Write a poem about {topic} in which the first letters of the lines spell {word}. One line for each letter, no title."),
    ]);
    Ok(Draft::constrained(
        "acrostics",
        task,
        vec![Constraint::Acrostic(word.to_owned())],
        sample.join("\n"),
    ))
}

fn without_letter(random: &mut Random) -> Result<Draft> {
    let topic = random.choose([
        "a cat",
        "rain",
        "a city at night",
        "a warm day",
        "a long walk",
        "music",
        "soup",
        "a river",
    ]);
    let letter = random.choose(['e', 'a', 's', 'o', 't', 'i']);
    let min = random.choose([5, 8, 12]);
    let words = samples::words_without(letter);
    let sample: Vec<&str> = words.iter().copied().cycle().take(min + 2).collect();
    let task = random.choose([
        format!("Describe {topic} in at least {min} words without using the letter \"{letter}\" anywhere."),
        format!("Write one or two lines about {topic} ({min} words or more). The letter {letter} must not occur, neither small nor capital."),
    ]);
    let rules = vec![Constraint::ExcludesCharacter(letter), Constraint::at_least(Unit::Words, min)];
    Ok(Draft::constrained("left-out letters", task, rules, sample.join(" ")))
}

fn mail(random: &mut Random) -> Result<Draft> {
    let names = random.sample(&NAMES, 2);
    let reason = random.choose([
        "to invite the neighbours to a summer party",
        "to apologise for a late delivery",
        "to ask for a day off",
        "to thank a colleague for help with a move",
        "to cancel a dentist's appointment",
        "to complain about a noisy heating system",
        "to ask when a parcel will arrive",
    ]);
    let (start, end) = (format!("Dear {},", names[0]), format!("Kind regards, {}", names[1]));
    let (min, max) = random.choose([(30, 80), (60, 120), (120, 200)]);
    let task = random.choose([
        format!("Write a short mail {reason}. Start it with \"{start}\" and end it with the line \"{end}\". Length: {min} to {max} words. No subject line."),
        format!("Draft me an e-mail {reason}, {min} to {max} words all in all. The very first words must be \"{start}\", the very last ones \"{end}\", on one line."),
    ]);
    let sample = format!("{start}\n\n{}\n\n{end}", prose(min + 5));
    let rules = vec![
        Constraint::StartsWith(start),
        Constraint::EndsWith(end),
        Constraint::between(Unit::Words, min, max),
    ];
    Ok(Draft::constrained("mails", task, rules, sample))
}

fn essay(random: &mut Random) -> Result<Draft> {
    let topic = random.choose(TOPICS);
    let (min, max) = random.choose([(250, 350), (350, 450), (450, 600), (600, 750), (650, 850)]);
    let kind = random.choose(["an essay", "a magazine article", "a blog post", "a report"]);
    let task = random.choose([
        format!("Write {kind} about {topic}. It must be at least {min} words long and at most {max}."),
        format!("Please write {kind} of {min} to {max} words on {topic}, in plain prose without headings."),
    ]);
    let rules = vec![Constraint::between(Unit::Words, min, max)];
    Ok(Draft::constrained("long texts", task, rules, prose((min + max) / 2)))
}

fn key_words(random: &mut Random) -> Result<Draft> {
    let count = random.size(2, 4);
    let wanted = random.sample(
        &[
            "lantern", "bridge", "teapot", "snow", "ladder", "violin", "ticket", "orchard",
            "compass", "ferry",
        ],
        count,
    );
    let banned = random.sample(&["very", "and", "suddenly", "was", "the"], 1)[0];
    let max = random.choose([40, 60, 100]);
    let quoted: Vec<String> = wanted.iter().map(|word| format!("\"{word}\"")).collect();
    let task = random.choose([
        format!("Write a tiny story of at most {max} words. It must contain the words {}, and must not contain the word \"{banned}\".", listed(&quoted)),
        format!("Use all of these words in a text of no more than {max} words: {}. Do not use the word \"{banned}\" at all.", joined(&wanted)),
    ]);
    let mut rules: Vec<Constraint> = wanted.iter().map(|word| Constraint::contains(word)).collect();
    rules.push(Constraint::Excludes(banned.to_owned()));
    rules.push(Constraint::at_most(Unit::Words, max));
    let sample = format!("Nobody found these: {}.", joined(&wanted));
    Ok(Draft::constrained("key words", task, rules, sample))
}

fn some_paragraphs(random: &mut Random) -> Result<Draft> {
    let (topic, count) = (random.choose(TOPICS), random.size(2, 4));
    let each = random.choose([20, 35, 60]);
    let (min, max) = (count * each, count * each * 2);
    let task = random.choose([
        format!("Write exactly {count} paragraphs about {topic}, separated by blank lines, {min} to {max} words in total. No title."),
        format!("{count} paragraphs on {topic}, with an empty line between them and nothing around them; altogether {min} to {max} words."),
    ]);
    let sample = vec![prose(each + each / 2); count].join("\n\n");
    let rules = vec![
        Constraint::exactly(Unit::Paragraphs, count),
        Constraint::between(Unit::Words, min, max),
    ];
    Ok(Draft::constrained("paragraphs", task, rules, sample))
}

fn poem(random: &mut Random) -> Result<Draft> {
    let (topic, lines) = (random.choose(TOPICS), random.choose([3, 4, 6, 8, 12]));
    let (min, max) = random.choose([(2, 5), (3, 7), (4, 9)]);
    let line: Vec<&str> =
        "quiet water under a wide sky".split(' ').take(max.min(4).max(min)).collect();
    let task = random.choose([
        format!("Write a poem of exactly {lines} lines about {topic}. Every line has {min} to {max} words. No title."),
        format!("A poem on {topic}: {lines} lines, no line shorter than {min} or longer than {max} words. Only the poem."),
    ]);
    let rules = vec![
        Constraint::exactly(Unit::Lines, lines),
        Constraint::between(Unit::LineWords, min, max),
    ];
    Ok(Draft::constrained("poems", task, rules, vec![line.join(" "); lines].join("\n")))
}

fn short_post(random: &mut Random) -> Result<Draft> {
    let (topic, max) = (random.choose(TOPICS), random.choose([80, 140, 280]));
    let word = random.choose(["today", "neighbours", "welcome", "free"]);
    let task = random.choose([
        format!("Write a post about {topic} of at most {max} characters, spaces included. It must contain the word \"{word}\"."),
        format!("Max {max} characters: announce an event about {topic}. Use the word \"{word}\"."),
    ]);
    let rules = vec![Constraint::at_most(Unit::Characters, max), Constraint::contains(word)];
    Ok(Draft::constrained("short posts", task, rules, format!("You hear it {word}.")))
}

fn single_word(random: &mut Random) -> Result<Draft> {
    let word = random.choose(["ready", "amber", "seven", "thanks", "north", "maybe"]);
    let name = random.choose(NAMES);
    let (task, rules, sample) = random.choose([
        (
            format!("Reply with the single word \"{word}\" and nothing else."),
            vec![Constraint::exactly(Unit::Words, 1), Constraint::contains(word)],
            word.to_owned(),
        ),
        (
            format!("Say hello to {name} in exactly three words."),
            vec![Constraint::exactly(Unit::Words, 3), Constraint::contains(name)],
            format!("Good morning, {name}!"),
        ),
        (
            format!("Write \"{word}\" five times on one line, separated by spaces."),
            vec![
                Constraint::exactly(Unit::Words, 5),
                Constraint::Contains { text: word.to_owned(), min: 5, max: Some(5) },
                Constraint::exactly(Unit::Lines, 1),
            ],
            [word; 5].join(" "),
        ),
    ]);
    Ok(Draft::constrained("a few words", task, rules, sample))
}

fn no_commas(random: &mut Random) -> Result<Draft> {
    let (name, town) = (random.choose(NAMES), random.choose(TOWNS));
    let (min, max) = random.choose([(20, 40), (40, 80), (90, 140)]);
    let task = random.choose([
        format!("Tell what {name} does on a free day in {town}, in {min} to {max} words. Don't use a single comma."),
        format!("Write {min} to {max} words about a visit to {town} without any commas. Mention {name}."),
    ]);
    let rules = vec![
        Constraint::ExcludesCharacter(','),
        Constraint::between(Unit::Words, min, max),
        Constraint::contains(name),
    ];
    Ok(Draft::constrained("punctuation", task, rules, format!("{name} sees it. {}", prose(min))))
}

fn repeated_word(random: &mut Random) -> Result<Draft> {
    let (word, times) =
        (random.choose(["light", "stone", "again", "blue", "door"]), random.size(2, 5));
    let max = random.choose([50, 80, 120]);
    let task = random.choose([
        format!("Write a text of at most {max} words in which the word \"{word}\" occurs exactly {times} times."),
        format!("Use the word \"{word}\" exactly {times} times, not more and not less, in a short text ({max} words at most)."),
    ]);
    let rules = vec![
        Constraint::Contains { text: word.to_owned(), min: times, max: Some(times) },
        Constraint::at_most(Unit::Words, max),
    ];
    Ok(Draft::constrained(
        "repetition",
        task,
        rules,
        vec![format!("I say {word}."); times].join(" "),
    ))
}

fn question(random: &mut Random) -> Result<Draft> {
    let topic = random.choose(TOPICS);
    let max = random.choose([10, 15, 20]);
    let (task, rules, sample) = random.choose([
        (
            format!("Ask me one question about {topic}, in a single sentence of at most {max} words."),
            vec![Constraint::EndsWith("?".to_owned()), Constraint::exactly(Unit::Sentences, 1), Constraint::at_most(Unit::Words, max)],
            "What do you like about it?".to_owned(),
        ),
        (
            format!("Write a slogan for a shop that has to do with {topic}: at most {max} words, and it must end with an exclamation mark."),
            vec![Constraint::EndsWith("!".to_owned()), Constraint::at_most(Unit::Words, max)],
            "Come in and see!".to_owned(),
        ),
    ]);
    Ok(Draft::constrained("endings", task, rules, sample))
}

fn story(random: &mut Random) -> Result<Draft> {
    let (name, town) = (random.choose(NAMES), random.choose(TOWNS));
    let paragraphs = random.size(3, 5);
    let (min, max) = random.choose([(200, 320), (320, 500), (500, 700)]);
    let plot = random.choose([
        "finds a key that fits no lock",
        "misses the last ferry",
        "gets a letter meant for somebody else",
        "has to mend the clock of the town hall before noon",
        "discovers a room that is on no plan",
    ]);
    let task = random.choose([
        format!("Write a story in which {name} {plot} in {town}. Exactly {paragraphs} paragraphs with blank lines between them, {min} to {max} words. The last words of the story must be \"The end.\""),
        format!("Story: {name} {plot} ({town}). {paragraphs} paragraphs, separated by blank lines, {min}-{max} words in all; finish the last paragraph with \"The end.\""),
    ]);
    let each = prose((min + max) / 2 / paragraphs - 1);
    let sample = format!("{} The end.", vec![each; paragraphs].join("\n\n"));
    let rules = vec![
        Constraint::exactly(Unit::Paragraphs, paragraphs),
        Constraint::between(Unit::Words, min, max),
        Constraint::EndsWith("The end.".to_owned()),
    ];
    Ok(Draft::constrained("stories", task, rules, sample))
}
