//! Run-time checks of kernels: left out where indices are known to be in range, or kept and counted.
//!
//! wgpu puts checks into kernels: every index is held within its array, loops are counted, divisors looked at. They keep a
//! GPU's compiler from merging loads and unrolling loops. They are left out of kernels that are trusted
//! ([`Kernel::is_trusted`]); that these deserve it is what watching proves: their sources are rewritten so that each index
//! is compared with the length of its array, and those out of range are counted.

use super::readback;
use super::{Gpu, GpuError};
use crate::plan::Kernel;

/// Which run-time checks kernels are compiled with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// None in kernels whose indices are known to be in range, all in the others.
    #[default]
    Trusted,
    /// All in every kernel.
    All,
    /// All, and in trusted kernels each index out of range is counted: see [`Gpu::strays`]. Slow. A kernel that binds as many
    /// storage buffers as the device lets it is not watched, since that takes one more.
    Watched,
}

impl Checks {
    /// Whether a kernel is compiled without checks.
    pub(super) fn trusts(self, kernel: &Kernel) -> bool {
        // A browser trusts nobody.
        cfg!(not(target_family = "wasm")) && self == Self::Trusted && kernel.is_trusted()
    }

    /// Whether a kernel's indices are counted on a device with so many storage buffers.
    pub(super) fn watches(self, kernel: &Kernel, storage_buffers: u32) -> bool {
        let has_room = kernel.bindings.len() < storage_buffers as usize;
        self == Self::Watched && kernel.is_trusted() && has_room
    }
}

impl Gpu {
    /// Sets which checks kernels are compiled with; it is for graphs that are loaded from now on.
    pub fn set_checks(&self, checks: Checks) {
        let mut pipelines = self
            .pipelines
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        pipelines.set_checks(checks, &self.device);
    }

    /// How many indices were out of range since the kernels are watched, wrapped at 2³².
    ///
    /// # Errors
    /// [`GpuError::Lost`], or [`GpuError::Refused`] if they are not watched.
    pub fn strays(&self) -> Result<u32, GpuError> {
        let counter = self
            .pipelines
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .strays();
        let counter = counter
            .ok_or_else(|| GpuError::Refused("kernels are not watched: set_checks first".into()))?;
        let words = readback::read(self, &counter, 0, 4)?;
        Ok(words.first().map_or(0, |word| word.to_bits()))
    }
}

/// The source of a kernel with each index into an array compared with its length, and a counter of those out of range at
/// `binding`. Indices into vectors and matrices are left as they are.
///
/// An invocation counts for itself and adds that up once, at its end: a branch at each index would be some thousands in a kernel
/// whose loops are unrolled, over which a software driver's compiler takes minutes.
pub(super) fn watched(wgsl: &str, binding: usize) -> String {
    let source: String = wgsl
        .lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .flat_map(|line| [line, "\n"])
        .collect();
    let arrays = arrays(&source);
    let body = counting(&guard(&source, &arrays)).expect("invariant: a kernel has an entry point");
    format!(
        "{body}\n@group(0) @binding({binding}) var<storage, read_write> watch_strays: atomic<u32>;\n\
         var<private> watch_seen: u32;\n\
         fn watch_index(index: u32, length: u32) -> u32 {{\n\
         watch_seen += u32(index >= length);\n\
         return index;\n}}\n"
    )
}

/// The entry point as a function, and one in its place that calls it and adds up what it counted.
fn counting(source: &str) -> Option<String> {
    let (before, entry) = source.split_once("@compute")?;
    let (attributes, entry) = entry.split_once("fn ")?;
    let (name, entry) = entry.split_once('(')?;
    let (parameters, rest) = entry.split_once(") {")?;
    let plain: Vec<&str> = parameters
        .split(',')
        .map(|one| one.rsplit_once(')').map_or(one, |(_, plain)| plain).trim())
        .filter(|one| !one.is_empty())
        .collect();
    let arguments: Vec<&str> = plain
        .iter()
        .map(|one| one.split_once(':').map_or(*one, |(name, _)| name.trim()))
        .collect();
    let (plain, arguments) = (plain.join(", "), arguments.join(", "));
    Some(format!(
        "{before}@compute{attributes}fn {name}({parameters}) {{\n\
         watch_body({arguments});\n\
         if watch_seen > 0u {{ atomicAdd(&watch_strays, watch_seen); }}\n}}\n\
         fn watch_body({plain}) {{{rest}"
    ))
}

/// An array and the lengths of its dimensions, the outermost first.
type Array = (String, Vec<String>);

/// Every variable that is an array, by its declaration.
fn arrays(source: &str) -> Vec<Array> {
    let declarations = source.match_indices("var").filter_map(|(at, _)| {
        if at > 0 && is_word(source.as_bytes()[at - 1]) {
            return None;
        }
        let rest = source[at + 3..].trim_start();
        // An address space, perhaps.
        let rest = match rest.strip_prefix('<') {
            Some(space) => space.split_once('>')?.1.trim_start(),
            None => rest,
        };
        let (name, kind) = rest.split_once(':')?;
        let is_name = !name.is_empty() && name.trim_end().bytes().all(is_word);
        let end = kind.find([';', '='])?;
        let mut kind = kind[..end].trim();
        let mut lengths = Vec::new();
        while let Some(inner) = kind
            .strip_prefix("array<")
            .and_then(|inner| inner.strip_suffix('>'))
        {
            let (element, length) = split_last(inner);
            lengths.push(match length {
                Some(length) => format!("u32({length})"),
                None => format!("arrayLength(&{})", name.trim()),
            });
            kind = element.trim();
        }
        (is_name && !lengths.is_empty()).then(|| (name.trim().to_owned(), lengths))
    });
    declarations.collect()
}

