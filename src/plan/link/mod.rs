//! The linker of the shader library: out of several sources the declarations that one entry point needs, as plain WGSL.
//!
//! It knows of WGSL's grammar only words, comments and where a declaration ends. A word means the declaration of that name in
//! its own source, or in the one that its source imports it from: `import package::FOLDER::FILE::{NAME, …};`. In code, too,
//! `package::FILE::NAME` may stand for a name. All other words are WGSL's. What a declaration names itself (parameters,
//! members, variables) is its own in all of it. Nothing is renamed, so what is linked together must have different names.
//!
//! `join NAME = package::FILE::ENTRY, package::FILE::ENTRY;` is the entry point that two others are in one dispatch: `join.rs`.

mod join;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

const DECLARING: [&str; 7] = ["alias", "const", "fn", "let", "override", "struct", "var"];

/// A declaration with the comment above it, where it stands, and the words that it does not declare itself.
struct Item<'a> {
    at: usize,
    text: &'a str,
    words: BTreeSet<&'a str>,
}

/// A source: its declarations by name, and of each imported name the path of its source.
#[derive(Default)]
struct Module<'a> {
    items: HashMap<&'a str, Item<'a>>,
    imports: HashMap<&'a str, &'a str>,
    /// Path and name of the entry points that another one joins.
    joins: HashMap<&'a str, [(&'a str, &'a str); 2]>,
    /// Names of the assertions among the items: their tokens. They hold for all that is taken from a source.
    assertions: Vec<&'a str>,
}

/// A declaration that is linked: its name, the path of its source, its text, and the names that it uses.
struct Linked<'a> {
    name: &'a str,
    path: &'a str,
    text: String,
    words: BTreeSet<&'a str>,
}

/// What `entry` of the source `root` needs, that source's first. `source` has the text of a path, `common::index` say.
pub(super) fn link<'a>(
    source: impl Fn(&str) -> Option<&'a str>,
    root: &'a str,
    entry: &'a str,
) -> Result<String, String> {
    let mut modules = Modules {
        source,
        parsed: HashMap::new(),
    };
    let items = match modules.get(root, root)?.joins.get(entry) {
        None => modules.items(root, entry)?,
        Some(&sides) => {
            let [first, second] = sides.map(|(path, name)| modules.items(path, name));
            return join::text(entry, [(sides[0].1, first?), (sides[1].1, second?)]);
        }
    };
    let texts: Vec<_> = items.into_iter().map(|item| item.text).collect();
    Ok(texts.join("\n\n") + "\n")
}

/// The sources so far.
struct Modules<'a, F> {
    source: F,
    parsed: HashMap<&'a str, Module<'a>>,
}

impl<'a, F: Fn(&str) -> Option<&'a str>> Modules<'a, F> {
    /// The source of a path, which `by` asks for.
    fn get(&mut self, by: &str, path: &'a str) -> Result<&Module<'a>, String> {
        if !self.parsed.contains_key(path) {
            let text = (self.source)(path);
            let text = text.ok_or(format!("{by} imports {path}, which does not exist"))?;
            let module = Module::parse(text).map_err(|error| format!("{path}: {error}"))?;
            self.parsed.insert(path, module);
        }
        Ok(&self.parsed[path])
    }

    /// What `entry` of the source `root` needs, that source's first.
    fn items(&mut self, root: &'a str, entry: &'a str) -> Result<Vec<Linked<'a>>, String> {
        let mut homes: HashMap<&str, &str> = HashMap::new();
        let mut of_wgsl: HashMap<&str, &str> = HashMap::new();
        let mut seen = BTreeSet::new();
        let mut wanted = vec![(root, root, entry)];
        while let Some((by, path, name)) = wanted.pop() {
            let Module {
                items,
                imports,
                assertions,
                ..
            } = self.get(by, path)?;
            if seen.insert(path) {
                wanted.extend(assertions.iter().map(|&name| (path, path, name)));
            }
            let missing = || format!("{by} needs `{name}` of {path}, which does not declare it");
            let item = items.get(name).ok_or_else(missing)?;
            match homes.insert(name, path) {
                Some(home) if home == path => continue,
                Some(home) => return Err(format!("{home} and {path} both declare `{name}`")),
                None => {}
            }
            for &word in &item.words {
                if let Some((home, name)) = split(word) {
                    wanted.push((path, home, name));
                } else if let Some(home) = imports.get(word) {
                    wanted.push((path, home, word));
                } else if items.contains_key(word) {
                    wanted.push((path, path, word));
                } else {
                    of_wgsl.insert(word, path);
                }
            }
        }
        if let Some((name, home)) = homes.iter().find(|(name, _)| of_wgsl.contains_key(*name)) {
            let user = of_wgsl[name];
            return Err(format!(
                "`{name}` of {home} hides WGSL's from {user}, or {user} does not import it"
            ));
        }
        let mut items: Vec<_> = homes
            .into_iter()
            .map(|(name, path)| (path != root, path, name, &self.parsed[path].items[name]))
            .collect();
        items.sort_by_key(|&(far, path, _, item)| (far, path, item.at));
        let linked = items.into_iter().map(|(_, path, name, item)| Linked {
            name,
            path,
            text: item.plain(),
            words: item.names().collect(),
        });
        Ok(linked.collect())
    }
}

