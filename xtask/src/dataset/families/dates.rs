//! The calendar and the clock. Dates are computed by a library and again by walking day by day.

use anyhow::{Result, ensure};
use jiff::ToSpan;
use jiff::civil::{Date, Weekday};

use super::super::draft::{Draft, agreed};
use super::super::random::Random;
use super::super::text::{clock, ordinal};
use super::super::words::{MONTHS, NAMES, TOWNS, WEEKDAYS};
use super::Family;

const DATE: &str = "the date in the form 2024-03-05";
const NUMBER: &str = "the number alone";
const DAY: &str = "the day of the week";
const TIME: &str = "the time in the form hh:mm";

pub(super) const FAMILY: Family = Family {
    name: "dates",
    weight: 35,
    templates: &[
        weekday,
        shifted,
        between,
        duration,
        arrival,
        zones,
        leap_years,
        nth_weekday,
        unix_time,
        every_so_often,
        day_of_year,
        weekday_later,
    ],
};

/// A day by a calendar of our own: year, month from 1, day from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Day(i64, i64, i64);

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Day {
    fn of(date: Date) -> Self {
        Self(date.year().into(), date.month().into(), date.day().into())
    }

    fn next(self) -> Self {
        let Self(year, month, day) = self;
        if day < days_in(year, month) {
            Self(year, month, day + 1)
        } else if month < 12 {
            Self(year, month + 1, 1)
        } else {
            Self(year + 1, 1, 1)
        }
    }

    fn plus(self, days: i64) -> Self {
        (0..days).fold(self, |day, _| day.next())
    }

    fn days_until(self, later: Self) -> i64 {
        let mut day = self;
        let mut days = 0;
        while day < later {
            day = day.next();
            days += 1;
        }
        days
    }

    /// Days since a Monday, 1 January 1900.
    fn weekday(self) -> &'static str {
        WEEKDAYS[(Self(1900, 1, 1).days_until(self) % 7) as usize]
    }
}

fn date(random: &mut Random, from: i64, to: i64) -> Result<Date> {
    let (year, month) = (random.number(from, to), random.number(1, 12));
    let day = random.number(1, days_in(year, month));
    Ok(Date::new(year as i16, month as i8, day as i8)?)
}

/// A date as a person writes it; the month is never a number, so that it has one meaning.
fn spoken(random: &mut Random, date: Date) -> String {
    let month = MONTHS[date.month() as usize - 1];
    let (year, day) = (date.year(), i64::from(date.day()));
    random.choose([
        format!("{day} {month} {year}"),
        format!("{month} {day}, {year}"),
        format!("{} {month} {year}", ordinal(day)),
    ])
}

fn name_of(weekday: Weekday) -> &'static str {
    WEEKDAYS[weekday.to_monday_zero_offset() as usize]
}

fn plus(start: Date, days: i64) -> Result<Date> {
    let end = start.checked_add(days.days())?;
    agreed(Day::of(end), Day::of(start).plus(days))?;
    Ok(end)
}

fn days_between(start: Date, end: Date) -> Result<i64> {
    agreed(start.until(end)?.get_days().into(), Day::of(start).days_until(Day::of(end)))
}

fn weekday(random: &mut Random) -> Result<Draft> {
    let date = date(random, 1950, 2049)?;
    let answer = agreed(name_of(date.weekday()), Day::of(date).weekday())?;
    let shown = spoken(random, date);
    let task = random.choose([
        format!("Which day of the week is {shown}?"),
        format!("what weekday is {date}"),
        format!("Someone was born on {shown}. On which day of the week was that?"),
    ]);
    Ok(Draft::exact("weekdays", task, answer, DAY))
}

fn shifted(random: &mut Random) -> Result<Draft> {
    let start = date(random, 2015, 2034)?;
    let days = random.choose([10, 14, 30, 45, 60, 90, 100, 180, 200, 365, 400, 1_000]);
    let end = plus(start, days)?;
    let (first, last) = (spoken(random, start), spoken(random, end));
    let (task, answer) = random.choose([
        (format!("Which date is {days} days after {first}?"), end),
        (format!("Which date is {days} days before {last}?"), start),
        (format!("An invoice of {first} is due in {days} days. When exactly is that?"), end),
        (format!("A permit ran out on {last}. It was valid for {days} days after the day of issue. On which date was it issued?"), start),
    ]);
    Ok(Draft::exact("date arithmetic", task, answer, DATE))
}

fn between(random: &mut Random) -> Result<Draft> {
    let start = date(random, 2018, 2030)?;
    let days = random.number(5, 500);
    let end = plus(start, days)?;
    let days = days_between(start, end)?;
    let (first, last) = (spoken(random, start), spoken(random, end));
    let (task, answer) = random.choose([
        (format!("How many days is it from {first} to {last}?"), days),
        (
            format!("How many days lie from {first} to {last} if both of these days are counted?"),
            days + 1,
        ),
        (format!("I start on {start} and finish on {end}. How many nights are that?"), days),
    ]);
    Ok(Draft::exact("date arithmetic", task, answer, NUMBER))
}

