//! Draws bar charts of the results files as SVG.

use std::fs;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::figure::number;
use crate::machine;
use crate::results::Results;
use crate::tables::{FLOOR, OWN, PEERS};

/// A chart: one panel or more, below each other.
struct Chart {
    file: &'static str,
    title: &'static str,
    panels: Vec<Panel>,
    scale: Scale,
    unit: Unit,
}

struct Panel {
    title: String,
    /// Name and value, in ascending order.
    bars: Vec<(&'static str, f64)>,
    /// Drawn as a line.
    floor: Option<f64>,
}

enum Scale {
    Linear,
    /// Starts at the power of ten below the smallest value.
    Logarithmic,
}

enum Unit {
    Microseconds,
    Seconds,
    Kib,
    None,
}

/// This crate with the system's TLS, as curl has it.
const OWN_NATIVE: &str = "pan123, native-tls";

/// The programs of the charts of builds: their names there, and in the results file.
const BUILDS: [(&str, &str); 8] = [
    (OWN, "pan123-offline, rustls"),
    (OWN_NATIVE, "pan123-offline, native-tls"),
    ("ureq", "ureq, rustls"),
    ("reqwest", "reqwest, default features"),
    ("curl", "curl, static libcurl, OpenSSL"),
    ("attohttpc", "attohttpc, rustls (aws-lc-rs)"),
    ("minreq", "minreq, rustls (aws-lc-rs)"),
    (FLOOR, "floor, rustls"),
];

// Pixels.
const WIDTH: i32 = 760;
const MARGIN: i32 = 20;
const TITLE_Y: i32 = 28;
const TITLE_HEIGHT: i32 = 26;
const PANEL_TITLE_HEIGHT: i32 = 30;
const BAR_HEIGHT: i32 = 20;
const BAR_GAP: i32 = 6;
/// Below the bars, for the label of the floor.
const FLOOR_HEIGHT: i32 = 18;
const NAMES_WIDTH: i32 = 136;
const VALUES_WIDTH: i32 = 90;

// Colours on the white background that a chart has in dark pages, too.
const CARD: RGBColor = RGBColor(255, 255, 255);
const BORDER: RGBColor = RGBColor(208, 215, 222);
const TEXT: RGBColor = RGBColor(31, 35, 40);
const SOFT_TEXT: RGBColor = RGBColor(89, 99, 110);
const OWN_BAR: RGBColor = RGBColor(9, 105, 218);
const OWN_NATIVE_BAR: RGBColor = RGBColor(132, 182, 235);
const OTHER_BAR: RGBColor = RGBColor(175, 184, 193);
const FLOOR_LINE: RGBColor = RGBColor(207, 34, 46);

/// Draws `benches/plots/*.svg`. A chart without figures is left out.
pub fn draw_all() {
    let results = Results::read(&machine::results());
    let folder = machine::root().join("benches/plots");
    fs::create_dir_all(&folder).unwrap();
    for chart in charts(&results) {
        if chart.panels.iter().any(|panel| panel.bars.is_empty()) {
            eprintln!("not measured: {}", chart.title);
        } else {
            chart.draw(&folder);
        }
    }
}

fn charts(results: &Results) -> [Chart; 5] {
    let peers = PEERS.map(|name| (name, name));
    let panel = |title: &str, figure: &str| Panel::new(title, figure, &peers, results);
    let build = |title: &str, figure: &str| Panel::new(title, figure, &BUILDS, results);
    let by_name = |delay: u64| {
        let title = format!("name server {delay} ms away");
        panel(&title, &format!("by_name_{delay}ms_wall_us"))
    };
    [
        Chart {
            file: "by-name.svg",
            title: "Time of a call by host name over TLS, median",
            panels: vec![by_name(0), by_name(5), by_name(30)],
            scale: Scale::Logarithmic,
            unit: Unit::Microseconds,
        },
        Chart {
            file: "cpu.svg",
            title: "CPU time of a call by host name over TLS",
            panels: vec![panel("name server 0 ms away", "by_name_0ms_cpu_us")],
            scale: Scale::Linear,
            unit: Unit::Microseconds,
        },
        Chart {
            file: "instructions.svg",
            title: "Instructions of a call",
            panels: vec![panel("by address, HTTP", "instructions")],
            scale: Scale::Linear,
            unit: Unit::None,
        },
        Chart {
            file: "build.svg",
            title: "CPU time of a clean build",
            panels: vec![
                build(
                    "dev profile; curl and native-tls use the system's TLS, which is not built",
                    "dev_cpu_s",
                ),
                build("release profile", "release_cpu_s"),
            ],
            scale: Scale::Linear,
            unit: Unit::Seconds,
        },
        Chart {
            file: "size.svg",
            title: "Size of a program that makes one call",
            panels: vec![build(
                "release profile, stripped; without the system's TLS of curl and native-tls",
                "stripped_kib",
            )],
            scale: Scale::Linear,
            unit: Unit::Kib,
        },
    ]
}

impl Panel {
    /// Creates a panel of `programs`: their names in the chart and in the results files.
    fn new(
        title: &str,
        figure: &str,
        programs: &[(&'static str, &'static str)],
        results: &Results,
    ) -> Self {
        let values = programs
            .iter()
            .filter_map(|&(name, program)| Some((name, results.get(figure, program)?)));
        let (floor, mut bars): (Vec<_>, Vec<_>) = values.partition(|&(name, _)| name == FLOOR);
        bars.sort_by(|a, b| a.1.total_cmp(&b.1));
        Self {
            title: title.to_owned(),
            bars,
            floor: floor.first().map(|&(_, value)| value),
        }
    }

