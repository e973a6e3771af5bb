//! Many points as hexagons, darker the more points they hold. The classes are the same in every panel, so
//! that one legend serves them all, and a single point is visible.

use std::collections::BTreeMap;

use super::palette::{Ink, SHADES};
use super::scene::{Area, Fill, Point, Shape};

/// From the middle of a hexagon to a corner, in pixels.
const RADIUS: f64 = 4.0;

/// From how many points on a cell is of the next class.
const CLASSES: [usize; SHADES] = [1, 3, 10, 30, 100, 300];

/// The class of a cell that holds `count` points.
fn class(count: usize) -> usize {
    CLASSES.partition_point(|least| *least <= count).saturating_sub(1)
}

/// What the classes are called.
#[must_use]
pub(super) fn class_names() -> Vec<String> {
    let mut names: Vec<String> =
        CLASSES.windows(2).map(|pair| format!("{}–{}", pair[0], pair[1] - 1)).collect();
    names.push(format!("{} or more", CLASSES[SHADES - 1]));
    names
}

/// The cells that hold points; those with many in front.
pub(super) fn shapes(points: &[Point], area: &Area) -> Vec<Shape> {
    let mut counts: BTreeMap<(i64, i64), usize> = BTreeMap::new();
    for point in points {
        *counts.entry(cell(*point)).or_default() += 1;
    }
    let mut classes: [Vec<Vec<Point>>; SHADES] = Default::default();
    for (cell, count) in counts {
        // At an edge only a part of it is in the frame.
        let inside = |corner: Point| {
            Point::new(
                corner.x.clamp(area.left, area.right()),
                corner.y.clamp(area.top, area.bottom()),
            )
        };
        classes[class(count)].push(hexagon(centre(cell)).map(inside).to_vec());
    }
    let shaded = classes.into_iter().enumerate().filter(|(_, outlines)| !outlines.is_empty());
    shaded
        .map(|(class, outlines)| Shape::Surfaces { outlines, fill: Fill::solid(Ink::Shade(class)) })
        .collect()
}

const COLUMN: f64 = 1.732_050_807_568_877_2 * RADIUS;
const ROW: f64 = 1.5 * RADIUS;

/// The cell whose centre is nearest. Odd rows are half a column to the right.
fn cell(point: Point) -> (i64, i64) {
    let row = (point.y / ROW).floor() as i64;
    let in_row = |row: i64| {
        let shift = if row.rem_euclid(2) == 1 { 0.5 } else { 0.0 };
        ((point.x / COLUMN - shift).round() as i64, row)
    };
    let distance = |cell: (i64, i64)| {
        let centre = centre(cell);
        (centre.x - point.x).hypot(centre.y - point.y)
    };
    let (upper, lower) = (in_row(row), in_row(row + 1));
    if distance(upper) <= distance(lower) { upper } else { lower }
}

fn centre((column, row): (i64, i64)) -> Point {
    let shift = if row.rem_euclid(2) == 1 { 0.5 } else { 0.0 };
    Point::new((column as f64 + shift) * COLUMN, row as f64 * ROW)
}

fn hexagon(centre: Point) -> [Point; 6] {
    let (half, quarter) = (COLUMN / 2.0, RADIUS / 2.0);
    [
        (0.0, -RADIUS),
        (half, -quarter),
        (half, quarter),
        (0.0, RADIUS),
        (-half, quarter),
        (-half, -quarter),
    ]
    .map(|(dx, dy)| Point::new(centre.x + dx, centre.y + dy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_told_apart_where_their_names_say() {
        for (count, expected) in
            [(1, 0), (2, 0), (3, 1), (9, 1), (10, 2), (299, 4), (300, 5), (1_000_000, 5)]
        {
            assert_eq!(class(count), expected, "{count}");
        }
        assert_eq!(class_names(), ["1–2", "3–9", "10–29", "30–99", "100–299", "300 or more"]);
    }

    #[test]
    fn every_point_is_in_the_hexagon_that_is_drawn_for_it() {
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..1_000 {
            let point = Point::new(random.f64() * 100.0 - 50.0, random.f64() * 100.0 - 50.0);
            let centre = centre(cell(point));
            let (dx, dy) = ((point.x - centre.x).abs(), (point.y - centre.y).abs());
            assert!(dx <= COLUMN / 2.0 + 1e-9, "{point:?}");
            assert!(dy <= RADIUS - dx / 3.0_f64.sqrt() + 1e-9, "{point:?}");
        }
    }

    #[test]
    fn no_point_is_lost() {
        let points = vec![Point::new(10.0, 10.0); 50];
        let area = Area { left: 0.0, top: 0.0, width: 1_000.0, height: 20.0 };
        let shapes = shapes(&points, &area);
        let [Shape::Surfaces { outlines, fill }] = &shapes[..] else { panic!("{shapes:?}") };
        assert_eq!((outlines.len(), fill.ink), (1, Ink::Shade(3)));
        let spread: Vec<Point> = (0..50).map(|n| Point::new(f64::from(20 * n), 0.0)).collect();
        let shapes = super::shapes(&spread, &area);
        let [Shape::Surfaces { outlines, fill }] = &shapes[..] else { panic!("{shapes:?}") };
        assert_eq!((outlines.len(), fill.ink), (50, Ink::Shade(0)));
        assert!(outlines.iter().flatten().all(|corner| corner.x >= 0.0 && corner.y >= 0.0));
    }
}
