//! The picture as SVG: plain elements and classes, which librsvg draws as browsers do; no script.

use std::fmt::Write as _;

use crate::layout::{Label, Layout, Line, SMALL, Vertical};

/// Colours of connections, on white and on black. From the sixth connection on they return.
const COLOURS: [(&str, &str); 5] = [
    ("#0072b2", "#56b4e9"),
    ("#c04f00", "#ff9e57"),
    ("#007a5a", "#2fd3a5"),
    ("#8e2f7d", "#ffb3d9"),
    ("#4d3b00", "#f0e442"),
];

/// What belongs to no connection.
const GREY: (&str, &str) = ("#5b6470", "#a9b4c0");

/// More than this, and the texts for a pointer are left out.
const MOST_BYTES: usize = 150 * 1024;

/// What is said above the picture, and to those who cannot see it.
pub(crate) struct Words {
    pub(crate) title: String,
    /// The commands of the story.
    pub(crate) commands: String,
    /// Its statements, and whether they hold.
    pub(crate) description: String,
}

const SHAPES: &str = "text{font:15px ui-monospace,\"DejaVu Sans Mono\",Menlo,Consolas,monospace}\
.s{font-family:system-ui,\"DejaVu Sans\",sans-serif}.m{font-size:13px}.h{font-weight:700;font-size:16px}\
.t{font-size:24px}.i{font-style:italic}.a{fill:none;stroke-width:2}.f{stroke-width:2.5}.d{stroke-dasharray:6 4}\
.w{stroke-width:6;stroke-dasharray:2 4}.b{stroke-width:1.6}.q{stroke-width:2;stroke-dasharray:5 3}\
.n{font-size:11px;font-weight:700;text-anchor:middle}\
.l{font-size:13px;font-weight:700;text-anchor:middle;paint-order:stroke;stroke-width:4px;stroke-linejoin:round}\
.e{text-anchor:end}";

/// Colours: of the text, the page, small text, bands, lines, boxes, their edges, zombies.
const LIGHT: [&str; 8] =
    ["#16191d", "#fff", "#59636e", "#eef1f4", "#6b7682", "#fff", "#b9c1ca", "#c4000d"];
const DARK: [&str; 8] =
    ["#e8edf2", "#12161b", "#9aa4af", "#1e252d", "#8b96a3", "#1d242c", "#4a5560", "#ff7b72"];

fn scheme(colours: [&str; 8], of: impl Fn((&'static str, &'static str)) -> &'static str) -> String {
    let [text, page, small, band, line, fill, edge, zombie] = colours;
    let mut css = format!(
        "text{{fill:{text}}}.bg{{fill:{page}}}.m{{fill:{small}}}.gap{{fill:{band}}}\
         .a,.w{{stroke:{line}}}.r,.ah{{fill:{line}}}.b{{fill:{fill};stroke:{edge}}}.n{{fill:{page}}}\
         .l{{fill:{small};stroke:{page}}}.zt,.z{{fill:{zombie}}}.q{{fill:{fill}}}"
    );
    for (number, colour) in COLOURS.into_iter().chain([GREY]).map(of).enumerate() {
        let _ = write!(
            css,
            ".c{number} .a,.c{number} .q{{stroke:{colour}}}\
             .c{number} .st,.c{number} .ah,.l.c{number}{{fill:{colour}}}"
        );
        // A box of no connection has a quiet edge.
        if number < COLOURS.len() {
            let _ = write!(css, ".c{number} .b{{stroke:{colour}}}");
        }
    }
    css
}

fn style() -> String {
    let (light, dark) = (scheme(LIGHT, |it| it.0), scheme(DARK, |it| it.1));
    format!("{SHAPES}{light}@media(prefers-color-scheme:dark){{{dark}}}")
}

/// The class of a colour.
fn class(colour: Option<usize>) -> usize {
    colour.map_or(COLOURS.len(), |colour| colour % COLOURS.len())
}

/// Text of any origin: what XML forbids or a terminal obeys is replaced.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {
                escaped.push('\u{fffd}');
            }
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The picture, with tooltips as far as there is room for them.
pub(crate) fn svg(layout: &Layout, words: &Words) -> String {
    let whole = Writer { layout, tips: true }.all(words);
    if whole.len() <= MOST_BYTES {
        return whole;
    }
    Writer { layout, tips: false }.all(words)
}

