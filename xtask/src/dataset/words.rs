//! The names and words that prompts are made of.

/// First names.
pub(super) const NAMES: [&str; 48] = [
    "Ada", "Amir", "Bella", "Bruno", "Chen", "Clara", "Dana", "Diego", "Elif", "Emil", "Farah",
    "Felix", "Grace", "Hana", "Hugo", "Ines", "Ivan", "Jonas", "Joy", "Kai", "Kofi", "Lena", "Leo",
    "Lucia", "Malik", "Mara", "Mei", "Milo", "Nadia", "Nils", "Olga", "Omar", "Petra", "Priya",
    "Quinn", "Rania", "Rosa", "Ruben", "Sana", "Sven", "Tara", "Theo", "Uma", "Viktor", "Wanda",
    "Yara", "Yusuf", "Zoe",
];

/// Family names.
pub(super) const SURNAMES: [&str; 24] = [
    "Okafor",
    "Lindqvist",
    "Reyes",
    "Halloran",
    "Petit",
    "Sato",
    "Novak",
    "Brandt",
    "Silva",
    "Moreau",
    "Kowalski",
    "Haddad",
    "Iversen",
    "Costa",
    "Nakamura",
    "Fischer",
    "Adeyemi",
    "Rossi",
    "Berg",
    "Chaudhry",
    "Duarte",
    "Eklund",
    "Farkas",
    "Greco",
];

/// Common nouns of four to ten letters.
pub(super) const WORDS: [&str; 112] = [
    "anchor", "apple", "arrow", "autumn", "balance", "banana", "basket", "battery", "beacon",
    "blanket", "bottle", "branch", "bridge", "bucket", "button", "cabin", "camera", "candle",
    "canvas", "carpet", "castle", "cellar", "chapter", "cherry", "circle", "clover", "coffee",
    "copper", "corner", "cotton", "cradle", "curtain", "daisy", "desert", "dinner", "dragon",
    "engine", "feather", "fiddle", "filter", "finger", "flower", "forest", "garden", "ginger",
    "glacier", "granite", "hammer", "harbour", "harvest", "helmet", "honey", "island", "jacket",
    "journal", "jungle", "kettle", "kitchen", "ladder", "lantern", "lemon", "letter", "library",
    "magnet", "marble", "market", "meadow", "medal", "mirror", "mountain", "museum", "needle",
    "nettle", "notebook", "orange", "orchard", "paddle", "paper", "pebble", "pencil", "pepper",
    "picture", "pillow", "planet", "pocket", "puzzle", "rabbit", "radio", "ribbon", "river",
    "rocket", "saddle", "saucer", "season", "shadow", "silver", "spider", "spring", "station",
    "summer", "sunset", "table", "ticket", "timber", "tunnel", "umbrella", "valley", "velvet",
    "village", "window", "winter", "yellow",
];

/// Things that one buys by the piece, in the singular, with a plural in -s.
pub(super) const GOODS: [&str; 20] = [
    "notebook", "pencil", "candle", "lamp", "cushion", "mug", "plate", "poster", "basket",
    "blanket", "towel", "vase", "clock", "stool", "kettle", "bowl", "tray", "hook", "rug", "frame",
];

/// Colours.
pub(super) const COLOURS: [&str; 8] =
    ["red", "blue", "green", "yellow", "white", "black", "orange", "purple"];

/// Towns that aren't on any map.
pub(super) const TOWNS: [&str; 20] = [
    "Alderton",
    "Brackwater",
    "Corvale",
    "Dunmere",
    "Eastholm",
    "Farrowby",
    "Glenmoor",
    "Hartwick",
    "Ironbridge Bay",
    "Juniper Falls",
    "Kestrel Point",
    "Larkhill",
    "Marrowby",
    "Northam",
    "Oakhaven",
    "Pellworth",
    "Quarry End",
    "Ravensea",
    "Stonecross",
    "Thornby",
];

/// The days of a week, from Monday.
pub(super) const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The months of a year.
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nothing_is_listed_twice() {
        let lists: [&[&str]; 6] = [&NAMES, &SURNAMES, &WORDS, &GOODS, &COLOURS, &TOWNS];
        for list in lists {
            assert_eq!(list.iter().collect::<BTreeSet<_>>().len(), list.len());
        }
    }
}
