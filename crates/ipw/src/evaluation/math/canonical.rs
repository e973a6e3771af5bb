//! One spelling for the many in which the same formula is written.
//!
//! Answers: a text that is equal for two formulas that look the same on paper. It knows nothing of values.
//! In the canonical spelling
//! - arguments and scripts stand in braces (`\frac{1}{2}`, `\sqrt{2}`, `^{2}`), and no other braces do but those
//!   of commands that aren't known;
//! - there is no space, but one between two numbers (`3 1/2`) and one behind a command without argument (`\pi `);
//! - a unit or another text behind a value is `\text{cm}`, all other text is plain letters;
//! - `*` and `/` multiply and divide, `-` is every dash, `,` every "and" and "or" between values.

/// Groups within groups. What is nested more deeply has no canonical spelling.
const DEEPEST: usize = 32;
/// Commands that change how something looks and not what it is.
const WITHOUT_MEANING: [&str; 22] = [
    "left",
    "right",
    "middle",
    "big",
    "Big",
    "bigg",
    "Bigg",
    "bigl",
    "Bigl",
    "biggl",
    "Biggl",
    "bigr",
    "Bigr",
    "biggr",
    "Biggr",
    "displaystyle",
    "textstyle",
    "limits",
    "nolimits",
    "rm",
    "bf",
    "mathstrut",
];
/// Commands whose argument is text.
const TEXTS: [&str; 8] =
    ["text", "textbf", "textit", "textrm", "textnormal", "mbox", "hbox", "mathrm"];
/// Commands whose argument is what they show.
const WRAPPERS: [&str; 10] = [
    "boxed",
    "fbox",
    "mathbf",
    "mathit",
    "mathsf",
    "boldsymbol",
    "bm",
    "operatorname",
    "ensuremath",
    "mathop",
];
/// Other names, and other signs, of the same.
const ALIASES: [(&str, &str); 16] = [
    ("times", "*"),
    ("cdot", "*"),
    ("ast", "*"),
    ("div", "/"),
    ("leq", "\\le "),
    ("geq", "\\ge "),
    ("leqslant", "\\le "),
    ("geqslant", "\\ge "),
    ("neq", "\\ne "),
    ("lt", "<"),
    ("gt", ">"),
    ("dots", "\\ldots "),
    ("cdots", "\\ldots "),
    ("lbrace", "\\{"),
    ("rbrace", "\\}"),
    ("colon", ":"),
];
const SIGNS: [(char, &str); 19] = [
    ('\u{2010}', "-"),
    ('\u{2011}', "-"),
    ('\u{2013}', "-"),
    ('\u{2014}', "-"),
    ('\u{2212}', "-"),
    ('\u{d7}', "*"),
    ('\u{b7}', "*"),
    ('\u{22c5}', "*"),
    ('\u{f7}', "/"),
    ('\u{3c0}', "\\pi "),
    ('\u{221e}', "\\infty "),
    ('\u{b0}', "\\degree "),
    ('\u{2264}', "\\le "),
    ('\u{2265}', "\\ge "),
    ('\u{2260}', "\\ne "),
    ('\u{222a}', "\\cup "),
    ('\u{2208}', "\\in "),
    ('\u{b1}', "\\pm "),
    ('\u{b2}', "^{2}"),
];
/// Units that are as short as a product of variables might be.
const SHORT_UNITS: [&str; 18] = [
    "cm", "mm", "km", "kg", "mg", "ft", "in", "mi", "yd", "hr", "hrs", "min", "sec", "lb", "lbs",
    "oz", "mph", "mL",
];
/// How long a word without a command has to be to be a unit and no product of variables.
const LONG_WORD: usize = 4;

/// What a comma between a digit and three others is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comma {
    /// Part of a number: `1,000`.
    Thousands,
    /// Between two elements: `(1,200)`.
    Separator,
}

