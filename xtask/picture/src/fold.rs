//! Folding: of a cycle of calls that repeats, two are shown, and one box says how often it was.
#![expect(clippy::indexing_slicing, reason = "every id was given by the table that it indexes")]

use std::collections::{BTreeMap, BTreeSet};

use crate::arrows::{Kind, Matched};
use crate::choose::{self, Rank, Step};
use crate::tables::Tables;

/// From so many repeats on.
const REPEATS: usize = 4;

/// By the call that an arrow ends in: when it began, and in which call.
type Arrives = BTreeMap<usize, Vec<(u64, Option<usize>)>>;

/// The longest cycle that is looked for.
const LONGEST: usize = 8;

/// Folds the repeats in each column. With `by_descriptor` calls of different sockets are different.
pub(crate) fn fold(
    tables: &Tables,
    matched: &Matched,
    steps: Vec<Step>,
    by_descriptor: bool,
) -> Vec<Step> {
    let mut arrives: Arrives = BTreeMap::new();
    for arrow in matched.arrows.iter().filter(|arrow| arrow.kind != Kind::Signal) {
        if let Some(call) = arrow.to.and_then(|to| to.call) {
            arrives.entry(call).or_default().push((arrow.from.at, arrow.from.call));
        }
    }
    let mut by_task: BTreeMap<usize, Vec<Step>> = BTreeMap::new();
    for step in steps {
        by_task.entry(step.task).or_default().push(step);
    }
    let mut folded: Vec<Step> = Vec::new();
    for steps in by_task.into_values() {
        let steps: Vec<Step> = steps.into_iter().filter(|it| it.rank != Rank::Explained).collect();
        folded.extend(column(tables, &arrives, &steps, by_descriptor));
    }
    folded.sort_by_key(|step| (step.at, step.calls.first().copied()));
    sources_first(matched, &mut folded);
    folded
}

/// Of two steps at one moment, the one that the arrow comes from is the first.
fn sources_first(matched: &Matched, steps: &mut [Step]) {
    let mut target = BTreeMap::new();
    for arrow in &matched.arrows {
        target.extend(arrow.to.and_then(|to| to.call).map(|call| (call, ())));
    }
    steps.sort_by_key(|step| {
        (
            step.at,
            step.calls.iter().any(|call| target.contains_key(call)),
            step.calls.first().copied(),
        )
    });
}

fn signature(step: &Step, by_descriptor: bool) -> String {
    if by_descriptor {
        return step.signature.clone();
    }
    let words = step.signature.split(' ').filter(|word| word.parse::<i32>().is_err());
    words.collect::<Vec<_>>().join(" ")
}

fn column(tables: &Tables, arrives: &Arrives, steps: &[Step], by_descriptor: bool) -> Vec<Step> {
    let signatures: Vec<String> = steps.iter().map(|step| signature(step, by_descriptor)).collect();
    let mut folded = Vec::new();
    let mut at = 0;
    while at < steps.len() {
        let cycle = (1..=LONGEST).find_map(|length| {
            let pattern = signatures.get(at..at + length)?;
            let rest = signatures[at..].chunks_exact(length);
            let times = rest.take_while(|cycle| *cycle == pattern).count();
            (times >= REPEATS && !steps[at].is_fold).then_some((length, times))
        });
        let Some((length, times)) = cycle else {
            folded.push(steps[at].clone());
            at += 1;
            continue;
        };
        folded.extend_from_slice(&steps[at..at + 2 * length]);
        folded.push(one(tables, arrives, &steps[at + 2 * length..at + times * length], times - 2));
        at += times * length;
    }
    folded
}

/// The box that stands for these steps; not above the first arrow into one of them.
fn one(tables: &Tables, arrives: &Arrives, steps: &[Step], times: usize) -> Step {
    let calls: Vec<usize> = steps.iter().flat_map(|step| step.calls.clone()).collect();
    let length = steps.len() / times.max(1);
    let names: Vec<&str> = steps[..length]
        .iter()
        .filter_map(|step| Some(choose::shown_name(&tables.calls[*step.calls.last()?])))
        .map(|name| if name.starts_with("clone") { "fork" } else { name })
        .collect();
    let bytes: u64 = calls
        .iter()
        .map(|&id| &tables.calls[id])
        .filter(|call| crate::arrows::transfer(call).is_some())
        .flat_map(crate::arrows::messages)
        .map(|message| message.bytes)
        .sum();
    let names = match names.as_slice() {
        [first, second, .., last] if names.len() > 3 => format!("{first} {second} … {last}"),
        all => all.join(" "),
    };
    let mut texts = vec![format!("{names} × {}", grouped(times))];
    if bytes > 0 {
        texts.insert(0, format!("{names} × {}, {} B", grouped(times), grouped(bytes)));
    }
    let own: BTreeSet<usize> = calls.iter().copied().collect();
    let arrives = calls.iter().filter_map(|call| arrives.get(call)).flatten();
    let arrives = arrives.filter(|(_, from)| !from.is_some_and(|call| own.contains(&call)));
    let first = steps.first().map_or(0, |step| step.at);
    let flow = steps.first().and_then(|step| step.flow);
    Step {
        task: steps.first().map_or(0, |step| step.task),
        at: arrives.map(|(at, _)| *at).min().map_or(first, |at| at.max(first)),
        calls,
        texts,
        flow: flow.filter(|_| steps.iter().all(|step| step.flow == flow)),
        signature: String::new(),
        rank: Rank::Always,
        is_fold: true,
    }
}

/// `2,868,928`
pub(crate) fn grouped(number: impl std::fmt::Display) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            ["7", "123", "1,234", "2,868,928"],
            [7, 123, 1234, 2_868_928]
                .map(super::grouped)
                .map(|it| it)
                .each_ref()
                .map(String::as_str)
        );
    }
}
