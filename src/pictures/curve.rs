//! The training curve: loss and accuracy over the steps, as SVG.

use std::error::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;
use serde::Deserialize;

use super::PictureError;

/// A line of `metrics.jsonl`, as far as it is drawn.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line {
    Step {
        step: u64,
        loss: f64,
        accuracy: f64,
    },
    Epoch {
        val_accuracy: Option<f64>,
        test_accuracy: Option<f64>,
    },
    #[serde(other)]
    Other,
}

/// Values over steps.
type Series = Vec<(u64, f64)>;

/// What is drawn; accuracies in percent.
#[derive(Debug, Default, PartialEq)]
struct Curve {
    loss: Series,
    accuracy: Series,
    /// After each epoch, on images that are not trained on.
    held_out: Series,
    /// Whether those are of the validation set.
    validated: bool,
}

impl Curve {
    /// From the lines of `metrics.jsonl`. Where a run was taken up again at an earlier step, what came later counts.
    fn parse(metrics: &str) -> Self {
        let mut curve = Self::default();
        // A line that was cut off when a run was stopped is left out.
        let lines = metrics
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        for line in lines {
            match line {
                Line::Step {
                    step,
                    loss,
                    accuracy,
                } => {
                    for series in [&mut curve.loss, &mut curve.accuracy] {
                        series.retain(|(before, _)| *before < step);
                    }
                    curve.held_out.retain(|(before, _)| *before < step);
                    curve.loss.push((step, loss));
                    curve.accuracy.push((step, 100.0 * accuracy));
                }
                Line::Epoch {
                    val_accuracy,
                    test_accuracy,
                } => {
                    let step = curve.loss.last().map_or(0, |(step, _)| *step);
                    curve.validated = val_accuracy.is_some();
                    let accuracy = val_accuracy.or(test_accuracy);
                    curve.held_out.extend(accuracy.map(|a| (step, 100.0 * a)));
                }
                Line::Other => {}
            }
        }
        curve.loss = thinned(&curve.loss);
        curve.accuracy = thinned(&curve.accuracy);
        curve
    }
}

/// Points of a line that are still told apart.
const POINTS: usize = 800;

/// Means of neighbours, so that at most [`POINTS`] are left.
fn thinned(series: &[(u64, f64)]) -> Series {
    let chunks = series.chunks(series.len().div_ceil(POINTS).max(1));
    chunks
        .filter_map(|chunk| {
            let sum: f64 = chunk.iter().map(|(_, value)| value).sum();
            let (step, _) = chunk.last()?;
            Some((*step, sum / chunk.len() as f64))
        })
        .collect()
}

pub(super) const WIDTH: u32 = 860;
const HEIGHT: u32 = 720;
/// Blue and vermilion of Okabe and Ito's palette, told apart by the colour-blind.
pub(super) const TRAINING: RGBColor = RGBColor(0x00, 0x72, 0xb2);
pub(super) const HELD_OUT: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(super) const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
pub(super) const FONT: &str = "sans-serif";

/// The curves of a run under `title`, from the text of its `metrics.jsonl`: loss and accuracy of each log interval,
/// and of each epoch the accuracy on the validation set, or on the test set if there is none.
///
/// # Errors
/// [`PictureError::Curve`] if plotters fails.
pub fn svg(title: &str, metrics: &str) -> Result<String, PictureError> {
    let mut text = String::new();
    draw(title, &Curve::parse(metrics), &mut text)
        .map_err(|error| PictureError::Curve(error.to_string()))?;
    Ok(text)
}

fn draw(title: &str, curve: &Curve, text: &mut String) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::with_string(text, (WIDTH, HEIGHT)).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.margin(8, 0, 0, 0);
    let style = (FONT, 26, &INK).into_text_style(&root);
    let root = root.titled(title, style)?;
    let (upper, lower) = root.split_vertically(HEIGHT / 2 - 22);
    let all = [&curve.loss, &curve.held_out];
    let last = all.into_iter().flatten().map(|(step, _)| *step).max();
    let steps = 0..last.unwrap_or(0).max(1);

    let loss = Panel {
        what: "loss",
        steps: steps.clone(),
        values: 0.0..top_of(&curve.loss),
        legend: SeriesLabelPosition::UpperRight,
    };
    let training = ("training loss", &curve.loss, TRAINING);
    loss.draw(&upper, &[training])?;

    let accuracy = Panel {
        what: "accuracy, %",
        steps,
        values: bottom_of(&[&curve.accuracy, &curve.held_out])..100.0,
        legend: SeriesLabelPosition::LowerRight,
    };
    let training = ("training accuracy", &curve.accuracy, TRAINING);
    let name = match curve.validated {
        true => "validation accuracy",
        false => "test accuracy",
    };
    let held_out = (name, &curve.held_out, HELD_OUT);
    accuracy.draw(&lower, &[training, held_out])?;
    root.present()?;
    Ok(())
}

