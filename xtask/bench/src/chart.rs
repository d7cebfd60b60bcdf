//! The figures as pictures: a chart a measure, a bar a server, a line for the spread of the rounds.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use crate::measure::Measure;

use crate::network;
use crate::rivals::{self, Rival, Service};
use crate::sample::{Sample, figures};
use crate::spread::Spread;

/// In pixels: the names, the bars, the figures beside them, and one row.
const NAMES: f64 = 170.0;
const BARS: f64 = 420.0;
const NUMBERS: f64 = 90.0;
const ROW: f64 = 22.0;
const TOP: f64 = 44.0;

/// Legible on white and on black: the colours follow the reader's scheme.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}.note{fill:#59636e}\
.ours{fill:#0969da}.c{fill:#8c959f}.other{fill:#bf8700}.spread{stroke:#1f2328;stroke-width:1.5}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9198a1}.ours{fill:#4493f8}\
.c{fill:#6e7681}.other{fill:#d29922}.spread{stroke:#e6edf3}}";

/// One bar.
struct Bar {
    name: &'static str,
    class: &'static str,
    spread: Spread,
}

/// Writes a chart of each measure, `NAME.svg`.
///
/// # Errors
/// What creating the folder or writing a file says.
pub(crate) fn write(
    folder: &Path,
    samples: &[Sample],
    rivals: &[Rival],
    control: &str,
) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for measure in Measure::all() {
        let bar = |rival: &Rival| {
            let spread = Spread::from_figures(figures(samples, measure, rival.name))?;
            Some(Bar { name: rival.name, class: class(rival.name), spread })
        };
        let mut bars: Vec<Bar> = rivals.iter().filter_map(bar).collect();
        // The best stands on top.
        bars.sort_by(|one, other| one.spread.median.total_cmp(&other.spread.median));
        if !measure.is_cost() {
            bars.reverse();
        }
        if !bars.is_empty() {
            let svg = svg(&title(measure, control), measure.is_cost(), &bars);
            fs::write(folder.join(format!("{}.svg", measure.file())), svg)?;
        }
    }
    Ok(())
}

/// Which of the three colours: ours, the servers that they are divided by, all others.
fn class(name: &str) -> &'static str {
    if name.starts_with("C ") || name == rivals::NGINX {
        "c"
    } else if rivals::is_ours(name) {
        "ours"
    } else {
        "other"
    }
}

/// What is measured, and under which congestion control.
pub(crate) fn title(measure: Measure, control: &str) -> String {
    let title = measure.title();
    match (measure, measure.service()) {
        (Measure::Memory(_), _) | (_, Service::Datagrams) => title,
        (Measure::PacedBulk, _) => format!("{title} ({})", network::PACED),
        _ => format!("{title} ({control})"),
    }
}

fn svg(title: &str, is_cost: bool, bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.spread.max).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let x = |value: f64| NAMES + value / most * BARS;
    let (width, height) = (NAMES + BARS + NUMBERS, TOP + ROW * bars.len() as f64 + 10.0);
    let better = if is_cost { "lower is better" } else { "higher is better" };
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{title}"><style>{STYLE}</style><text class="title" x="10" y="24">{title}</text><text class="note" x="{:.0}" y="24" text-anchor="end">{better}; median and spread of the rounds</text>"#,
        width - 10.0
    );
    for (row, Bar { name, class, spread: Spread { min, median, max, .. } }) in
        bars.iter().enumerate()
    {
        let y = TOP + ROW * row as f64;
        let (middle, end) = (y + 8.0, x(*max) + 6.0);
        // Writing to a String can't fail.
        let _ = write!(
            svg,
            r#"<text x="{:.0}" y="{:.0}" text-anchor="end">{name}</text><rect class="{class}" x="{NAMES}" y="{y}" width="{:.1}" height="16" rx="2"/><line class="spread" x1="{:.1}" x2="{:.1}" y1="{middle}" y2="{middle}"/><text x="{end:.1}" y="{:.0}">{}</text>"#,
            NAMES - 8.0,
            y + 13.0,
            x(*median) - NAMES,
            x(*min),
            x(*max),
            y + 13.0,
            shown(*median)
        );
    }
    svg + "</svg>\n"
}

/// Three figures that count are enough for the eye: `1234`, `12.3`.
fn shown(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_a_bar_for_each_server_as_long_as_its_median() {
        let spread =
            |median| Spread::from_figures(vec![median / 2.0, median, 2.0 * median]).unwrap();
        let bars = [
            Bar { name: "epoll-echo", class: "ours", spread: spread(50.0) },
            Bar { name: "C epoll", class: "c", spread: spread(25.0) },
        ];
        let svg = svg(&title(Measure::RoundTrips(1), "cubic"), false, &bars);
        assert!(svg.contains(r#"width="210.0" height="16""#), "{svg}");
        assert!(svg.contains(r#"width="105.0" height="16""#), "{svg}");
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(svg.contains("higher is better") && svg.contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn the_colour_says_whose_it_is() {
        let classes = ["epoll-echo --edge", "C thread", "tokio", "forking-echo, static"].map(class);
        assert_eq!(classes, ["ours", "c", "other", "ours"]);
    }
}
