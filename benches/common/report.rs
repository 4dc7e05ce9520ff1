//! What a bench says at its end: on the terminal, as Markdown and as a plot.

use std::path::Path;

use super::device::is_quick;
use super::plot::Chart;
use super::table::Table;

/// The results of a bench.
#[derive(Clone, Debug)]
pub struct Report {
    /// Stem of the files.
    pub name: &'static str,
    /// What was measured.
    pub title: String,
    /// On which device, or devices.
    pub device: String,
    /// How to read it, a sentence each.
    pub notes: Vec<String>,
    /// The numbers.
    pub table: Table,
    /// The same as bars.
    pub chart: Chart,
}

impl Report {
    /// Prints the table and writes `target/bench/NAME.md` and `.svg`; nothing if nothing was measured.
    pub fn publish(&self) {
        if self.table.is_empty() {
            return;
        }
        let notes = self.notes.join("\n");
        let (title, device) = (&self.title, &self.device);
        println!("\n{title}\n{device}\n\n{}\n{notes}", self.table.text());
        // Cargo tells a bench of `target/tmp` only.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
        std::fs::create_dir_all(&folder).expect("target/bench can be made");
        let stem = format!("{}{}", self.name, if is_quick() { "-quick" } else { "" });
        let picture = format!("{stem}.svg");
        let markdown = format!(
            "# {title}\n\n{device}\n\n{}\n{notes}\n\n![{}]({picture})\n",
            self.table.markdown(),
            self.chart.unit,
        );
        let title = format!("{title}, {}", self.chart.unit);
        let svg = self.chart.svg(&title, device).expect("the chart draws");
        for (file, text) in [(format!("{stem}.md"), markdown), (picture, svg)] {
            let path = folder.join(file);
            std::fs::write(&path, text).expect("target/bench is writable");
            println!("written: {}", path.display());
        }
    }
}
