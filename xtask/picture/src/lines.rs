//! What the pictures are drawn from, as JSON Lines: keys are only ever added.

use std::fmt::Write as _;

use crate::arguments;
use crate::choose;
use crate::draw::Picture;

/// A JSON string.
fn string(text: &str) -> String {
    let mut json = String::from('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

fn or_null(value: Option<impl ToString>) -> String {
    value.map_or("null".to_owned(), |value| value.to_string())
}

/// A line for each task, socket, call and arrow; times in nanoseconds since the first call.
pub(crate) fn lines(picture: &Picture) -> String {
    let own = picture.tables.tasks.iter().filter(|task| !task.is_harness);
    let zero = own.map(|task| task.started).min().unwrap_or(0);
    let since = |at: u64| at.saturating_sub(zero);
    tasks(picture, since)
        + &sockets(picture, since)
        + &calls(picture, since)
        + &arrows(picture, since)
}

fn tasks(picture: &Picture, since: impl Fn(u64) -> u64) -> String {
    let tables = &picture.tables;
    let mut text = String::new();
    for task in tables.tasks.iter().filter(|task| !task.is_harness) {
        let kind = if task.is_thread() { "thread" } else { "process" };
        let parent = task.parent.and_then(|parent| tables.tasks.get(parent)).map(|task| task.tid);
        let _ = writeln!(
            text,
            r#"{{"type":"task","tid":{},"pid":{},"parent":{},"kind":"{kind}","program":{},"started_ns":{},"ended_ns":{},"status":{},"reaped_ns":{}}}"#,
            task.tid,
            task.pid,
            or_null(parent),
            string(&task.program),
            since(task.started),
            or_null(task.ended.map(&since)),
            or_null(task.status.as_deref().map(string)),
            or_null(task.reaped.map(&since)),
        );
    }
    text
}

fn sockets(picture: &Picture, since: impl Fn(u64) -> u64) -> String {
    let mut text = String::new();
    for (id, socket) in picture.tables.sockets.iter().enumerate() {
        let held = socket.held.iter().map(|held| {
            let (from, to) = (since(held.from), or_null(held.to.map(&since)));
            format!(r#"{{"pid":{},"fd":{},"from_ns":{from},"to_ns":{to}}}"#, held.pid, held.fd)
        });
        let _ = writeln!(
            text,
            r#"{{"type":"socket","id":{id},"protocol":{},"local":{},"peer":{},"held":[{}]}}"#,
            string(&socket.protocol),
            or_null(socket.local.as_deref().map(string)),
            or_null(socket.peer.as_deref().map(string)),
            held.collect::<Vec<_>>().join(","),
        );
    }
    text
}

fn calls(picture: &Picture, since: impl Fn(u64) -> u64) -> String {
    let tables = &picture.tables;
    let mut text = String::new();
    for (id, call) in tables.calls.iter().enumerate() {
        let Some(task) = tables.tasks.get(call.task) else { continue };
        if task.is_harness && call.socket.is_none() {
            continue;
        }
        let payload = arguments::split(&call.args).into_iter().find_map(arguments::payload);
        let payload = payload.filter(|_| crate::arrows::transfer(call).is_some());
        let _ = writeln!(
            text,
            r#"{{"type":"call","id":{id},"tid":{},"name":{},"as":{},"fd":{},"socket":{},"start_ns":{},"end_ns":{},"result":{},"errno":{},"text":{}}}"#,
            task.tid,
            string(&call.name),
            string(choose::shown_name(call)),
            or_null(call.fd),
            or_null(call.made.or(call.socket)),
            since(call.start),
            or_null(call.end.map(&since)),
            or_null(call.number()),
            or_null(arguments::errno(&call.result).map(string)),
            or_null(payload.map(string)),
        );
    }
    text
}

fn arrows(picture: &Picture, since: impl Fn(u64) -> u64) -> String {
    let mut text = String::new();
    for arrow in &picture.matched.arrows {
        let _ = writeln!(
            text,
            r#"{{"type":"arrow","kind":"{}","name":{},"from":{},"from_ns":{},"to":{},"to_ns":{},"bytes":{}}}"#,
            arrow.kind.name(),
            string(&arrow.name),
            or_null(arrow.from.call),
            since(arrow.from.at),
            or_null(arrow.to.and_then(|to| to.call)),
            or_null(arrow.to.map(|to| since(to.at))),
            arrow.bytes,
        );
    }
    text
}
