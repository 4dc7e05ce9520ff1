//! The linker of the shader library: out of several sources the declarations that one entry point needs, as plain WGSL.
//!
//! It knows of WGSL's grammar only words, comments and where a declaration ends. A word means the declaration of that name in
//! its own source, or in the one that its source imports it from: `import package::FOLDER::FILE::{NAME, …};`. In code, too,
//! `package::FILE::NAME` may stand for a name. All other words are WGSL's. What a declaration names itself (parameters,
//! members, variables) is its own in all of it. Nothing is renamed, so what is linked together must have different names.
//!
//! `join NAME = package::FILE::ENTRY, package::FILE::ENTRY;` is the entry point that two others are in one dispatch: `join.rs`.

mod join;

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

#[cfg(test)]
mod tests {
    use super::link;

    fn linked(sources: &[(&str, &str)]) -> Result<String, String> {
        let find = |path: &str| Some(sources.iter().find(|(known, _)| *known == path)?.1);
        link(find, "kernel", "main")
    }

    const KERNEL: &str = "// What the file is about.\n\n\
        import package::common::sums::{sum, WIDTH};\n\
        import package::one::only;\n\n\
        // Read by all.\n\
        @group(0) @binding(0) var<storage, read> x: array<f32>;\n\
        @group(0) @binding(WIDTH - 1) var<storage, read_write> y: array<f32>;\n\
        @group(0) @binding(1) var<storage, read_write> z: array<f32>;\n\n\
        @compute @workgroup_size(WIDTH)\n\
        fn main() { y[0] = sum(x[0]) + package::common::sums::twice(1.0); } // not z\n\n\
        @compute @workgroup_size(1)\n\
        fn other() { z[0] = only(x[0]); }\n";

    const SUMS: &str = "// Sums.\n\n\
        const WIDTH = 4u;\n\
        const_assert WIDTH < 8u;\n\
        struct Pair { z: f32, only: f32, }\n\
        // Of one.\n\
        fn sum(x: f32) -> f32 { var pair: Pair; let y = x; return pair.z + y; }\n\
        fn twice(a: f32) -> f32 { return 2.0 * a; }\n\
        fn unused() {}\n";

    #[test]
    fn only_what_the_entry_point_needs_is_linked() {
        let wgsl = linked(&[("kernel", KERNEL), ("common::sums", SUMS)]).expect("links");
        let expected = "// Read by all.\n\
            @group(0) @binding(0) var<storage, read> x: array<f32>;\n\n\
            @group(0) @binding(WIDTH - 1) var<storage, read_write> y: array<f32>;\n\n\
            @compute @workgroup_size(WIDTH)\n\
            fn main() { y[0] = sum(x[0]) + twice(1.0); }\n\n\
            const WIDTH = 4u;\n\n\
            const_assert WIDTH < 8u;\n\n\
            struct Pair { z: f32, only: f32, }\n\n\
            // Of one.\n\
            fn sum(x: f32) -> f32 { var pair: Pair; let y = x; return pair.z + y; }\n\n\
            fn twice(a: f32) -> f32 { return 2.0 * a; }\n";
        assert_eq!(wgsl, expected);
    }

    #[test]
    fn what_cannot_be_linked_is_named() {
        let import = "import package::common::sums::{sum};\nfn main() { sum(1.0); }";
        for (kernel, sums, expected) in [
            (
                "fn other() {}",
                "",
                "kernel needs `main` of kernel, which does not declare it",
            ),
            (
                import,
                "fn twice() {}",
                "kernel needs `sum` of common::sums, which does not declare it",
            ),
            (
                import,
                "fn sum() {",
                "common::sums: what begins with `fn` has no end",
            ),
            (
                import,
                "fn sum() {} fn sum() {}",
                "common::sums: `sum` is declared twice",
            ),
            (
                import,
                "enable f16; fn sum() {}",
                "common::sums: `enable` begins no declaration",
            ),
            (
                import,
                "fn main() {} fn sum() { main(); }",
                "kernel and common::sums both declare `main`",
            ),
            (
                "import package::common::sums::sum; fn main() { sum(); mix(1.0, 2.0, 0.5); }",
                "fn sum() { mix(); } fn mix() {}",
                "`mix` of common::sums hides WGSL's from kernel, or kernel does not import it",
            ),
            (
                "import sums; fn main() {}",
                "",
                "kernel: an import names no `package::FILE::NAME`",
            ),
        ] {
            let error = linked(&[("kernel", kernel), ("common::sums", sums)]).err();
            assert_eq!(error.unwrap_or_default(), expected, "{kernel} {sums}");
        }
        let error = linked(&[("kernel", import)]).err();
        let expected = "kernel imports common::sums, which does not exist";
        assert_eq!(error.as_deref(), Some(expected));
    }

