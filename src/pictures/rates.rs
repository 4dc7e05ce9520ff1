//! A learning-rate range test: loss over learning rate, as SVG.

use std::error::Error;

use plotters::prelude::*;

use super::PictureError;
use super::curve::{FONT, GRID, HELD_OUT, INK, TRAINING, WIDTH};

const HEIGHT: u32 = 440;

/// A step of the test: learning rate, loss, and smoothed loss.
pub type RateLoss = [f64; 3];

/// The losses over the learning rates, which have a logarithmic axis, under `title`; `suggestion` is the rate marked.
///
/// # Errors
/// [`PictureError::Curve`] if plotters fails.
pub fn svg(title: &str, steps: &[RateLoss], suggestion: f64) -> Result<String, PictureError> {
    let mut text = String::new();
    draw(title, steps, suggestion, &mut text)
        .map_err(|error| PictureError::Curve(error.to_string()))?;
    Ok(text)
}

fn draw(
    title: &str,
    steps: &[RateLoss],
    suggestion: f64,
    text: &mut String,
) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::with_string(text, (WIDTH, HEIGHT)).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.margin(8, 0, 0, 0);
    let root = root.titled(title, (FONT, 26, &INK).into_text_style(&root))?;
    let edge = |at: Option<&RateLoss>, or| at.map_or(or, |[rate, ..]| *rate);
    let first = edge(steps.first(), 1e-6);
    // An axis has two ends, also that of a test of one step.
    let rates = first..edge(steps.last(), 1.0).max(10.0 * first);
    // Above what was learnt from, so that the end, where the loss rises without bound, does not press all else flat.
    let highest = steps.first().map_or(1.0, |[_, loss, _]| 1.5 * loss);
    let mut chart = ChartBuilder::on(&root)
        .margin(14)
        .margin_right(28)
        .x_label_area_size(48)
        .y_label_area_size(66)
        .build_cartesian_2d(rates.log_scale(), 0.0..highest)?;
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .x_label_formatter(&|rate| format!("{rate:.0e}"))
        .y_label_formatter(&|loss| format!("{loss:.1}"))
        .x_desc("learning rate")
        .y_desc("loss")
        .label_style((FONT, 18, &INK))
        .axis_desc_style((FONT, 20, &INK))
        .draw()?;
    let series = |at: usize| {
        let points = steps.iter().map(move |step| (step[0], step[at]));
        points.filter(move |(_, loss)| *loss <= highest)
    };
    let suggested = vec![(suggestion, 0.0), (suggestion, highest)];
    let faint = TRAINING.mix(0.35).stroke_width(1);
    let line = TRAINING.stroke_width(2);
    let mark = HELD_OUT.stroke_width(2);
    chart
        .draw_series(LineSeries::new(series(1), faint))?
        .label("loss of a step")
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], faint));
    chart
        .draw_series(LineSeries::new(series(2), line))?
        .label("smoothed")
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], line));
    chart
        .draw_series(LineSeries::new(suggested, mark))?
        .label(format!("suggestion: {suggestion:.1e}"))
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], mark));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .legend_area_size(32)
        .margin(12)
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .label_font((FONT, 18, &INK))
        .draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_svg_has_title_axes_both_losses_and_the_suggestion() {
        let steps: Vec<RateLoss> = (0..7)
            .map(|i| [10f64.powi(i - 6), 2.0 - 0.2 * f64::from(i), 2.0])
            .collect();
        let svg = svg("tiny on <data>", &steps, 1e-3).expect("draws");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for part in [
            "tiny on &lt;data&gt;",
            "learning rate",
            "loss of a step",
            "smoothed",
            "suggestion: 1.0e-3",
        ] {
            assert!(svg.contains(part), "{part:?} is missing");
        }
        let strokes = |colour: &str| svg.matches(&format!("stroke=\"{colour}\"")).count();
        assert_eq!((strokes("#0072B2"), strokes("#D55E00")), (4, 2));
    }

    #[test]
    fn a_single_step_and_none_are_drawn_too() {
        for steps in [&[][..], &[[1e-6, 2.0, 2.0]]] {
            svg("short", steps, 1e-3).expect("draws");
        }
    }
}
