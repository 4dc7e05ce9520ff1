//! Where the time of a run goes, dispatch by dispatch: a table for people and a trace for viewers.

use std::fmt;

use serde_json::json;

use crate::backend::peak::Peak;

/// One dispatch of a run; on the CPU, one node of its graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Layer that it belongs to.
    pub layer: String,
    /// Op that it computes, or a part of.
    pub op: &'static str,
    /// Kernel and variant, `conv2d_direct.forward` say; `cpu` on the CPU.
    pub kernel: String,
    /// Shapes of inputs and outputs, for people.
    pub shapes: String,
    /// Time that it took: the median over the runs.
    pub seconds: f64,
    /// Floating-point operations. An op of several dispatches counts them on its first.
    pub flops: u64,
    /// Bytes moved at least: each operand once, those updated in place twice.
    pub bytes: u64,
}

/// The dispatches of a run in their order, and the device that they ran on.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The device.
    pub device: String,
    /// What it can do at most.
    pub peak: Peak,
    /// The dispatches.
    pub entries: Vec<Entry>,
}

impl Profile {
    /// Time of all dispatches.
    pub fn seconds(&self) -> f64 {
        self.entries.iter().map(|entry| entry.seconds).sum()
    }

    /// The dispatches as a Chrome trace, one behind the other: JSON that `chrome://tracing` and
    /// <https://ui.perfetto.dev> open.
    pub fn chrome_trace(&self) -> String {
        let process = json!({
            "ph": "M", "name": "process_name", "pid": 0, "args": { "name": self.device },
        });
        let mut start = 0.0;
        let spans = self.entries.iter().map(|entry| {
            let duration = 1e6 * entry.seconds;
            let span = json!({
                "ph": "X",
                "name": format!("{} {}", entry.layer, entry.op),
                "cat": entry.op,
                "pid": 0,
                "tid": 0,
                "ts": start,
                "dur": duration,
                "args": {
                    "kernel": entry.kernel,
                    "shapes": entry.shapes,
                    "flops": entry.flops,
                    "bytes": entry.bytes,
                    "of peak": self.of_peak(std::slice::from_ref(entry)),
                },
            });
            start += duration;
            span
        });
        let events: Vec<_> = std::iter::once(process).chain(spans).collect();
        json!({ "displayTimeUnit": "ms", "traceEvents": events }).to_string()
    }

    /// Part of these dispatches' time that the device would need at its peak; above 1 where caches hold the operands.
    fn of_peak(&self, entries: &[Entry]) -> f64 {
        let least = entries
            .iter()
            .map(|entry| self.peak.seconds(entry.flops, entry.bytes));
        let seconds: f64 = entries.iter().map(|entry| entry.seconds).sum();
        least.sum::<f64>() / seconds
    }

    /// Rate of what bounds an entry, to be read by people.
    fn rate(&self, entry: &Entry) -> String {
        let per_second = |n: u64| {
            let billions = n as f64 / entry.seconds / 1e9;
            format!("{billions:.*}", if billions < 10.0 { 2 } else { 1 })
        };
        let [flops, bytes] = [entry.flops, entry.bytes].map(per_second);
        let computes = entry.flops as f64 / self.peak.flops > entry.bytes as f64 / self.peak.bytes;
        match (entry.seconds > 0.0, computes) {
            (false, _) => UNKNOWN.to_owned(),
            (_, true) => format!("{flops} GFLOP/s"),
            (_, false) => format!("{bytes} GB/s   "),
        }
    }
}

/// In place of a rate, if a dispatch took less than the clock can tell.
const UNKNOWN: &str = "-";

/// The table: a line for the device, one of headings, one for each dispatch, and the total.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, at most {}", self.device, self.peak)?;
        let rows = self.rows();
        let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max();
        let widths: [usize; 9] = std::array::from_fn(|i| width(i).unwrap_or(0));
        for row in &rows {
            for (i, (cell, width)) in row.iter().zip(widths).enumerate() {
                match i {
                    0 => write!(f, "{cell:>width$}")?,
                    1..NUMBERS => write!(f, "  {cell:<width$}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The first column of the table that holds measurements.
const NUMBERS: usize = 5;

impl Profile {
    /// The cells of the table, headings and total included.
    fn rows(&self) -> Vec<[String; 9]> {
        let seconds = self.seconds();
        let percent = |part: f64| match part.is_finite() {
            true => format!("{:.1} %", 100.0 * part),
            false => UNKNOWN.to_owned(),
        };
        let headings = [
            "#", "layer", "op", "kernel", "shapes", "ms", "rate", "of peak", "of step",
        ];
        let mut rows = vec![headings.map(str::to_owned)];
        for (i, entry) in self.entries.iter().enumerate() {
            rows.push([
                (i + 1).to_string(),
                entry.layer.clone(),
                entry.op.to_owned(),
                entry.kernel.clone(),
                entry.shapes.clone(),
                format!("{:.3}", 1e3 * entry.seconds),
                self.rate(entry),
                percent(self.of_peak(std::slice::from_ref(entry))),
                percent(entry.seconds / seconds),
            ]);
        }
        let flops: u64 = self.entries.iter().map(|entry| entry.flops).sum();
        let [number, layer, op, kernel, shapes] = ["", "total", "", "", ""].map(str::to_owned);
        rows.push([
            number,
            layer,
            op,
            kernel,
            shapes,
            format!("{:.3}", 1e3 * seconds),
            format!("{:.1} GFLOP/s", flops as f64 / seconds / 1e9),
            percent(self.of_peak(&self.entries)),
            percent(1.0),
        ]);
        rows
    }
}

/// The median over all runs of each time in them; of an even number the lower one.
pub(crate) fn medians(runs: &[Vec<f64>]) -> Vec<f64> {
    let len = runs.first().map_or(0, Vec::len);
    let median = |i: usize| {
        let mut times: Vec<f64> = runs.iter().map(|run| run[i]).collect();
        times.sort_by(f64::total_cmp);
        times[(times.len() - 1) / 2]
    };
    (0..len).map(median).collect()
}