/// The canonical spelling; `None` for what is nested too deeply.
pub(super) fn canonical(text: &str, comma: Comma) -> Option<String> {
    // A negative space sets thousands apart in older texts: `1,\!000`.
    let text = text.replace("\\!", "");
    let rest = text.trim_matches(|it: char| it.is_whitespace() || "*`\"".contains(it));
    let mut scanner = Scanner { rest, comma, spelled: String::new(), gap: false };
    scanner.sequence(None, 0)?;
    let spelled = scanner.spelled.trim_end_matches(['.', ',', ';', ':']);
    Some(spelled.trim_start_matches(['+', '=']).to_owned())
}

/// A canonical text without the marks around units and texts: what is compared.
pub(super) fn plain(canonical: &str) -> String {
    let mut plain = String::with_capacity(canonical.len());
    let mut rest = canonical;
    while let Some((before, after)) = rest.split_once("\\text{") {
        let (text, after) = after.split_once('}').unwrap_or((after, ""));
        plain.push_str(before);
        plain.push_str(text);
        rest = after;
    }
    plain + rest
}

struct Scanner<'a> {
    rest: &'a str,
    comma: Comma,
    spelled: String,
    /// There was space since the last thing that was spelled.
    gap: bool,
}

impl Scanner<'_> {
    /// Everything up to `closing`, which is taken, too; without one, to the end.
    fn sequence(&mut self, closing: Option<char>, depth: usize) -> Option<()> {
        let mut open_parentheses = 0_usize;
        while let Some(next) = self.rest.chars().next() {
            if Some(next) == closing && open_parentheses == 0 {
                self.skip(next);
                return Some(());
            }
            match next {
                '(' if closing == Some(')') => open_parentheses += 1,
                ')' if closing == Some(')') => open_parentheses -= 1,
                _ => {}
            }
            self.item(next, depth)?;
        }
        Some(())
    }

    /// One thing that is written, which begins with `next`.
    fn item(&mut self, next: char, depth: usize) -> Option<()> {
        match next {
            '\\' => return self.command(depth),
            '{' => {
                self.skip(next);
                return self.deeper('}', depth);
            }
            '^' | '_' => {
                self.skip(next);
                return self.script(next, depth);
            }
            '0'..='9' | '.' if self.begins_number() => self.number(),
            // A brace that was never opened, a formula's end.
            '}' | '$' => self.skip(next),
            '~' => {
                self.skip(next);
                self.gap = true;
            }
            '\u{221a}' => {
                self.skip(next);
                return self.root_sign(depth);
            }
            _ if next.is_whitespace() => {
                self.skip(next);
                self.gap = true;
            }
            _ if next.is_ascii_alphabetic() => return self.word(depth),
            _ => self.sign(next),
        }
        Some(())
    }

    fn skip(&mut self, next: char) {
        self.rest = &self.rest[next.len_utf8()..];
    }

    fn spell(&mut self, text: &str) {
        self.spelled.push_str(text);
        self.gap = false;
    }

    /// What stands up to `closing`, one group further in.
    fn deeper(&mut self, closing: char, depth: usize) -> Option<()> {
        if depth >= DEEPEST {
            return None;
        }
        self.sequence(Some(closing), depth + 1)
    }

    /// A sign that is neither letter nor digit nor LaTeX.
    fn sign(&mut self, next: char) {
        if let Some(after) = self.rest.strip_prefix("<=") {
            self.rest = after;
            return self.spell("\\le ");
        }
        if let Some(after) = self.rest.strip_prefix(">=") {
            self.rest = after;
            return self.spell("\\ge ");
        }
        self.skip(next);
        match SIGNS.iter().find(|(sign, _)| *sign == next) {
            Some((_, spelled)) => self.spell(spelled),
            None => self.spell(next.encode_utf8(&mut [0; 4])),
        }
    }

    fn begins_number(&self) -> bool {
        let digits = self.rest.strip_prefix('.').unwrap_or(self.rest);
        digits.starts_with(|digit: char| digit.is_ascii_digit())
    }

    /// `1234`, `1,234.5`, `1{,}234`, `1\,234`, `.5`.
    fn number(&mut self) {
        if self.gap && self.spelled.ends_with(|digit: char| digit.is_ascii_digit()) {
            self.spell(" ");
        }
        let length = self.digits();
        if length == 0 {
            self.spell("0");
        }
        while (1..=3).contains(&length) && self.skip_thousands_mark() {
            self.digits();
        }
        let decimals = self.rest.strip_prefix('.');
        if let Some(decimals) = decimals.filter(|_| self.begins_decimals()) {
            self.rest = decimals;
            self.spell(".");
            self.digits();
        }
    }

    fn begins_decimals(&self) -> bool {
        self.rest.starts_with('.') && self.begins_number()
    }

    /// Spells the digits that come, and tells how many there were.
    fn digits(&mut self) -> usize {
        let rest = self.rest;
        let length = leading_digits(rest);
        self.rest = &rest[length..];
        self.spell(&rest[..length]);
        length
    }

    /// Whether there was a mark and three digits follow it.
    fn skip_thousands_mark(&mut self) -> bool {
        let comma = (self.comma == Comma::Thousands).then_some(",");
        let marks = ["{,}", "\\,", "{\\,}"].into_iter().chain(comma);
        let mut after = marks.filter_map(|mark| self.rest.strip_prefix(mark));
        let digits = after.find(|after| leading_digits(after) == 3);
        self.rest = digits.unwrap_or(self.rest);
        digits.is_some()
    }

    /// Letters without a command: variables, a unit, "and", or other text.
    fn word(&mut self, depth: usize) -> Option<()> {
        let rest = self.rest;
        let end = rest.find(|it: char| !it.is_ascii_alphabetic()).unwrap_or(rest.len());
        let word = &rest[..end];
        self.rest = &rest[end..];
        let may_be_unit = SHORT_UNITS.contains(&word) || (end >= LONG_WORD && self.gap);
        match word {
            "sqrt" => return self.root_sign(depth),
            "pi" => self.spell("\\pi "),
            "infinity" => self.spell("\\infty "),
            _ if is_separator(word) => self.spell(","),
            _ if may_be_unit && self.ends_with_number() => self.unit(word),
            _ => self.spell(word),
        }
        Some(())
    }

    /// Whether what is spelled ends with a number or with a unit behind one.
    fn ends_with_number(&self) -> bool {
        let digit_before = |text: &str| text.ends_with(|last: char| last.is_ascii_digit());
        let unit = self.spelled.strip_suffix('}').and_then(|text| text.rsplit_once("\\text{"));
        digit_before(&self.spelled) || unit.is_some_and(|(before, _)| !before.is_empty())
    }

    fn unit(&mut self, word: &str) {
        match word {
            "degrees" | "degree" | "deg" => self.spell("\\degree "),
            "percent" => self.spell("%"),
            _ => self.spell(&format!("\\text{{{word}}}")),
        }
    }

    /// `^` or `_` and what it raises or lowers.
    fn script(&mut self, sign: char, depth: usize) -> Option<()> {
        let start = self.spelled.len();
        self.spell(&format!("{sign}{{"));
        let inside = self.spelled.len();
        self.skip_space();
        if let Some(after) = self.rest.strip_prefix('(') {
            self.rest = after;
            self.deeper(')', depth)?;
        } else {
            if let Some(after) = self.rest.strip_prefix('-') {
                self.rest = after;
                self.spell("-");
            }
            // Not as TeX does: who writes `2^10` means ten.
            if self.digits() == 0 {
                self.argument(depth)?;
            }
        }
        match &self.spelled[inside..] {
            "" => self.spelled.truncate(start),
            "\\circ " | "\\circ" => {
                self.spelled.truncate(start);
                self.spell("\\degree ");
            }
            _ => self.spell("}"),
        }
        Some(())
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// A group, or the one digit, letter or command that stands for it.
    fn argument(&mut self, depth: usize) -> Option<()> {
        self.skip_space();
        let Some(next) = self.rest.chars().next() else { return Some(()) };
        match next {
            '{' => {
                self.skip(next);
                self.deeper('}', depth)
            }
            '}' => Some(()),
            '\\' if depth < DEEPEST => self.item(next, depth + 1),
            '\\' => None,
            _ => {
                self.skip(next);
                self.spell(next.encode_utf8(&mut [0; 4]));
                Some(())
            }
        }
    }

    fn braced_argument(&mut self, depth: usize) -> Option<()> {
        self.spell("{");
        self.argument(depth)?;
        self.spell("}");
        Some(())
    }

    fn command(&mut self, depth: usize) -> Option<()> {
        let after = &self.rest[1..];
        let end = after.find(|it: char| !it.is_ascii_alphabetic()).unwrap_or(after.len());
        let name = &after[..end];
        self.rest = &after[end..];
        match name {
            "" => self.escaped(),
            "frac" | "dfrac" | "tfrac" | "cfrac" => return self.two_arguments("frac", depth),
            "binom" | "dbinom" | "tbinom" => return self.two_arguments("binom", depth),
            "sqrt" => return self.root(depth),
            "begin" | "end" => self.environment(name),
            "quad" | "qquad" | "enspace" | "thinspace" => self.gap = true,
            _ if WITHOUT_MEANING.contains(&name) => {
                // `\left.` is the bracket that isn't there.
                let bracket = name == "left" || name == "right";
                self.rest = self.rest.strip_prefix('.').filter(|_| bracket).unwrap_or(self.rest);
            }
            _ if TEXTS.contains(&name) => return self.text(name, depth),
            _ if WRAPPERS.contains(&name) => return self.argument(depth),
            _ => match ALIASES.iter().find(|(alias, _)| *alias == name) {
                Some((_, spelled)) => self.spell(spelled),
                None => return self.unknown(name, depth),
            },
        }
        Some(())
    }

    /// A backslash before something that is no letter.
    fn escaped(&mut self) {
        let Some(next) = self.rest.chars().next() else { return };
        self.skip(next);
        match next {
            '{' => self.spell("\\{"),
            '}' => self.spell("\\}"),
            '\\' => self.spell("\\\\ "),
            // Space, a formula's delimiters, a currency.
            ' ' | ',' | ':' | ';' | '\n' => self.gap = true,
            '(' | ')' | '[' | ']' | '$' => {}
            _ => self.spell(next.encode_utf8(&mut [0; 4])),
        }
    }

    fn two_arguments(&mut self, name: &str, depth: usize) -> Option<()> {
        self.spell(&format!("\\{name}"));
        self.braced_argument(depth)?;
        self.braced_argument(depth)
    }

    /// The argument of a root, and which root.
    fn root(&mut self, depth: usize) -> Option<()> {
        self.skip_space();
        self.spell("\\sqrt");
        if let Some(after) = self.rest.strip_prefix('[') {
            self.rest = after;
            self.spell("[");
            self.deeper(']', depth)?;
            self.spell("]");
            if let Some(square) = self.spelled.strip_suffix("[2]") {
                self.spelled.truncate(square.len());
            }
        }
        self.braced_argument(depth)
    }

    /// A root that isn't LaTeX is that of a whole number or of what is in parentheses.
    fn root_sign(&mut self, depth: usize) -> Option<()> {
        self.spell("\\sqrt{");
        if let Some(after) = self.rest.strip_prefix('(') {
            self.rest = after;
            self.deeper(')', depth)?;
        } else if self.digits() == 0 {
            self.argument(depth)?;
        }
        self.spell("}");
        Some(())
    }

    /// All matrices are alike, whatever their brackets; a last row may be closed or not.
    fn environment(&mut self, which: &str) {
        let group = self.rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let Some((name, rest)) = group else { return };
        self.rest = rest;
        let is_matrix = name.ends_with("matrix") || name == "array";
        if name == "array" {
            let columns = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            self.rest = columns.map_or(rest, |(_, rest)| rest);
        }
        if let Some(row) = self.spelled.strip_suffix("\\\\ ").filter(|_| which == "end") {
            self.spelled.truncate(row.len());
        }
        self.spell(&format!("\\{which}{{{}}}", if is_matrix { "matrix" } else { name }));
    }

    /// Text: a separator, a unit behind a value, or what it says.
    fn text(&mut self, command: &str, depth: usize) -> Option<()> {
        self.skip_space();
        let group = self.rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let (text, after) = match group {
            Some((text, after)) if !text.contains(['{', '\\', '$']) => (text.trim(), after),
            _ => return self.argument(depth),
        };
        let is_words = text.contains(char::is_alphabetic)
            && !text.contains(|it: char| it.is_ascii_digit() || "=<>()[],".contains(it));
        // `3\mathrm{i}` is a number.
        let is_unit = is_words && !(command == "mathrm" && text.len() == 1);
        let behind_value =
            self.spelled.ends_with(|it: char| it.is_alphanumeric() || ")} %".contains(it));
        if is_separator(text) {
            self.rest = after;
            self.spell(",");
        } else if is_unit && behind_value {
            self.rest = after;
            self.unit(&text.split_whitespace().collect::<String>());
        } else {
            return self.argument(depth);
        }
        Some(())
    }

    /// A command that stands for itself, with the groups that follow it at once.
    fn unknown(&mut self, name: &str, depth: usize) -> Option<()> {
        self.spell(&format!("\\{name}"));
        if !self.rest.starts_with('{') {
            self.spell(" ");
        }
        while self.rest.starts_with('{') {
            self.braced_argument(depth)?;
        }
        Some(())
    }
}

