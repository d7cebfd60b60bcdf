//! Where everything stands. Boxes cannot overlap: a column is as wide as its widest box, and a row has one
//! box a column. Labels are put where there is room, or left out.
#![expect(clippy::indexing_slicing, reason = "every id was given by the table that it indexes")]

use std::collections::BTreeMap;

use crate::arrows::{Kind, Matched};
use crate::choose::Chooser;
use crate::fold::grouped;
use crate::label;
use crate::plan::{Column, Edge, From, IDLE, Plan, To};
use crate::tables::{Held, Tables};
use crate::tip;

/// A character of the monospaced font, of 15 units; of the other, of 13 bold and of 16 bold.
pub(crate) const CHARACTER: f64 = 9.03;
pub(crate) const SMALL: f64 = 7.9;

/// How wide a label is, bold: fonts differ, and this is one of the widest.
pub(crate) fn label_width(text: &str) -> f64 {
    let width = |c: char| match c {
        'A'..='Z' | '+' => 10.3,
        ' ' | ',' | '.' => 5.0,
        _ => 9.1,
    };
    text.chars().map(width).sum()
}

const HEADING: f64 = 9.9;
const TITLE: f64 = 15.6;

const MARGIN: f64 = 84.0;
const TOP: f64 = 113.0;
const KEY: f64 = 44.0;
const WIDEST: f64 = 1600.0;
const NARROWEST: f64 = 1000.0;
const LANE: f64 = 13.0;
const QUEUE: f64 = 20.0;
const PADDING: f64 = 5.0;
const BETWEEN: f64 = 52.0;
/// What the right margin takes, where calls are not recorded.
const UNSEEN: f64 = 40.0;
const MOST_LANES: usize = 9;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rect {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Layout {
    /// Two boxes, or a label and a box, that share a place: there are none.
    pub(crate) fn overlap(&self) -> Option<(&str, &str)> {
        let boxes: Vec<(&Rect, &str)> = self.boxes.iter().map(|it| (&it.rect, &*it.text)).collect();
        let labels = self.labels.iter().map(|it| (&it.rect, &*it.text));
        let all: Vec<(&Rect, &str)> = boxes.into_iter().chain(labels).collect();
        all.iter().enumerate().find_map(|(place, one)| {
            let other = all.iter().skip(place + 1).find(|other| one.0.overlaps(other.0))?;
            Some((one.1, other.1))
        })
    }

    /// What stands beyond the edge of the picture: nothing does.
    pub(crate) fn outside(&self) -> Option<&str> {
        let inside = |rect: &Rect| {
            rect.x >= 0.0
                && rect.y >= 0.0
                && rect.x + rect.width <= self.width
                && rect.y + rect.height <= self.height
        };
        let boxes = self.boxes.iter().map(|it| (&it.rect, &*it.text));
        let mut all = boxes.chain(self.labels.iter().map(|it| (&it.rect, &*it.text)));
        all.find(|(rect, _)| !inside(rect)).map(|(_, text)| text)
    }
}

impl Rect {
    /// Whether they share more than an edge.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let apart = |a: f64, a_size: f64, b: f64, b_size: f64| {
            a + a_size <= b + 0.01 || b + b_size <= a + 0.01
        };
        !apart(self.x, self.width, other.x, other.width)
            && !apart(self.y, self.height, other.y, other.height)
    }
}

/// What is drawn, with its text for a pointer over it.
pub(crate) struct Boxed {
    pub(crate) rect: Rect,
    pub(crate) text: String,
    pub(crate) colour: Option<usize>,
    pub(crate) row: usize,
    pub(crate) tip: String,
    pub(crate) is_fold: bool,
}

pub(crate) struct Bar {
    pub(crate) rect: Rect,
    pub(crate) number: i32,
    pub(crate) colour: Option<usize>,
    pub(crate) tip: String,
}

/// A vertical line: a life, a wait, a zombie.
pub(crate) struct Vertical {
    pub(crate) x: f64,
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) tip: String,
}

pub(crate) struct Life {
    pub(crate) line: Vertical,
    pub(crate) has_foot: bool,
    pub(crate) zombie: Option<Vertical>,
}

pub(crate) struct Line {
    pub(crate) path: String,
    pub(crate) ends: [(f64, f64); 2],
    pub(crate) is_dashed: bool,
    pub(crate) has_head: bool,
    pub(crate) is_strong: bool,
    pub(crate) colour: Option<usize>,
    pub(crate) row: usize,
    pub(crate) tip: String,
    pub(crate) label: String,
}

