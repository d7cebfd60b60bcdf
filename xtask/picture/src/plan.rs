//! Which columns and rows there are, and where each step stands: no coordinates yet.
#![expect(clippy::indexing_slicing, reason = "every id was given by the table that it indexes")]

use std::collections::{BTreeMap, BTreeSet};

use crate::arrows::{self, Arrow, Kind, Matched, Point, Transfer};
use crate::choose::{self, Rank, Step};
use crate::fold;
use crate::tables::Tables;

/// So many rows fill a wall, and are not yet small print.
const FULL: usize = 38;

/// More rows than these are not drawn.
const MOST_ROWS: usize = 90;

/// More columns than these, and the first of like children stand for all.
const MOST_COLUMNS: usize = 10;

/// A row takes what begins within this time, a band says that this time was idle. In nanoseconds.
const ROW: u64 = 2_000_000;
pub(crate) const IDLE: u64 = 15_000_000;

/// Where an arrow begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum From {
    Step(usize),
    /// The end of a task.
    End(usize),
    /// The scenario, beyond the left margin.
    Outside,
    /// A call that is not recorded, beyond the right margin.
    Unseen,
}

/// Where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum To {
    Step(usize),
    /// The beginning of a task, and its end.
    Start(usize),
    End(usize),
    Lost,
    Unseen,
}

/// An arrow between steps.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) kind: Kind,
    pub(crate) from: From,
    pub(crate) to: To,
    pub(crate) bytes: u64,
    /// How many arrows it stands for.
    pub(crate) count: usize,
    pub(crate) name: String,
    pub(crate) flow: Option<usize>,
    /// Between both ends, in nanoseconds.
    pub(crate) took: u64,
}

/// A column: a task, and how many like it stand behind it.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) task: usize,
    pub(crate) more: usize,
}

/// A part of the story between two moments at which no program lives.
pub(crate) struct Plan {
    pub(crate) columns: Vec<Column>,
    pub(crate) steps: Vec<Step>,
    /// The row of each step.
    pub(crate) row: Vec<usize>,
    /// When each row began and ended.
    pub(crate) rows: Vec<(u64, u64)>,
    pub(crate) edges: Vec<Edge>,
    /// How many steps have no place, and behind which row.
    pub(crate) left_out: Option<(usize, usize)>,
}

/// The parts of the story.
pub(crate) fn acts(tables: &Tables, steps: Vec<Step>) -> Vec<Vec<Step>> {
    let mut lives: Vec<(u64, u64)> = tables
        .tasks
        .iter()
        .filter(|task| !task.is_harness)
        .map(|task| (task.started, task.ended.unwrap_or(u64::MAX)))
        .collect();
    lives.sort_unstable();
    let mut ends: Vec<u64> = Vec::new();
    let mut until = 0;
    for (start, end) in lives {
        if start > until && until > 0 {
            ends.push(until);
        }
        until = until.max(end);
    }
    let mut acts: Vec<Vec<Step>> = vec![Vec::new(); ends.len() + 1];
    for step in steps {
        let act = ends.iter().filter(|&&end| end < step.at).count();
        acts[act].push(step);
    }
    acts.retain(|act| act.iter().any(|step| !tables.tasks[step.task].is_harness));
    acts
}

/// Places the steps of one act.
pub(crate) fn plan(tables: &Tables, matched: &Matched, mut steps: Vec<Step>) -> Plan {
    let columns = reduced(tables, matched, &steps);
    let kept: BTreeSet<usize> = columns.iter().map(|column| column.task).collect();
    steps.retain(|step| {
        let call = step.calls.last().map(|&id| &tables.calls[id]);
        let child = call.and_then(|call| choose::made_task(tables, call));
        kept.contains(&step.task) && child.is_none_or(|child| kept.contains(&child))
    });
    let mut placed = place(tables, matched, &columns, steps);
    if placed.rows.len() > FULL {
        let steps = placed.steps.into_iter().filter(|step| step.rank != Rank::Explained).collect();
        placed = place(tables, matched, &columns, steps);
    }
    for by_descriptor in [true, false] {
        if placed.rows.len() > FULL {
            let steps = fold::fold(tables, matched, placed.steps, by_descriptor);
            placed = place(tables, matched, &columns, steps);
        }
    }
    if placed.rows.len() > MOST_ROWS {
        let steps = placed.steps.into_iter().filter(|step| step.rank == Rank::Always).collect();
        placed = place(tables, matched, &columns, steps);
    }
    if placed.rows.len() > MOST_ROWS {
        placed = cut(tables, matched, placed);
    }
    placed
}