fn leading_digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Whether a word stands between two values.
fn is_separator(word: &str) -> bool {
    ["and", "or"].iter().any(|separator| separator.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(text: &str) -> String {
        plain(&canonical(text, Comma::Thousands).unwrap())
    }

    #[test]
    fn all_spellings_of_a_formula_become_one() {
        let families: [(&str, &[&str]); 22] = [
            (
                r"\frac{1}{2}",
                &[r"\frac12", r"\dfrac{1}{2}", r"\tfrac 1 2", r"\frac{1}2", r"$\frac {1} {2}$"],
            ),
            (r"\sqrt{2}", &[r"\sqrt2", r"\sqrt 2", r"\sqrt[2]{2}", "sqrt(2)", "\u{221a}2"]),
            (r"\sqrt{10}", &["\u{221a}10", "sqrt(10)"]),
            (r"\sqrt[3]{x}", &[r"\sqrt[3]x", r"\sqrt[{3}]{{x}}"]),
            (r"\frac{\sqrt{3}}{2}", &[r"\frac{\sqrt3}{2}", r"\frac{\sqrt{3}}2", r"\frac\sqrt3 2"]),
            ("x^{2}", &["x^2", "x^{2}", "x ^ 2", "x\u{b2}", "$x^2$.", r"\(x^2\)", r"\[x^2\]"]),
            ("2^{10}", &["2^10", "2^{10}", "2^(10)"]),
            ("10^{-3}", &["10^-3", "10^{-3}"]),
            ("a_{1}", &["a_1", "a_{1}"]),
            ("1000", &["1,000", r"1{,}000", r"1,\!000", r"1\,000", "1000."]),
            ("1234567.5", &["1,234,567.5", r"1\,234\,567.5"]),
            ("0.5", &[".5", "+.5", "= 0.5"]),
            ("3 1/2", &["3 1/2", r"3\ 1/2"]),
            ("(1,2)", &["(1, 2)", r"\left( 1,2 \right)", r"\bigl(1,\,2\bigr)", r"(1,\ 2)"]),
            ("3,-5", &["3, -5", r"3 \text{ and } -5", "3 and \u{2212}5", r"3 \textrm{ or } -5"]),
            (r"30\degree ", &[r"30^\circ", r"30^{\circ}", "30\u{b0}", "30 degrees", r"30\degree"]),
            ("50%", &[r"50\%", "50%", "50 percent"]),
            ("5cm^{2}", &[r"5\text{ cm}^2", "5 cm^2", r"5\,\mathrm{cm}^2", r"5\mbox{ cm}^2"]),
            ("noreal", &[r"\text{no real}", "no real", r"\textbf{no} real"]),
            (r"2\pi r", &[r"2\pi r", "2\u{3c0}r", r"2 \pi \, r"]),
            (
                r"\begin{matrix}1&2\\ 3&4\end{matrix}",
                &[
                    r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
                    r"\begin{bmatrix}1&2\\3&4\\\end{bmatrix}",
                    r"\begin{array}{cc}1&2\\3&4\end{array}",
                ],
            ),
            (r"(-\infty ,3]\cup [5,\infty )", &[r"(-\infty, 3] \cup [5, \infty)"]),
        ];
        for (canonical, spellings) in families {
            for spelling in spellings {
                assert_eq!(spelled(spelling), canonical, "{spelling}");
            }
        }
    }

    #[test]
    fn what_is_something_else_stays_apart() {
        let pairs = [
            (r"\frac{1}{23}", r"\frac{12}{3}"),
            ("3 1/2", "31/2"),
            (r"\overline{A}B", r"\overline{AB}"),
            (r"\pi x", r"\pix"),
            ("1, 234", "1,234"),
            ("(1,2)", "[1,2]"),
            (r"\{1,2\}", "(1,2)"),
            ("x_1", "x^1"),
            (r"\sqrt[3]{2}", r"\sqrt{2}"),
            ("5 x", "5"),
        ];
        for (one, other) in pairs {
            assert_ne!(spelled(one), spelled(other), "{one} / {other}");
        }
    }

    #[test]
    fn a_comma_between_digits_is_read_as_asked() {
        assert_eq!(canonical("(1,200)", Comma::Separator).unwrap(), "(1,200)");
        assert_eq!(canonical("(1,200)", Comma::Thousands).unwrap(), "(1200)");
        assert_eq!(canonical("(1,20)", Comma::Thousands).unwrap(), "(1,20)");
        assert_eq!(canonical("(1,2000)", Comma::Thousands).unwrap(), "(1,2000)");
        assert_eq!(canonical(r"1{,}200", Comma::Separator).unwrap(), "1200");
    }

    #[test]
    fn a_unit_is_told_from_variables_and_the_imaginary_unit() {
        let canonical = |text| canonical(text, Comma::Thousands).unwrap();
        assert_eq!(canonical(r"5\text{ m}"), r"5\text{m}");
        assert_eq!(canonical("5 apples"), r"5\text{apples}");
        assert_eq!(canonical("25 square cm"), r"25\text{square}\text{cm}");
        assert_eq!(canonical(r"6\pi\text{ cm}"), r"6\pi \text{cm}");
        assert_eq!(canonical("5ab"), "5ab");
        assert_eq!(canonical("5 xyz"), "5xyz");
        assert_eq!(canonical(r"3\mathrm{i}"), "3i");
        assert_eq!(canonical(r"\text{Evelyn}"), "Evelyn");
        assert_eq!(canonical(r"\text{(C)}"), "(C)");
    }

    #[test]
    fn broken_latex_is_spelled_somehow_and_the_deepest_not_at_all() {
        for text in [
            "", "}", "{", "\\", "\\frac", r"\frac{1", "^", "x^", r"\sqrt[", r"\begin{", "$$", "((",
            "^(",
        ] {
            assert!(canonical(text, Comma::Thousands).is_some(), "{text}");
        }
        for opening in
            ["{", r"\frac{", r"\sqrt", r"\frac", "^{", "^(", r"\sqrt[", r"\boxed", "sqrt("]
        {
            let deep = opening.repeat(10_000);
            assert_eq!(canonical(&deep, Comma::Thousands), None, "{opening}");
        }
    }
}
