//! The pictures of `docs/before_and_after.md`: bars for figures side by side, points for how late each one was. Logarithmic,
//! for the two worlds lie far apart.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde_json::Value;

use crate::lane::{Failure, Lane, Part};
use crate::outcomes::Outcomes;
use crate::sizes::Sizes;

const SIZE: (u32, u32) = (860, 420);
const BEFORE: RGBColor = RGBColor(196, 92, 60);
const MENDED: RGBColor = RGBColor(206, 170, 80);
const OURS: RGBColor = RGBColor(44, 110, 150);
const OURS_TOO: RGBColor = RGBColor(120, 190, 200);
const FONT: &str = "sans-serif";

/// One pair of bars; what is nothing never came about.
struct Pair {
    label: String,
    before: Option<f64>,
    ours: Option<f64>,
}

/// One of the two.
type Figure = fn(&Pair) -> Option<f64>;

/// Draws all of them into the folder, which has to be there.
pub(crate) fn draw(folder: &Path, outcomes: &Outcomes, sizes: &Sizes) -> Result<(), Failure> {
    let file = |what: &str| folder.join(format!("before_and_after_{what}.svg"));
    let idle = [
        ("context switches /s", "/switches"),
        ("wake-ups /s", "/wakeups"),
        ("wake-ups /s,: queue polled", "/queue_wakeups"),
        ("processor ms/s", "/processor_ms"),
        ("processor ms/s,: queue polled", "/queue_processor_ms"),
        ("threads: beyond the runtime", "/beyond"),
    ];
    let pair = |part, label: String, at: &str| Pair {
        label,
        before: outcomes.figure(part, Lane::Before, at),
        ours: outcomes.figure(part, Lane::Ours, at),
    };
    let idle = idle.map(|(label, at)| pair(Part::Idle, label.to_owned(), at));
    let title = format!("Doing nothing, with {} clients connected", sizes.idle);
    bars(&file("idle"), &title, &idle)?;
    let (mut reaction, mut memory) = (Vec::new(), Vec::new());
    for connections in sizes.crowds {
        let part = Part::Crowd(connections);
        for (what, at) in [
            ("heartbeat p50", "/beat_ms/p50"),
            ("heartbeat p99", "/beat_ms/p99"),
            ("keystroke p50", "/key_ms/p50"),
            ("keystroke p99", "/key_ms/p99"),
        ] {
            reaction.push(pair(part, format!("{connections}: {what}"), at));
        }
        for (what, at) in [
            ("connected", "/bytes_connected"),
            ("in a conversation", "/bytes_joined"),
        ] {
            memory.push(pair(part, format!("{connections}: {what}"), at));
        }
    }
    bars(
        &file("reaction"),
        "From a word to its effect, in ms",
        &reaction,
    )?;
    bars(
        &file("memory"),
        "Memory of one connection, in bytes",
        &memory,
    )?;
    lateness(&file("silence"), outcomes)
}

/// plotters' errors hold the backend, which is not to be sent on.
fn told<E: Error>(error: E) -> Failure {
    error.to_string().into()
}

fn canvas(file: &Path) -> Result<DrawingArea<SVGBackend<'_>, Shift>, Failure> {
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(told)?;
    Ok(area)
}

/// The power of ten below, and above.
fn decades(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let positive = values.filter(|value| *value > 0.0);
    let least = positive.clone().fold(f64::INFINITY, f64::min);
    let most = positive.fold(0.0, f64::max);
    if most == 0.0 {
        return (0.1, 10.0);
    }
    let power = |value: f64| 10_f64.powi(value as i32);
    (
        power((least / 2.0).log10().floor()),
        power((most * 3.0).log10().ceil()),
    )
}

