//! What the benches share: the device and how much to do on it, timing under criterion, and the report at the end.
//!
//! `NIN_BENCH_DEVICE=auto|gpu|gpu:N|software|cpu` chooses the device; `NIN_BENCH_QUICK=1` runs a few small cases a few
//! times, for CI. A report is printed and written to `target/bench/`, as Markdown and as a plot.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each bench uses the part that it needs"
)]

#[allow(
    clippy::duplicate_mod,
    reason = "benches of single ops have it from tests/cases too"
)]
#[path = "../../examples/common/adapters.rs"]
mod adapters;
pub mod device;
pub mod measure;
pub mod plot;
pub mod report;
pub mod table;

/// Three digits that count, where they need few letters: 0.0123, 1.23, 12.3, 123, 12345.
pub fn digits(x: f64) -> String {
    let magnitude = x.abs().max(1e-4).log10().floor();
    let decimals = (2.0 - magnitude).max(0.0) as usize;
    format!("{x:.decimals$}")
}

/// `part` of `whole` in percent.
pub fn percent(part: f64, whole: f64) -> String {
    digits(100.0 * part / whole)
}
