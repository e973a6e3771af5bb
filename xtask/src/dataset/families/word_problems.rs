//! Short stories with a number at the end, each answer found by reasoning and again by simulation or
//! by trying all numbers.

use anyhow::Result;

use super::super::draft::{Draft, agreed, drawn, only};
use super::super::fraction::Fraction;
use super::super::random::Random;
use super::super::text::{counted, money};
use super::super::words::{GOODS, NAMES, TOWNS};
use super::Family;

const NUMBER: &str = "the number alone";
const EUROS: &str = "the amount in euros, a number with two decimals";

pub(super) const FAMILY: Family = Family {
    name: "word_problems",
    weight: 45,
    templates: &[
        shopping, journey, ages, mixture, average, workers, bus, ratio, sale, tank, savings,
        tickets, recipe, meeting, animals,
    ],
};

fn shopping(random: &mut Random) -> Result<Draft> {
    let name = random.choose(NAMES);
    let kinds = random.size(1, 3);
    let goods = random.sample(&GOODS, kinds);
    let counts = random.numbers(kinds, 1, 6);
    let prices: Vec<i64> = (0..kinds).map(|_| random.number(4, 90) * 5 + 20).collect();
    let total = counts.iter().zip(&prices).map(|(count, price)| count * price).sum();
    let one_by_one =
        counts.iter().zip(&prices).flat_map(|(count, price)| (0..*count).map(move |_| price));
    let total = agreed(total, one_by_one.sum())?;
    let paid =
        [2_000, 5_000, 10_000, 20_000].into_iter().find(|note| *note >= total).unwrap_or(total);
    let bought: Vec<String> = (0..kinds)
        .map(|at| format!("{} at {} euros", counted(counts[at], goods[at]), money(prices[at])))
        .map(|text| if text.starts_with("1 ") { text } else { format!("{text} each") })
        .collect();
    let bought = bought.join(", ");
    let (task, answer) = random.choose([
        (format!("{name} buys {bought}. How much is that altogether, in euros?"), total),
        (
            format!(
                "{name} buys {bought} and pays with {} euros. How much change is due?",
                paid / 100
            ),
            paid - total,
        ),
    ]);
    Ok(Draft::exact("shopping", task, money(answer), EUROS))
}

fn journey(random: &mut Random) -> Result<Draft> {
    let towns = random.sample(&TOWNS, 2);
    let (from, to) = (towns[0], towns[1]);
    let (speed, minutes, kilometres) = drawn(random, |random| {
        let speed = random.choose([12, 15, 40, 60, 72, 80, 90, 120]);
        let minutes = random.choose([20, 30, 45, 75, 90, 105, 140, 150]);
        let kilometres = Fraction::new(speed * minutes, 60);
        kilometres.decimal().is_ok().then_some((speed, minutes, kilometres))
    })?;
    let each_minute = Fraction::new(speed, 60);
    let distance = (0..minutes).fold(Fraction::from(0), |way, _| way + each_minute);
    let distance = agreed(kilometres, distance)?.decimal()?;
    let (task, answer) = random.choose([
        (
            format!("It takes {minutes} minutes to get from {from} to {to} at a steady {speed} km/h. How many kilometres is that?"),
            distance.clone(),
        ),
        (
            format!("The road from {from} to {to} is {distance} km long. A vehicle drives at {speed} km/h. How many minutes does it need?"),
            minutes.to_string(),
        ),
        (
            format!("Someone covers the {distance} km between {from} and {to} in {minutes} minutes. What is the average speed in km/h?"),
            speed.to_string(),
        ),
    ]);
    Ok(Draft::exact("motion", task, answer, NUMBER))
}

fn ages(random: &mut Random) -> Result<Draft> {
    let names = random.sample(&NAMES, 2);
    let (old, young) = (names[0], names[1]);
    // In `years` years the older one is `times` times as old.
    let (times, years, age, gap) = drawn(random, |random| {
        let (times, years, age) = (random.number(2, 4), random.number(2, 12), random.number(2, 25));
        let gap = (times - 1) * (age + years);
        (gap <= 48).then_some((times, years, age, gap))
    })?;
    let found = only((1..100).filter(|age| age + gap + years == times * (age + years)))?;
    let age = agreed(age, found)?;
    let multiple = ["twice", "three times", "four times"][times as usize - 2];
    let first = format!("{old} is {gap} years older than {young}.");
    let (task, answer) = random.choose([
        (
            format!("{first} In {years} years {old} will be {multiple} as old as {young}. How old is {young} now?"),
            age,
        ),
        (
            format!("{first} In {years} years, {old} will be {multiple} {young}'s age. What is {old}'s age today?"),
            age + gap,
        ),
    ]);
    Ok(Draft::exact("ages", task, answer, NUMBER))
}