fn duration(random: &mut Random) -> Result<Draft> {
    let start = random.number(0, 24 * 60 - 1);
    let minutes = random.number(7, 900);
    let end = start + minutes;
    let mut minute = start;
    let mut passed = 0;
    while minute % (24 * 60) != end % (24 * 60) {
        minute += 1;
        passed += 1;
    }
    let answer = agreed(minutes, passed)?;
    let (from, to) = (clock(start), clock(end));
    let after_midnight = if end >= 24 * 60 { " on the next day" } else { "" };
    let task = random.choose([
        format!("How many minutes is it from {from} to {to}{after_midnight}?"),
        format!("A shift begins at {from} and ends at {to}{after_midnight}. How many minutes does it last?"),
    ]);
    Ok(Draft::exact("time of day", task, answer, NUMBER))
}

fn arrival(random: &mut Random) -> Result<Draft> {
    let start = random.number(4 * 60, 20 * 60);
    let legs = random.size(1, 4);
    let mut minute = start;
    let mut steps = Vec::new();
    let mut total = 0;
    for leg in 0..legs {
        let ride = random.number(12, 95);
        steps.push(if leg == 0 {
            format!("rides {ride} minutes")
        } else {
            format!("then rides {ride} minutes")
        });
        (minute, total) = (minute + ride, total + ride);
        if leg + 1 < legs {
            let wait = random.number(4, 35);
            steps.push(format!("waits {wait} minutes"));
            (minute, total) = (minute + wait, total + wait);
        }
    }
    let answer = agreed(clock(minute), clock(start + total))?;
    let (name, steps) = (random.choose(NAMES), steps.join(", "));
    let (task, answer) = random.choose([
        (
            format!("{name} leaves at {}, {steps}. At what time does {name} arrive?", clock(start)),
            answer.clone(),
        ),
        (format!("{name} {steps} and arrives at {answer}. When did {name} set out?"), clock(start)),
    ]);
    Ok(Draft::exact("time of day", task, answer, TIME))
}

fn zones(random: &mut Random) -> Result<Draft> {
    let towns = random.sample(&TOWNS, 2);
    let offsets = random.different(2, -9, 12);
    let time = random.number(0, 95) * 15;
    let utc = time - offsets[0] * 60;
    let there = (utc + offsets[1] * 60).rem_euclid(24 * 60);
    let direct = (time + (offsets[1] - offsets[0]) * 60).rem_euclid(24 * 60);
    let answer = clock(agreed(there, direct)?);
    let (here, away) = (towns[0], towns[1]);
    let (from, to) = (format!("UTC{:+}", offsets[0]), format!("UTC{:+}", offsets[1]));
    let task = random.choose([
        format!("It is {} in {here} ({from}). What time is it in {away} ({to})?", clock(time)),
        format!("{here} keeps {from}, {away} keeps {to}. A call is set for {} in {here}. What do the clocks in {away} show then?", clock(time)),
    ]);
    Ok(Draft::exact("time zones", task, answer, TIME))
}

fn leap_years(random: &mut Random) -> Result<Draft> {
    let from = random.number(1880, 2080);
    let to = from + random.number(8, 60);
    let by_library = (from..=to)
        .map(|year| Date::new(year as i16, 1, 1).map(|date| i64::from(date.in_leap_year())))
        .sum::<Result<i64, _>>()?;
    let count = agreed(by_library, (from..=to).filter(|year| is_leap(*year)).count() as i64)?;
    let year = random.choose([1900, 2000, 2100, from, from + 1, 4 * (from / 4), 2400]);
    let yes = if is_leap(year) { "yes" } else { "no" };
    let month = random.number(1, 12);
    let days = days_in(year, month);
    let (task, answer, form) = random.choose([
        (format!("Is {year} a leap year in the Gregorian calendar?"), yes.to_owned(), "yes or no"),
        (
            format!("How many leap years are there from {from} to {to}, both included?"),
            count.to_string(),
            NUMBER,
        ),
        (
            format!("How many days does {} {year} have?", MONTHS[month as usize - 1]),
            days.to_string(),
            NUMBER,
        ),
    ]);
    Ok(Draft::exact("leap years", task, answer, form))
}

