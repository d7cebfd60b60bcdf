//! What is printed of a reply.

use std::time::Duration;

use netcore::text::{Json, counted, shown};
use netcore::time::millis;
use netcore::unix::Name;

/// Who called `listen`, as the kernel has it.
#[derive(Clone, Copy)]
pub(crate) struct Server {
    pub(crate) uid: u32,
    pub(crate) pid: i32,
}

pub(crate) fn echoed(
    name: &Name,
    server: Server,
    reply: &[u8],
    took: Duration,
    json: bool,
) -> String {
    let Server { uid, pid } = server;
    if json {
        let json = Json::new("echoed").text("name", &name.to_string()).number("uid", uid);
        let json = json.number("pid", pid).number("bytes", reply.len() as u64);
        return json.text("payload", &shown(reply)).nanos("duration_ns", took).to_string();
    }
    let (bytes, took) = (counted(reply.len(), "byte"), millis(took));
    format!("{name} (uid {uid}, pid {pid}) echoed {bytes}: {}   {took}", shown(reply))
}
