//! Mistakes on purpose: rules over the text of a shader, each mutant one mistake in one place.

/// A source with one mistake.
pub(crate) struct Mutant {
    /// Its path in `SOURCES`.
    pub(crate) path: &'static str,
    /// Where the mistake is, from 1.
    pub(crate) line: usize,
    /// What the line says now.
    pub(crate) text: String,
    /// The whole source.
    pub(crate) source: String,
}

/// One text for another, at each place where it stands.
const REPLACED: [(&str, &str); 33] = [
    (" + ", " - "),
    (" - ", " + "),
    (" * ", " + "),
    (" / ", " * "),
    (" % ", " / "),
    (" += ", " -= "),
    (" -= ", " += "),
    (" < ", " <= "),
    (" <= ", " < "),
    (" > ", " >= "),
    (" >= ", " > "),
    (" == ", " != "),
    (" != ", " == "),
    (" && ", " || "),
    (" || ", " && "),
    (" & ", " | "),
    (" | ", " & "),
    ("min(", "max("),
    ("max(", "min("),
    (" + 1u", " + 2u"),
    (" - 1u", ""),
    (" = 0.0;", " = 1.0;"),
    ("vec4f(0.0);", "vec4f(1.0);"),
    (" = 0u;", " = 1u;"),
    ("_h", "_w"),
    ("_w", "_h"),
    ("u.h", "u.w"),
    ("u.w", "u.h"),
    ("u.p", "u.q"),
    ("u.q", "u.p"),
    ("u.r", "u.s"),
    ("u.s", "u.r"),
    ("workgroupBarrier();", ""),
];

/// All mutants of a source, in the order of its lines.
pub(crate) fn mutants(path: &'static str, source: &'static str) -> Vec<Mutant> {
    let mut all: Vec<Mutant> = Vec::new();
    // What a declaration that is left alone ends in.
    let mut left_until = None;
    let mut start = 0;
    for (i, line) in source.split_inclusive('\n').enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let first = code.split_whitespace().next().unwrap_or_default();
        if left_until.is_none() {
            left_until = match first {
                "import" | "const_assert" | "override" | "alias" => Some(';'),
                "struct" => Some('}'),
                _ if first.starts_with("@group") => Some(';'),
                _ => None,
            };
        }
        let is_left = left_until.is_some() || first.starts_with('@') || first == "fn";
        if left_until.is_some_and(|end| code.contains(end)) {
            left_until = None;
        }
        let mistakes = if is_left { Vec::new() } else { mistakes(code) };
        for text in mistakes {
            let before = &source[..start];
            let after = &source[start + code.len()..];
            all.push(Mutant {
                path,
                line: i + 1,
                source: format!("{before}{text}{after}"),
                text: text.trim().to_owned(),
            });
        }
        start += line.len();
    }
    all
}

/// The lines that a line of code may become.
fn mistakes(code: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (from, to) in REPLACED {
        for (at, _) in code.match_indices(from) {
            let end = at + from.len();
            if is_whole(code, at, end) {
                all.push(format!("{}{to}{}", &code[..at], &code[end..]));
            }
        }
    }
    for sign in [" - ", " / ", " % ", " < ", " << ", " >> "] {
        all.extend(
            code.match_indices(sign)
                .filter_map(|(at, _)| swapped(code, at, sign)),
        );
    }
    for (at, call) in code.match_indices("select(") {
        all.extend(select_swapped(code, at + call.len()));
    }
    all.extend(dropped(code));
    all
}

/// Whether words that a text begins or ends with are no parts of longer words.
fn is_whole(code: &str, at: usize, end: usize) -> bool {
    let (before, found, after) = (&code[..at], &code[at..end], &code[end..]);
    // `_h` is the end of a word.
    let begins =
        found.starts_with('_') || !found.starts_with(is_word) || !before.ends_with(is_word);
    begins && (!found.ends_with(is_word) || !after.starts_with(is_word))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The operands of the sign at `at` in each other's place, if both are simple.
fn swapped(code: &str, at: usize, sign: &str) -> Option<String> {
    let simple = |c: char| is_word(c) || c == '.';
    let left = code[..at].trim_end_matches(simple).len();
    let right = at + sign.len();
    let end = code.len() - code[right..].trim_start_matches(simple).len();
    let (a, b) = (&code[left..at], &code[right..end]);
    // The sign of an exponent is none.
    let is_exponent = sign == " - " && code[..left].ends_with("e-");
    let is_call = is_exponent || code[end..].starts_with(['(', '[']) || code[..left].ends_with(')');
    (!a.is_empty() && !b.is_empty() && a != b && !is_call)
        .then(|| format!("{}{b}{sign}{a}{}", &code[..left], &code[end..]))
}

/// `select` with its first two arguments in each other's place, if they stand in its line.
fn select_swapped(code: &str, start: usize) -> Option<String> {
    let mut depth = 0;
    let mut commas = Vec::new();
    for (i, c) in code[start..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' if depth == 0 => break,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => commas.push(start + i),
            _ => {}
        }
    }
    let &[first, second] = &commas[..] else {
        return None;
    };
    let (a, b) = (&code[start..first], code[first + 1..second].trim());
    Some(format!("{}{b}, {a}{}", &code[..start], &code[second..]))
}

/// The line without its statement, if that assigns or leaves.
fn dropped(code: &str) -> Option<String> {
    let statement = code.trim();
    let first = statement.split([' ', ';']).next().unwrap_or_default();
    let keeps = ["let", "var", "const", "for", "return", "}", "if"];
    let assigns = statement.contains("= ") && !keeps.contains(&first) && !statement.contains('{');
    let leaves = ["continue;", "break;", "return;"].contains(&statement);
    (statement.ends_with(';') && (assigns || leaves)).then(|| "\n".to_owned())
}
