//! The plot: test accuracy over the images trained on, dashed that on training images.

use std::error::Error;

use plotters::prelude::*;

use crate::measure::Row;

/// Okabe and Ito's palette, told apart by the colour-blind.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x22, 0x22, 0x22),
];
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
const FONT: &str = "sans-serif";

/// The curves of all rows.
pub(crate) fn svg(rows: &[Row]) -> anyhow::Result<String> {
    let mut text = String::new();
    draw(rows, &mut text).map_err(|error| anyhow::anyhow!("the plot cannot be drawn: {error}"))?;
    Ok(text)
}

fn draw(rows: &[Row], text: &mut String) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::with_string(text, (860, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let epochs = || rows.iter().flat_map(|row| &row.epochs);
    let images = epochs().map(|epoch| epoch.images).max().unwrap_or(1);
    let lowest = epochs()
        .map(|epoch| epoch.train.min(epoch.test))
        .fold(0.9, f64::min);
    let lowest = (10.0 * lowest).floor() * 10.0;
    let mut chart = ChartBuilder::on(&root)
        .margin(14)
        .margin_right(28)
        .x_label_area_size(48)
        .y_label_area_size(66)
        .build_cartesian_2d(0..images, lowest..100.0)?;
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .x_labels(7)
        .y_labels(6)
        .y_label_formatter(&|value| format!("{value:.0}"))
        .x_desc("images trained on")
        .y_desc("accuracy, %: test (lines), training (dashes)")
        .label_style((FONT, 18, &INK))
        .axis_desc_style((FONT, 20, &INK))
        .draw()?;
    for (row, colour) in rows.iter().zip(COLOURS.iter().cycle()) {
        let style = colour.stroke_width(2);
        let points = |of: fn(&crate::measure::Epoch) -> f64| {
            row.epochs
                .iter()
                .map(move |epoch| (epoch.images, 100.0 * of(epoch)))
        };
        chart
            .draw_series(LineSeries::new(points(|epoch| epoch.test), style))?
            .label(&row.model)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
        chart.draw_series(
            points(|epoch| epoch.test).map(|at| Circle::new(at, 4, colour.filled())),
        )?;
        chart.draw_series(DashedLineSeries::new(
            points(|epoch| epoch.train),
            6,
            5,
            colour.stroke_width(1),
        ))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .legend_area_size(32)
        .margin(12)
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .label_font((FONT, 18, &INK))
        .draw()?;
    root.present()?;
    Ok(())
}
