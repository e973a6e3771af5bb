//! Lists, steps, dialogues and JSON to rules.

use anyhow::Result;

use super::super::super::constraint::{Constraint, Unit};
use super::super::super::draft::Draft;
use super::super::super::random::Random;
use super::super::super::text::{capitalised, joined};
use super::super::super::words::NAMES;
use super::TOPICS;
use super::samples::prose;

pub(super) fn bullets(random: &mut Random) -> Result<Draft> {
    let (topic, count, max) = (random.choose(TOPICS), random.size(2, 7), random.choose([4, 8, 12]));
    let task = random.choose([
        format!("Name {count} things that matter for {topic}, as bullet points that start with \"- \". At most {max} words in each. Nothing before or after the list."),
        format!("{topic}: give me exactly {count} bullets (each line starts with \"- \"), max {max} words per bullet, no intro."),
    ]);
    let rules = vec![
        Constraint::exactly(Unit::Bullets, count),
        Constraint::exactly(Unit::Lines, count),
        Constraint::at_most(Unit::LineWords, max),
    ];
    Ok(Draft::constrained(
        "bullet points",
        task,
        rules,
        vec!["- A thing of note"; count].join("\n"),
    ))
}

pub(super) fn numbered_steps(random: &mut Random) -> Result<Draft> {
    let count = random.size(3, 9);
    let job = random.choose([
        "making tea",
        "repotting a plant",
        "changing a bicycle tyre",
        "packing for a weekend",
        "cleaning a window",
        "setting a table",
        "charging a phone from the sun",
        "sending a letter",
    ]);
    let task = random.choose([
        format!("Describe {job} in exactly {count} numbered steps (1. 2. 3. ...), one a line, and write nothing else."),
        format!("How does {job} work? Answer only with a numbered list of {count} steps in the form \"1. ...\"."),
    ]);
    let sample: Vec<String> = (1..=count).map(|step| format!("{step}. Do this.")).collect();
    let rules =
        vec![Constraint::exactly(Unit::Numbered, count), Constraint::exactly(Unit::Lines, count)];
    Ok(Draft::constrained("numbered steps", task, rules, sample.join("\n")))
}

pub(super) fn json_object(random: &mut Random) -> Result<Draft> {
    let (thing, fields) = random.choose([
        ("a made-up person", vec!["name", "age", "city", "hobby", "job"]),
        ("a fictional book", vec!["title", "author", "year", "pages", "genre"]),
        ("an imaginary planet", vec!["name", "moons", "climate", "colour", "discovered"]),
        ("a dish for dinner", vec!["dish", "minutes", "servings", "spicy", "drink"]),
    ]);
    let count = random.size(2, 5);
    let keys = fields[..count].to_vec();
    let task = random.choose([
        format!("Describe {thing} as one JSON object with exactly the keys {}. Reply with the JSON only.", joined(&keys)),
        format!("Return only valid JSON: an object for {thing}, keys {} and no others.", joined(&keys)),
    ]);
    let pairs: Vec<String> = keys.iter().map(|key| format!("\"{key}\": 1")).collect();
    let keys = keys.into_iter().map(str::to_owned).collect();
    Ok(Draft::constrained(
        "JSON objects",
        task,
        vec![Constraint::JsonKeys(keys)],
        format!("{{{}}}", pairs.join(", ")),
    ))
}

pub(super) fn json_array(random: &mut Random) -> Result<Draft> {
    let things = random.choose([
        "fruits",
        "rivers",
        "musical instruments",
        "tools",
        "board games",
        "birds",
        "names for a boat",
        "words that rhyme with \"day\"",
    ]);
    let count = random.choose([3, 5, 8, 10, 12]);
    let task = random.choose([
        format!("List {count} {things} as a JSON array of strings. Reply with the array only."),
        format!("Give me {count} {things}. Output: one JSON array with {count} strings, nothing around it."),
    ]);
    let sample = format!("[{}]", vec!["\"x\""; count].join(", "));
    Ok(Draft::constrained(
        "JSON arrays",
        task,
        vec![Constraint::exactly(Unit::JsonArray, count)],
        sample,
    ))
}

