//! What the benches share: the device and how much to do on it, timing under criterion, and the report at the end.
//!
//! `NIN_BENCH_DEVICE=auto|gpu|gpu:N|software|cpu` chooses the device; `NIN_BENCH_QUICK=1` runs a few small cases a few
//! times, for CI. A report is printed and written to `target/bench/`, as Markdown and as a plot.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each bench uses the part that it needs"
)]

pub mod device;
pub mod measure;
pub mod plot;
pub mod report;
pub mod table;

/// Significant to three digits, in few letters: 0.123, 1.23, 12.3, 123.
pub fn digits(x: f64) -> String {
    let decimals = match x {
        _ if x < 1.0 => 3,
        _ if x < 10.0 => 2,
        _ if x < 100.0 => 1,
        _ => 0,
    };
    format!("{x:.decimals$}")
}

/// `part` of `whole` in percent; a dash where the whole is unknown.
pub fn percent(part: f64, whole: Option<f64>) -> String {
    whole.map_or_else(|| "–".into(), |whole| digits(100.0 * part / whole))
}

/// The number, where it is known.
pub fn known(x: Option<f64>) -> String {
    x.map_or_else(|| "unknown".into(), digits)
}
