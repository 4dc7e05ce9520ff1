//! Horizontal bars in groups, as SVG.

use std::error::Error;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Bars of each group, one for each series that has a value there.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What the values are in.
    pub unit: &'static str,
    /// Names of the bars of a group.
    pub series: Vec<String>,
    /// Names of the groups and their values.
    pub groups: Vec<(String, Vec<Option<f64>>)>,
}

/// Okabe and Ito's palette, told apart by the colour-blind, and two shades more: a colour for each convolution kernel.
const COLOURS: [RGBColor; 10] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x55, 0x55, 0x55),
    RGBColor(0xf0, 0xe4, 0x42),
    RGBColor(0xbb, 0xbb, 0xbb),
    RGBColor(0x7a, 0x1f, 0x3d),
];
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const WIDTH: i32 = 960;
/// Where the bars begin and the longest ends.
const LEFT: i32 = 300;
const RIGHT: i32 = WIDTH - 70;
const BAR: i32 = 12;
const GAP: i32 = 10;
const TOP: i32 = 64;

impl Chart {
    /// The bars under two lines, and a legend if there is more than one series.
    pub fn svg(&self, title: &str, device: &str) -> Result<String, Box<dyn Error>> {
        let legend = if self.series.len() > 1 {
            20 * self.series.len() as i32 + GAP
        } else {
            0
        };
        let bars: usize = self
            .groups
            .iter()
            .map(|(_, bars)| bars.iter().flatten().count())
            .sum();
        let height = TOP + legend + bars as i32 * BAR + self.groups.len() as i32 * GAP + GAP;
        let mut text = String::new();
        let root =
            SVGBackend::with_string(&mut text, (WIDTH as u32, height as u32)).into_drawing_area();
        root.fill(&WHITE)?;
        let style = |size, side| {
            let style = TextStyle::from(("sans-serif", size).into_font());
            style.color(&INK).pos(Pos::new(side, VPos::Center))
        };
        let (left, right) = (style(13, HPos::Left), style(13, HPos::Right));
        for (line, size, y) in [(title, 18, 20), (device, 13, 42)] {
            root.draw(&Text::new(
                line.to_owned(),
                (12, y),
                style(size, HPos::Left),
            ))?;
        }
        let mut y = TOP;
        if legend > 0 {
            for (i, name) in self.series.iter().enumerate() {
                root.draw(&bar(LEFT, LEFT + 24, y, i))?;
                root.draw(&Text::new(
                    name.clone(),
                    (LEFT + 32, y + BAR / 2),
                    left.clone(),
                ))?;
                y += 20;
            }
            y += GAP;
        }
        let values = self.groups.iter().flat_map(|(_, bars)| bars).flatten();
        let most = values.copied().fold(f64::MIN_POSITIVE, f64::max);
        for (name, bars) in &self.groups {
            let middle = y + bars.iter().flatten().count() as i32 * BAR / 2;
            root.draw(&Text::new(name.clone(), (LEFT - 8, middle), right.clone()))?;
            for (i, value) in bars.iter().enumerate() {
                let Some(value) = value else { continue };
                let end = LEFT + (f64::from(RIGHT - LEFT) * value / most).round() as i32;
                root.draw(&bar(LEFT, end, y, i))?;
                let label = super::digits(*value);
                root.draw(&Text::new(label, (end + 4, y + BAR / 2), left.clone()))?;
                y += BAR;
            }
            y += GAP;
        }
        root.present()?;
        drop(root);
        Ok(text)
    }
}

fn bar(from: i32, to: i32, y: i32, series: usize) -> Rectangle<(i32, i32)> {
    let colour = COLOURS[series % COLOURS.len()];
    Rectangle::new([(from, y), (to, y + BAR - 1)], colour.filled())
}