fn mixture(random: &mut Random) -> Result<Draft> {
    let (a, b, weak, strong, mixed) = drawn(random, |random| {
        let [a, b] = [random.number(1, 12) * 50, random.number(1, 12) * 50];
        let [weak, strong] = [random.number(1, 8) * 5, random.number(9, 19) * 5];
        let pure = a * weak + b * strong;
        (pure % (a + b) == 0).then_some((a, b, weak, strong, pure / (a + b)))
    })?;
    let liquid = random.choose(["syrup", "acid", "salt solution", "cleaner"]);
    let found = only((0..=2_000).filter(|b| a * (mixed - weak) == b * (strong - mixed)))?;
    let b = agreed(b, found)?;
    let (task, answer) = random.choose([
        (
            format!("{a} ml of a {weak} % {liquid} and {b} ml of a {strong} % {liquid} are poured together. What is the concentration of the mixture in percent?"),
            mixed,
        ),
        (
            format!("How many millilitres of {strong} % {liquid} must be added to {a} ml of {weak} % {liquid} to get a {mixed} % one?"),
            b,
        ),
    ]);
    Ok(Draft::exact("mixtures", task, answer, NUMBER))
}

fn average(random: &mut Random) -> Result<Draft> {
    let name = random.choose(NAMES);
    let count = random.size(3, 6);
    let (scores, mean) = drawn(random, |random| {
        let scores = random.numbers(count, 40, 100);
        let total: i64 = scores.iter().sum();
        (total % count as i64 == 0).then_some((scores, total / count as i64))
    })?;
    let (last, known) = (scores[count - 1], &scores[..count - 1]);
    let total: i64 = known.iter().sum();
    agreed(last, only((0..=100).filter(|last| total + last == mean * count as i64))?)?;
    let shown: Vec<String> = known.iter().map(ToString::to_string).collect();
    let shown = shown.join(", ");
    let (task, answer) = random.choose([
        (
            format!("{name} has scored {shown} in the tests so far. Which score in the next test makes the average exactly {mean}?"),
            last,
        ),
        (
            format!("What is the average of {shown} and {last}?"),
            mean,
        ),
        (
            format!("The mean of {count} numbers is {mean}. All but one of them are {shown}. What is the missing number?"),
            last,
        ),
    ]);
    Ok(Draft::exact("averages", task, answer, NUMBER))
}

fn workers(random: &mut Random) -> Result<Draft> {
    let names = random.sample(&NAMES, 2);
    let (a, b) = drawn(random, |random| {
        let (a, b) = (random.number(2, 30), random.number(2, 60));
        (a < b && a * b % (a + b) == 0).then_some((a, b))
    })?;
    let together = only(
        (1..=60).filter(|t| Fraction::new(*t, a) + Fraction::new(*t, b) == Fraction::from(1)),
    )?;
    let together = agreed(together, a * b / (a + b))?;
    let (one, other) = (names[0], names[1]);
    let job =
        random.choose(["paint the fence", "sort the archive", "dig the pond", "clean the hall"]);
    let (task, answer) = random.choose([
        (
            format!("{one} needs {a} hours to {job} alone, {other} needs {b} hours. How many hours do they need together?"),
            together,
        ),
        (
            format!("Together, {one} and {other} {job} in {together} hours. {one} alone would take {a} hours. How many hours would {other} take alone?"),
            b,
        ),
    ]);
    Ok(Draft::exact("work", task, answer, NUMBER))
}

fn bus(random: &mut Random) -> Result<Draft> {
    let stops = random.size(2, 7);
    let start = random.number(8, 30);
    let mut aboard = start;
    let mut story = Vec::new();
    let mut changes = Vec::new();
    for stop in 0..stops {
        let off = random.number(0, aboard.min(9));
        let on = random.number(1, 9);
        aboard += on - off;
        changes.push(on - off);
        let place = if stop == 0 { "At the first stop" } else { "At the next one" };
        story.push(match off {
            0 => format!("{place} {on} get on and nobody gets off."),
            _ => format!("{place} {off} get off and {on} get on."),
        });
    }
    let answer = agreed(aboard, start + changes.iter().sum::<i64>())?;
    let story = story.join(" ");
    let (task, answer) = random.choose([
        (format!("A bus sets out with {start} passengers. {story} How many are on the bus then?"), answer),
        (
            format!("A tram is on its way. {story} Now {answer} passengers are on board. With how many did it set out?"),
            start,
        ),
    ]);
    Ok(Draft::exact("several steps", task, answer, NUMBER))
}

