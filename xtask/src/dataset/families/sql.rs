//! Small databases and queries: the result is worked out here, and again by SQLite.

use anyhow::Result;

use super::super::draft::{Draft, Proof, drawn};
use super::super::random::Random;
use super::super::text::fenced;
use super::super::words::{NAMES, TOWNS};
use super::Family;

pub(super) const FAMILY: Family = Family {
    name: "sql",
    weight: 20,
    templates: &[
        filtered_count,
        grouped_sum,
        joined_tables,
        ordered,
        having,
        missing_partner,
        distinct,
        above_average,
        pattern,
        conditional_sum,
    ],
};

/// A trip: driver, town, kilometres, and fee, which may be unknown.
#[derive(Debug, Clone)]
struct Trip {
    driver: &'static str,
    town: &'static str,
    km: i64,
    fee: Option<i64>,
}

/// A table `trips` and a table `drivers`, which may have more or fewer people.
struct Database {
    trips: Vec<Trip>,
    /// Names with years of birth.
    drivers: Vec<(&'static str, i64)>,
}

impl Database {
    fn drawn(random: &mut Random) -> Self {
        let count = random.size(3, 5);
        let names = random.sample(&NAMES, count);
        let towns = random.sample(&TOWNS, 3);
        let rows = random.size(5, 12);
        let trips = (0..rows)
            .map(|_| Trip {
                driver: random.choose(&names),
                town: random.choose(&towns),
                km: random.number(3, 90),
                fee: (!random.percent(20)).then(|| random.number(5, 60)),
            })
            .collect();
        let drivers = names.iter().map(|name| (*name, random.number(1960, 2004))).collect();
        Self { trips, drivers }
    }

    fn script(&self) -> String {
        let trips: Vec<String> = self
            .trips
            .iter()
            .enumerate()
            .map(|(at, trip)| {
                let fee = trip.fee.map_or("NULL".to_owned(), |fee| fee.to_string());
                format!("  ({}, '{}', '{}', {}, {fee})", at + 1, trip.driver, trip.town, trip.km)
            })
            .collect();
        let drivers: Vec<String> =
            self.drivers.iter().map(|(name, born)| format!("  ('{name}', {born})")).collect();
        format!(
            "CREATE TABLE drivers(name TEXT, born INTEGER);\nINSERT INTO drivers VALUES\n{};\nCREATE TABLE trips(id INTEGER, driver TEXT, town TEXT, km INTEGER, fee INTEGER);\nINSERT INTO trips VALUES\n{};",
            drivers.join(",\n"),
            trips.join(",\n")
        )
    }

    /// The prompt about a query that returns a single value.
    fn asked(
        &self,
        random: &mut Random,
        subject: &str,
        query: &str,
        answer: impl ToString,
    ) -> Draft {
        let script = self.script();
        let question = random.choose([
            format!(
                "{}\n\nWhat does this query return?\n\n{}",
                fenced("sql", &script),
                fenced("sql", query)
            ),
            format!(
                "What does the last statement return (SQLite)?\n\n{}",
                fenced("sql", &format!("{script}\n\n{query}"))
            ),
            format!(
                "Given these tables, which value does the query at the end give?\n\n{}",
                fenced("sql", &format!("{script}\n\n{query}"))
            ),
        ]);
        let proof = Proof::Sql { script, query: query.to_owned() };
        Draft::exact(subject, question, answer, "the value returned").proven(proof)
    }

