//! What a reply says, and what is printed about the clients.

use std::collections::BTreeSet;
use std::time::Duration;

use netcore::error::Error;
use netcore::output::Output;
use netcore::text::{Json, counted};
use netcore::time::millis;

use crate::args::Args;

/// The bytes that a client has received so far.
pub(crate) enum Reply {
    /// They may be the beginning of the right reply.
    Incomplete,
    /// They are the right reply; the server put its pid before it, or did not.
    Complete(Option<u32>),
    /// They are another client's, or no client's.
    Wrong,
}

impl Reply {
    /// `5123: Hello`, or `Hello` alone.
    pub(crate) fn parse(reply: &[u8], message: &str) -> Reply {
        let digits = reply.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (pid, rest) = reply.split_at(digits);
        let expected = if digits == 0 { message.to_owned() } else { format!(": {message}") };
        let pid = std::str::from_utf8(pid).ok().and_then(|pid| pid.parse().ok());
        if !expected.as_bytes().starts_with(rest) || digits > 0 && pid.is_none() {
            Reply::Wrong
        } else if rest.len() < expected.len() {
            Reply::Incomplete
        } else {
            Reply::Complete(pid)
        }
    }
}

/// One client that has its own bytes back.
pub(crate) struct Served {
    /// The process that served it, where the server says so.
    pub(crate) pid: Option<u32>,
    /// How many of its own bytes came back; the pid before them is not counted.
    pub(crate) bytes: usize,
    /// From the first byte sent to the last byte received.
    pub(crate) time: Duration,
}

/// A line for each client. The first error is the result of all.
pub(crate) fn print(
    results: Vec<Result<Served, Error>>,
    args: &Args,
    out: &mut Output,
) -> Result<(), Error> {
    let mut pids = BTreeSet::new();
    let mut failure = None;
    for (result, number) in results.into_iter().zip(1_u16..) {
        match result {
            Ok(served) => {
                if !args.quiet {
                    out.line(row(number, &served, args.json))?;
                }
                if let Some(pid) = served.pid
                    && !pids.insert(pid)
                {
                    let fault = format!("pid {pid} served two clients at once");
                    failure.get_or_insert(Error::Protocol { peer: args.host.to_string(), fault });
                }
            }
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }
    match failure {
        Some(error) => Err(error),
        None if args.quiet || args.json => Ok(()),
        None => {
            let mut line = counted(args.clients, "client");
            if !pids.is_empty() {
                line += &format!(", {}", counted(pids.len(), "process"));
            }
            out.line(line + ", each its own bytes")
        }
    }
}

fn row(number: u16, served: &Served, json: bool) -> String {
    let Served { pid, bytes, time } = served;
    if json {
        let json = Json::new("client").number("client", number).number("bytes", *bytes as u64);
        let json = json.nanos("time_ns", *time);
        return match pid {
            Some(pid) => json.number("pid", *pid).to_string(),
            None => json.to_string(),
        };
    }
    let pid = pid.map_or_else(|| "no pid".to_owned(), |pid| format!("pid {pid}"));
    format!("client {number} <- {pid}   {}   {}", counted(*bytes, "byte"), millis(*time))
}
