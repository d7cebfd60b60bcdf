//! The whole call, for a pointer over its box.
#![expect(clippy::indexing_slicing, reason = "every id was given by the table that it indexes")]

use crate::choose::Step;
use crate::layout::millis;
use crate::tables::Tables;

/// So much of a call is shown.
const MOST: usize = 400;

/// What strace had of the call, when, and how long it took.
pub(crate) fn of(tables: &Tables, step: &Step, zero: u64) -> String {
    let Some(&id) = step.calls.last() else { return String::new() };
    let call = &tables.calls[id];
    let tid = tables.tasks[call.task].tid;
    let when = millis(call.start.saturating_sub(zero));
    if step.is_fold {
        let first = step.calls.first().map_or(call.start, |&id| tables.calls[id].start);
        let from = millis(first.saturating_sub(zero));
        return format!("{tid} {} calls from {from} ms to {when} ms", step.calls.len());
    }
    if call.is_signal() {
        return cut(&format!("{tid} {} {}; at {when} ms", call.name, call.args));
    }
    let text = cut(&format!("{tid} {}({}) = {}", call.name, call.args, call.result));
    format!("{text}; at {when} ms, took {} ms", millis(call.took()))
}

fn cut(text: &str) -> String {
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(MOST).collect();
    cut.push('…');
    cut
}