pub(crate) struct Label {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) text: String,
    pub(crate) colour: Option<usize>,
    pub(crate) rect: Rect,
    pub(crate) row: usize,
    /// It lies on a bar or a line of life, which stay visible.
    pub(crate) is_on_a_line: bool,
}

pub(crate) struct Queue {
    pub(crate) rect: Rect,
    pub(crate) colour: Option<usize>,
    pub(crate) text: String,
}

pub(crate) struct Head {
    pub(crate) x: f64,
    pub(crate) name: String,
    pub(crate) below: String,
    pub(crate) tip: String,
}

#[derive(Default)]
pub(crate) struct Layout {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) row_height: f64,
    pub(crate) heads: Vec<Head>,
    pub(crate) times: Vec<(f64, String)>,
    pub(crate) bands: Vec<(f64, f64, String)>,
    pub(crate) boxes: Vec<Boxed>,
    pub(crate) bars: Vec<Bar>,
    pub(crate) lives: Vec<Life>,
    pub(crate) waits: Vec<Vertical>,
    pub(crate) lines: Vec<Line>,
    pub(crate) labels: Vec<Label>,
    pub(crate) queues: Vec<Queue>,
    /// Where calls would be that are not recorded, if there are such: a vertical line.
    pub(crate) unseen: Option<Vertical>,
    pub(crate) rows: usize,
}

/// A place: x and y.
type Point = (f64, f64);

/// A bar before it has a place: from which to which height, in which column.
struct Span {
    column: usize,
    from: f64,
    to: f64,
    number: i32,
    socket: usize,
}

/// A place of a column.
#[derive(Clone, Copy, Default)]
struct Place {
    /// Its left edge, its line of life, and where its boxes begin and end.
    x: f64,
    queue: f64,
    life: f64,
    boxes: f64,
    width: f64,
}

struct Maker<'a> {
    tables: &'a Tables,
    matched: &'a Matched,
    chooser: &'a Chooser<'a>,
    plan: &'a Plan,
    /// The middle of each row.
    y: Vec<f64>,
    places: Vec<Place>,
    colours: BTreeMap<usize, usize>,
    step_of_call: BTreeMap<usize, usize>,
    /// By process and socket: the steps about it, and when their calls returned.
    about: BTreeMap<(i32, usize), Vec<(u64, usize)>>,
    layout: Layout,
}

/// Gives everything its place.
pub(crate) fn layout(
    tables: &Tables,
    matched: &Matched,
    chooser: &Chooser,
    plan: &Plan,
    title: &str,
) -> Layout {
    let mut colours = BTreeMap::new();
    // Those of a fold, too: its sockets have bars.
    let calls = plan.steps.iter().flat_map(|step| &step.calls);
    for flow in calls.filter_map(|call| matched.flow_of_call.get(call).copied()) {
        let next = colours.len();
        colours.entry(flow).or_insert(next);
    }
    let mut maker = Maker {
        tables,
        matched,
        chooser,
        plan,
        y: Vec::new(),
        places: Vec::new(),
        colours,
        step_of_call: BTreeMap::new(),
        about: BTreeMap::new(),
        // As wide as its title at least.
        layout: Layout { width: title.chars().count() as f64 * TITLE + 28.0, ..Layout::default() },
    };
    maker.index();
    maker.rows();
    let spans = maker.spans();
    let lanes = lanes(&spans, plan.columns.len());
    let queues = maker.queued();
    maker.columns(&lanes.1, &queues);
    maker.heads(&spans, &lanes.0);
    maker.lives();
    maker.bars(&spans, &lanes.0);
    maker.boxes();
    maker.queues(&queues);
    maker.arrows(&queues);
    label::place(&mut maker.layout);
    maker.layout
}