    fn height(&self) -> i32 {
        let bars = i32::try_from(self.bars.len()).unwrap();
        PANEL_TITLE_HEIGHT + bars * (BAR_HEIGHT + BAR_GAP) + FLOOR_HEIGHT
    }
}

impl Chart {
    fn draw(&self, folder: &Path) {
        let panels: i32 = self.panels.iter().map(Panel::height).sum();
        let height = 2 * MARGIN + TITLE_HEIGHT + panels - FLOOR_HEIGHT / 2;
        let path = folder.join(self.file);
        let size = (WIDTH.unsigned_abs(), height.unsigned_abs());
        let area = SVGBackend::new(&path, size).into_drawing_area();
        let card = [(0, 0), (WIDTH - 1, height - 1)];
        draw(&area, Rectangle::new(card, CARD.filled()));
        draw(&area, Rectangle::new(card, BORDER));
        let title = bold(style(18, &TEXT, HPos::Left));
        text(&area, self.title, (MARGIN, TITLE_Y), &title);
        let hint = style(12, &SOFT_TEXT, HPos::Right);
        text(&area, self.hint(), (WIDTH - MARGIN, TITLE_Y), &hint);

        let (from, to) = self.range();
        let mut top = MARGIN + TITLE_HEIGHT;
        for panel in &self.panels {
            self.draw_panel(
                &area,
                panel,
                top,
                &|value| x(self.position(value, from, to)),
            );
            top += panel.height();
        }
        area.present().unwrap();
    }

