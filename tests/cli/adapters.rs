//! Which adapters the programs see: `WGPU_ADAPTER_NAME`.

use crate::programs::{assert_says, example, new_folder, ok, refused, short_run};

fn listed(name: &str) -> String {
    let mut command = example("train");
    ok(command.arg("--list-devices").env("WGPU_ADAPTER_NAME", name))
}

#[test]
fn a_name_limits_the_adapters_whatever_its_letters() {
    if std::env::var("NIN_TEST_GPU").is_ok_and(|value| value == "off") {
        return;
    }
    let all = listed("");
    let first = all.lines().next().expect("an adapter");
    let name = first.split_whitespace().nth(1).expect("its name");
    let named = listed(&name.to_uppercase());
    assert_eq!(named.lines().next(), Some(first), "{named}");
    for line in named.lines().filter(|line| line.starts_with("gpu:")) {
        assert_says(line, &[name]);
    }

    // One that is named is taken, even if it is no hardware.
    let folder = new_folder();
    let mut command = short_run(&folder.path().join("run"));
    let flags = ["--device", "auto", "--max-steps", "1", "--tune", "off"];
    let text = ok(command.args(flags).env("WGPU_ADAPTER_NAME", name));
    assert_says(&text, &[&format!("device   {name}")]);
}

#[test]
fn a_name_that_no_adapter_has_is_refused_with_those_there_are() {
    if std::env::var("NIN_TEST_GPU").is_ok_and(|value| value == "off") {
        return;
    }
    let folder = new_folder();
    let out = folder.path().join("run");
    for device in ["auto", "gpu", "gpu:0", "software"] {
        let mut command = short_run(&out);
        let error = refused(
            command
                .args(["--device", device])
                .env("WGPU_ADAPTER_NAME", "no such card"),
        );
        let flag = format!("--device {device}: WGPU_ADAPTER_NAME is `no such card`");
        assert_says(&error, &[&flag, "this machine has gpu:0 = "]);
    }
    let mut doctor = example("doctor");
    refused(doctor.env("WGPU_ADAPTER_NAME", "no such card"));
    assert!(!out.exists(), "something was written");
}
