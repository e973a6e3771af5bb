//! Lengths, areas, angles, solids and points, with whole or exact answers; each is found by a formula
//! and again by counting or by another formula.

use anyhow::{Result, ensure};

use super::super::draft::{Draft, agreed, drawn, only};
use super::super::fraction::Fraction;
use super::super::random::Random;
use super::super::text::counted;
use super::Family;

const NUMBER: &str = "the number alone, without the unit";
const POINT: &str = "the point in the form (x, y)";

pub(super) const FAMILY: Family = Family {
    name: "geometry",
    weight: 25,
    templates: &[
        rectangle,
        triangle_angles,
        pythagoras,
        cuboid,
        polygon_angles,
        points,
        shoelace,
        circle,
        similar,
        walk,
        l_shape,
        painted_cube,
        moved_point,
        tiles,
    ],
};

fn rectangle(random: &mut Random) -> Result<Draft> {
    let (a, b) = (random.number(3, 60), random.number(3, 60));
    let area = agreed(a * b, (0..a).flat_map(|_| 0..b).count() as i64)?;
    let around = agreed(2 * (a + b), a + b + a + b)?;
    let (task, answer) = random.choose([
        (format!("A rectangle is {a} cm long and {b} cm wide. What is its area in square centimetres?"), area),
        (format!("Perimeter of a {a} m by {b} m rectangle, in metres?"), around),
        (format!("A rectangle of {area} cm² has one side of {a} cm. How long is the other side, in cm?"), b),
        (format!("A rectangular field has a perimeter of {around} m; one side is {a} m long. What is its area in square metres?"), area),
    ]);
    Ok(Draft::exact("rectangles", task, answer, NUMBER))
}

fn triangle_angles(random: &mut Random) -> Result<Draft> {
    let (a, b) = (random.number(20, 80), random.number(20, 80));
    let c = only((1..180).filter(|c| a + b + c == 180))?;
    let base = random.number(20, 85);
    let top = agreed(180 - 2 * base, only((1..180).filter(|top| base + base + top == 180))?)?;
    let (task, answer) = random.choose([
        (format!("Two angles of a triangle measure {a}° and {b}°. What is the third, in degrees?"), c),
        (format!("Each base angle of an isosceles triangle is {base}°. How large is the angle at the apex, in degrees?"), top),
        (format!("One side of a triangle is extended. The angles at the other two corners are {a}° and {b}°. How large is the exterior angle, in degrees?"), 180 - c),
    ]);
    Ok(Draft::exact("angles", task, answer, NUMBER))
}

fn pythagoras(random: &mut Random) -> Result<Draft> {
    let (a, b, c) = random.choose([
        (3, 4, 5),
        (5, 12, 13),
        (8, 15, 17),
        (7, 24, 25),
        (20, 21, 29),
        (9, 40, 41),
    ]);
    let scale = random.number(1, 8);
    let (a, b, c) = (a * scale, b * scale, c * scale);
    agreed(c, only((1..=400).filter(|c| c * c == a * a + b * b))?)?;
    let (task, answer) = random.choose([
        (format!("The legs of a right triangle are {a} cm and {b} cm long. How long is the hypotenuse, in cm?"), c),
        (format!("A ladder of {c} dm leans against a wall; its foot stands {a} dm away from the wall. How high does it reach, in dm?"), b),
        (format!("How long is the diagonal of a rectangle with sides of {b} m and {a} m, in metres?"), c),
        (format!("A right triangle has a hypotenuse of {c} and one leg of {b}. What is its area?"), a * b / 2),
    ]);
    Ok(Draft::exact("right triangles", task, answer, NUMBER))
}

fn cuboid(random: &mut Random) -> Result<Draft> {
    let [a, b, c] = std::array::from_fn(|_| random.number(2, 25));
    let volume = agreed(a * b * c, (0..a).map(|_| (0..b).map(|_| c).sum::<i64>()).sum())?;
    let surface = agreed(2 * (a * b + b * c + c * a), 2 * a * b + (2 * a + 2 * b) * c)?;
    let (task, answer) = random.choose([
        (format!("What is the volume of a box of {a} cm by {b} cm by {c} cm, in cubic centimetres?"), volume),
        (format!("How large is the surface of a cuboid with edges of {a}, {b} and {c} cm, in square centimetres?"), surface),
        (format!("A cuboid has a volume of {volume} cm³ and a base of {a} cm by {b} cm. How high is it, in cm?"), c),
        (format!("Total length of all edges of a {a} x {b} x {c} cm block, in cm?"), 4 * (a + b + c)),
    ]);
    Ok(Draft::exact("solids", task, answer, NUMBER))
}