fn ratio(random: &mut Random) -> Result<Draft> {
    let names = random.sample(&NAMES, 3);
    let parts = random.different(3, 1, 7);
    let unit = random.number(3, 60);
    let shares: Vec<i64> = parts.iter().map(|part| part * unit).collect();
    let total: i64 = shares.iter().sum();
    // Handed out in rounds, each getting their part of the ratio in each round.
    let rounds = (1..=total).find(|rounds| rounds * parts.iter().sum::<i64>() == total);
    agreed(Some(unit), rounds)?;
    let at = random.below(3);
    let among = format!("{}, {} and {}", names[0], names[1], names[2]);
    let in_parts = format!("{}:{}:{}", parts[0], parts[1], parts[2]);
    let (task, answer) = random.choose([
        (
            format!("{among} share {total} euros in the ratio {in_parts}. How many euros does {} get?", names[at]),
            shares[at],
        ),
        (
            format!("A sum is split between {among} in the ratio {in_parts}. {} gets {} euros. How large is the whole sum, in euros?", names[at], shares[at]),
            total,
        ),
    ]);
    Ok(Draft::exact("ratios", task, answer, NUMBER))
}

fn sale(random: &mut Random) -> Result<Draft> {
    let thing = random.choose(GOODS);
    let price = random.number(2, 45) * 2_000;
    let cut = random.choose([5, 10, 15, 20, 25, 30, 40]);
    let second = random.choose([5, 10, 20, -10, -20]);
    let once = Fraction::new(price * (100 - cut), 100);
    let twice = once - once * Fraction::new(second, 100);
    let straight = agreed(twice, Fraction::new(price * (100 - cut) * (100 - second), 10_000))?;
    let then = if second > 0 {
        format!("later cut by another {second} %")
    } else {
        format!("later raised by {} %", -second)
    };
    let euros = |cents: Fraction| (cents / 100.into()).decimal();
    let full = money(price);
    let (task, answer) = random.choose([
        (
            format!("The price of a {thing} is {full} euros. It is reduced by {cut} % and the new price is {then}. What does it cost in the end, in euros?"),
            euros(straight)?,
        ),
        (
            format!("After a discount of {cut} %, a {thing} costs {} euros. What did it cost before, in euros?", euros(once)?),
            euros(price.into())?,
        ),
    ]);
    Ok(Draft::exact("discounts", task, answer, NUMBER))
}

fn tank(random: &mut Random) -> Result<Draft> {
    let (fill, leak) = (random.number(9, 40), random.number(2, 8));
    let minutes = random.number(5, 90);
    let start = random.number(0, 10) * 10;
    let size = start + (fill - leak) * minutes;
    let (mut level, mut passed) = (start, 0);
    while level < size {
        level += fill - leak;
        passed += 1;
    }
    let minutes = agreed(minutes, passed)?;
    let (task, answer) = random.choose([
        (
            format!("A tank of {size} litres holds {start} litres. A pump adds {fill} litres a minute, and {leak} litres a minute leak out. After how many minutes is the tank full?"),
            minutes,
        ),
        (
            format!("There are {start} litres in a pool. Every minute {fill} litres flow in and {leak} litres flow out. How many litres are in it after {minutes} minutes?"),
            size,
        ),
    ]);
    Ok(Draft::exact("rates", task, answer, NUMBER))
}

fn savings(random: &mut Random) -> Result<Draft> {
    let name = random.choose(NAMES);
    let (start, monthly) = (random.number(0, 30) * 10, random.number(3, 20) * 5);
    let goal = start + random.number(50, 1_200);
    let (mut saved, mut months) = (start, 0);
    while saved < goal {
        saved += monthly;
        months += 1;
    }
    let months = agreed(months, (goal - start + monthly - 1) / monthly)?;
    let thing = random.choose(["bicycle", "camera", "telescope", "guitar"]);
    let (task, answer) = random.choose([
        (
            format!("{name} has {start} euros and puts aside {monthly} euros at the end of every month. After how many months is there first enough for a {thing} that costs {goal} euros?"),
            months,
        ),
        (
            format!("{name} has {start} euros, saves {monthly} euros a month and buys a {thing} for {goal} euros as soon as the money suffices. How many euros are left after that?"),
            saved - goal,
        ),
    ]);
    Ok(Draft::exact("saving", task, answer, NUMBER))
}