fn nth_weekday(random: &mut Random) -> Result<Draft> {
    let (year, month) = (random.number(2020, 2036), random.number(1, 12));
    let first = Date::new(year as i16, month as i8, 1)?;
    let name = random.choose(WEEKDAYS);
    let all: Vec<Day> = (1..=days_in(year, month))
        .map(|day| Day(year, month, day))
        .filter(|day| day.weekday() == name)
        .collect();
    let nth = random.size(1, 4);
    let weekday = Weekday::from_monday_zero_offset(
        WEEKDAYS.iter().position(|other| *other == name).unwrap_or(0) as i8,
    )?;
    let found = first.nth_weekday_of_month(nth as i8, weekday)?;
    let last = first.nth_weekday_of_month(-1, weekday)?;
    agreed((Day::of(found), Some(Day::of(last))), (all[nth - 1], all.last().copied()))?;
    let of = format!("{} {year}", MONTHS[month as usize - 1]);
    let count = ["first", "second", "third", "fourth"][nth - 1];
    let (task, answer, form) = random.choose([
        (format!("What is the date of the {count} {name} of {of}?"), found.to_string(), DATE),
        (
            format!(
                "Our group meets on the last {name} of each month. Which date is that in {of}?"
            ),
            last.to_string(),
            DATE,
        ),
        (format!("How many {name}s are there in {of}?"), all.len().to_string(), NUMBER),
    ]);
    Ok(Draft::exact("calendar", task, answer, form))
}

fn unix_time(random: &mut Random) -> Result<Draft> {
    let date = date(random, 1970, 2030)?;
    let days = days_between(Date::new(1970, 1, 1)?, date)?;
    let seconds = days * 86_400;
    let (hour, shown) = (random.number(0, 23), spoken(random, date));
    let (task, answer, form) = random.choose([
        (
            format!("Which date (UTC) does the Unix timestamp {} fall on?", seconds + hour * 3_600),
            date.to_string(),
            DATE,
        ),
        (
            format!("What is the Unix time in seconds of {shown}, {hour:02}:00:00 UTC?"),
            (seconds + hour * 3_600).to_string(),
            NUMBER,
        ),
        (
            format!("How many seconds pass between 1 January 1970, 00:00 UTC, and {shown}, 00:00 UTC, leap seconds not counted?"),
            seconds.to_string(),
            NUMBER,
        ),
    ]);
    Ok(Draft::exact("Unix time", task, answer, form))
}

fn every_so_often(random: &mut Random) -> Result<Draft> {
    let start = date(random, 2019, 2032)?;
    let weeks = random.number(1, 6);
    let nth = random.number(3, 12);
    let end = plus(start, weeks * 7 * (nth - 1))?;
    let mut day = Day::of(start);
    for _ in 1..nth {
        day = day.plus(weeks * 7);
    }
    agreed(day, Day::of(end))?;
    let (rhythm, shown) = (
        if weeks == 1 { "every week".to_owned() } else { format!("every {weeks} weeks") },
        spoken(random, start),
    );
    let task = random.choose([
        format!("A course takes place {rhythm}, for the first time on {shown}. On which date is its {} session?", ordinal(nth)),
        format!("The filter is changed {rhythm}, starting with {shown} as the first change. Date of change number {nth}?"),
    ]);
    Ok(Draft::exact("recurring dates", task, end, DATE))
}

fn day_of_year(random: &mut Random) -> Result<Draft> {
    let date = date(random, 2016, 2040)?;
    let number = i64::from(date.day_of_year());
    let year = i64::from(date.year());
    let walked = Day(year, 1, 1).days_until(Day::of(date)) + 1;
    let number = agreed(number, walked)?;
    let left = if is_leap(year) { 366 } else { 365 } - number;
    let shown = spoken(random, date);
    let (task, answer, form) = random.choose([
        (
            format!("Which day of the year is {shown}, if 1 January is day 1?"),
            number.to_string(),
            NUMBER,
        ),
        (format!("Day {number} of the year {year}: which date is it?"), date.to_string(), DATE),
        (format!("How many days are left in the year after {shown}?"), left.to_string(), NUMBER),
    ]);
    Ok(Draft::exact("day of the year", task, answer, form))
}

fn weekday_later(random: &mut Random) -> Result<Draft> {
    let today = random.below(7);
    let days = random.number(8, 400);
    let later = (0..days).fold(today, |day, _| (day + 1) % 7);
    let later = agreed(later, (today + days as usize) % 7)?;
    ensure!((later + 7 * 60 - days as usize % 7) % 7 == today, "back again");
    let (now, then) = (WEEKDAYS[today], WEEKDAYS[later]);
    let (task, answer) = random.choose([
        (format!("Today is a {now}. Which day of the week is it in {days} days?"), then),
        (format!("If today is {then}, what day of the week was it {days} days ago?"), now),
        (format!("{days} days from now it will be a {then}. What day is today?"), now),
    ]);
    Ok(Draft::exact("weekdays", task, answer, DAY))
}