    fn draw_panel(&self, area: &Area<'_>, panel: &Panel, top: i32, x: &dyn Fn(f64) -> i32) {
        let title = style(14, &SOFT_TEXT, HPos::Left);
        text(
            area,
            &panel.title,
            (MARGIN, top + PANEL_TITLE_HEIGHT / 2),
            &title,
        );
        let first = top + PANEL_TITLE_HEIGHT;
        let mut y = first;
        for &(name, value) in &panel.bars {
            let (color, text_color) = match name {
                OWN => (OWN_BAR, &OWN_BAR),
                OWN_NATIVE => (OWN_NATIVE_BAR, &OWN_BAR),
                _ => (OTHER_BAR, &TEXT),
            };
            let (middle, end) = (y + BAR_HEIGHT / 2, x(value).max(LEFT + 2));
            let name_style = style(14, text_color, HPos::Right);
            text(area, name, (LEFT - 8, middle), &name_style);
            let bar = [(LEFT, y), (end, y + BAR_HEIGHT)];
            draw(area, Rectangle::new(bar, color.filled()));
            // The line of the floor does not cross the value.
            let line = panel.floor.map_or(LEFT, x);
            let is_crossed = (end..end + VALUES_WIDTH).contains(&line);
            let value_at = (if is_crossed { line } else { end } + 6, middle);
            let value_style = style(14, text_color, HPos::Left);
            text(area, &self.unit.format(value), value_at, &value_style);
            y += BAR_HEIGHT + BAR_GAP;
        }
        if let Some(floor) = panel.floor {
            let (at, end) = (x(floor), y + 2);
            draw(
                area,
                PathElement::new([(at, first - 4), (at, end)], FLOOR_LINE.stroke_width(2)),
            );
            let label = format!("floor: {}", self.unit.format(floor));
            text(
                area,
                &label,
                (at + 5, end + 4),
                &style(12, &FLOOR_LINE, HPos::Left),
            );
        }
    }

    fn hint(&self) -> &'static str {
        match self.scale {
            Scale::Linear => "shorter is better",
            Scale::Logarithmic => "shorter is better; logarithmic scale",
        }
    }

    /// The values at both ends of the bars.
    fn range(&self) -> (f64, f64) {
        let bars = self
            .panels
            .iter()
            .flat_map(|panel| &panel.bars)
            .map(|bar| bar.1);
        let floors = self.panels.iter().filter_map(|panel| panel.floor);
        let (least, most) = bars
            .chain(floors)
            .fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
                (least.min(value), most.max(value))
            });
        match self.scale {
            Scale::Linear => (0.0, most),
            Scale::Logarithmic => (10_f64.powf(least.log10().floor()), most),
        }
    }

    /// The place of a value between both ends, from 0 to 1.
    fn position(&self, value: f64, from: f64, to: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - from) / (to - from),
            Scale::Logarithmic => (value / from).log10() / (to / from).log10(),
        }
    }
}

/// Left end of the bars.
const LEFT: i32 = MARGIN + NAMES_WIDTH;

fn x(position: f64) -> i32 {
    let max_len = f64::from(WIDTH - LEFT - VALUES_WIDTH - MARGIN);
    LEFT + (position * max_len).round() as i32
}

impl Unit {
    fn format(&self, value: f64) -> String {
        match self {
            Self::Microseconds if value >= 10_000.0 => format!("{} ms", number(value / 1e3, 0)),
            Self::Microseconds if value >= 1000.0 => format!("{} ms", number(value / 1e3, 1)),
            Self::Microseconds if value < 100.0 => format!("{} µs", number(value, 1)),
            Self::Microseconds => format!("{} µs", number(value, 0)),
            Self::Seconds => format!("{} s", number(value, 0)),
            Self::Kib => format!("{} MiB", number(value / 1024.0, 1)),
            Self::None => number(value, 0),
        }
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw<'a, E>(area: &Area<'a>, element: E)
where
    for<'b> &'b E: plotters::element::PointCollection<'b, (i32, i32)>,
    E: plotters::element::Drawable<SVGBackend<'a>>,
{
    area.draw(&element).unwrap();
}

fn text(area: &Area<'_>, text: &str, at: (i32, i32), style: &TextStyle<'_>) {
    area.draw_text(text, style, at).unwrap();
}

fn bold(mut style: TextStyle<'static>) -> TextStyle<'static> {
    style.font = style.font.style(FontStyle::Bold);
    style
}

fn style(size: i32, color: &'static RGBColor, side: HPos) -> TextStyle<'static> {
    let style = TextStyle::from(("sans-serif", size).into_font());
    style.color(color).pos(Pos::new(side, VPos::Center))
}