struct Writer<'a> {
    layout: &'a Layout,
    tips: bool,
}

impl Writer<'_> {
    fn all(&self, words: &Words) -> String {
        let Layout { width, height, .. } = *self.layout;
        let mut key = String::new();
        let height = height + self.key(&mut key);
        let mut svg = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" role="img" aria-labelledby="t d"><title id="t">{}</title><desc id="d">{}</desc><style>{}</style>"#,
            escape(&words.title),
            escape(&words.description),
            style()
        );
        svg.push_str(&markers());
        let _ = write!(svg, r#"<rect class="bg" width="{width:.0}" height="{height:.0}"/>"#);
        self.words(&mut svg, words);
        self.time(&mut svg);
        self.lives(&mut svg);
        self.waits(&mut svg);
        self.queues(&mut svg);
        self.unseen(&mut svg);
        self.lines(&mut svg);
        self.bar_numbers(&mut svg);
        self.boxes(&mut svg);
        self.labels(&mut svg);
        svg + &key + "</svg>\n"
    }

    fn tip(&self, text: &str) -> String {
        if !self.tips || text.is_empty() {
            return String::new();
        }
        format!("<title>{}</title>", escape(text))
    }

    fn words(&self, svg: &mut String, words: &Words) {
        let title = escape(&words.title);
        let _ = write!(svg, r#"<text class="s h t" x="14" y="32">{title}</text>"#);
        let most = self.layout.width - 28.0;
        let mut commands: String = words.commands.clone();
        if commands.chars().count() as f64 * 7.83 > most {
            let room =
                commands.char_indices().take_while(|(at, _)| *at as f64 * 7.83 < most - 12.0);
            let end = room.last().map_or(0, |(at, _)| at);
            commands.truncate(end);
            commands.push('…');
        }
        let _ = write!(svg, r#"<text class="m" x="14" y="54">{}</text>"#, escape(&commands));
        for head in &self.layout.heads {
            let (name, below) = (escape(&head.name), escape(&head.below));
            let _ = write!(
                svg,
                r#"<g>{}<text class="s h" x="{x:.1}" y="80">{name}</text><text class="s m" x="{x:.1}" y="98">{below}</text></g>"#,
                self.tip(&head.tip),
                x = head.x,
            );
        }
    }

    fn time(&self, svg: &mut String) {
        let width = self.layout.width;
        svg.push_str(r#"<text class="m s e" x="64" y="102">ms</text>"#);
        for (y, time) in &self.layout.times {
            let _ = write!(svg, r#"<text class="m e" x="64" y="{:.1}">{time}</text>"#, y + 4.5);
        }
        for (y, height, text) in &self.layout.bands {
            // `1,814 calls` takes the whole margin.
            let x = if text.chars().count() > 9 { 81 } else { 64 };
            let _ = write!(
                svg,
                r#"<rect class="gap" x="0" y="{y:.1}" width="{width:.0}" height="{height:.1}"/><text class="m s i e" x="{x}" y="{:.1}">{text}</text>"#,
                y + height / 2.0 + 4.5
            );
        }
    }

    fn lives(&self, svg: &mut String) {
        for bar in &self.layout.bars {
            let rect = bar.rect;
            let _ = write!(
                svg,
                r#"<g class="c{}">{}<rect class="st" x="{:.1}" y="{:.1}" width="{:.0}" height="{:.1}" rx="2"/></g>"#,
                class(bar.colour),
                self.tip(&bar.tip),
                rect.x,
                rect.y,
                rect.width,
                rect.height,
            );
        }
        for life in &self.layout.lives {
            let Vertical { x, from, to, .. } = life.line;
            let height = (to - from).max(0.0);
            let _ = write!(
                svg,
                r#"<rect class="r" x="{:.1}" y="{from:.1}" width="6" height="{height:.1}"/>"#,
                x - 3.0
            );
            if life.has_foot {
                let _ = write!(
                    svg,
                    r#"<rect class="r" x="{:.1}" y="{:.1}" width="14" height="3"/>"#,
                    x - 7.0,
                    to - 1.5
                );
            }
            if let Some(zombie) = &life.zombie {
                let height = zombie.to - zombie.from;
                let _ = write!(
                    svg,
                    r#"<g>{}<rect x="{:.1}" y="{:.1}" width="10" height="{height:.1}" fill="url(#z)"/></g>"#,
                    self.tip(&zombie.tip),
                    x - 5.0,
                    zombie.from
                );
                if height > 24.0 {
                    let _ = write!(
                        svg,
                        r#"<text class="s m zt" x="{:.1}" y="{:.1}" style="font-weight:700">zombie</text>"#,
                        x + 12.0,
                        zombie.from + (height / 2.0).max(20.0) + 8.0
                    );
                }
            }
        }
    }

    fn waits(&self, svg: &mut String) {
        for wait in &self.layout.waits {
            let Vertical { x, from, to, .. } = *wait;
            let _ = write!(
                svg,
                r#"<g>{}<rect class="bg" x="{:.1}" y="{from:.1}" width="7" height="{:.1}"/><line class="w" x1="{x:.1}" x2="{x:.1}" y1="{from:.1}" y2="{to:.1}"/></g>"#,
                self.tip(&wait.tip),
                x - 3.5,
                to - from
            );
        }
    }

    fn queues(&self, svg: &mut String) {
        for queue in &self.layout.queues {
            let rect = queue.rect;
            let colour = class(queue.colour);
            let _ = write!(
                svg,
                r#"<g class="c{colour}">{}<rect class="q" x="{:.1}" y="{:.1}" width="{:.0}" height="{:.1}" rx="4"/></g>"#,
                self.tip(&queue.text),
                rect.x,
                rect.y,
                rect.width,
                rect.height
            );
            if rect.height > queue.text.chars().count() as f64 * SMALL + 10.0 {
                let (x, y) = (rect.x - 4.0, rect.y + rect.height / 2.0);
                let _ = write!(
                    svg,
                    r#"<text class="l s c{colour}" transform="translate({x:.1} {y:.1})rotate(-90)">{}</text>"#,
                    escape(&queue.text)
                );
            }
        }
    }

    /// The margin of what is not recorded.
    fn unseen(&self, svg: &mut String) {
        let Some(Vertical { x, from, to, tip }) = &self.layout.unseen else { return };
        let _ = write!(
            svg,
            r#"<path class="a" stroke-dasharray="1.5 5" d="M{x:.1} {from:.1}V{to:.1}"/><text class="m s i" transform="translate({:.1} {:.1})rotate(-90)" text-anchor="end">{}</text>"#,
            x + 15.0,
            from,
            escape(tip)
        );
    }

    fn lines(&self, svg: &mut String) {
        for line in &self.layout.lines {
            let Line { path, is_dashed, is_strong, colour, has_head, .. } = line;
            let dashed = if *is_dashed { " d" } else { "" };
            let strong = if *is_strong { " f" } else { "" };
            let number = class(*colour);
            let head =
                if *has_head { format!(r#" marker-end="url(#m{number})""#) } else { String::new() };
            let _ = write!(
                svg,
                r#"<g class="c{number}">{}<path class="a{dashed}{strong}" d="{path}"{head}/>"#,
                self.tip(&line.tip)
            );
            if !has_head {
                let [_, (x, y)] = line.ends;
                let (left, right, top, bottom) = (x - 5.0, x + 5.0, y - 5.0, y + 5.0);
                let _ = write!(
                    svg,
                    r#"<path class="a" d="M{left:.1} {top:.1}L{right:.1} {bottom:.1}M{right:.1} {top:.1}L{left:.1} {bottom:.1}"/>"#
                );
            }
            svg.push_str("</g>");
        }
    }

    fn bar_numbers(&self, svg: &mut String) {
        for bar in &self.layout.bars {
            if bar.rect.height < 14.0 || bar.number > 99 {
                continue;
            }
            let (x, y) = (bar.rect.x + 5.0, bar.rect.y + 11.5);
            // A lane is as wide as one digit.
            let small = if bar.number > 9 { r#" style="font-size:8px""# } else { "" };
            let _ = write!(
                svg,
                r#"<text class="n s" x="{x:.1}" y="{y:.1}"{small}>{}</text>"#,
                bar.number
            );
        }
    }

    fn boxes(&self, svg: &mut String) {
        for it in &self.layout.boxes {
            let rect = it.rect;
            let round = if it.is_fold { rect.height / 2.0 } else { 3.0 };
            let length = rect.width - 10.0;
            let _ = write!(
                svg,
                r#"<g data-row="{}" class="c{}">{}<rect class="b" x="{:.1}" y="{:.1}" width="{:.1}" height="{:.1}" rx="{round:.1}"/><text x="{:.1}" y="{:.1}" textLength="{length:.1}" lengthAdjust="spacingAndGlyphs">{}</text></g>"#,
                it.row,
                class(it.colour),
                self.tip(&it.tip),
                rect.x,
                rect.y,
                rect.width,
                rect.height,
                rect.x + 5.0,
                rect.y + rect.height / 2.0 + 5.0,
                escape(&it.text)
            );
        }
    }

    fn labels(&self, svg: &mut String) {
        for Label { x, y, text, colour, row, rect, is_on_a_line } in &self.layout.labels {
            if !is_on_a_line {
                let _ = write!(
                    svg,
                    r#"<rect class="bg" x="{:.1}" y="{:.1}" width="{:.1}" height="{:.0}"/>"#,
                    rect.x, rect.y, rect.width, rect.height
                );
            }
            let _ = write!(
                svg,
                r#"<text class="l s c{}" data-label="{row}" x="{x:.1}" y="{y:.1}">{}</text>"#,
                class(*colour),
                escape(text)
            );
        }
    }

    /// Only the signs that occur; how much room they take below the picture's own.
    fn key(&self, svg: &mut String) -> f64 {
        let layout = self.layout;
        let mut y = layout.height - 18.0;
        let line = |dashed: &str| {
            format!(r#"<path class="a{dashed}" d="M0 0h22" marker-end="url(#m5)"/>"#)
        };
        let zombie = r#"<rect y="-4" width="22" height="8" fill="url(#z)"/>"#;
        let descriptor = r#"<g class="c5"><rect class="st" x="6" y="-7" width="10" height="14" rx="2"/></g><text class="n s" x="11" y="4">4</text>"#;
        let queue = r#"<rect class="q a" x="7" y="-8" width="8" height="16" rx="4"/>"#;
        let signs = [
            (true, r#"<rect class="r" y="-3" width="22" height="6"/>"#.to_owned(), "runs"),
            (
                !layout.waits.is_empty(),
                r#"<path class="w" d="M0 0h22"/>"#.to_owned(),
                "waits in the call",
            ),
            (
                layout.lives.iter().any(|life| life.zombie.is_some()),
                zombie.to_owned(),
                "zombie: ended, not waited for",
            ),
            (!layout.bars.is_empty(), descriptor.to_owned(), "descriptor 4, while it is open"),
            (layout.lines.iter().any(|line| !line.is_dashed), line(""), "bytes, fork, thread"),
            (layout.lines.iter().any(|line| line.is_dashed), line(" d"), "SYN, FIN, RST, signal"),
            (!layout.queues.is_empty(), queue.to_owned(), "in the listening queue"),
            (
                layout.boxes.iter().any(|it| it.is_fold),
                r#"<rect class="b" y="-7" width="22" height="14" rx="7"/>"#.to_owned(),
                "repeats",
            ),
        ];
        let (mut x, right) = (84.0, layout.width - 14.0);
        for (_, sign, text) in signs.iter().filter(|(occurs, ..)| *occurs) {
            let wide = 50.0 + text.chars().count() as f64 * 7.4;
            if x + wide > right + 20.0 {
                (x, y) = (84.0, y + 22.0);
            }
            let _ = write!(
                svg,
                r#"<g transform="translate({x:.1} {y:.1})">{sign}<text class="m s" x="30" y="4.5">{text}</text></g>"#
            );
            x += wide;
        }
        // Where there is room for it.
        if x + 150.0 < right {
            let text = "times as under strace";
            let _ = write!(
                svg,
                r#"<text class="m s e" x="{right:.1}" y="{:.1}">{text}</text>"#,
                y + 4.5
            );
        }
        y - layout.height + 18.0
    }
}

/// Heads of arrows in every colour, and the stripes of a zombie.
fn markers() -> String {
    let mut defs = String::from("<defs>");
    for number in 0..=COLOURS.len() {
        let _ = write!(
            defs,
            r#"<marker id="m{number}" class="c{number}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path class="ah" d="M0 0L10 5L0 10z"/></marker>"#
        );
    }
    defs.push_str(r#"<pattern id="z" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="bg" width="6" height="6"/><rect class="z" width="3" height="6"/></pattern></defs>"#);
    defs
}
