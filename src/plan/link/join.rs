//! Two kernels in one dispatch: the entry point whose first workgroups are those of one, and whose others those of the other.
//!
//! What reaches a binding is there twice, its names with `_1` and `_2` behind them, and all else once: so workgroup memory is
//! shared. The second kernel's bindings stand behind the first's. The uniform struct holds both kernels' structs, and how many
//! workgroups each has along its three sides.

use std::collections::{BTreeMap, BTreeSet};

use super::{Linked, is_word, tokens};

const ENTRY: &str = "@compute @workgroup_size(";

/// One of the two.
struct Side<'a> {
    number: usize,
    entry: &'a str,
    /// Names of what reaches a binding.
    own: BTreeSet<&'a str>,
    /// Storage buffers.
    buffers: usize,
    /// Name and type of its uniform struct.
    uniform: (&'a str, String),
}

/// The WGSL of `name`, which joins the entry points of two linked kernels.
pub(super) fn text(name: &str, sides: [(&str, Vec<Linked<'_>>); 2]) -> Result<String, String> {
    let mut shared: BTreeMap<&str, (&str, String)> = BTreeMap::new();
    let mut texts = Vec::new();
    let (mut uniforms, mut sizes, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    let mut behind = 0;
    for ((entry, items), number) in sides.iter().zip(1..) {
        let side = Side::new(number, entry, items)?;
        for item in items {
            if side.uniform.0 == item.name {
                continue;
            } else if item.name == *entry {
                let (text, size, call) = side.function(item)?;
                texts.push(text);
                sizes.push(size);
                calls.push(call);
            } else if side.own.contains(item.name) {
                let text = side.renamed(item, &item.text);
                texts.push(match behind {
                    0 => text,
                    _ => text.replace("@binding(", &format!("@binding({behind} + ")),
                });
            } else if let Some((path, _)) = shared.get(item.name) {
                if *path != item.path {
                    let (name, other) = (item.name, item.path);
                    return Err(format!("{path} and {other} both declare `{name}`"));
                }
            } else {
                shared.insert(item.name, (item.path, item.text.clone()));
            }
        }
        behind += side.buffers;
        uniforms.push(side.uniform.1);
    }
    texts.extend(shared.into_values().map(|(_, text)| text));
    texts.push(format!("const_assert {} == {};", sizes[0], sizes[1]));
    texts.push(format!(
        "struct Joined {{
    @align(16) first: {},
    @align(16) second: {},
    @align(16) across_1: u32,
    down_1: u32,
    deep_1: u32,
    across_2: u32,
    down_2: u32,
    deep_2: u32,
}}

@group(0) @binding(0) var<uniform> u: Joined;

{ENTRY}{})
fn {name}(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local_invocation_index: u32,
) {{
    let all = workgroup.y * workgroups.x + workgroup.x;
    let firsts = u.across_1 * u.down_1 * u.deep_1;
    if all < firsts {{
        let num_workgroups = vec3u(u.across_1, u.down_1, u.deep_1);
        let workgroup_id = vec3u(all % u.across_1, all / u.across_1 % u.down_1, all / (u.across_1 * u.down_1));
        {};
    }} else if all - firsts < u.across_2 * u.down_2 * u.deep_2 {{
        let i = all - firsts;
        let num_workgroups = vec3u(u.across_2, u.down_2, u.deep_2);
        let workgroup_id = vec3u(i % u.across_2, i / u.across_2 % u.down_2, i / (u.across_2 * u.down_2));
        {};
    }}
}}
",
        uniforms[0], uniforms[1], sizes[0], calls[0], calls[1]
    ));
    Ok(texts.join("\n\n"))
}

impl<'a> Side<'a> {
    fn new(number: usize, entry: &'a str, items: &[Linked<'a>]) -> Result<Self, String> {
        let bound = |item: &&Linked<'a>| item.text.contains("@binding(");
        let mut own: BTreeSet<&str> = items.iter().filter(bound).map(|item| item.name).collect();
        let buffers = items
            .iter()
            .filter(|item| item.text.contains("var<storage"));
        let buffers = buffers.count();
        loop {
            let before = own.len();
            let reach = items.iter().filter(|item| !item.words.is_disjoint(&own));
            let reach: Vec<_> = reach.map(|item| item.name).collect();
            own.extend(reach);
            if own.len() == before {
                break;
            }
        }
        let uniform = items.iter().find_map(|item| {
            let (_, declared) = item.text.split_once("var<uniform>")?;
            let (_, ty) = declared.split_once(':')?;
            Some((item.name, ty.trim().trim_end_matches(';').to_owned()))
        });
        Ok(Self {
            number,
            entry,
            own,
            buffers,
            uniform: uniform.ok_or(format!("`{entry}` has no uniform struct to be joined by"))?,
        })
    }

    /// `text` of `item`, where its own names have the number of the side behind them, and its uniform struct is a member.
    fn renamed(&self, item: &Linked<'_>, text: &str) -> String {
        let mut renamed = String::new();
        let (mut end, mut before) = (0, "");
        for (at, token) in tokens(text) {
            let means = token == item.name || item.words.contains(token);
            let named = is_word(token) && means && !matches!(before, "." | "@");
            renamed.push_str(&text[end..at]);
            match named && self.own.contains(token) {
                true if token == self.uniform.0 => {
                    renamed.push_str(["u.first", "u.second"][self.number - 1]);
                }
                true => renamed.push_str(&format!("{token}_{}", self.number)),
                false => renamed.push_str(token),
            }
            (end, before) = (at + token.len(), token);
        }
        renamed.push_str(&text[end..]);
        renamed
    }

    /// The entry point as a function that is called, the size of its workgroups, and a call.
    fn function(&self, item: &Linked<'_>) -> Result<(String, String, String), String> {
        let parts = item.text.split_once(ENTRY).and_then(|(comment, rest)| {
            let (size, rest) = rest.split_once(")\nfn ")?;
            let (head, body) = rest.split_once(") {")?;
            Some((comment, size, head, body))
        });
        let (comment, size, head, body) =
            parts.ok_or(format!("`{}` is no entry point", self.entry))?;
        let mut head = head.to_owned();
        let mut arguments = Vec::new();
        while let Some((before, rest)) = head.clone().split_once("@builtin(") {
            let (builtin, rest) = rest.split_once(") ").ok_or(format!(
                "`{}` has an argument that is not known",
                self.entry
            ))?;
            arguments.push(builtin.to_owned());
            head = format!("{before}{rest}");
        }
        let text = format!("{comment}fn {head}) {{{body}");
        let call = format!("{}_{}({})", self.entry, self.number, arguments.join(", "));
        Ok((self.renamed(item, &text), size.to_owned(), call))
    }
}