fn polygon_angles(random: &mut Random) -> Result<Draft> {
    let corners = random.choose([5, 6, 8, 9, 10, 12, 15, 18, 20, 24]);
    let sum = (corners - 2) * 180;
    let each = Fraction::new(sum, corners);
    agreed(each, Fraction::from(180) - Fraction::new(360, corners))?;
    let diagonals = (0..corners).flat_map(|a| (a + 1..corners).map(move |b| b - a));
    let diagonals = diagonals.filter(|step| *step != 1 && *step != corners - 1).count() as i64;
    let diagonals = agreed(diagonals, corners * (corners - 3) / 2)?;
    let (task, answer) = random.choose([
        (format!("What is the sum of the interior angles of a polygon with {corners} sides, in degrees?"), sum),
        (format!("How large is each interior angle of a regular polygon with {corners} corners, in degrees?"), each.numerator()),
        (format!("How many diagonals does a convex polygon with {corners} corners have?"), diagonals),
    ]);
    ensure!(each.denominator() == 1, "the angle is whole");
    Ok(Draft::exact("polygons", task, answer, NUMBER))
}

fn points(random: &mut Random) -> Result<Draft> {
    let (x, y) = (random.number(-12, 12), random.number(-12, 12));
    let (a, b, c) = random.choose([(3, 4, 5), (6, 8, 10), (5, 12, 13), (8, 6, 10), (12, 9, 15)]);
    let (right, up) = (random.choose([a, -a]), random.choose([b, -b]));
    let (x2, y2) = (x + right, y + up);
    agreed(c, only((0..100).filter(|c| c * c == (x - x2) * (x - x2) + (y - y2) * (y - y2)))?)?;
    let (mid_x, mid_y) = (x + right, y + up);
    let (far_x, far_y) = (x + 2 * right, y + 2 * up);
    agreed((2 * mid_x, 2 * mid_y), (x + far_x, y + far_y))?;
    let (task, answer, form) = random.choose([
        (
            format!("What is the distance between the points ({x}, {y}) and ({x2}, {y2})?"),
            c.to_string(),
            NUMBER,
        ),
        (
            format!("Find the midpoint of the segment from ({x}, {y}) to ({far_x}, {far_y})."),
            format!("({mid_x}, {mid_y})"),
            POINT,
        ),
        (
            format!("M = ({mid_x}, {mid_y}) is the midpoint of A = ({x}, {y}) and B. Where is B?"),
            format!("({far_x}, {far_y})"),
            POINT,
        ),
    ]);
    Ok(Draft::exact("coordinates", task, answer, form))
}

/// Twice the area of a polygon by the sum of its cross products.
fn twice_area(corners: &[(i64, i64)]) -> i64 {
    let next = corners.iter().cycle().skip(1);
    corners.iter().zip(next).map(|((x, y), (x2, y2))| x * y2 - x2 * y).sum::<i64>().abs()
}

fn shoelace(random: &mut Random) -> Result<Draft> {
    // A corner in each quarter around the origin: the polygon is simple in this order.
    let mut corner =
        |signs: (i64, i64)| (signs.0 * random.number(1, 9), signs.1 * random.number(1, 9));
    let corners = [(1, 1), (-1, 1), (-1, -1), (1, -1)].map(&mut corner);
    // Split along a diagonal into triangles, whichever way they turn.
    let half = |three: [(i64, i64); 3]| {
        let [(x, y), (x2, y2), (x3, y3)] = three;
        (x2 - x) * (y3 - y) - (x3 - x) * (y2 - y)
    };
    let [a, b, c, d] = corners;
    let twice = agreed(twice_area(&corners), (half([a, b, c]) + half([a, c, d])).abs())?;
    let (dx, dy) = (random.number(-5, 5), random.number(-5, 5));
    let shown = corners.map(|(x, y)| format!("({}, {})", x + dx, y + dy));
    let area = Fraction::new(twice, 2).decimal()?;
    let task = random.choose([
        format!("What is the area of the quadrilateral with the corners {}, in this order?", shown.join(", ")),
        format!("A plot of land has its corners at {} (joined in this order, one unit = 1 m). How many square metres is it?", shown.join(", ")),
    ]);
    Ok(Draft::exact("areas", task, area, NUMBER))
}