pub(super) fn sorted_names(random: &mut Random) -> Result<Draft> {
    let (things, known) = random.choose([
        ("animals", ["ant", "bear", "cat", "dog", "eel", "fox", "goat", "hare"]),
        ("vegetables", ["bean", "beet", "carrot", "kale", "leek", "onion", "pea", "turnip"]),
        ("countries", ["Austria", "Brazil", "Chad", "Denmark", "Egypt", "Fiji", "Ghana", "Haiti"]),
        (
            "professions",
            ["actor", "baker", "cook", "dentist", "nurse", "pilot", "tailor", "welder"],
        ),
    ]);
    let count = random.size(4, 8);
    let task = random.choose([
        format!("Name {count} {things}, one a line and in alphabetical order. At most two words a line, no numbering."),
        format!("{count} {things} please, sorted from a to z, each on its own line (one or two words), nothing else."),
    ]);
    let rules = vec![
        Constraint::exactly(Unit::Lines, count),
        Constraint::Sorted,
        Constraint::at_most(Unit::LineWords, 2),
    ];
    Ok(Draft::constrained("sorted lists", task, rules, known[..count].join("\n")))
}

pub(super) fn long_guide(random: &mut Random) -> Result<Draft> {
    let job = random.choose([
        "planning a garden",
        "organising a street party",
        "moving house",
        "starting a reading group",
        "preparing a long bicycle tour",
        "opening a small cafe",
    ]);
    let (steps, min) = random.choose([(6, 150), (8, 250), (10, 400)]);
    let task = random.choose([
        format!("Write a guide to {job} in exactly {steps} numbered steps. Each step is one line that starts with its number and a full stop (1. 2. 3. ...), and the whole guide has at least {min} words."),
        format!("Explain {job} thoroughly: {steps} steps numbered \"1.\" to \"{steps}.\", each in a single line, {min} words or more altogether."),
    ]);
    let sample: Vec<String> =
        (1..=steps).map(|step| format!("{step}. {}", prose(min / steps + 1))).collect();
    let rules =
        vec![Constraint::exactly(Unit::Numbered, steps), Constraint::at_least(Unit::Words, min)];
    Ok(Draft::constrained("guides", task, rules, sample.join("\n")))
}

pub(super) fn dialogue(random: &mut Random) -> Result<Draft> {
    let names = random.sample(&NAMES, 2);
    let (lines, max) = (random.choose([4, 6, 8, 10]), random.choose([12, 20]));
    let topic = random.choose(TOPICS);
    let task = random.choose([
        format!("Write a conversation between {} and {} about {topic}: exactly {lines} lines, each at most {max} words long, names included. The first line starts with \"{}:\".", names[0], names[1], names[0]),
        format!("Dialogue ({lines} lines, {} begins with \"{}:\", then {} answers, and so on) on {topic}. No line over {max} words, no blank stage directions, no title.", names[0], names[0], names[1]),
    ]);
    let sample: Vec<String> = (0..lines).map(|at| format!("{}: I see.", names[at % 2])).collect();
    let rules = vec![
        Constraint::exactly(Unit::Lines, lines),
        Constraint::at_most(Unit::LineWords, max),
        Constraint::StartsWith(format!("{}:", names[0])),
        Constraint::contains(names[1]),
    ];
    Ok(Draft::constrained("dialogues", task, rules, sample.join("\n")))
}

pub(super) fn labelled(random: &mut Random) -> Result<Draft> {
    let topic = random.choose(TOPICS);
    let (labels, start) = random.choose([
        (["Pro", "Con", "Verdict"], "Pro:"),
        (["Problem", "Cause", "Remedy"], "Problem:"),
        (["Morning", "Noon", "Evening"], "Morning:"),
    ]);
    let max = random.choose([15, 25, 40]);
    let task = random.choose([
        format!("Write three lines about {topic} that begin with \"{}:\", \"{}:\" and \"{}:\", in this order. At most {max} words a line; nothing else.", labels[0], labels[1], labels[2]),
        format!("{}. Answer in exactly three lines: \"{}: ...\", \"{}: ...\", \"{}: ...\" (max {max} words each).", capitalised(topic), labels[0], labels[1], labels[2]),
    ]);
    let sample = labels.map(|label| format!("{label}: it depends.")).join("\n");
    let mut rules = vec![
        Constraint::StartsWith(start.to_owned()),
        Constraint::exactly(Unit::Lines, 3),
        Constraint::at_most(Unit::LineWords, max),
    ];
    rules.extend(labels.map(Constraint::contains));
    Ok(Draft::constrained("labelled lines", task, rules, sample))
}