impl Maker<'_> {
    fn column_of(&self, task: usize) -> Option<usize> {
        self.plan.columns.iter().position(|column| column.task == task)
    }

    /// The column that shows the descriptors of a process: its first.
    fn column_of_process(&self, pid: i32) -> Option<usize> {
        let of = |column: &Column| &self.tables.tasks[column.task];
        let main = self.plan.columns.iter().position(|it| of(it).tid == pid && !of(it).is_harness);
        main.or_else(|| self.plan.columns.iter().position(|it| of(it).pid == pid))
    }

    fn rows(&mut self) {
        let rows = &self.plan.rows;
        let idle: Vec<u64> = rows
            .windows(2)
            .map(|pair| pair[1].0.saturating_sub(pair[0].1))
            .map(|idle| if idle >= IDLE { idle } else { 0 })
            .collect();
        let bands = idle.iter().filter(|&&idle| idle > 0).count();
        let wanted = 820.0 / (rows.len() as f64 + 0.76 * bands as f64).max(1.0);
        let height = wanted.clamp(23.0, 27.0);
        let mut y = TOP;
        for (row, &(began, _)) in rows.iter().enumerate() {
            y += height / 2.0;
            self.y.push(y);
            let zero = rows.first().map_or(0, |first| first.0);
            let time = millis(began - zero);
            self.layout.times.push((y, time));
            y += height / 2.0;
            let pause = idle.get(row).copied().filter(|&idle| idle > 0);
            let left_out = self.plan.left_out.filter(|(_, behind)| *behind == row);
            if pause.is_some() || left_out.is_some() {
                let text = match (left_out, pause) {
                    (Some((count, _)), _) => format!("{} calls", grouped(count)),
                    (None, Some(pause)) if pause >= 1_000_000_000 => {
                        format!("+{:.2} s", pause as f64 / 1e9)
                    }
                    (None, pause) => format!("+{:.0} ms", pause.unwrap_or(0) as f64 / 1e6),
                };
                self.layout.bands.push((y, height * 0.76, text));
                y += height * 0.76;
            }
        }
        self.layout.row_height = height;
        self.layout.height = y + KEY;
        self.layout.rows = rows.len();
    }

    /// The height of a moment between the rows.
    fn y_at(&self, at: u64) -> f64 {
        let rows = &self.plan.rows;
        let below = rows.partition_point(|row| row.0 <= at);
        let (first, last) = (self.y.first().copied(), self.y.last().copied());
        if below == 0 {
            return first.unwrap_or(TOP) - self.layout.row_height * 0.4;
        }
        if below >= rows.len() {
            return last.unwrap_or(TOP) + self.layout.row_height * 0.4;
        }
        let (from, to) = (rows[below - 1].0, rows[below].0);
        let part = (at - from) as f64 / (to - from).max(1) as f64;
        self.y[below - 1] + part.min(0.95) * (self.y[below] - self.y[below - 1])
    }

    fn index(&mut self) {
        for (place, step) in self.plan.steps.iter().enumerate() {
            let pid = self.tables.tasks[step.task].pid;
            for &id in &step.calls {
                self.step_of_call.insert(id, place);
                let call = &self.tables.calls[id];
                // A `socketpair` is about two.
                let of_pair = (call.name == "socketpair").then(|| {
                    let both = self.tables.of_socket.iter();
                    both.filter(|(_, calls)| calls.contains(&id)).map(|(&socket, _)| socket)
                });
                let sockets: Vec<usize> = match of_pair {
                    Some(both) => both.collect(),
                    None => call.made.or(call.socket).into_iter().collect(),
                };
                for socket in sockets {
                    self.about.entry((pid, socket)).or_default().push((call.until(), place));
                }
            }
        }
    }

    /// The row of the step that this call is in.
    fn step_of_call(&self, call: usize) -> Option<usize> {
        self.step_of_call.get(&call).copied()
    }

    /// Where a task begins: at the arrow of the call that made it.
    fn birth(&self, task: usize) -> f64 {
        let edge = self.plan.edges.iter().find(|edge| edge.to == To::Start(task));
        match edge.map(|edge| edge.from) {
            Some(From::Step(step)) => self.y[self.plan.row[step]],
            _ => {
                let first = self.plan.steps.iter().position(|step| step.task == task);
                let y = first.map_or(TOP, |step| self.y[self.plan.row[step]]);
                y - self.layout.row_height * 0.42
            }
        }
    }

    /// Where it ends: below its last step.
    fn death(&self, task: usize) -> f64 {
        let last = self.plan.steps.iter().rposition(|step| step.task == task);
        let y = last.map_or(TOP, |step| self.y[self.plan.row[step]]);
        let it = &self.tables.tasks[task];
        let exits = last.is_some_and(|step| {
            self.plan.steps[step].calls.iter().any(|&id| self.tables.calls[id].name == "exit_group")
        });
        if exits {
            return y;
        }
        it.ended.map_or_else(|| self.bottom(), |at| self.y_at(at).max(y))
    }

    fn bottom(&self) -> f64 {
        self.y.last().map_or(TOP, |y| y + self.layout.row_height * 0.42)
    }

    /// The bars of all shown sockets, with their heights.
    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for &socket in &self.chooser.sockets {
            let it = &self.tables.sockets[socket];
            // Two descriptors of one process, as of `dup`, are two bars.
            for held in &it.held {
                let Some(column) = self.column_of_process(held.pid) else { continue };
                let (from, to) = self.span(socket, held);
                let main = self.tables.by_tid(held.pid).map(|main| &self.tables.tasks[main]);
                let is_inherited = main.is_some_and(|main| held.from <= main.started);
                // Above the middle of the row of the box that made it.
                let from = if is_inherited { from } else { from - 8.0 };
                if to - from > 9.0 {
                    spans.push(Span { column, from, to, number: held.fd, socket });
                }
            }
        }
        spans.sort_by(|a, b| {
            (a.column, a.from, a.number)
                .partial_cmp(&(b.column, b.from, b.number))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        spans
    }

    /// From the step that made a descriptor, or the birth of its process, to the step that closed it.
    fn span(&self, socket: usize, held: &Held) -> (f64, f64) {
        let main = self.tables.by_tid(held.pid).unwrap_or(0);
        let about = self.about.get(&(held.pid, socket)).into_iter().flatten();
        let mut about = about.filter(|(until, _)| *until >= held.from).map(|(_, step)| *step);
        let inherited = held.from <= self.tables.tasks[main].started;
        let from = if inherited {
            self.birth(main)
        } else {
            match about.next() {
                Some(step) => self.y[self.plan.row[step]],
                None => self.y_at(held.from),
            }
        };
        let Some(ended) = held.to else { return (from, self.bottom()) };
        // The `close`, or the end of the process.
        let last = self.about.get(&(held.pid, socket)).into_iter().flatten();
        let closing = last.rev().find(|(until, _)| *until == ended).map(|(_, step)| *step);
        let closing = closing.or_else(|| {
            self.plan.steps.iter().rposition(|step| {
                let call = step.calls.last().map(|&id| &self.tables.calls[id]);
                call.is_some_and(|call| call.name == "exit_group" && call.start == ended)
            })
        });
        let to = match closing {
            Some(step) => self.y[self.plan.row[step]],
            None => self.y_at(ended),
        };
        (from, to)
    }

    /// The edges that stand in a listening queue for more than two rows: the edge, its column, its lane.
    fn queued(&self) -> Vec<(usize, usize, usize)> {
        let mut queued: Vec<(usize, usize, usize)> = Vec::new();
        for (place, edge) in self.plan.edges.iter().enumerate() {
            let (Kind::Syn, From::Step(from), To::Step(to)) = (edge.kind, edge.from, edge.to)
            else {
                continue;
            };
            let (from, to) = (self.plan.row[from], self.plan.row[to]);
            if to < from + 3 {
                continue;
            }
            let accept = edge.to;
            let To::Step(step) = accept else { continue };
            let pid = self.tables.tasks[self.plan.steps[step].task].pid;
            let Some(column) = self.column_of_process(pid) else { continue };
            let lane = queued.iter().filter(|it| it.1 == column).count();
            if lane < 4 {
                queued.push((place, column, lane));
            }
        }
        queued
    }

    /// Every column gets its shortest texts, then all share what is left, up to their longest.
    fn columns(&mut self, lanes: &[usize], queues: &[(usize, usize, usize)]) {
        let columns = self.plan.columns.len();
        let (mut least, mut most, mut fixed) = (Vec::new(), Vec::new(), Vec::new());
        for (column, it) in self.plan.columns.iter().enumerate() {
            let own = self.plan.steps.iter().filter(|step| step.task == it.task);
            let (mut short, mut long) = (0, 0);
            for step in own {
                let lengths = step.texts.iter().map(|text| text.chars().count());
                short = short.max(lengths.clone().min().unwrap_or(0));
                long = long.max(lengths.max().unwrap_or(0));
            }
            let (name, below) = self.heading(it);
            let head =
                (name.chars().count() as f64 * HEADING).max(below.chars().count() as f64 * SMALL);
            let queue = queues.iter().filter(|it| it.1 == column).count() as f64 * QUEUE;
            let beside = queue + lanes[column] as f64 * LANE + 24.0;
            let width = |chars: usize| chars as f64 * CHARACTER + 2.0 * PADDING;
            fixed.push(beside);
            let least_width = width(short).max(head - beside - BETWEEN + 14.0);
            least.push(least_width);
            most.push(width(long).max(least_width));
        }
        let beside: f64 = fixed.iter().sum::<f64>() + MARGIN + BETWEEN * columns as f64 - 20.0;
        let (smallest, largest): (f64, f64) = (least.iter().sum(), most.iter().sum());
        let least_width = NARROWEST.max(self.layout.width);
        let most_width = WIDEST.max(beside + smallest).max(least_width);
        let width = (beside + largest).clamp(least_width, most_width);
        let room = width - beside - smallest;
        let share = if largest > smallest { (room / (largest - smallest)).min(1.0) } else { 0.0 };
        let spare = (width - beside - smallest - share * (largest - smallest)).max(0.0);
        let mut x = MARGIN;
        for column in 0..columns {
            let queue = queues.iter().filter(|it| it.1 == column).count() as f64 * QUEUE;
            let boxes = least[column] + share * (most[column] - least[column]);
            let life = x + fixed[column] - 12.0;
            self.places.push(Place { x, queue, life, boxes: life + 9.0, width: boxes });
            x += fixed[column] + boxes + BETWEEN + spare / columns as f64;
        }
        self.layout.width = width;
        let is_unseen = |it: &Edge| it.from == From::Unseen || it.to == To::Unseen;
        if self.plan.edges.iter().any(is_unseen) {
            self.layout.width += UNSEEN;
            let tip = "not recorded: io_uring makes these calls".to_owned();
            let x = self.layout.width - 26.0;
            self.layout.unseen = Some(Vertical { x, from: TOP - 8.0, to: self.bottom(), tip });
        }
    }

    fn heading(&self, column: &Column) -> (String, String) {
        let task = &self.tables.tasks[column.task];
        let more =
            if column.more > 0 { format!(", and {} more", column.more) } else { String::new() };
        if task.is_harness {
            return ("the scenario".to_owned(), format!("thread {}{more}", task.tid));
        }
        let parent = task.parent.filter(|_| !task.is_thread());
        let below = match (task.is_thread(), parent) {
            (true, _) => format!("thread {}{more}", task.tid),
            (false, Some(_)) => format!("pid {} (child){more}", task.tid),
            (false, None) => format!("pid {}{more}", task.tid),
        };
        (task.program.clone(), below)
    }

    fn heads(&mut self, spans: &[Span], lanes: &[Option<usize>]) {
        for (column, it) in self.plan.columns.iter().enumerate() {
            let (name, below) = self.heading(it);
            let task = &self.tables.tasks[it.task];
            let status = task.status.as_deref().unwrap_or("still running");
            let hidden = spans.iter().zip(lanes);
            let hidden =
                hidden.filter(|(span, lane)| span.column == column && lane.is_none()).count();
            let mut tip = format!("{name}, {below}: {status}");
            if hidden > 0 {
                tip.push_str(&format!("; {hidden} more descriptors have no bar"));
            }
            self.layout.heads.push(Head { x: self.places[column].x, name, below, tip });
        }
    }

    fn lives(&mut self) {
        for (column, it) in self.plan.columns.iter().enumerate() {
            let task = &self.tables.tasks[it.task];
            let (from, to) = (self.birth(it.task), self.death(it.task));
            let x = self.places[column].life;
            let zombie = task.parent.filter(|_| !task.is_thread()).and_then(|_| {
                let (ended, reaped) = (task.ended?, task.reaped?);
                let wait = self.tables.reaped_by.get(&it.task);
                let step = wait.and_then(|&wait| self.step_of_call(wait));
                let until =
                    step.map_or_else(|| self.y_at(reaped), |step| self.y[self.plan.row[step]]);
                (until > to + 1.0).then(|| Vertical {
                    x,
                    from: to,
                    to: until,
                    tip: format!(
                        "zombie for {} ms: it has ended, and its parent has not yet waited for it",
                        millis(reaped.saturating_sub(ended))
                    ),
                })
            });
            let line = Vertical { x, from, to, tip: String::new() };
            self.layout.lives.push(Life { line, has_foot: task.ended.is_some(), zombie });
            self.waits(it.task, x, (from, to));
        }
    }

    /// The calls in which a task waited, from what it did before to what it did then.
    fn waits(&mut self, task: usize, x: f64, (birth, death): (f64, f64)) {
        let own: Vec<usize> =
            (0..self.plan.steps.len()).filter(|&step| self.plan.steps[step].task == task).collect();
        let bounds = |at: u64| {
            let place = own.iter().position(|&step| self.plan.steps[step].at > at);
            let after = place.map(|place| self.y[self.plan.row[own[place]]]);
            let before = match place {
                Some(0) => None,
                Some(place) => Some(self.y[self.plan.row[own[place - 1]]]),
                None => own.last().map(|&step| self.y[self.plan.row[step]]),
            };
            (before.unwrap_or(birth), after.unwrap_or(death))
        };
        let half = self.layout.row_height * 0.3;
        let mut covered = 0;
        for (id, call) in self.tables.calls.iter().enumerate() {
            if call.task != task || call.start < covered || !self.may_wait(id) {
                continue;
            }
            covered = call.until();
            let end = call.end.unwrap_or(u64::MAX);
            let (before, _) = bounds(call.start);
            let (_, after) = bounds(end.saturating_sub(1));
            let from = self.y_at(call.start).clamp(before + half, after.max(before + half));
            let to = if call.end.is_some() { after } else { death };
            let to = if self.step_of_call(id).is_some() || call.end.is_none() {
                to
            } else {
                // What follows stands at its own moment.
                self.y_at(end).clamp(from, to.max(from))
            };
            if to - from < 8.0 {
                continue;
            }
            let tip = format!("waited {} ms in {}", millis(call.took()), call.name);
            self.layout.waits.push(Vertical { x, from, to, tip });
        }
    }

    fn may_wait(&self, id: usize) -> bool {
        let call = &self.tables.calls[id];
        let ignored =
            ["exit_group", "execve", "exit", "clone", "clone3", "bind", "listen", "socket"];
        if call.is_signal() || ignored.contains(&&*call.name) {
            return false;
        }
        if call.end.is_none() {
            return call.name != "exit_group";
        }
        if self.chooser.waited(id) {
            return true;
        }
        // A `poll` that the arrow of the call after it woke.
        crate::choose::is_poll(&call.name)
            && self
                .tables
                .calls
                .iter()
                .enumerate()
                .skip(id + 1)
                .find(|(_, it)| it.task == call.task)
                .is_some_and(|(next, _)| self.chooser.woken(next, call.start))
    }

    fn bars(&mut self, spans: &[Span], lanes: &[Option<usize>]) {
        for (span, lane) in spans.iter().zip(lanes) {
            let Some(lane) = lane else { continue };
            let place = self.places[span.column];
            let socket = &self.tables.sockets[span.socket];
            let rect = Rect {
                x: place.x + place.queue + 2.0 + *lane as f64 * LANE,
                y: span.from,
                width: 10.0,
                height: span.to - span.from,
            };
            let flow = self.matched.flow_of_socket.get(&span.socket);
            let colour = flow.and_then(|flow| self.colours.get(flow)).copied();
            let local = socket.local.as_deref().unwrap_or("no address");
            let end = match &socket.peer {
                Some(peer) => format!("{local} -> {peer}"),
                None if socket.is_listening => format!("{local} listening"),
                None => local.to_owned(),
            };
            let tip = format!("descriptor {}: {} {end}", span.number, socket.protocol);
            self.layout.bars.push(Bar { rect, number: span.number, colour, tip });
        }
    }

    fn boxes(&mut self) {
        let zero = self.plan.rows.first().map_or(0, |row| row.0);
        for (place, step) in self.plan.steps.iter().enumerate() {
            let Some(column) = self.column_of(step.task) else { continue };
            let at = self.places[column];
            let width = |text: &str| text.chars().count() as f64 * CHARACTER + 2.0 * PADDING;
            let fits = step.texts.iter().find(|text| width(text) <= at.width + 0.01);
            let text = fits.or(step.texts.last()).cloned().unwrap_or_default();
            let row = self.plan.row[place];
            let height = self.layout.row_height - 3.0;
            let rect =
                Rect { x: at.boxes, y: self.y[row] - height / 2.0, width: width(&text), height };
            let colour = step.flow.and_then(|flow| self.colours.get(&flow)).copied();
            let tip = tip::of(self.tables, step, zero);
            self.layout.boxes.push(Boxed { rect, text, colour, row, tip, is_fold: step.is_fold });
        }
    }

    fn queues(&mut self, queued: &[(usize, usize, usize)]) {
        for &(edge, column, lane) in queued {
            let edge = &self.plan.edges[edge];
            let (From::Step(from), To::Step(to)) = (edge.from, edge.to) else { continue };
            let (from, to) = (self.y[self.plan.row[from]], self.y[self.plan.row[to]]);
            let rect = Rect {
                x: self.places[column].x + lane as f64 * QUEUE + 4.0,
                y: from,
                width: 8.0,
                height: to - from,
            };
            let text = format!("{:.0} ms in the queue", edge.took as f64 / 1e6);
            let colour = edge.flow.and_then(|flow| self.colours.get(&flow)).copied();
            self.layout.queues.push(Queue { rect, colour, text });
        }
    }

    fn arrows(&mut self, queued: &[(usize, usize, usize)]) {
        let plan = self.plan;
        for (place, edge) in plan.edges.iter().enumerate() {
            let queue = queued.iter().position(|it| it.0 == place);
            if let Some(queue) = queue {
                self.through_queue(edge, queue);
                continue;
            }
            let Some((from, to, path)) = self.path(edge) else { continue };
            let line = self.line(edge, [from, to], path);
            self.layout.lines.push(line);
        }
        self.merge_labels();
    }

    fn line(&self, edge: &Edge, ends: [(f64, f64); 2], path: String) -> Line {
        let is_dashed = matches!(edge.kind, Kind::Syn | Kind::Fin | Kind::Reset | Kind::Signal)
            || (edge.kind == Kind::Unseen && !edge.name.is_empty());
        let label = match edge.kind {
            Kind::Syn => "SYN".to_owned(),
            Kind::Fin => "FIN".to_owned(),
            Kind::Reset => "RST".to_owned(),
            Kind::Bytes | Kind::Datagram => {
                let lost = if edge.to == To::Lost { " lost" } else { "" };
                format!("{} B{lost}", grouped(edge.bytes))
            }
            Kind::Signal if edge.from == From::Outside => {
                format!("{} from the scenario", edge.name)
            }
            Kind::Signal => edge.name.clone(),
            Kind::Unseen if edge.name.is_empty() => format!("{} B", grouped(edge.bytes)),
            Kind::Unseen => edge.name.clone(),
            Kind::Fork | Kind::Thread => String::new(),
        };
        let row = match edge.from {
            From::Step(step) => self.plan.row[step],
            _ => match edge.to {
                To::Step(step) => self.plan.row[step],
                To::End(task) => self.last_row(task),
                _ => 0,
            },
        };
        let many = if edge.count > 1 {
            format!(" in {} parts", grouped(edge.count))
        } else {
            String::new()
        };
        let kind = edge.kind.name();
        let name = if label.is_empty() || label == kind {
            kind.to_owned()
        } else {
            format!("{kind}: {label}")
        };
        let tip = format!("{name}{many}, {} ms", millis(edge.took));
        Line {
            path,
            ends,
            is_dashed,
            has_head: edge.to != To::Lost,
            is_strong: matches!(edge.kind, Kind::Fork | Kind::Thread),
            colour: edge.flow.and_then(|flow| self.colours.get(&flow)).copied(),
            row,
            tip,
            label,
        }
    }

    /// The row in which a task ends.
    fn last_row(&self, task: usize) -> usize {
        let y = self.death(task);
        self.y.iter().rposition(|&row| row <= y).unwrap_or(0)
    }

    /// The right end of a step's box.
    fn right(&self, step: usize) -> f64 {
        // Boxes are made from steps one to one.
        self.layout.boxes.get(step).map_or(0.0, |it| it.rect.x + it.rect.width)
    }

    /// Both ends of an arrow, and its path.
    fn path(&self, edge: &Edge) -> Option<(Point, Point, String)> {
        let (from_task, from_y) = match edge.from {
            From::Step(step) => (Some(self.plan.steps[step].task), self.y[self.plan.row[step]]),
            From::End(task) => (Some(task), self.death(task)),
            From::Outside | From::Unseen => (None, 0.0),
        };
        let from_place = from_task.and_then(|task| self.column_of(task)).map(|it| self.places[it]);
        let (to_task, to_y) = match edge.to {
            To::Step(step) => (self.plan.steps[step].task, self.y[self.plan.row[step]]),
            To::Start(task) => (task, self.birth(task)),
            To::End(task) => (task, self.death(task)),
            To::Lost | To::Unseen => {
                let From::Step(step) = edge.from else { return None };
                let from = (self.right(step), from_y);
                let beyond = self.layout.unseen.as_ref().filter(|_| edge.to == To::Unseen);
                let to = (beyond.map_or(from.0 + 34.0, |line| line.x - 3.0), from_y);
                return Some((from, to, straight(from, to)));
            }
        };
        if let (From::Unseen, To::Step(step), Some(line)) =
            (edge.from, edge.to, &self.layout.unseen)
        {
            let (from, to) = ((line.x - 3.0, to_y), (self.right(step) + 1.0, to_y));
            return Some((from, to, straight(from, to)));
        }
        let to_place = self.places[self.column_of(to_task)?];
        let Some(from_place) = from_place else {
            let (from, to) = ((MARGIN - 14.0, to_y), (to_place.life - 5.0, to_y));
            return Some((from, to, straight(from, to)));
        };
        let step_right = |step: From| match step {
            From::Step(step) => self.right(step),
            From::End(_) | From::Outside | From::Unseen => from_place.life + 5.0,
        };
        if from_task == Some(to_task) {
            let To::Step(to_step) = edge.to else { return None };
            let from = (step_right(edge.from), from_y);
            let to = (self.right(to_step), to_y);
            let bend = from.0.max(to.0) + 26.0;
            let path = format!(
                "M{:.1} {:.1}C{bend:.1} {:.1} {bend:.1} {:.1} {:.1} {:.1}",
                from.0,
                from.1,
                from.1,
                to.1,
                to.0 + 1.0,
                to.1
            );
            return Some((from, to, path));
        }
        let (from, to) = if to_place.x > from_place.x {
            ((step_right(edge.from), from_y), (to_place.life - 5.0, to_y))
        } else {
            let end = match edge.to {
                To::Step(step) => self.right(step) + 1.0,
                To::Start(_) | To::End(_) | To::Lost | To::Unseen => to_place.life + 5.0,
            };
            ((from_place.life - 5.0, from_y), (end, to_y))
        };
        Some((from, to, straight(from, to)))
    }

    /// To the queue, and out of it at the `accept`.
    fn through_queue(&mut self, edge: &Edge, queue: usize) {
        let (Some((from, to, _)), Some(rect)) =
            (self.path(edge), self.layout.queues.get(queue).map(|it| it.rect))
        else {
            return;
        };
        let top =
            (if from.0 < rect.x { rect.x - 1.0 } else { rect.x + rect.width + 1.0 }, rect.y + 2.0);
        let line = self.line(edge, [from, top], straight(from, top));
        self.layout.lines.push(line);
        let bottom = (rect.x + rect.width, rect.y + rect.height);
        // An `accept` right of its queue, or of another process.
        let mut line = self.line(edge, [bottom, to], straight(bottom, to));
        line.label = String::new();
        self.layout.lines.push(line);
    }

    /// Several arrows into one `recv` have one label: `7 + 19 B`.
    fn merge_labels(&mut self) {
        let lines = &mut self.layout.lines;
        for last in (0..lines.len()).rev() {
            if !lines[last].label.ends_with(" B") {
                continue;
            }
            let same: Vec<usize> = (0..last)
                .filter(|&one| lines[one].ends[1] == lines[last].ends[1])
                .filter(|&one| lines[one].label.ends_with(" B"))
                .collect();
            if same.is_empty() || same.len() > 2 {
                continue;
            }
            let parts: Vec<String> = same
                .iter()
                .map(|&one| std::mem::take(&mut lines[one].label))
                .map(|label| label.trim_end_matches(" B").to_owned())
                .collect();
            lines[last].label = format!("{} + {}", parts.join(" + "), lines[last].label);
        }
    }
}

fn straight(from: (f64, f64), to: (f64, f64)) -> String {
    format!("M{:.1} {:.1}L{:.1} {:.1}", from.0, from.1, to.0, to.1)
}

/// Nanoseconds as milliseconds with two decimals.
pub(crate) fn millis(nanos: u64) -> String {
    format!("{:.2}", nanos as f64 / 1e6)
}

/// The lane of each bar, and how many lanes each column has.
fn lanes(spans: &[Span], columns: usize) -> (Vec<Option<usize>>, Vec<usize>) {
    let mut ends: Vec<Vec<f64>> = vec![Vec::new(); columns];
    let mut lanes = Vec::new();
    for span in spans {
        let lane = &mut ends[span.column];
        let free = lane.iter().position(|&end| end <= span.from);
        let chosen = free.or_else(|| {
            (lane.len() < MOST_LANES).then(|| {
                lane.push(0.0);
                lane.len() - 1
            })
        });
        if let Some(chosen) = chosen {
            lane[chosen] = span.to;
        }
        lanes.push(chosen);
    }
    (lanes, ends.iter().map(Vec::len).collect())
}