fn circle(random: &mut Random) -> Result<Draft> {
    let radius = random.number(2, 30);
    let area = agreed(radius * radius, (0..radius).map(|step| 2 * step + 1).sum())?;
    let height = random.number(2, 20);
    let (task, answer) = random.choose([
        (format!("The area of a circle with a radius of {radius} cm is a whole multiple of π cm². Which multiple?"), area),
        (format!("A circle has a diameter of {} m. Its circumference is k·π m. What is k?", 2 * radius), 2 * radius),
        (format!("A cylinder has a radius of {radius} cm and a height of {height} cm. Its volume is V·π cm³. What is V?"), area * height),
        (format!("What is the radius of a circle whose area is {area}π?"), radius),
    ]);
    Ok(Draft::exact("circles", task, answer, NUMBER))
}

fn similar(random: &mut Random) -> Result<Draft> {
    let (height, shadow, times) = (random.number(2, 9), random.number(2, 12), random.number(2, 12));
    let (tall, long) = (height * times, shadow * times);
    agreed(Fraction::new(height, shadow), Fraction::new(tall, long))?;
    let thing = random.choose(["tree", "tower", "mast", "chimney"]);
    let (task, answer) = random.choose([
        (format!("A stick {height} dm high throws a shadow of {shadow} dm. At the same time a {thing} throws a shadow of {long} dm. How high is the {thing}, in dm?"), tall),
        (format!("Two triangles are similar. Sides of {height} cm and {shadow} cm in the first match sides of {tall} cm and x cm in the second. What is x?"), long),
        (format!("A plan is drawn at a scale of 1:{}. A wall is {height} cm long on it. How long is the real wall, in cm?", times * 50), height * times * 50),
        (format!("All sides of a figure of {height} cm² are made {times} times as long. What is its new area in cm²?"), height * times * times),
    ]);
    Ok(Draft::exact("similarity", task, answer, NUMBER))
}

fn walk(random: &mut Random) -> Result<Draft> {
    const HEADINGS: [(&str, i64, i64); 4] =
        [("north", 0, 1), ("east", 1, 0), ("south", 0, -1), ("west", -1, 0)];
    let steps = random.size(3, 7);
    let mut heading = 0;
    let (mut x, mut y) = (0, 0);
    let mut story = Vec::new();
    let mut sums = [0; 4];
    for _ in 0..steps {
        let (turn, by) = random.choose([("left", 3), ("right", 1)]);
        heading = (heading + by) % 4;
        let length = random.number(1, 9);
        let (_, dx, dy) = HEADINGS[heading];
        (x, y) = (x + dx * length, y + dy * length);
        sums[heading] += length;
        story.push(format!("turns {turn} and goes {}", counted(length, "step")));
    }
    agreed((x, y), (sums[1] - sums[3], sums[0] - sums[2]))?;
    let story = story.join(", ");
    let start = "A robot stands at (0, 0) and faces north (the direction of growing y).";
    let (task, answer, form) = random.choose([
        (format!("{start} It {story}. At which point is it then?"), format!("({x}, {y})"), POINT),
        (
            format!("{start} It {story}. Which direction does it face in the end?"),
            HEADINGS[heading].0.to_owned(),
            "north, east, south or west",
        ),
        (
            format!(
                "{start} It {story}. How many steps is the shortest way back along the grid lines?"
            ),
            (x.abs() + y.abs()).to_string(),
            "the number alone",
        ),
    ]);
    Ok(Draft::exact("paths", task, answer, form))
}

