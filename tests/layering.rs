//! The layers of the library: which module may import which, who names wgpu, and that nobody asks the environment.

use std::path::{Path, PathBuf};

/// The modules from the lowest to the highest. An import runs down this list, or stays in its line; of several lines that
/// hold a module, the longest counts. `src/lib.rs` is above them all.
const ORDER: [&str; 18] = [
    "graph",
    "ops",
    "plan",
    "output",
    // What running on a device may end in, of which `backend` makes part of its own error.
    "gpu::error",
    // What both backends have: they import it.
    "backend",
    "reference",
    "gpu",
    // It opens them.
    "backend::device",
    "data",
    "models",
    "program",
    "pictures",
    "self_test",
    // It is part of the crate's error, which the rest of `train` returns.
    "train::error",
    "error",
    "train",
    "classifier",
];

/// The imports that run upward all the same: a graph's nodes hold an `Op`, a closed enum, and each op knows its shapes, its
/// dispatches and its meaning.
const EXCEPTIONS: [(&str, &str); 3] = [("graph", "ops"), ("ops", "plan"), ("ops", "reference")];

/// What only programs may ask.
const ENVIRONMENT: [&str; 5] = ["env::var", "env::args", "dirs::", "home_dir", "from_env"];

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

/// Each file of `src/` with its module's path, and its code.
fn sources() -> Vec<(PathBuf, Vec<String>, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 30, "only {} files", files.len());
    let source = |path: PathBuf| {
        let within = path.strip_prefix(&src).expect("in src").with_extension("");
        let mut module: Vec<String> = within
            .iter()
            .map(|part| part.to_str().expect("UTF-8").to_owned())
            .collect();
        module.pop_if(|last| last == "mod" || last == "lib");
        let text = std::fs::read_to_string(&path).expect("readable");
        (path, module, code(&text))
    };
    files.into_iter().map(source).collect()
}

/// The text with blanks for comments, strings and characters; lines stay.
fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let starts = |i: usize, with: &str| with.chars().enumerate().all(|(n, c)| at(i + n) == c);
    let until = |from: usize, end: &str| {
        let mut i = from;
        while i < chars.len() && !starts(i, end) {
            // An escaped quote ends no string.
            i += if end.len() == 1 && at(i) == '\\' {
                2
            } else {
                1
            };
        }
        i + end.len()
    };
    let (mut out, mut i) = (String::new(), 0);
    while i < chars.len() {
        let before = i.checked_sub(1).map_or(' ', at);
        let hashes = (1..).take_while(|&n| at(i + n) == '#').count();
        let end = if starts(i, "//") {
            until(i, "\n") - 1
        } else if starts(i, "/*") {
            until(i + 2, "*/")
        } else if at(i) == 'r' && !before.is_alphanumeric() && at(i + 1 + hashes) == '"' {
            // A raw string has no escapes.
            let raw = format!("\"{}", "#".repeat(hashes));
            let from = i + 2 + hashes;
            (from..chars.len())
                .find(|&i| starts(i, &raw))
                .unwrap_or(chars.len())
                + raw.len()
        } else if at(i) == '"' {
            until(i + 1, "\"")
        } else if at(i) == '\'' && (at(i + 1) == '\\' || at(i + 2) == '\'') {
            // Not a lifetime.
            until(i + 1, "'")
        } else {
            i
        };
        if end == i {
            out.push(at(i));
            i += 1;
        }
        while i < end.min(chars.len()) {
            out.push(if at(i) == '\n' { '\n' } else { ' ' });
            i += 1;
        }
    }
    out
}

/// Every path of a tree as behind `use`, each behind `prefix`.
fn expand(tree: &str, prefix: &[String], paths: &mut Vec<Vec<String>>) {
    let mut path = prefix.to_vec();
    let mut rest = tree.trim_start();
    let group = loop {
        if let Some(group) = rest.strip_prefix('{') {
            break group;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let (name, behind) = rest.split_at(end.unwrap_or(rest.len()));
        // A group's `self` is the module itself, and a star all that is in it.
        if !name.is_empty() && (name != "self" || prefix.is_empty()) {
            path.push(name.to_owned());
        }
        match behind.trim_start().strip_prefix("::") {
            Some(behind) => rest = behind.trim_start(),
            None => return paths.push(path),
        }
    };
    let (mut depth, mut start) = (0, 0);
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                if !group[start..i].trim().is_empty() {
                    expand(&group[start..i], &path, paths);
                }
                start = i + 1;
                if c == '}' {
                    return;
                }
            }
            _ => {}
        }
    }
}

/// The paths that the code of `module` names, from the crate's root, with the line of each.
fn imports(module: &[String], code: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut inner = None;
    let mut offset = 0;
    for (i, line) in code.split_inclusive('\n').enumerate() {
        // rustfmt writes a module's braces at the margin.
        if line.trim_end().ends_with('{')
            && let Some(name) = line.trim_start_matches("pub ").strip_prefix("mod ")
        {
            inner = Some(name.trim_end().trim_end_matches(['{', ' ']).to_owned());
        } else if line.starts_with('}') {
            inner = None;
        }
        let here: Vec<String> = module.iter().cloned().chain(inner.clone()).collect();
        for word in ["crate", "super", "self", "use"] {
            for (at, _) in line.match_indices(word) {
                let behind = &code[offset + at + word.len()..];
                let before = line[..at].chars().next_back().unwrap_or(' ');
                let of_path = before.is_alphanumeric() || before == '_' || before == ':';
                let relative = word == "use" && behind.starts_with(' ');
                if of_path || !(relative || behind.starts_with("::")) {
                    continue;
                }
                // A path behind `use` that begins with one of the other words is found by that.
                let tree = if relative {
                    behind
                } else {
                    &code[offset + at..]
                };
                let mut paths = Vec::new();
                expand(tree, &[], &mut paths);
                for path in paths.into_iter().filter(|path| !path.is_empty()) {
                    if relative && ["crate", "super", "self"].contains(&path[0].as_str()) {
                        continue;
                    }
                    let up = path.iter().take_while(|name| *name == "super").count();
                    let (base, rest) = match path[0].as_str() {
                        "crate" => (&[][..], &path[1..]),
                        "self" => (&here[..], &path[1..]),
                        _ => (&here[..here.len().saturating_sub(up)], &path[up..]),
                    };
                    found.push((i + 1, [base, rest].concat()));
                }
            }
        }
        offset += line.len();
    }
    found
}

