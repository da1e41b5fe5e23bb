//! Charts as inline SVG. Colours come from the page, so that they follow light and dark.

use std::fmt::Write;

use super::{
    CurvePoint,
    number::{grouped, time},
};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 36.0;

/// A chart's frame: maps values to the drawing and collects its parts.
struct Chart {
    x: (f64, f64),
    y: (f64, f64),
    body: String,
}

/// Latency over the share of deliveries, the share on an axis of nines, the latency on a logarithmic one.
pub(super) fn latency_curve(curve: &[CurvePoint]) -> String {
    let nines = |quantile: f64| -(1.0 - quantile).log10();
    let values = || curve.iter().map(|point| point.us.max(0.1));
    let (low, high) =
        (values().fold(f64::MAX, f64::min).log10().floor(), values().fold(0.1, f64::max).log10());
    let last = curve.last().map_or(1.0, |point| nines(point.quantile)).max(1.0);
    let mut chart = Chart { x: (0.0, last), y: (low, high.ceil().max(low + 1.0)), body: String::new() };
    let mut decade = low;
    while decade <= chart.y.1 {
        chart.tick_y(decade, &time(10f64.powf(decade)));
        decade += 1.0;
    }
    for (quantile, label) in [
        (0.0, "0 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
        (0.99999, "99.999 %"),
    ] {
        if nines(quantile) <= last {
            chart.tick_x(nines(quantile), label);
        }
    }
    let points: Vec<(f64, f64)> =
        curve.iter().map(|point| (nines(point.quantile), point.us.max(0.1).log10())).collect();
    chart.line(&points);
    chart.finish("Latency by share of deliveries")
}

/// Deliveries in each second.
pub(super) fn throughput(per_second: &[u64]) -> String {
    let highest = per_second.iter().copied().max().unwrap_or(0).max(1) as f64;
    let top = round_up(highest);
    let seconds = per_second.len().max(1) as f64;
    let mut chart = Chart { x: (0.0, seconds), y: (0.0, top), body: String::new() };
    for quarter in [0.0, 0.25, 0.5, 0.75, 1.0] {
        chart.tick_y(top * quarter, &grouped(top * quarter));
    }
    let step = (seconds / 8.0).ceil().max(1.0);
    let mut second = 0.0;
    while second <= seconds {
        chart.tick_x(second, &format!("{second:.0} s"));
        second += step;
    }
    let steps = per_second.iter().enumerate().flat_map(|(index, count)| {
        let (start, height) = (index as f64, *count as f64);
        [(start, height), (start + 1.0, height)]
    });
    chart.line(&steps.collect::<Vec<_>>());
    chart.finish("Deliveries per second over time")
}

/// The next of 1, 2, 2.5, 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= value)
        .unwrap_or(value)
}

impl Chart {
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let across = (x - self.x.0) / (self.x.1 - self.x.0);
        let up = (y - self.y.0) / (self.y.1 - self.y.0);
        (LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM))
    }

    fn tick_y(&mut self, value: f64, label: &str) {
        let (_, y) = self.place((self.x.0, value));
        let (end, text) = (WIDTH - RIGHT, LEFT - 8.0);
        self.add(format_args!(
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{text}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            y + 4.0
        ));
    }

    fn tick_x(&mut self, value: f64, label: &str) {
        let (x, y) = self.place((value, self.y.0));
        self.add(format_args!(
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y:.1}\" y2=\"{:.1}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            y + 5.0,
            y + 20.0
        ));
    }

    fn line(&mut self, points: &[(f64, f64)]) {
        let places: Vec<String> =
            points.iter().map(|point| self.place(*point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.add(format_args!("<polyline class=\"curve\" points=\"{}\"/>", places.join(" ")));
    }

    fn add(&mut self, part: std::fmt::Arguments<'_>) {
        self.body.write_fmt(part).expect("writing to a String cannot fail");
    }

    fn finish(self, title: &str) -> String {
        let body = self.body;
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>{body}</svg>"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_number_above_the_highest_bar_tops_the_axis() {
        assert_eq!([1.0, 3.0, 49_000.0, 51_000.0].map(round_up), [1.0, 5.0, 50_000.0, 100_000.0]);
    }

    #[test]
    fn every_second_is_drawn_and_stays_inside_the_frame() {
        let drawing = throughput(&[10, 20, 0]);
        let points = drawing.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        let points: Vec<(f64, f64)> = points
            .split(' ')
            .map(|point| point.split_once(',').unwrap())
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect();
        assert_eq!(points.len(), 6);
        assert!(
            points
                .iter()
                .all(|(x, y)| (LEFT..=WIDTH - RIGHT).contains(x) && (TOP..=HEIGHT - BOTTOM).contains(y))
        );
        assert_eq!(points[2].1, TOP);
        assert_eq!(points[4].1, HEIGHT - BOTTOM);
    }

    #[test]
    fn a_latency_of_nothing_and_of_one_point_can_be_drawn() {
        for curve in [&[][..], &[CurvePoint { quantile: 0.0, us: 0.0 }]] {
            assert!(!latency_curve(curve).contains("NaN"));
        }
    }
}