/// The first and the last rows of a story that is too long.
fn cut(tables: &Tables, matched: &Matched, placed: Plan) -> Plan {
    let (first, last) = (MOST_ROWS / 3, placed.rows.len() - MOST_ROWS / 3);
    let all = placed.steps.len();
    let keep = |row: usize| row < first || row >= last;
    let kept: Vec<Step> = placed
        .steps
        .into_iter()
        .zip(&placed.row)
        .filter(|(_, row)| keep(**row))
        .map(|(step, _)| step)
        .collect();
    let left_out = all - kept.len();
    // A column without a call says nothing.
    let has_step = |column: &&Column| kept.iter().any(|step| step.task == column.task);
    let columns: Vec<Column> = placed.columns.iter().filter(has_step).cloned().collect();
    let mut plan = place(tables, matched, &columns, kept);
    plan.left_out = Some((left_out, first.min(plan.rows.len()).saturating_sub(1)));
    plan
}

/// The columns of an act: who has several connections first, clients before servers; then a pair for each
/// connection. Where they are too many, the first of like children stand for all.
fn reduced(tables: &Tables, matched: &Matched, steps: &[Step]) -> Vec<Column> {
    let order = order(tables, matched, steps);
    let plain = |&task: &usize| Column { task, more: 0 };
    if order.len() <= MOST_COLUMNS {
        return order.iter().map(plain).collect();
    }
    let mut members: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for &task in &order {
        let it = &tables.tasks[task];
        let parent = if it.is_harness { None } else { it.parent };
        // Programs that were started alike are as like as children are.
        let key = (parent, it.is_thread(), it.is_harness, &it.program);
        members.entry(key).or_default().push(task);
    }
    // As many of each kind as there is room for, two at least.
    let total = |most: usize| members.values().map(|it| it.len().min(most)).sum::<usize>();
    let most = (2..8).rev().find(|&most| total(most) <= MOST_COLUMNS).unwrap_or(2);
    let mut columns = Vec::new();
    for &task in &order {
        let alike = members.values().find(|tasks| tasks.contains(&task));
        let Some(alike) = alike else { continue };
        let place = alike.iter().position(|it| *it == task).unwrap_or(0);
        if place < most {
            let more = if place + 1 == most { alike.len() - most } else { 0 };
            columns.push(Column { task, more });
        }
    }
    columns
}

/// Every task with a step, in the order of columns.
fn order(tables: &Tables, matched: &Matched, steps: &[Step]) -> Vec<usize> {
    // By flow: who connects and sends, who accepts and receives.
    let mut flows: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let (mut tasks, mut clients) = (Vec::new(), BTreeSet::new());
    for step in steps {
        if !tasks.contains(&step.task) {
            tasks.push(step.task);
        }
        let Some(flow) = step.flow else { continue };
        flows.entry(step.task).or_default().insert(flow);
        let call = step.calls.last().map(|&id| &tables.calls[id]);
        let client = matched.flows[flow].client;
        if client.is_some() && call.and_then(|call| call.socket) == client {
            clients.insert(step.task);
        }
    }
    let count = |task: &usize| flows.get(task).map_or(0, BTreeSet::len);
    let is_client = |task: &usize| clients.contains(task);
    let several = tasks.iter().filter(|task| count(task) > 1).count();
    let mut order: Vec<usize> = tasks.iter().copied().filter(|task| count(task) > 1).collect();
    order.sort_by_key(|task| !is_client(task));
    if several == 0 && tasks.len() <= 3 {
        // The parent of a server's child belongs beside its client.
        order.extend(tasks.iter().copied().filter(|task| count(task) == 1 && is_client(task)));
    }
    let mut pairs: Vec<usize> = tasks.iter().copied().filter(|it| !order.contains(it)).collect();
    pairs.sort_by_key(|task| {
        let flow = flows.get(task).and_then(|flows| flows.first().copied());
        // Who has none stands before the pairs: a parent.
        (flow.is_some(), flow, !is_client(task))
    });
    order.extend(pairs);
    order
}

/// What edges can end in: the steps by their calls, the tasks that are drawn, and the time of all steps.
struct Ends {
    step_of: BTreeMap<usize, usize>,
    drawn: BTreeSet<usize>,
    from: u64,
    to: u64,
}

impl Ends {
    fn new(columns: &[Column], steps: &[Step]) -> Self {
        let mut step_of = BTreeMap::new();
        for (place, step) in steps.iter().enumerate() {
            step_of.extend(step.calls.iter().map(|&call| (call, place)));
        }
        let at = |step: Option<&Step>| step.map_or(0, |step| step.at);
        let drawn = columns.iter().map(|column| column.task).collect();
        Self { step_of, drawn, from: at(steps.first()), to: at(steps.last()) }
    }

    fn step(&self, point: Point) -> Option<usize> {
        self.step_of.get(&point.call?).copied()
    }

