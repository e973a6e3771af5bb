//! The same thing in another notation; each is converted back.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::super::draft::{Draft, agreed};
use super::super::fraction::Fraction;
use super::super::random::Random;
use super::super::text::{clock, fenced, grouped, ordinal};
use super::super::words::{GOODS, MONTHS, NAMES, SURNAMES, WORDS};
use super::Family;

mod numerals;

const NUMBER: &str = "the number alone";

pub(super) const FAMILY: Family = Family {
    name: "formats",
    weight: 25,
    templates: &[
        csv_to_json,
        json_path,
        json_to_csv,
        dates,
        numerals::roman,
        numerals::spelled,
        scientific,
        colours,
        iso_duration,
        query_string,
        permissions,
        half_day,
        parts,
        yaml,
        digits_only,
        character_codes,
    ],
};

/// A record with three fields.
fn record(random: &mut Random) -> [(&'static str, Value); 3] {
    match random.below(3) {
        0 => [
            ("name", json!(random.choose(NAMES))),
            ("age", json!(random.number(18, 90))),
            ("member", json!(random.percent(50))),
        ],
        1 => [
            ("item", json!(random.choose(GOODS))),
            ("pieces", json!(random.number(1, 500))),
            ("shelf", json!(format!("K{}", random.number(1, 30)))),
        ],
        _ => [
            ("id", json!(random.number(1_000, 9_999))),
            ("owner", json!(random.choose(SURNAMES))),
            ("open", json!(random.percent(50))),
        ],
    }
}

/// A value without quotes, as it stands in a CSV file.
fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn object(fields: &[(&'static str, Value)]) -> Value {
    Value::Object(fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

fn csv_to_json(random: &mut Random) -> Result<Draft> {
    let fields = record(random);
    let header = fields.each_ref().map(|(key, _)| *key).join(",");
    let row = fields.each_ref().map(|(_, value)| bare(value)).join(",");
    let text = object(&fields).to_string();
    let back: Value = serde_json::from_str(&text)?;
    let again = fields.each_ref().map(|(key, _)| bare(&back[*key])).join(",");
    agreed(row.clone(), again)?;
    let csv = fenced("", &format!("{header}\n{row}"));
    let task = random.choose([
        format!("Convert this CSV record to a JSON object with the keys in the same order; numbers and true/false are not quoted.\n\n{csv}"),
        format!("{csv}\n\nSame record as compact JSON please (keep the order of the columns, no quotes around numbers or booleans)."),
    ]);
    Ok(Draft::exact(
        "CSV and JSON",
        task,
        text,
        "the JSON object on one line and without any spaces",
    ))
}

fn json_path(random: &mut Random) -> Result<Draft> {
    let count = random.size(2, 6);
    let names = random.sample(&NAMES, count);
    let people: Vec<Value> = names
        .iter()
        .map(|name| {
            let words = random.sample(&WORDS, 3);
            json!({ "name": name, "desk": random.number(10, 99), "tags": words, "boss": { "name": random.choose(SURNAMES), "since": random.number(2010, 2030) } })
        })
        .collect();
    let root = json!({ "team": { "people": people, "room": random.number(100, 400) } });
    let at = random.below(count);
    let (path, pointer) = random.choose([
        (format!("team.people[{at}].desk"), format!("/team/people/{at}/desk")),
        (format!("team.people[{at}].boss.since"), format!("/team/people/{at}/boss/since")),
        (format!("team.people[{at}].tags[1]"), format!("/team/people/{at}/tags/1")),
        ("team.room".to_owned(), "/team/room".to_owned()),
    ]);
    let text = serde_json::to_string_pretty(&root)?;
    let back: Value = serde_json::from_str(&text)?;
    let value = agreed(root.pointer(&pointer).cloned(), back.pointer(&pointer).cloned())?;
    let value = value.context("the path leads somewhere")?;
    let task = random.choose([
        format!(
            "What is the value of `{path}` in this JSON document? Indexes start at 0.\n\n{}",
            fenced("json", &text)
        ),
        format!(
            "{}\n\nFollow the path {path} (first element = index 0). Which value is there?",
            fenced("json", &text)
        ),
    ]);
    Ok(Draft::exact("JSON", task, bare(&value), "the value, without quotes"))
}

fn json_to_csv(random: &mut Random) -> Result<Draft> {
    let count = random.size(2, 4);
    let mut records = vec![record(random)];
    while records.len() < count {
        let other = record(random);
        // The same kind of record for all rows.
        if other[0].0 == records[0][0].0 {
            records.push(other);
        }
    }
    let array = Value::Array(records.iter().map(|fields| object(fields)).collect());
    let at = random.below(count);
    let row = records[at].each_ref().map(|(_, value)| bare(value)).join(",");
    let fields = array[at].as_object().context("an object")?;
    let again: Vec<String> = fields.values().map(bare).collect();
    let row = agreed(row, again.join(","))?;
    let place = ordinal(at as i64 + 1);
    let task = random.choose([
        format!("Write the {place} object of this JSON array as a CSV row (values in the given order, no header, no quotes).\n\n{}", fenced("json", &array.to_string())),
        format!("{}\n\nTurn this into CSV. What does the {place} data row look like (no quotes)?", fenced("json", &array.to_string())),
    ]);
    Ok(Draft::exact("CSV and JSON", task, row, "the row"))
}

fn dates(random: &mut Random) -> Result<Draft> {
    let (year, month, day) = (random.number(1960, 2039), random.size(1, 12), random.number(1, 28));
    let name = MONTHS[month - 1];
    let iso = format!("{year}-{month:02}-{day:02}");
    let spoken = random.choose([
        format!("{name} {}, {year}", ordinal(day)),
        format!("the {} of {name} {year}", ordinal(day)),
        format!("{day}. {name} {year}"),
    ]);
    agreed(MONTHS.iter().position(|other| *other == name), Some(month - 1))?;
    let slashed = format!("{day:02}/{month:02}/{year}");
    let american = format!("{month:02}/{day:02}/{year}");
    let (task, answer, form) = random.choose([
        (format!("Write the date \"{spoken}\" as YYYY-MM-DD."), iso.clone(), "the date"),
        (format!("{slashed} (day first) in ISO 8601 format?"), iso.clone(), "the date in the form 2024-03-05"),
        (format!("An American form says {american} (month first). Write the date as day, month name and year, like 5 March 2024."), format!("{day} {name} {year}"), "the date"),
        (format!("Give the date {iso} in the form DD.MM.YYYY."), format!("{day:02}.{month:02}.{year}"), "the date"),
    ]);
    Ok(Draft::exact("dates", task, answer, form))
}

fn scientific(random: &mut Random) -> Result<Draft> {
    let (digits, power) = (random.number(11, 99), random.choose([-6_i32, -4, -3, -2, 3, 4, 5, 6]));
    let digits = if digits % 10 == 0 { digits + 1 } else { digits };
    let scale = 10_i64.pow(power.unsigned_abs());
    let value = if power < 0 {
        Fraction::new(digits, 10 * scale)
    } else {
        Fraction::new(digits * scale, 10)
    };
    let plain = value.decimal()?;
    let notation = format!("{}.{}e{power}", digits / 10, digits % 10);
    let parsed: f64 = notation.parse()?;
    ensure!(plain.parse::<f64>()? == parsed, "{plain} is {notation}");
    let shown = if power > 0 { grouped(value.numerator()) } else { plain.clone() };
    let (task, answer, form) = random.choose([
        (
            format!(
                "Write {shown} in scientific notation like 3.7e-5, with one digit before the point."
            ),
            notation.clone(),
            "the number in that notation",
        ),
        (format!("Write {notation} as an ordinary number, without exponent."), plain, NUMBER),
    ]);
    Ok(Draft::exact("scientific notation", task, answer, form))
}

fn colours(random: &mut Random) -> Result<Draft> {
    let parts: Vec<i64> = random.numbers(3, 0, 255);
    let hex = format!("#{:02X}{:02X}{:02X}", parts[0], parts[1], parts[2]);
    let back: Vec<i64> = [1, 3, 5]
        .iter()
        .map(|at| i64::from_str_radix(&hex[*at..at + 2], 16))
        .collect::<Result<_, _>>()?;
    let parts = agreed(parts, back)?;
    let rgb = format!("{}, {}, {}", parts[0], parts[1], parts[2]);
    let (task, answer, form) = random.choose([
        (
            format!("What are the red, green and blue values (0 to 255) of the colour {hex}?"),
            rgb.clone(),
            "the three numbers, separated by commas",
        ),
        (
            format!("Write the colour rgb({rgb}) as a hex code."),
            hex.clone(),
            "the code, # and six hexadecimal digits",
        ),
    ]);
    Ok(Draft::exact("colours", task, answer, form))
}

fn iso_duration(random: &mut Random) -> Result<Draft> {
    let (hours, minutes) = (random.number(1, 30), random.number(1, 59));
    let total = hours * 60 + minutes;
    let iso = format!("PT{hours}H{minutes}M");
    agreed((total / 60, total % 60), (hours, minutes))?;
    let (task, answer, form) = random.choose([
        (format!("How many minutes is the ISO 8601 duration {iso}?"), total.to_string(), NUMBER),
        (format!("Write {total} minutes as an ISO 8601 duration with hours and minutes, such as PT2H5M."), iso.clone(), "the duration"),
        (format!("{iso} in seconds?"), (total * 60).to_string(), NUMBER),
    ]);
    Ok(Draft::exact("durations", task, answer, form))
}

fn query_string(random: &mut Random) -> Result<Draft> {
    let count = random.size(2, 5);
    let keys =
        random.sample(&["page", "sort", "lang", "size", "tag", "user", "view", "from"], count);
    let pairs: Vec<String> = keys
        .iter()
        .map(|key| {
            let value = if random.percent(50) {
                random.number(1, 900).to_string()
            } else {
                random.choose(WORDS).to_owned()
            };
            format!("{key}={value}")
        })
        .collect();
    let query = pairs.join("&");
    let at = random.below(count);
    let (key, value) = pairs[at].split_once('=').context("a pair")?;
    let found = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{key}=")));
    agreed(Some(value), found)?;
    let spelled: Vec<String> = pairs.iter().map(|pair| pair.replace('=', " is ")).collect();
    let host = random.choose(["shop.example", "wiki.example", "api.example"]);
    let (task, answer, form) = random.choose([
        (format!("Which value does the parameter {key} have in https://{host}/list?{query}"), value.to_owned(), "the value"),
        (format!("Build the query string (the part after the question mark) for these parameters, in this order: {}.", spelled.join("; ")), query.clone(), "the query string, without the question mark"),
        (format!("How many parameters does this address have? https://{host}/find?{query}"), count.to_string(), NUMBER),
    ]);
    Ok(Draft::exact("addresses", task, answer, form))
}

fn permissions(random: &mut Random) -> Result<Draft> {
    let digits =
        [random.choose([7, 6, 5]), random.choose([7, 5, 4, 0]), random.choose([5, 4, 1, 0])];
    let letters: String = digits
        .iter()
        .flat_map(|digit| {
            [(4, 'r'), (2, 'w'), (1, 'x')]
                .map(|(bit, letter)| if digit & bit == bit { letter } else { '-' })
        })
        .collect();
    let bits: Vec<i64> = letters.chars().map(|letter| i64::from(letter != '-')).collect();
    let back: Vec<i64> =
        bits.chunks(3).map(|three| three[0] * 4 + three[1] * 2 + three[2]).collect();
    agreed(digits.to_vec(), back)?;
    let octal: String = digits.iter().map(ToString::to_string).collect();
    let (task, answer, form) = random.choose([
        (
            format!(
                "A file has the Unix permissions {letters}. What is that as three octal digits?"
            ),
            octal.clone(),
            "the three digits",
        ),
        (
            format!("chmod {octal} file: which permissions does `ls -l` show then?"),
            letters.clone(),
            "the nine characters (r, w, x or -), without the file type",
        ),
    ]);
    Ok(Draft::exact("permissions", task, answer, form))
}

fn half_day(random: &mut Random) -> Result<Draft> {
    let minute = random.number(0, 24 * 60 - 1);
    let (hour, half) = (minute / 60 % 12, if minute < 12 * 60 { "am" } else { "pm" });
    let hour = if hour == 0 { 12 } else { hour };
    let spoken = format!("{hour}:{:02} {half}", minute % 60);
    let back = hour % 12 * 60 + minute % 60 + if half == "pm" { 12 * 60 } else { 0 };
    let day = clock(agreed(minute, back)?);
    let (task, answer, form) = random.choose([
        (format!("Write {spoken} in 24-hour time."), day.clone(), "the time in the form hh:mm"),
        (
            format!("What is {day} on a 12-hour clock?"),
            spoken.clone(),
            "the time in the form 7:05 pm",
        ),
    ]);
    Ok(Draft::exact("times", task, answer, form))
}

fn parts(random: &mut Random) -> Result<Draft> {
    let (denominator, numerator) = random.choose([
        (8, 3),
        (8, 5),
        (16, 3),
        (20, 7),
        (25, 11),
        (40, 9),
        (4, 3),
        (5, 2),
        (50, 13),
        (125, 6),
    ]);
    let extra = random.number(0, 4);
    let value = Fraction::new(numerator + extra * denominator, denominator);
    let decimal = value.decimal()?;
    let percent = (value * 100.into()).decimal()?;
    let (whole, rest) = decimal.split_once('.').context("a part")?;
    let tens = 10_i64.pow(rest.len() as u32);
    agreed(value, Fraction::new(format!("{whole}{rest}").parse()?, tens))?;
    let (task, answer, form) = random.choose([
        (format!("Write {value} as a decimal number."), decimal.clone(), NUMBER),
        (
            format!("Write {decimal} as a fraction in lowest terms."),
            value.to_string(),
            "the fraction",
        ),
        (
            format!("What is {value} in percent?"),
            percent.clone(),
            "the number alone, without the percent sign",
        ),
        (format!("{percent} % as a decimal number?"), decimal.clone(), NUMBER),
    ]);
    Ok(Draft::exact("fractions and decimals", task, answer, form))
}

fn yaml(random: &mut Random) -> Result<Draft> {
    let (service, port) = (random.choose(WORDS), random.number(1_024, 9_999));
    let hosts = random.sample(&WORDS, 3);
    let text = format!(
        "service: {service}\nport: {port}\nhosts:\n  - {}\n  - {}\n  - {}\nlimits:\n  cpu: {}\n  memory: {}Mi",
        hosts[0],
        hosts[1],
        hosts[2],
        random.number(1, 16),
        random.number(1, 32) * 64
    );
    let compact = format!(
        "[{}]",
        hosts.iter().map(|host| format!("\"{host}\"")).collect::<Vec<_>>().join(",")
    );
    let back: Vec<String> = serde_json::from_str(&compact)?;
    let listed: Vec<String> =
        text.lines().filter_map(|line| line.strip_prefix("  - ")).map(str::to_owned).collect();
    agreed(back, listed)?;
    let memory = text.lines().find_map(|line| line.strip_prefix("  memory: ")).context("memory")?;
    let block = fenced("yaml", &text);
    let (task, answer, form) = random.choose([
        (
            format!("{block}\n\nWrite the value of hosts as a JSON array."),
            compact.clone(),
            "the array on one line, without any spaces",
        ),
        (
            format!("{block}\n\nWhich value does limits.memory have?"),
            memory.to_owned(),
            "the value as it is written",
        ),
        (
            format!("In this configuration, what is the last element of hosts?\n\n{block}"),
            hosts[2].to_owned(),
            "the element",
        ),
        (
            format!("Turn the first two lines of this YAML file into a JSON object.\n\n{block}"),
            format!("{{\"service\":\"{service}\",\"port\":{port}}}"),
            "the object on one line, without any spaces",
        ),
    ]);
    Ok(Draft::exact("YAML", task, answer, form))
}

fn digits_only(random: &mut Random) -> Result<Draft> {
    let digits = format!("0{}", random.number(10_000_000, 999_999_999));
    let (area, rest) = digits.split_at(random.size(3, 4));
    let (first, second) = rest.split_at(rest.len() / 2);
    let shown = random.choose([
        format!("({area}) {first}-{second}"),
        format!("{area}/{first} {second}"),
        format!("{area}.{first}.{second}"),
    ]);
    let kept: String = shown.chars().filter(char::is_ascii_digit).collect();
    let digits = agreed(digits.clone(), kept)?;
    let international = format!("+49{}", &digits[1..]);
    let (task, answer, form) = random.choose([
        (format!("Reduce this phone number to its digits: {shown}"), digits.clone(), "the digits without spaces"),
        (format!("Write the phone number {shown} in international form: +49 takes the place of the leading zero, and nothing but digits follows."), international, "the number without spaces"),
    ]);
    Ok(Draft::exact("phone numbers", task, answer, form))
}

fn character_codes(random: &mut Random) -> Result<Draft> {
    let word = random.choose(WORDS);
    let word = &word[..random.size(3, word.len().min(6))];
    let codes: Vec<String> = word.bytes().map(|byte| byte.to_string()).collect();
    let back: String = codes
        .iter()
        .map(|code| code.parse::<u8>().map(char::from))
        .collect::<Result<_, std::num::ParseIntError>>()?;
    agreed(back.as_str(), word)?;
    let hex: Vec<String> = word.bytes().map(|byte| format!("{byte:02X}")).collect();
    let (task, answer, form) = random.choose([
        (
            format!("Decode these ASCII codes (decimal; a is 97): {}", codes.join(" ")),
            word.to_owned(),
            "the text",
        ),
        (
            format!(
                "Which text do the bytes {} (hexadecimal ASCII, a is 61) stand for?",
                hex.join(" ")
            ),
            word.to_owned(),
            "the text",
        ),
        (
            format!("Write \"{word}\" as decimal ASCII codes (a is 97)."),
            codes.join(", "),
            "the numbers, separated by commas",
        ),
    ]);
    Ok(Draft::exact("character codes", task, answer, form))
}