    const JOINED: &str = "// Two in one.\n\n\
        join both = package::first::main, package::second::main;\n\
        join same = package::first::main, package::first::main;\n";

    const FIRST: &str = "import package::common::sums::{sum, WIDTH};\n\n\
        struct Uniform { len: u32, }\n\n\
        @group(0) @binding(0) var<uniform> u: Uniform;\n\
        @group(0) @binding(1) var<storage, read_write> y: array<f32>;\n\n\
        // One of them.\n\
        fn store(i: u32, len: u32) { y[i] = sum(f32(len)); }\n\n\
        @compute @workgroup_size(WIDTH)\n\
        fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {\n    \
        if lane < u.len { store(group.x, u.len); }\n}\n";

    #[test]
    fn a_join_has_twice_what_is_bound_and_the_rest_once() {
        let sources = [("kernel", JOINED), ("first", FIRST), ("common::sums", SUMS)];
        let find = |path: &str| Some(sources.iter().find(|(known, _)| *known == path)?.1);
        let wgsl = link(find, "kernel", "same").expect("links");
        for (what, times) in [
            ("@binding(1) var<storage, read_write> y_1: array<f32>;", 1),
            (
                "@binding(1 + 1) var<storage, read_write> y_2: array<f32>;",
                1,
            ),
            (
                "// One of them.\nfn store_1(i: u32, len: u32) { y_1[i] = sum(f32(len)); }",
                1,
            ),
            (
                "    if lane < u.second.len { store_2(group.x, u.second.len); }",
                1,
            ),
            ("fn main_2(group: vec3u, lane: u32) {", 1),
            ("        main_1(workgroup_id, local_invocation_index);", 1),
            ("fn sum(", 1),
            ("const WIDTH = 4u;", 1),
            ("struct Uniform", 1),
            ("    @align(16) second: Uniform,", 1),
            ("const_assert WIDTH == WIDTH;", 1),
            ("@compute @workgroup_size(WIDTH)\nfn same(", 1),
            ("@compute", 1),
            ("var<uniform>", 1),
            ("twice", 0),
        ] {
            assert_eq!(wgsl.matches(what).count(), times, "{what}\n{wgsl}");
        }
    }

    #[test]
    fn what_cannot_be_joined_is_named() {
        let two = "join both = package::first::main, package::second::main;";
        let second = FIRST.replace("import package::common::sums::{sum, WIDTH};", "");
        let second = second.replace("Uniform", "Other");
        for (kernel, second, expected) in [
            (
                "join both = package::first::main;",
                "",
                "kernel: a join is `join NAME = package::FILE::ENTRY, package::FILE::ENTRY;`",
            ),
            (
                two,
                "fn main() {}",
                "`main` has no uniform struct to be joined by",
            ),
            (
                two,
                &*format!("{second} fn sum(x: f32) -> f32 {{ return x; }} const WIDTH = 4u;"),
                "common::sums and second both declare `sum`",
            ),
            (
                two,
                "@group(0) @binding(0) var<uniform> u: u32; fn main() { let x = u; }",
                "`main` is no entry point",
            ),
        ] {
            let sources = [
                ("kernel", kernel),
                ("first", FIRST),
                ("second", second),
                ("common::sums", SUMS),
            ];
            let find = |path: &str| Some(sources.iter().find(|(known, _)| *known == path)?.1);
            let error = link(find, "kernel", "both").err().unwrap_or_default();
            assert_eq!(error, expected);
        }
    }
}
