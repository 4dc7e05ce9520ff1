//! `doctor`.

use crate::programs::{assert_says, example, ok, refused, without_drivers};

/// Right and all checks of the only self-test in `text`.
fn checks(text: &str) -> [usize; 2] {
    let mut lines = text.lines();
    let line = lines
        .find(|line| line.starts_with("self-test "))
        .expect(text);
    let numbers = line.split(' ').filter_map(|word| word.parse().ok());
    let numbers: Vec<usize> = numbers.take(2).collect();
    numbers.try_into().expect(line)
}

#[test]
fn on_an_adapter_every_kernel_is_right() {
    if std::env::var("NIN_TEST_GPU").is_ok_and(|value| value == "off") {
        return;
    }
    let text = ok(example("doctor").args(["--device", "gpu:0"]));
    let [right, all] = checks(&text);
    assert_eq!(right, all, "{text}");
    assert!(all > 100, "{text}");
    assert_says(
        &text,
        &[
            "\ngpu:0 ",
            "offers    ",
            "MiB a binding",
            "features  ",
            "conv2d.dgrad ",
            "training step ",
            "images/s",
            "GFLOP/s",
            "nin-wgpu/tune",
            "gpu:0 computes right",
        ],
    );
}

#[test]
fn without_an_adapter_it_says_so_and_the_cpu_is_right() {
    let text = ok(without_drivers(&mut example("doctor")));
    let [right, all] = checks(&text);
    assert_eq!(right, all, "{text}");
    assert_says(
        &text,
        &[
            "\ncpu  ",
            "cpu computes right",
            "No adapter was found",
            "Next: cargo run",
        ],
    );
    assert!(!text.contains("gpu:0"), "{text}");
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    let error = refused(example("doctor").args(["--device", "gpu:99"]));
    assert_says(&error, &["--device gpu:99: no adapter gpu:99 found"]);
}