    /// Both ends of an arrow; `None` where one of them is not drawn.
    fn of(&self, tables: &Tables, arrow: &Arrow) -> Option<(From, To)> {
        if arrow.kind == Kind::Unseen {
            let step = self.step(arrow.from)?;
            let call = &tables.calls[arrow.from.call?];
            let receives = arrows::transfer(call) == Some(Transfer::Receives);
            return Some(if receives {
                (From::Unseen, To::Step(step))
            } else {
                (From::Step(step), To::Unseen)
            });
        }
        let is_drawn = |point: Point| point.call.is_none() && self.drawn.contains(&point.task);
        let from = match self.step(arrow.from) {
            Some(step) => From::Step(step),
            None if choose::is_from_outside(tables, arrow.kind, arrow.from.task) => From::Outside,
            None if is_drawn(arrow.from) => From::End(arrow.from.task),
            None => return None,
        };
        let Some(point) = arrow.to else { return Some((from, To::Lost)) };
        let to = match self.step(point) {
            Some(step) => To::Step(step),
            None if !is_drawn(point) => return None,
            None if arrow.kind == Kind::Signal => To::End(point.task),
            None if (self.from..=self.to).contains(&point.at) => To::Start(point.task),
            None => return None,
        };
        Some((from, to))
    }
}

/// The edges between these steps.
fn edges(tables: &Tables, matched: &Matched, columns: &[Column], steps: &[Step]) -> Vec<Edge> {
    let ends = Ends::new(columns, steps);
    let mut edges: Vec<Edge> = Vec::new();
    let mut known = BTreeMap::new();
    for arrow in &matched.arrows {
        let Some((from, to)) = ends.of(tables, arrow) else { continue };
        if matches!((from, to), (From::Step(one), To::Step(other)) if one == other) {
            continue;
        }
        let known = known.entry((from, to, arrow.kind.name(), &arrow.name)).or_insert(edges.len());
        if let Some(edge) = edges.get_mut(*known) {
            edge.bytes += arrow.bytes;
            edge.count += 1;
            continue;
        }
        edges.push(Edge {
            kind: arrow.kind,
            from,
            to,
            bytes: arrow.bytes,
            count: 1,
            name: arrow.name.clone(),
            flow: arrow.flow,
            took: arrow.to.map_or(0, |to| to.at.saturating_sub(arrow.from.at)),
        });
    }
    edges
}

/// The rows: in the order of time, one for what begins together, as far as the columns are free and no
/// arrow would have to run within it.
fn place(tables: &Tables, matched: &Matched, columns: &[Column], steps: Vec<Step>) -> Plan {
    let mut edges = edges(tables, matched, columns, &steps);
    // What must be above each step.
    let mut above: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    let mut first_of: BTreeMap<usize, usize> = BTreeMap::new();
    let mut last_of: BTreeMap<usize, usize> = BTreeMap::new();
    for (place, step) in steps.iter().enumerate() {
        first_of.entry(step.task).or_insert(place);
        last_of.insert(step.task, place);
    }
    for edge in &edges {
        let from = match edge.from {
            From::Step(step) => Some(step),
            From::End(task) => last_of.get(&task).copied(),
            From::Outside | From::Unseen => None,
        };
        let to = match edge.to {
            To::Step(step) => Some(step),
            To::Start(task) => first_of.get(&task).copied(),
            // A process ends after its last call, wherever that stands.
            To::End(_) | To::Lost | To::Unseen => None,
        };
        if let (Some(from), Some(to)) = (from, to) {
            above[to].push(from);
        }
    }
    let mut row: Vec<usize> = Vec::new();
    let mut rows: Vec<(u64, u64)> = Vec::new();
    let mut taken: BTreeSet<usize> = BTreeSet::new();
    for (place, step) in steps.iter().enumerate() {
        let current = rows.len().saturating_sub(1);
        let joins = rows.last().is_some_and(|(began, _)| step.at < began + ROW)
            && !taken.contains(&step.task)
            && above[place].iter().all(|&from| row.get(from).is_none_or(|&row| row < current));
        if joins {
            rows[current].1 = step.at;
        } else {
            rows.push((step.at, step.at));
            taken.clear();
        }
        taken.insert(step.task);
        row.push(rows.len() - 1);
    }
    // Two folds may have exchanged bytes in both directions: one of the arrows would go up.
    edges.retain(|edge| match (edge.from, edge.to) {
        (From::Step(from), To::Step(to)) => {
            row[from] < row[to] || !(steps[from].is_fold || steps[to].is_fold)
        }
        _ => true,
    });
    Plan { columns: columns.to_vec(), steps, row, rows, edges, left_out: None }
}
