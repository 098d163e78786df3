//! Lines over the number of nodes, as SVG.

use plotters::prelude::*;

/// A line of a figure.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    /// Number of nodes, and what was measured.
    pub(super) points: Vec<(f64, f64)>,
}

/// What a figure says beside its lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    pub(super) title: &'a str,
    pub(super) unit: &'a str,
}

/// Draws `lines`; none of what was measured is negative.
///
/// # Errors
/// What the library says.
pub(super) fn figure(words: Words<'_>, lines: &[Line]) -> anyhow::Result<String> {
    let mut svg = String::new();
    let points = || lines.iter().flat_map(|it| &it.points);
    let most = points().map(|it| it.1).fold(1.0, f64::max) * 1.1;
    let (few, many) =
        points().fold((1e9, 1.0), |(few, many): (f64, f64), it| (few.min(it.0), many.max(it.0)));
    {
        let root = SVGBackend::with_string(&mut svg, (720, 400)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(words.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d((few..many * 1.05).log_scale(), 0.0..most)?;
        chart.configure_mesh().x_desc("nodes").y_desc(words.unit).draw()?;
        for (at, line) in lines.iter().enumerate() {
            let color = Palette99::pick(at).to_rgba();
            let series = LineSeries::new(line.points.iter().copied(), color.stroke_width(2));
            let legend = move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color);
            chart.draw_series(series.point_size(3))?.label(&line.name).legend(legend);
        }
        let box_style = WHITE.mix(0.8);
        chart.configure_series_labels().background_style(box_style).border_style(BLACK).draw()?;
        root.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_its_words_and_the_same_lines_twice_are_the_same_bytes() {
        let lines = [Line { name: "at rest".into(), points: vec![(10.0, 3.0), (100.0, 7.5)] }];
        let draw =
            || figure(Words { title: "a title", unit: "seconds" }, &lines).expect("it draws");
        let svg = draw();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        for word in ["a title", "seconds", "nodes", "at rest"] {
            assert!(svg.contains(word), "{word}");
        }
        assert_eq!(svg, draw());
    }
}
