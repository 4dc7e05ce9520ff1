//! Running the examples, and what the tests ask of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

/// An example, as built beside this test.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("a path");
    let profile = test.ancestors().nth(2).expect("target/<profile>/deps");
    let path = profile
        .join("examples")
        .join(name)
        .with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --examples` for this profile first",
        path.display()
    );
    let mut command = Command::new(path);
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("RUST_BACKTRACE");
    command
}

/// Whether tests are to leave the GPU out.
pub(crate) fn without_gpu() -> bool {
    std::env::var("NIN_TEST_GPU").is_ok_and(|value| value == "off")
}

/// Builds a shared library of one C file, by the compiler that links Rust's programs. It stays loaded, and counts on.
#[cfg(target_os = "linux")]
pub(crate) fn compile(source: &str, library: &Path) {
    let mut cc = Command::new("cc");
    cc.args([
        "-std=c11",
        "-O1",
        "-shared",
        "-fPIC",
        "-fvisibility=hidden",
        "-Wl,-z,nodelete",
    ]);
    cc.current_dir(env!("CARGO_MANIFEST_DIR"));
    let built = cc
        .args(["-Wall", "-Werror", source, "-ldl", "-o"])
        .arg(library)
        .status();
    assert!(built.expect("cc runs").success(), "{source}");
}

/// What became of a program.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn run(command: &mut Command) -> Ended {
    let output = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ended {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Stdout of a run that must succeed.
pub(crate) fn ok(command: &mut Command) -> String {
    let ended = run(command);
    assert_eq!(ended.code, Some(0), "{command:?} failed: {}", ended.stderr);
    ended.stdout
}

/// Stderr of a run that must fail in an orderly way: with a code of its own, one message, and no panic.
pub(crate) fn refused(command: &mut Command) -> String {
    let Ended { code, stderr, .. } = run(command);
    assert!(
        matches!(code, Some(1 | 2)),
        "{command:?} ended with {code:?}: {stderr}"
    );
    let messages = stderr.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(messages.count(), 1, "{command:?}: {stderr}");
    assert!(stderr.starts_with("error: "), "{command:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

/// Stderr of a `classify` that answers for the good pictures and names one bad one.
pub(crate) fn named_bad(command: &mut Command) -> String {
    let Ended { code, stderr, .. } = run(command);
    assert_eq!(code, Some(1), "{command:?}: {stderr}");
    let mut errors = stderr.lines().filter(|line| line.starts_with("error: "));
    let error = errors.next().expect("one is named").to_owned();
    assert_eq!(errors.next(), None, "{command:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    error
}

/// A machine without any driver.
pub(crate) fn without_drivers(command: &mut Command) -> &mut Command {
    command
        .env("VK_DRIVER_FILES", "/nonexistent.json")
        .env("VK_ICD_FILENAMES", "/nonexistent.json")
        .env("WGPU_BACKEND", "vulkan")
}

/// Asserts that a text holds all these parts.
pub(crate) fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

pub(crate) fn new_folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Six steps of `nin-small` on the synthetic set, in two epochs. Flags that are given again win.
pub(crate) fn short_run(out: &Path) -> Command {
    let mut command = example("train");
    let flags = "--dataset synthetic --model nin-small --device cpu --batch-size 32 --limit-train 96 --limit-test 40 \
                 --epochs 2 --log-every 2 --out";
    command.args(flags.split_whitespace()).arg(out);
    command
}

/// An epoch of `nin-small` on pictures of one's own, which are decoded anew each time. Flags that are given again win.
pub(crate) fn train_on(data: &Path, out: &Path) -> Command {
    let mut command = example("train");
    let flags = "--model nin-small --device cpu --batch-size 8 --epochs 1 --cache off --dataset";
    command.args(flags.split_whitespace()).arg(data);
    command.arg("--out").arg(out);
    command
}

/// The folder of a short run, made once for all tests. They read it only.
pub(crate) fn trained() -> &'static Path {
    static RUN: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli");
        // Of the last time; the first time there is none.
        let _ = std::fs::remove_dir_all(&folder);
        ok(&mut short_run(&folder));
        folder
    });
    &RUN
}

/// `classify` with that run's network.
pub(crate) fn classify() -> Command {
    classify_with(&trained().join("best.safetensors"))
}

pub(crate) fn classify_with(model: &Path) -> Command {
    let mut command = example("classify");
    command.args(["--device", "cpu", "--model"]).arg(model);
    command
}

/// The JSON lines that `classify` prints.
pub(crate) fn json(command: &mut Command) -> Vec<Value> {
    lines(&ok(command.arg("--json")))
}

/// The JSON values of a text, one a line.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("JSON")
}

/// The lines of a run's `metrics.jsonl`, of one kind.
pub(crate) fn metrics(run: &Path, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).expect("written");
    let mut lines = lines(&text);
    lines.retain(|line| line["kind"] == kind);
    lines
}

/// A run's `config.json`.
pub(crate) fn config(run: &Path) -> Value {
    let json = std::fs::read(run.join("config.json")).expect("written");
    serde_json::from_slice(&json).expect("JSON")
}

/// Pictures that come with the project.
pub(crate) fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images")
}

pub(crate) fn image() -> PathBuf {
    samples().join("ankle_boot.png")
}

/// Writes pictures of two classes, whose left or right half is bright, in a folder each.
pub(crate) fn write_classes(root: &Path, each: u32) {
    for (class, bright) in [("left", 0..14), ("right", 14..28)] {
        let folder = root.join(class);
        std::fs::create_dir_all(&folder).expect("made");
        for i in 0..each {
            let picture = image::GrayImage::from_fn(28, 28, |x, y| {
                let value = if bright.contains(&x) { 200 } else { 20 };
                image::Luma([value + ((x + y + i) % 20) as u8])
            });
            picture
                .save(folder.join(format!("{i}.png")))
                .expect("written");
        }
    }
}

/// The contents of every file below a folder.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            contents.extend(self::contents(&path));
        } else {
            let bytes = std::fs::read(&path).expect("readable");
            contents.insert(path, bytes);
        }
    }
    contents
}
