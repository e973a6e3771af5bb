//! Conversions between units, with exact fractions; each is converted back.

use anyhow::Result;

use super::super::draft::{Draft, agreed, drawn};
use super::super::fraction::Fraction;
use super::super::random::Random;
use super::super::text::{clock, money};
use super::Family;

const NUMBER: &str = "the number alone, without the unit";

/// A unit by its name in the plural and its size in a base unit.
type Unit = (&'static str, i64);

const LENGTHS: [Unit; 5] = [
    ("millimetres", 1),
    ("centimetres", 10),
    ("decimetres", 100),
    ("metres", 1_000),
    ("kilometres", 1_000_000),
];
const MASSES: [Unit; 4] =
    [("milligrams", 1), ("grams", 1_000), ("kilograms", 1_000_000), ("tonnes", 1_000_000_000)];
const AREAS: [Unit; 4] = [
    ("square centimetres", 1),
    ("square metres", 10_000),
    ("hectares", 100_000_000),
    ("square kilometres", 10_000_000_000),
];
const VOLUMES: [Unit; 5] = [
    ("millilitres", 1),
    ("centilitres", 10),
    ("litres", 1_000),
    ("hectolitres", 100_000),
    ("cubic metres", 1_000_000),
];
const ENERGIES: [Unit; 5] = [
    ("joules", 1),
    ("kilojoules", 1_000),
    ("watt-hours", 3_600),
    ("megajoules", 1_000_000),
    ("kilowatt-hours", 3_600_000),
];
const DATA: [Unit; 4] = [("bits", 1), ("bytes", 8), ("kilobytes", 8_000), ("megabytes", 8_000_000)];
const BINARY: [Unit; 4] =
    [("bytes", 1), ("KiB", 1_024), ("MiB", 1_048_576), ("GiB", 1_073_741_824)];

pub(super) const FAMILY: Family = Family {
    name: "units",
    weight: 30,
    templates: &[
        metric,
        durations,
        data,
        speeds,
        temperatures,
        energy,
        imperial,
        download,
        power_bill,
        fuel,
        comparison,
    ],
};

fn converted(random: &mut Random, units: &[Unit]) -> Result<Draft> {
    let (from, to, amount, result) = drawn(random, |random| {
        let picked = random.sample(units, 2);
        let (from, to) = (picked[0], picked[1]);
        let amount = Fraction::new(random.number(1, 400), random.choose([1, 1, 2, 4, 10, 100]));
        let result = amount * Fraction::new(from.1, to.1);
        let back = result * Fraction::new(to.1, from.1);
        let base = amount * from.1.into();
        // Neither too many digits nor too many zeros.
        let fits = result.decimal().ok().filter(|text| (1..=8).contains(&text.len()));
        let fits = fits.filter(|_| back == amount && base.denominator() == 1);
        fits.map(|result| (from.0, to.0, amount, result))
    })?;
    let amount = amount.decimal()?;
    let task = random.choose([
        format!("Convert {amount} {from} to {to}."),
        format!("How many {to} are {amount} {from}?"),
        format!("{amount} {from} in {to}?"),
        format!("I have a figure of {amount} {from} but need it in {to}. What is it?"),
    ]);
    Ok(Draft::exact("metric units", task, result, NUMBER))
}

fn metric(random: &mut Random) -> Result<Draft> {
    let units: &[Unit] = random.choose([&LENGTHS as &[Unit], &MASSES, &AREAS, &VOLUMES]);
    converted(random, units)
}

fn energy(random: &mut Random) -> Result<Draft> {
    if random.percent(50) {
        let mut draft = converted(random, &ENERGIES)?;
        draft.subject = "energy".to_owned();
        return Ok(draft);
    }
    let (watts, minutes) = (random.number(1, 80) * 5, random.choose([1, 5, 10, 15, 30, 45, 90]));
    let joules = agreed(watts * minutes * 60, (0..minutes * 60).map(|_| watts).sum())?;
    let device = random.choose(["lamp", "graphics card", "fan", "router", "heater"]);
    let (task, answer) = random.choose([
        (
            format!("A {device} draws {watts} watts for {minutes} minutes. How many joules does it use?"),
            joules,
        ),
        (
            format!("A {device} used {joules} joules in {minutes} minutes. What was its average power in watts?"),
            watts,
        ),
    ]);
    Ok(Draft::exact("energy", task, answer, NUMBER))
}

fn durations(random: &mut Random) -> Result<Draft> {
    let (hours, minutes, seconds) =
        (random.number(0, 30), random.number(0, 59), random.number(1, 59));
    let total = (hours * 60 + minutes) * 60 + seconds;
    agreed(total, hours * 3_600 + minutes * 60 + seconds)?;
    let spelled = format!("{hours} h {minutes} min {seconds} s");
    let (task, answer, form) = random.choose([
        (format!("How many seconds are {spelled}?"), total.to_string(), NUMBER),
        (
            format!("Express {total} seconds in hours, minutes and seconds."),
            format!("{hours}:{minutes:02}:{seconds:02}"),
            "the time in the form h:mm:ss",
        ),
        (
            format!("How many minutes are {} days and {hours} hours?", minutes % 6 + 1),
            ((minutes % 6 + 1) * 1_440 + hours * 60).to_string(),
            NUMBER,
        ),
        (
            format!("A film of {} minutes starts at 20:15. When does it end?", 80 + minutes),
            clock(20 * 60 + 15 + 80 + minutes),
            "the time in the form hh:mm",
        ),
    ]);
    Ok(Draft::exact("time", task, answer, form))
}

fn data(random: &mut Random) -> Result<Draft> {
    let mut draft = if random.percent(40) {
        let mut draft = converted(random, &DATA)?;
        draft.task.push_str(" (A kilobyte has 1,000 bytes here, a megabyte 1,000 kilobytes.)");
        draft
    } else {
        let mut draft = converted(random, &BINARY)?;
        draft.task.push_str(" (1 KiB is 1,024 bytes, 1 MiB is 1,024 KiB, 1 GiB is 1,024 MiB.)");
        draft
    };
    draft.subject = "data sizes".to_owned();
    Ok(draft)
}

fn speeds(random: &mut Random) -> Result<Draft> {
    let metres = random.number(1, 60);
    let slow = Fraction::from(metres);
    let fast = slow * Fraction::new(3_600, 1_000);
    agreed(fast * Fraction::new(5, 18), slow)?;
    let fast = fast.decimal()?;
    let (task, answer) = random.choose([
        (format!("What is {metres} m/s in km/h?"), fast.clone()),
        (
            format!("A train runs at {fast} km/h. How many metres does it cover in one second?"),
            metres.to_string(),
        ),
        (format!("Convert a speed of {fast} km/h to metres per second."), metres.to_string()),
    ]);
    Ok(Draft::exact("speed", task, answer, NUMBER))
}

fn temperatures(random: &mut Random) -> Result<Draft> {
    let celsius = random.number(-16, 50) * 5;
    let fahrenheit = celsius * 9 / 5 + 32;
    agreed((fahrenheit - 32) * 5 / 9, celsius)?;
    let (task, answer) = random.choose([
        (format!("What is {celsius} °C in degrees Fahrenheit?"), fahrenheit),
        (format!("The oven manual says {fahrenheit} °F. What's that in Celsius?"), celsius),
        (format!("Convert {fahrenheit} degrees Fahrenheit to degrees Celsius."), celsius),
    ]);
    Ok(Draft::exact("temperature", task, answer, NUMBER))
}

fn imperial(random: &mut Random) -> Result<Draft> {
    let (feet, inches) = (random.number(1, 9), random.number(0, 11));
    let total = feet * 12 + inches;
    let centimetres = Fraction::new(254 * total, 100);
    let stepwise =
        Fraction::new(3_048, 100) * feet.into() + Fraction::new(254, 100) * inches.into();
    let centimetres = agreed(centimetres, stepwise)?.decimal()?;
    let (pounds, ounces) = (random.number(1, 20), random.number(1, 15));
    let (task, answer) = random.choose([
        (
            format!("An inch is exactly 2.54 cm and a foot has 12 inches. How many centimetres are {feet} feet {inches} inches?"),
            centimetres,
        ),
        (format!("How many inches are {feet} ft {inches} in? (12 inches to the foot)"), total.to_string()),
        (
            format!("A pound has 16 ounces. How many ounces are {pounds} pounds and {ounces} ounces?"),
            (pounds * 16 + ounces).to_string(),
        ),
        (
            format!("With 3 feet to a yard and 1,760 yards to a mile: how many feet are {feet} miles?"),
            (feet * 5_280).to_string(),
        ),
    ]);
    Ok(Draft::exact("customary units", task, answer, NUMBER))
}

fn download(random: &mut Random) -> Result<Draft> {
    let (rate, seconds) = (random.choose([8, 16, 20, 40, 50, 100, 250]), random.number(2, 120) * 4);
    let megabytes = rate * seconds / 8;
    let mut left = megabytes * 8;
    let mut passed = 0;
    while left > 0 {
        left -= rate;
        passed += 1;
    }
    let seconds = agreed(seconds, passed)?;
    let (task, answer) = random.choose([
        (
            format!("How many seconds does it take to download {megabytes} megabytes at {rate} megabits per second? (A byte has 8 bits.)"),
            seconds,
        ),
        (
            format!("A line carries {rate} Mbit/s. How many megabytes come through in {seconds} seconds, with 8 bits to the byte?"),
            megabytes,
        ),
    ]);
    Ok(Draft::exact("data rates", task, answer, NUMBER))
}

fn power_bill(random: &mut Random) -> Result<Draft> {
    let (watts, hours, days) =
        (random.number(1, 40) * 50, random.number(1, 24), random.number(2, 30));
    let price = random.choose([20, 25, 30, 32, 40]);
    let watt_hours = agreed(watts * hours * days, (0..days).map(|_| watts * hours).sum())?;
    let kilowatt_hours = Fraction::new(watt_hours, 1_000);
    let cents = kilowatt_hours * price.into();
    let device = random.choose(["server", "freezer", "space heater", "projector", "pump"]);
    let use_text = format!("A {device} of {watts} W runs {hours} hours a day for {days} days");
    if cents.denominator() == 1 && random.percent(60) {
        let task = format!(
            "{use_text}. One kilowatt-hour costs {} euros. What does the electricity cost, in euros?",
            money(price)
        );
        let form = "the amount in euros, a number with two decimals";
        return Ok(Draft::exact("cost of energy", task, money(cents.numerator()), form));
    }
    let task = format!("{use_text}. How many kilowatt-hours does it use?");
    Ok(Draft::exact("cost of energy", task, kilowatt_hours.decimal()?, NUMBER))
}

fn fuel(random: &mut Random) -> Result<Draft> {
    let (per_hundred, hundreds) = (random.number(4, 12), random.number(1, 60));
    let kilometres = hundreds * 25;
    let litres = Fraction::new(per_hundred * kilometres, 100);
    agreed(litres / kilometres.into() * 100.into(), per_hundred.into())?;
    let litres = litres.decimal()?;
    let (task, answer) = random.choose([
        (
            format!("A car uses {per_hundred} litres per 100 km. How many litres does it need for {kilometres} km?"),
            litres.clone(),
        ),
        (
            format!("My van burned {litres} litres on {kilometres} km. What's the consumption in litres per 100 km?"),
            per_hundred.to_string(),
        ),
    ]);
    Ok(Draft::exact("fuel", task, answer, NUMBER))
}

fn comparison(random: &mut Random) -> Result<Draft> {
    let (kind, units, most) = random.choose([
        ("longest", &LENGTHS as &[Unit], true),
        ("shortest", &LENGTHS, false),
        ("heaviest", &MASSES, true),
        ("lightest", &MASSES, false),
    ]);
    let count = random.size(3, 4);
    let picked = random.sample(units, count);
    // Close to each other, so that the units matter.
    let base = random.number(200, 900) * 10_000;
    let sizes: Vec<i64> =
        random.different(count, 90, 110).iter().map(|of| of * base / 100).collect();
    let shown = picked
        .iter()
        .zip(&sizes)
        .map(|(unit, size)| Ok(format!("{} {}", Fraction::new(*size, unit.1).decimal()?, unit.0)));
    let shown: Vec<String> = shown.collect::<Result<_>>()?;
    let at = (0..count).max_by_key(|at| if most { sizes[*at] } else { -sizes[*at] }).unwrap_or(0);
    let mut sorted = sizes.clone();
    sorted.sort_unstable();
    agreed(sizes[at], sorted[if most { count - 1 } else { 0 }])?;
    let task = random.choose([
        format!("Which of these is the {kind}: {}?", shown.join(", ")),
        format!("Pick the {kind}: {}", shown.join(" / ")),
    ]);
    Ok(Draft::exact("comparing", task, &shown[at], "the one you choose, written as it is here"))
}
