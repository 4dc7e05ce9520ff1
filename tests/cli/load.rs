//! Many trainings at once.

use std::process::Stdio;

use crate::parts::assert_same;
use crate::programs::{new_folder, ok, short_run, without_gpu};

#[test]
fn four_trainings_on_one_adapter_compute_what_each_does_alone() {
    if without_gpu() {
        return;
    }
    let folder = new_folder();
    let begin = |name: &str| {
        let mut command = short_run(&folder.path().join(name));
        command.args(["--device", "gpu:0", "--quiet"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    ok(&mut begin("one"));
    let names = ["first", "second", "third", "fourth"];
    let at_once = names.map(|name| begin(name).spawn().expect("starts"));
    for (name, child) in names.iter().zip(at_once) {
        let output = child.wait_with_output().expect("ends");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {error}");
        assert_same(&folder.path().join(name), &folder.path().join("one"));
    }
}