fn l_shape(random: &mut Random) -> Result<Draft> {
    let (width, height) = (random.number(6, 25), random.number(6, 25));
    let (cut_width, cut_height) = (random.number(2, width - 3), random.number(2, height - 3));
    let area = width * height - cut_width * cut_height;
    let cells = (0..width).flat_map(|x| (0..height).map(move |y| (x, y)));
    let area = agreed(
        area,
        cells.filter(|(x, y)| *x < width - cut_width || *y < height - cut_height).count() as i64,
    )?;
    let outline = [
        (0, 0),
        (width, 0),
        (width, height - cut_height),
        (width - cut_width, height - cut_height),
        (width - cut_width, height),
        (0, height),
    ];
    agreed(2 * area, twice_area(&outline))?;
    let room = format!(
        "A room of {width} m by {height} m has a rectangular corner of {cut_width} m by {cut_height} m cut out of it"
    );
    let (task, answer) = random.choose([
        (format!("{room}. What is the area of the room that is left, in square metres?"), area),
        (format!("{room}. How many metres of skirting board run all around the walls, doors not counted?"), 2 * (width + height)),
    ]);
    Ok(Draft::exact("areas", task, answer, NUMBER))
}

fn painted_cube(random: &mut Random) -> Result<Draft> {
    let size = random.number(3, 10);
    let faces = random.choose([0, 1, 1, 2, 2, 3]);
    let inner = size - 2;
    let outside = |at: i64| usize::from(at == 0 || at == size - 1);
    let cubes =
        (0..size).flat_map(|x| (0..size).flat_map(move |y| (0..size).map(move |z| (x, y, z))));
    let counted =
        cubes.filter(|(x, y, z)| outside(*x) + outside(*y) + outside(*z) == faces).count();
    let formula = [inner.pow(3), 6 * inner * inner, 12 * inner, 8][faces];
    let answer = agreed(counted as i64, formula)?;
    let how = [
        "no painted face",
        "exactly one painted face",
        "exactly two painted faces",
        "exactly three painted faces",
    ][faces];
    let task = format!(
        "A wooden cube is painted red all over and then sawn into {size} x {size} x {size} equal small cubes. How many of them have {how}?"
    );
    Ok(Draft::exact("solids", task, answer, "the number alone"))
}

fn moved_point(random: &mut Random) -> Result<Draft> {
    let (x, y) = drawn(random, |random| {
        let (x, y) = (random.number(-9, 9), random.number(-9, 9));
        (x != 0 && y != 0 && x.abs() != y.abs()).then_some((x, y))
    })?;
    let (motion, (to_x, to_y)) = random.choose([
        ("rotated by 90° counterclockwise about the origin", (-y, x)),
        ("rotated by 90° clockwise about the origin", (y, -x)),
        ("rotated by 180° about the origin", (-x, -y)),
        ("reflected in the x-axis", (x, -y)),
        ("reflected in the y-axis", (-x, y)),
        ("reflected in the line y = x", (y, x)),
    ]);
    // None of them changes the distance from the origin.
    agreed(x * x + y * y, to_x * to_x + to_y * to_y)?;
    let (dx, dy) = (random.number(-6, 6), random.number(1, 6));
    let (task, answer) = random.choose([
        (format!("The point ({x}, {y}) is {motion}. Where does it end up?"), (to_x, to_y)),
        (
            format!("Point P = ({x}, {y}) is {motion}, then shifted by {dx} in x and by {dy} in y. Give its new coordinates."),
            (to_x + dx, to_y + dy),
        ),
    ]);
    Ok(Draft::exact("transformations", task, format!("({}, {})", answer.0, answer.1), POINT))
}

fn tiles(random: &mut Random) -> Result<Draft> {
    let (across, along, tile) =
        (random.number(4, 30), random.number(4, 30), random.choose([10, 15, 20, 25, 30, 40]));
    let (width, length) = (across * tile, along * tile);
    let count = agreed(across * along, (width * length) / (tile * tile))?;
    let border = agreed(2 * (across + along) - 4, across * along - (across - 2) * (along - 2))?;
    let (task, answer) = random.choose([
        (format!("How many square tiles with sides of {tile} cm cover a floor of {width} cm by {length} cm?"), count),
        (format!("A floor of {width} cm by {length} cm is covered with square tiles of {tile} cm. How many of the tiles touch a wall?"), border),
    ]);
    Ok(Draft::exact("tilings", task, answer, "the number alone"))
}
