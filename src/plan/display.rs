//! The plan as a table: what `train --plan` prints.

use std::fmt;

use super::{Plan, Region};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self
            .dispatches()
            .iter()
            .map(|dispatch| dispatch.layer.len());
        let layer = names.fold(10, usize::max);
        writeln!(
            f,
            "{:>3}  {:<layer$} {:<24} {:<42} {:<44} {:>12} {:>8} {:>9}  slots",
            "#", "layer", "op", "kernel", "shapes", "workgroups", "MB", "MFLOP"
        )?;
        for (i, dispatch) in self.dispatches().iter().enumerate() {
            let kernel = &dispatch.kernel;
            let [x, y, z] = dispatch.workgroups;
            let slots: Vec<String> = dispatch
                .bindings
                .iter()
                .zip(kernel.bindings)
                .map(|(region, binding)| format!("{}={}", binding.name, self.place(region)))
                .collect();
            writeln!(
                f,
                "{:>3}  {:<layer$} {:<24} {:<42} {:<44} {:>12} {:>8.2} {:>9.1}  {}",
                i + 1,
                dispatch.layer,
                dispatch.op,
                dispatch.name(),
                dispatch.shapes,
                format!("{x}x{y}x{z}"),
                dispatch.bytes as f64 / 1e6,
                dispatch.flops as f64 / 1e6,
                slots.join(" ")
            )?;
        }
        if self.prologue() > 0 {
            writeln!(
                f,
                "the first {} only after parameters were written",
                self.prologue()
            )?;
        }
        write!(
            f,
            "{} dispatches, {} slots, {:.1} MB, {:.2} GFLOP",
            self.dispatches().len(),
            self.slots().len(),
            self.bytes() as f64 / 1e6,
            self.flops() as f64 / 1e9
        )?;
        let nominal = self.nominal_flops();
        if nominal > self.flops() {
            write!(f, " for {:.2}", nominal as f64 / 1e9)?;
        }
        writeln!(f)
    }
}

impl Plan {
    /// `s3`, or `s3+1024` for a region that starts inside its slot.
    fn place(&self, region: &Region) -> String {
        let slot = self.slot_under(*region).0;
        match region.offset {
            0 => format!("s{slot}"),
            offset => format!("s{slot}+{offset}"),
        }
    }
}