    fn km_of(&self, driver: &str) -> i64 {
        self.trips.iter().filter(|trip| trip.driver == driver).map(|trip| trip.km).sum()
    }
}

fn filtered_count(random: &mut Random) -> Result<Draft> {
    let database = Database::drawn(random);
    let trip = random.choose(&database.trips);
    let count =
        |wanted: &dyn Fn(&Trip) -> bool| database.trips.iter().filter(|trip| wanted(trip)).count();
    let (condition, answer) = random.choose([
        (format!("km > {}", trip.km), count(&|other| other.km > trip.km)),
        (
            format!("town = '{}' AND km >= 20", trip.town),
            count(&|other| other.town == trip.town && other.km >= 20),
        ),
        (
            "fee IS NULL OR fee < 20".to_owned(),
            count(&|other| other.fee.is_none_or(|fee| fee < 20)),
        ),
        (format!("NOT driver = '{}'", trip.driver), count(&|other| other.driver != trip.driver)),
        ("fee <> 10".to_owned(), count(&|other| other.fee.is_some_and(|fee| fee != 10))),
    ]);
    Ok(database.asked(
        random,
        "filters",
        &format!("SELECT COUNT(*) FROM trips WHERE {condition};"),
        answer,
    ))
}

fn grouped_sum(random: &mut Random) -> Result<Draft> {
    let (database, best) = drawn(random, |random| {
        let database = Database::drawn(random);
        let mut sums: Vec<(i64, &'static str)> =
            database.drivers.iter().map(|(name, _)| (database.km_of(name), *name)).collect();
        sums.sort_unstable_by(|a, b| b.cmp(a));
        let best = sums[0].1;
        (sums[0].0 != sums[1].0).then_some((database, best))
    })?;
    let query = "SELECT driver FROM trips\nGROUP BY driver\nORDER BY SUM(km) DESC\nLIMIT 1;";
    Ok(database.asked(random, "groups", query, best))
}

fn joined_tables(random: &mut Random) -> Result<Draft> {
    let database = Database::drawn(random);
    let year = random.choose(&database.drivers).1;
    let born = |name: &str| {
        database.drivers.iter().find(|(other, _)| *other == name).map_or(0, |(_, born)| *born)
    };
    let of_young = database.trips.iter().filter(|trip| born(trip.driver) >= year);
    let (what, answer) = random.choose([
        ("SUM(t.km)", of_young.clone().map(|trip| trip.km).sum::<i64>()),
        ("COUNT(*)", of_young.clone().count() as i64),
        ("MAX(t.km)", of_young.clone().map(|trip| trip.km).max().unwrap_or(-1)),
    ]);
    // Without a trip, a sum or maximum would be NULL.
    let (what, answer) = if of_young.count() == 0 { ("COUNT(*)", 0) } else { (what, answer) };
    let query = format!(
        "SELECT {what} FROM trips t\nJOIN drivers d ON d.name = t.driver\nWHERE d.born >= {year};"
    );
    Ok(database.asked(random, "joins", &query, answer))
}

fn ordered(random: &mut Random) -> Result<Draft> {
    let database = Database::drawn(random);
    let skipped = random.size(0, 3);
    let descending = random.percent(50);
    let mut sorted: Vec<(i64, i64)> = database
        .trips
        .iter()
        .enumerate()
        .map(|(at, trip)| (if descending { -trip.km } else { trip.km }, at as i64 + 1))
        .collect();
    sorted.sort_unstable();
    let direction = if descending { " DESC" } else { "" };
    let query =
        format!("SELECT id FROM trips ORDER BY km{direction}, id LIMIT 1 OFFSET {skipped};");
    Ok(database.asked(random, "sorting", &query, sorted[skipped].1))
}

fn having(random: &mut Random) -> Result<Draft> {
    let database = Database::drawn(random);
    let least = random.size(2, 3);
    let trips_of = |name: &str| database.trips.iter().filter(|trip| trip.driver == name).count();
    let groups = database.drivers.iter().filter(|(name, _)| trips_of(name) >= least).count();
    let query = format!(
        "SELECT COUNT(*) FROM (\n  SELECT driver FROM trips GROUP BY driver HAVING COUNT(*) >= {least}\n);"
    );
    Ok(database.asked(random, "groups", &query, groups))
}

fn missing_partner(random: &mut Random) -> Result<Draft> {
    let mut database = drawn(random, |random| {
        let database = Database::drawn(random);
        let idle = database.drivers.iter().filter(|(name, _)| database.km_of(name) == 0).count();
        (idle == 1).then_some(database)
    })?;
    random.shuffle(&mut database.drivers);
    let idle = database
        .drivers
        .iter()
        .find(|(name, _)| database.km_of(name) == 0)
        .map_or("", |(name, _)| *name);
    let query = random.choose([
        "SELECT d.name FROM drivers d\nLEFT JOIN trips t ON t.driver = d.name\nWHERE t.id IS NULL;",
        "SELECT name FROM drivers\nWHERE name NOT IN (SELECT driver FROM trips);",
    ]);
    Ok(database.asked(random, "outer joins", query, idle))
}

fn distinct(random: &mut Random) -> Result<Draft> {
    let database = Database::drawn(random);
    let mut pairs: Vec<(&str, &str)> =
        database.trips.iter().map(|trip| (trip.driver, trip.town)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut towns: Vec<&str> = pairs.iter().map(|(_, town)| *town).collect();
    towns.sort_unstable();
    towns.dedup();
    let paid = database.trips.iter().filter(|trip| trip.fee.is_some()).count();
    let (query, answer) = random.choose([
        ("SELECT COUNT(DISTINCT town) FROM trips;", towns.len()),
        ("SELECT COUNT(*) FROM (SELECT DISTINCT driver, town FROM trips);", pairs.len()),
        ("SELECT COUNT(fee) FROM trips;", paid),
    ]);
    Ok(database.asked(random, "distinct values", query, answer))
}

fn above_average(random: &mut Random) -> Result<Draft> {
    let database = Database::drawn(random);
    let (total, count) =
        (database.trips.iter().map(|trip| trip.km).sum::<i64>(), database.trips.len() as i64);
    let above = database.trips.iter().filter(|trip| trip.km * count > total).count();
    let query = "SELECT COUNT(*) FROM trips\nWHERE km > (SELECT AVG(km) FROM trips);";
    Ok(database.asked(random, "subqueries", query, above))
}

fn pattern(random: &mut Random) -> Result<Draft> {
    let database = Database::drawn(random);
    let letter = random.choose(["a", "e", "i", "o"]);
    let matching = |matches: &dyn Fn(&str) -> bool| {
        database.trips.iter().filter(|trip| matches(&trip.driver.to_lowercase())).count()
    };
    let (pattern, answer) = random.choose([
        (format!("%{letter}%"), matching(&|name| name.contains(letter))),
        (format!("%{letter}"), matching(&|name| name.ends_with(letter))),
        (format!("_{letter}%"), matching(&|name| name[1..].starts_with(letter))),
        ("____".to_owned(), matching(&|name| name.len() == 4)),
    ]);
    Ok(database.asked(
        random,
        "patterns",
        &format!("SELECT COUNT(*) FROM trips WHERE driver LIKE '{pattern}';"),
        answer,
    ))
}

fn conditional_sum(random: &mut Random) -> Result<Draft> {
    let database = Database::drawn(random);
    let (limit, rate) = (random.number(20, 60), random.number(2, 4));
    let long: i64 = database
        .trips
        .iter()
        .map(|trip| if trip.km > limit { trip.km * rate } else { trip.km })
        .sum();
    let fees: i64 = database.trips.iter().map(|trip| trip.fee.unwrap_or(rate)).sum();
    let (query, answer) = random.choose([
        (
            format!("SELECT SUM(CASE WHEN km > {limit} THEN km * {rate} ELSE km END) FROM trips;"),
            long,
        ),
        (format!("SELECT SUM(COALESCE(fee, {rate})) FROM trips;"), fees),
    ]);
    Ok(database.asked(random, "expressions", &query, answer))
}