fn tickets(random: &mut Random) -> Result<Draft> {
    let prices = random.different(2, 3, 24);
    let (adult, child) = (prices[0].max(prices[1]), prices[0].min(prices[1]));
    let (adults, children) = (random.number(3, 90), random.number(3, 90));
    let (count, income) = (adults + children, adults * adult + children * child);
    let found = only((0..=count).filter(|a| a * adult + (count - a) * child == income))?;
    let adults = agreed(adults, found)?;
    let show = random.choose(["concert", "museum", "zoo", "open-air cinema"]);
    let (who, answer) = random.choose([("adults", adults), ("children", children)]);
    let task = random.choose([
        format!("Tickets for the {show} cost {adult} euros for adults and {child} euros for children. {count} tickets were sold for {income} euros altogether. How many {who} came?"),
        format!("A {show} took {income} euros from {count} visitors. An adult pays {adult} euros, a child {child}. How many of the visitors were {who}?"),
    ]);
    Ok(Draft::exact("two unknowns", task, answer, NUMBER))
}

fn recipe(random: &mut Random) -> Result<Draft> {
    let (people, guests) = drawn(random, |random| {
        let (people, guests) = (random.number(2, 8), random.number(3, 30));
        (people != guests).then_some((people, guests))
    })?;
    let each = random.number(3, 60) * 5;
    let amount = each * people;
    let needed = agreed(amount * guests / people, (0..guests).map(|_| each).sum())?;
    let food = random.choose(["flour", "rice", "lentils", "potatoes", "pasta"]);
    let bag = random.choose([250, 500, 1_000]);
    let (task, answer) = random.choose([
        (
            format!("A recipe for {people} people takes {amount} g of {food}. How many grams are needed for {guests} people?"),
            needed,
        ),
        (
            format!("{people} people eat {amount} g of {food}. A bag of {food} holds {bag} g. How many bags must I buy for {guests} people who eat as much each?"),
            (needed + bag - 1) / bag,
        ),
    ]);
    Ok(Draft::exact("proportion", task, answer, NUMBER))
}

fn meeting(random: &mut Random) -> Result<Draft> {
    let towns = random.sample(&TOWNS, 2);
    let (a, b) = (random.number(3, 12) * 5, random.number(3, 12) * 5);
    let hours = random.number(1, 6);
    let distance = (a + b) * hours;
    let mut gap = distance;
    let mut passed = 0;
    while gap > 0 {
        gap -= a + b;
        passed += 1;
    }
    let hours = agreed(hours, passed)?;
    let (one, other) = (towns[0], towns[1]);
    let (task, answer) = random.choose([
        (
            format!("{one} and {other} are {distance} km apart. At noon a boat leaves {one} for {other} at {a} km/h, and another leaves {other} for {one} at {b} km/h. After how many hours do they meet?"),
            hours,
        ),
        (
            format!("Two riders start at the same time, one from {one} at {a} km/h, one from {other} at {b} km/h, towards each other on the {distance} km road. How many kilometres from {one} do they meet?"),
            a * hours,
        ),
    ]);
    Ok(Draft::exact("motion", task, answer, NUMBER))
}

fn animals(random: &mut Random) -> Result<Draft> {
    let (birds, beasts) = (random.number(2, 40), random.number(2, 40));
    let (heads, legs) = (birds + beasts, 2 * birds + 4 * beasts);
    let found = only((0..=heads).filter(|birds| 2 * birds + 4 * (heads - birds) == legs))?;
    let birds = agreed(birds, found)?;
    let (bird, beast) = random.choose([
        ("hens", "goats"),
        ("ducks", "sheep"),
        ("geese", "cows"),
        ("chickens", "rabbits"),
    ]);
    let (who, answer) = random.choose([(bird, birds), (beast, beasts)]);
    let task = random.choose([
        format!("A farm has {bird} and {beast}: {heads} heads and {legs} legs in all. How many {who} are there?"),
        format!("I count {legs} legs and {heads} heads among my {bird} and {beast}. how many {who} do I have?"),
    ]);
    Ok(Draft::exact("two unknowns", task, answer, NUMBER))
}