fn bars(file: &Path, title: &str, pairs: &[Pair]) -> Result<(), Failure> {
    let area = canvas(file)?;
    let values = pairs.iter().flat_map(|pair| [pair.before, pair.ours]);
    let (least, most) = decades(values.flatten());
    let mut chart = ChartBuilder::on(&area)
        .caption(title, (FONT, 18))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..pairs.len() as f64, (least..most).log_scale())
        .map_err(told)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .light_line_style(WHITE)
        .y_label_formatter(&|value| plain(*value))
        .draw()
        .map_err(told)?;
    let centred = Pos::new(HPos::Center, VPos::Top);
    let style = TextStyle::from((FONT, 12)).pos(centred);
    for (at, pair) in pairs.iter().enumerate() {
        let (x, y) = chart.backend_coord(&(at as f64 + 0.5, least));
        for (line, text) in (0..).zip(pair.label.split(": ")) {
            let place = (x, y + 6 + line * 14);
            let label = Text::new(text.to_owned(), place, style.clone());
            area.draw(&label).map_err(told)?;
        }
    }
    let lanes: [(&str, RGBColor, f64, Figure); 2] = [
        ("before", BEFORE, 0.12, |pair| pair.before),
        ("ours", OURS, 0.52, |pair| pair.ours),
    ];
    for (name, colour, left, figure) in lanes {
        let bar = |(at, pair): (usize, &Pair)| {
            let x = at as f64 + left;
            let height = figure(pair).map_or(most, |value| value.max(least));
            let style = match figure(pair) {
                Some(_) => colour.filled(),
                None => colour.mix(0.3).filled(),
            };
            Rectangle::new([(x, least), (x + 0.36, height)], style)
        };
        let drawn = chart.draw_series(pairs.iter().enumerate().map(bar));
        let legend = move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled());
        drawn.map_err(told)?.label(name).legend(legend);
        let word = |(at, pair): (usize, &Pair)| {
            let value = figure(pair);
            let word = value.map_or("never".to_owned(), plain);
            let height = value.map_or(most, |value| value.max(least));
            EmptyElement::at((at as f64 + left + 0.02, height))
                + Text::new(word, (0, -13), (FONT, 11))
        };
        let words = chart.draw_series(pairs.iter().enumerate().map(word));
        words.map_err(told)?;
    }
    legend(&mut chart)?;
    area.present().map_err(told)
}

/// With as many digits as say something.
fn plain(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}").trim_end_matches(".0").to_owned(),
        value => format!("{value:.3}").trim_end_matches('0').to_owned(),
    }
}

type Chart<'a, X, Y> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>;

fn legend<X: Ranged, Y: Ranged>(chart: &mut Chart<'_, X, Y>) -> Result<(), Failure> {
    let labels = &mut chart.configure_series_labels();
    let labels = labels.position(SeriesLabelPosition::UpperRight);
    let labels = labels
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2));
    labels.label_font((FONT, 13)).draw().map_err(told)
}

/// How late each one was, the earliest first.
fn lateness(file: &Path, outcomes: &Outcomes) -> Result<(), Failure> {
    let each = |part, lane| {
        let said = outcomes.first(part, lane).map(|said| &said["each"]);
        let each = said.and_then(Value::as_array).into_iter().flatten();
        let mut late: Vec<f64> = each.filter_map(Value::as_f64).collect();
        late.sort_by(f64::total_cmp);
        late
    };
    let series = [
        ("typing, before", BEFORE, each(Part::Typing, Lane::Before)),
        ("typing, ours", OURS, each(Part::Typing, Lane::Ours)),
        (
            "heartbeats, before, clock mended (as written: never)",
            MENDED,
            each(Part::Heartbeats, Lane::Mended),
        ),
        (
            "heartbeats, ours",
            OURS_TOO,
            each(Part::Heartbeats, Lane::Ours),
        ),
    ];
    let area = canvas(file)?;
    let (least, most) = decades(series.iter().flat_map(|(_, _, late)| late.iter().copied()));
    let mut chart = ChartBuilder::on(&area)
        .caption("How late silence is noticed, in ms", (FONT, 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..100.0, (least..most * 100.0).log_scale())
        .map_err(told)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("share of those who fell silent, in %")
        .y_label_formatter(&|value| plain(*value))
        .draw()
        .map_err(told)?;
    for (name, colour, late) in series {
        let share = 100.0 / late.len().max(1) as f64;
        let points = late.iter().enumerate().map(|(at, late)| {
            let place = ((at as f64 + 0.5) * share, late.max(least));
            Circle::new(place, 3, colour.filled())
        });
        let drawn = chart.draw_series(points).map_err(told)?;
        let legend = move |(x, y)| Circle::new((x + 6, y), 4, colour.filled());
        drawn.label(name).legend(legend);
    }
    legend(&mut chart)?;
    area.present().map_err(told)
}