/// `array`'s arguments: the element, and what stands behind the last comma that is in no brackets.
fn split_last(arguments: &str) -> (&str, Option<&str>) {
    let mut depth = 0;
    let mut comma = None;
    for (i, c) in arguments.char_indices() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            ',' if depth == 0 => comma = Some(i),
            _ => {}
        }
    }
    // A comma may be the last character.
    match comma.map(|i| (&arguments[..i], arguments[i + 1..].trim())) {
        Some((element, "")) => split_last(element),
        Some((element, length)) => (element, Some(length)),
        None => (arguments, None),
    }
}

fn guard(source: &str, arrays: &[Array]) -> String {
    let bytes = source.as_bytes();
    let mut out = String::with_capacity(2 * source.len());
    let mut at = 0;
    while at < bytes.len() {
        if !is_word(bytes[at]) {
            let step = source[at..].chars().next().map_or(1, char::len_utf8);
            out += &source[at..at + step];
            at += step;
            continue;
        }
        let end = at + bytes[at..].iter().take_while(|&&b| is_word(b)).count();
        let name = &source[at..end];
        out += name;
        let is_member = at > 0 && bytes[at - 1] == b'.';
        at = end;
        let array = arrays.iter().find(|(of, _)| of == name && !is_member);
        for length in array.map(|(_, lengths)| lengths).into_iter().flatten() {
            let Some(index) = bracketed(&source[at..]) else {
                break;
            };
            let inner = guard(index, arrays);
            out += &format!("[watch_index(u32({inner}), {length})]");
            at += index.len() + 2;
        }
    }
    out
}

/// What stands in the brackets that a text begins with.
fn bracketed(text: &str) -> Option<&str> {
    let mut depth = 0;
    for (i, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return text.starts_with('[').then(|| &text[1..i]);
        }
    }
    None
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::AdapterFilter;
    use crate::gpu::launch::Launch;
    use crate::ops::Op;

    /// `relu` over eight elements of buffers that hold four.
    #[test]
    fn what_reads_and_writes_beyond_its_buffers_is_counted() {
        let filter = AdapterFilter::default();
        if Gpu::list(&filter).expect("listed").is_empty() {
            return; // where there should be one, the tests in tests/ say so
        }
        let gpu = Gpu::open(&filter, "adapter", |_, _| true).expect("an adapter");
        gpu.set_checks(Checks::Watched);
        let kernels = Op::kernels().into_iter();
        let mut kernels = kernels.filter(|(k, _)| (k.shader, k.entry) == ("relu", "forward"));
        let (kernel, variant) = kernels.next().expect("the kernel of relu");
        let count = |len: u32| {
            let buffer = |usage, bytes| {
                gpu.device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size: bytes,
                    usage: usage | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                })
            };
            let uniform = buffer(wgpu::BufferUsages::UNIFORM, 4);
            gpu.queue.write_buffer(&uniform, 0, &len.to_le_bytes());
            let [x, y] = [(); 2].map(|()| buffer(wgpu::BufferUsages::STORAGE, 16));
            let buffers = [&uniform, &x, &y].map(wgpu::Buffer::as_entire_buffer_binding);
            let launch = Launch::new(&gpu, "relu", (kernel, variant), buffers.into_iter(), [1; 3]);
            let launch = launch.expect("it compiles");
            let mut encoder = gpu.device.create_command_encoder(&Default::default());
            launch.encode(&mut gpu.begin_pass(&mut encoder, None));
            gpu.submit(encoder);
            gpu.strays().expect("watched")
        };
        assert_eq!(count(4), 0);
        // Each of the four reads twice, at most, and writes once.
        assert!((8..=12).contains(&count(8)));
    }

    #[test]
    fn every_index_into_an_array_is_compared_with_its_length_nested_ones_too() {
        let source = "@group(0) @binding(1) var<storage, read> x: array<f32>; // x[9]\n\
            var<workgroup> slab: array<array<vec4f, N + 1>, 16>;\n\
            @compute @workgroup_size(LANES)\n\
            fn f(\n    @builtin(workgroup_id) v: vec3u,\n    @builtin(local_invocation_index) lane: u32,\n) { \
            var a: array<u32, 2>; slab[a[1]][x[v[2]]] = s.x[0].w[1]; }";
        let watched = watched(source, 5);
        let entry = "@compute @workgroup_size(LANES)\n\
            fn f(\n    @builtin(workgroup_id) v: vec3u,\n    @builtin(local_invocation_index) lane: u32,\n) {\n\
            watch_body(v, lane);\n";
        assert!(watched.contains(entry), "{watched}");
        let body = "fn watch_body(v: vec3u, lane: u32) { var a: array<u32, 2>; \
            slab[watch_index(u32(a[watch_index(u32(1), u32(2))]), u32(16))]\
            [watch_index(u32(x[watch_index(u32(v[2]), arrayLength(&x))]), u32(N + 1))] = s.x[0].w[1]; }";
        assert!(watched.contains(body), "{watched}");
        assert!(watched.contains("@binding(5) var<storage, read_write> watch_strays"));
    }
}