impl<'a> Module<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let mut module = Self::default();
        let (mut start, mut depth, mut item) = (0, 0, Vec::new());
        for (at, token) in tokens(text) {
            if item.is_empty() {
                // What a blank line divides from it, as the comment at the head of a file, is not its comment.
                start += text[start..at].rfind("\n\n").unwrap_or(0);
            }
            item.push(token);
            match token {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            let importing = item[0] == "import";
            if depth == 0 && (token == ";" || token == "}" && !importing) {
                let end = at + token.len();
                if importing {
                    module.import(&item)?;
                } else if item[0] == "join" {
                    module.join(&item)?;
                } else {
                    module.declare(start, text[start..end].trim_start(), &item)?;
                }
                item.clear();
                start = end;
            }
        }
        match item.first() {
            Some(token) => Err(format!("what begins with `{token}` has no end")),
            None => Ok(module),
        }
    }

    fn import(&mut self, tokens: &[&'a str]) -> Result<(), String> {
        let path = tokens.get(1).and_then(|path| split(path));
        let (path, name) = path.ok_or("an import names no `package::FILE::NAME`")?;
        let names = tokens[2..].iter().copied().chain([name]);
        let names = names.filter(|name| is_word(name));
        self.imports.extend(names.map(|name| (name, path)));
        Ok(())
    }

    fn join(&mut self, tokens: &[&'a str]) -> Result<(), String> {
        let joined = match tokens {
            [_, name, "=", first, ",", second, ";"] => {
                split(first).zip(split(second)).map(|sides| (name, sides))
            }
            _ => None,
        };
        let (name, sides) =
            joined.ok_or("a join is `join NAME = package::FILE::ENTRY, package::FILE::ENTRY;`")?;
        self.joins.insert(name, sides.into());
        Ok(())
    }

    fn declare(&mut self, at: usize, text: &'a str, tokens: &[&'a str]) -> Result<(), String> {
        let mut own = Vec::new();
        for (i, token) in tokens.iter().enumerate() {
            if DECLARING.contains(token) {
                // As in `var<workgroup> name`.
                let template = tokens[i + 1] == "<";
                let template = tokens[i..].iter().take_while(|&&t| template && t != ">");
                own.extend(tokens.get(i + 1 + template.count()));
            } else if tokens.get(i + 1) == Some(&":") {
                own.push(token);
            }
        }
        let before = std::iter::once(&"").chain(tokens);
        let words = tokens.iter().zip(before).filter(|(token, before)| {
            is_word(token) && !own.contains(token) && !matches!(**before, "." | "@")
        });
        let words = words.map(|(&word, _)| word).collect();
        let name = match own.first() {
            _ if tokens[0] == "const_assert" => {
                self.assertions.push(text);
                text
            }
            Some(name) => name,
            None => return Err(format!("`{}` begins no declaration", tokens[0])),
        };
        match self.items.insert(name, Item { at, text, words }) {
            None => Ok(()),
            Some(_) => Err(format!("`{name}` is declared twice")),
        }
    }
}

impl<'a> Item<'a> {
    /// The names that it uses.
    fn names(&self) -> impl Iterator<Item = &'a str> {
        let names = self.words.iter();
        names.map(|word| split(word).map_or(*word, |(_, name)| name))
    }

    /// Its text, where names stand for paths.
    fn plain(&self) -> String {
        let paths = self
            .words
            .iter()
            .filter_map(|word| Some((word, split(word)?.1)));
        paths.fold(self.text.to_owned(), |text, (path, name)| {
            text.replace(path, name)
        })
    }
}

/// `package::PATH::NAME` as `PATH` and `NAME`.
fn split(word: &str) -> Option<(&str, &str)> {
    word.strip_prefix("package::")?.rsplit_once("::")
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Words (those that begin with `package::` as a whole), numbers and signs, and where each begins; no comments.
fn tokens(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            at = text.len() - text[at..].trim_start().len();
            if !text[at..].starts_with("//") {
                break;
            }
            at += text[at..].find('\n').unwrap_or(text.len() - at);
        }
        let rest = &text[at..];
        let path = rest.starts_with("package::");
        let ends = |c: char| !(c.is_alphanumeric() || c == '_' || path && c == ':');
        let sign = rest.chars().next()?.len_utf8();
        let length = rest.find(ends).unwrap_or(rest.len()).max(sign);
        at += length;
        Some((at - length, &rest[..length]))
    })
}