/// A little above the highest value.
fn top_of(series: &[(u64, f64)]) -> f64 {
    let highest = series.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    if highest > 0.0 { 1.05 * highest } else { 1.0 }
}

/// The multiple of 20 below the lowest value, where a label stands.
fn bottom_of(all: &[&Series]) -> f64 {
    let values = all.iter().copied().flatten().map(|(_, value)| *value);
    (values.fold(90.0, f64::min).max(0.0) / 20.0).floor() * 20.0
}

/// One chart of the two.
struct Panel {
    what: &'static str,
    steps: Range<u64>,
    values: Range<f64>,
    legend: SeriesLabelPosition,
}

/// Name, points and colour of a line.
type Named<'a> = (&'static str, &'a Series, RGBColor);

impl Panel {
    fn draw(
        &self,
        area: &DrawingArea<SVGBackend<'_>, Shift>,
        lines: &[Named<'_>],
    ) -> Result<(), Box<dyn Error>> {
        let mut chart = ChartBuilder::on(area)
            .margin(14)
            .margin_right(28)
            .x_label_area_size(48)
            .y_label_area_size(66)
            .build_cartesian_2d(self.steps.clone(), self.values.clone())?;
        let decimals = usize::from(self.values.end < 20.0) + usize::from(self.values.end < 0.5);
        chart
            .configure_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .x_labels(8)
            .y_labels(6)
            .y_label_formatter(&|value| format!("{value:.decimals$}"))
            .x_desc("step")
            .y_desc(self.what)
            .label_style((FONT, 18, &INK))
            .axis_desc_style((FONT, 20, &INK))
            .draw()?;
        for &(name, series, colour) in lines {
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(series.iter().copied(), style))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
            // So few that a line alone would hide where they are.
            if series.len() <= 40 {
                let dots = series.iter().map(|&at| Circle::new(at, 4, colour.filled()));
                chart.draw_series(dots)?;
            }
        }
        chart
            .configure_series_labels()
            .position(self.legend.clone())
            .legend_area_size(32)
            .margin(12)
            .background_style(WHITE.mix(0.85))
            .border_style(GRID)
            .label_font((FONT, 18, &INK))
            .draw()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"{"kind":"step","epoch":1,"step":50,"loss":2.0,"accuracy":0.25,"seconds":1.0}
{"kind":"step","epoch":1,"step":100,"loss":1.0,"accuracy":0.5,"seconds":1.0}
{"kind":"epoch","epoch":1,"train_loss":1.5,"train_accuracy":0.4,"test_accuracy":0.75,"seconds":2.0}
{"kind":"later","what":"unknown"}
{"kind":"step","epoch":2,"step":150,"loss":0.5,"accuracy":0.8,"seconds":1.0}
{"kind":"step","epoch":2,"st"#;

    #[test]
    fn the_svg_has_title_axes_and_each_series() {
        let svg = svg("nin-small on <data>", METRICS).expect("draws");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for part in [
            "nin-small on &lt;data&gt;",
            "step",
            "loss",
            "accuracy, %",
            "training loss",
            "training accuracy",
            "test accuracy",
        ] {
            assert!(svg.contains(part), "{part:?} is missing");
        }
        // A line and its sample in the legend, for each of three series.
        let strokes = |colour: &str| svg.matches(&format!("stroke=\"{colour}\"")).count();
        assert_eq!((strokes("#0072B2"), strokes("#D55E00")), (4, 2));
        // Three intervals in two charts, one epoch.
        assert_eq!(svg.matches("<circle").count(), 3 + 3 + 1);
    }

    #[test]
    fn an_epoch_stands_at_its_last_step_and_a_resumed_run_takes_over() {
        let curve = Curve::parse(METRICS);
        assert_eq!(curve.loss, [(50, 2.0), (100, 1.0), (150, 0.5)]);
        assert_eq!(curve.held_out, [(100, 75.0)]);
        let again = METRICS.rsplit_once('\n').expect("lines").0.to_owned()
            + "\n{\"kind\":\"step\",\"step\":100,\"loss\":0.9,\"accuracy\":0.6}";
        let curve = Curve::parse(&again);
        assert_eq!(curve.loss, [(50, 2.0), (100, 0.9)]);
        assert_eq!(curve.held_out, []);
    }

    #[test]
    fn no_metrics_and_very_many_are_drawn_too() {
        assert!(svg("empty", "").expect("draws").contains("accuracy, %"));
        let many: Series = (1..=10_000).map(|step| (step, step as f64)).collect();
        let thin = thinned(&many);
        assert!(
            thin.len() <= POINTS && thin.len() > POINTS / 2,
            "{}",
            thin.len()
        );
        assert_eq!(thin.last().map(|(step, _)| *step), Some(10_000));
    }
}
