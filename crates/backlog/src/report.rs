//! What is printed of each step.

use std::time::Duration;

use netcore::text::Json;
use netcore::time::millis;

/// The queue of a listener, as TCP_INFO has it.
#[derive(Clone, Copy)]
pub(crate) struct Queue {
    /// Connections that wait for `accept`.
    pub(crate) length: u32,
    /// What `listen` was given, but not more than net.core.somaxconn.
    pub(crate) backlog: u32,
}

impl Queue {
    /// The kernel takes one more than the backlog.
    pub(crate) fn is_full(self) -> bool {
        self.length > self.backlog
    }
}

/// How many clients there are, and how far they have come.
#[derive(Clone, Copy)]
pub(crate) struct Count {
    pub(crate) all: usize,
    /// Those whose `connect` has succeeded.
    pub(crate) connected: usize,
    /// Those that the server has from `accept`.
    pub(crate) accepted: usize,
}

pub(crate) fn connected(count: Count, queue: Queue, json: bool) -> String {
    let (Count { all, connected, .. }, Queue { length, backlog }) = (count, queue);
    match json {
        true => object("connected", count, queue).to_string(),
        false => format!(
            "connect  {connected} of {all} connected, {length} of {backlog} + 1 places in the queue taken"
        ),
    }
}

pub(crate) fn accepted(count: Count, queue: Queue, json: bool) -> String {
    match json {
        true => object("accepted", count, queue).to_string(),
        false => {
            format!("accept   {} accepted, {} left in the queue", count.accepted, queue.length)
        }
    }
}

pub(crate) fn again(count: Count, queue: Queue, after: Duration, json: bool) -> String {
    let known = count.accepted + usize::try_from(queue.length).unwrap_or_default();
    match json {
        true => object("retried", count, queue).nanos("duration_ns", after).to_string(),
        false => format!(
            "wait     {}: {} clients say that they are connected, the server has {known}",
            millis(after),
            count.connected
        ),
    }
}

pub(crate) fn last(count: Count, silent: bool, after: Duration, json: bool) -> String {
    let Count { all, accepted, .. } = count;
    if json {
        let object = Json::new("last").number("accepted", accepted as u64);
        return object.flag("silent", silent).nanos("duration_ns", after).to_string();
    }
    let step = if silent { "silent" } else { "send" };
    format!("{step:<7}  {accepted} of {all} accepted, the last after {}", millis(after))
}

fn object(step: &str, count: Count, queue: Queue) -> Json {
    let object = Json::new(step).number("connected", count.connected as u64);
    let object = object.number("accepted", count.accepted as u64);
    object.number("queue", queue.length).number("backlog", queue.backlog)
}