/// The line of [`ORDER`] that holds a path.
fn place(path: &[String]) -> Option<usize> {
    let crate_error = [String::from("error")];
    let path = match path.first()?.as_str() {
        "Error" | "Result" => &crate_error[..],
        _ => path,
    };
    let holds = |line: &&&str| {
        let names: Vec<&str> = line.split("::").collect();
        path.len() >= names.len() && names.iter().zip(path).all(|(name, part)| name == part)
    };
    let longest = ORDER.iter().filter(holds).max_by_key(|line| line.len())?;
    ORDER.iter().position(|line| line == longest)
}

/// What is wrong with the imports of a module, and the exceptions that they need.
fn faults(module: &[String], code: &str) -> (Vec<String>, Vec<(&'static str, &'static str)>) {
    let (mut faults, mut needed) = (Vec::new(), Vec::new());
    let Some(from) = place(module) else {
        let fault = format!("{} has no place in ORDER", module.join("::"));
        return (vec![fault], needed);
    };
    for (line, path) in imports(module, code) {
        let name = path.join("::");
        match place(&path) {
            None => faults.push(format!(
                "line {line} names `{name}`, which is in no module of ORDER: use the path that it has in src/"
            )),
            Some(to) if to > from => {
                let (from, to) = (ORDER[from], ORDER[to]);
                if EXCEPTIONS.contains(&(from, to)) {
                    needed.push((from, to));
                } else {
                    faults.push(format!("line {line} imports `{name}`: from {from} up to {to}"));
                }
            }
            Some(_) => {}
        }
    }
    (faults, needed)
}

#[test]
fn imports_run_down_the_order_of_the_modules() {
    let (mut all, mut used) = (Vec::new(), Vec::new());
    let mut places = [false; ORDER.len()];
    for (path, module, code) in sources() {
        // The crate's root gathers them all.
        if module.is_empty() {
            continue;
        }
        let (faults, needed) = faults(&module, &code);
        all.extend(
            faults
                .iter()
                .map(|fault| format!("{}: {fault}", path.display())),
        );
        used.extend(needed);
        if let Some(place) = place(&module) {
            places[place] = true;
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
    for (place, line) in places.iter().zip(ORDER) {
        assert!(place, "{line} is in ORDER, but not in src/");
    }
    for exception in EXCEPTIONS {
        assert!(used.contains(&exception), "{exception:?} is not needed");
    }
}

#[test]
fn an_import_that_runs_upward_is_found_however_it_is_written() {
    let faults_of = |module: &str, text: &str| {
        let module: Vec<String> = module.split("::").map(String::from).collect();
        faults(&module, &code(text)).0.len()
    };
    for (module, text, count) in [
        ("graph::rng", "use crate::train::Trainer;", 1),
        (
            "graph::rng",
            "use crate::{\n    graph::Graph,\n    train::{self, Trainer},\n};",
            2,
        ),
        ("graph", "fn f() -> crate::Result<()> {}", 1),
        ("graph", "let x: crate::models::Model;", 1),
        ("backend::runtime", "use super::device::Device;", 1),
        ("backend", "pub use device::Device;", 1),
        (
            "gpu::tune::store",
            "use super::super::super::program::Run;",
            1,
        ),
        (
            "plan",
            "mod tests {\n    use super::super::train::fit;\n}",
            1,
        ),
        ("plan", "use crate::shape::Shape;", 1),
        ("plan", "if x == crate::graph::Role::Input { train::y }", 0),
        ("novelty", "", 1),
        (
            "train",
            "use crate::graph::Graph;\nuse super::error::Error;",
            0,
        ),
        (
            "graph",
            "use crate::ops::Op; // crate::train\n/* crate::train */ let s = \"crate::train\";",
            0,
        ),
        (
            "graph",
            "let s = r#\"\" crate::train \"#; let c = '\"'; let t = \"crate::train\";",
            0,
        ),
        ("program::run", "use std::fmt;\nuse rayon::prelude::*;", 0),
    ] {
        assert_eq!(faults_of(module, text), count, "{module}: {text}");
    }
}

#[test]
fn only_the_gpu_module_names_wgpu() {
    for (path, module, code) in sources() {
        if module.first().is_some_and(|first| first == "gpu") {
            continue;
        }
        for (i, line) in code.lines().enumerate() {
            assert!(
                !line.replace("nin_wgpu", "").contains("wgpu::"),
                "{}:{}: {line}",
                path.display(),
                i + 1
            );
        }
    }
}

#[test]
fn nothing_reads_the_environment_or_looks_for_a_home() {
    for (path, _, code) in sources() {
        for (i, line) in code.lines().enumerate() {
            let asks = ENVIRONMENT.iter().find(|asks| line.contains(**asks));
            assert_eq!(asks, None, "{}:{}: {line}", path.display(), i + 1);
        }
    }
}
