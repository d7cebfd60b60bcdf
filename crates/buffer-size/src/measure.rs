//! What the buffers come to: how much is taken while nobody reads.

use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::text::Json;

use crate::pairs::{Kind, fill, pair};
use crate::wanted::{Buffer, Wanted};
use crate::{Args, read};

/// The size that is set where none is given.
const SIZE: u32 = 4096;

/// A datagram that fits in any buffer.
const DATAGRAM: [u8; 1024] = [b'x'; 1024];

/// More datagrams than this are sent into no buffer.
const ENOUGH: u32 = 64 * 1024;

/// Fills each kind of pair, untouched and with what is asked for, and says what it took.
pub(crate) fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    let Wanted { send, receive, force } = args.wanted().or(SIZE);
    let mut variants = vec![(None, None)];
    variants.extend(send.map(|size| (Some(size), None)));
    variants.extend(receive.map(|size| (None, Some(size))));
    if send.is_some() && receive.is_some() {
        variants.push((send, receive));
    }
    if !args.json {
        out.line("taken while nobody reads, until nothing more goes")?;
    }
    for kind in Kind::ALL {
        for (send, receive) in &variants {
            let wanted = Wanted { send: *send, receive: *receive, force };
            let (taken, kept) = match kind {
                Kind::Udp => datagrams(wanted)?,
                Kind::Tcp | Kind::Unix => {
                    let (sender, _receiver) = pair(kind, wanted)?;
                    let taken = fill(&sender)?;
                    (taken, taken)
                }
            };
            out.line(text(kind, wanted, taken, kept, args.json))?;
        }
    }
    Ok(())
}

/// UDP takes every datagram, and keeps those that fit in the receiver's buffer. Returns the bytes of
/// all, and of those that were there to be read.
fn datagrams(wanted: Wanted) -> Result<(usize, usize), Error> {
    let (sender, receiver) = pair(Kind::Udp, wanted)?;
    // One more than its bytes alone would fill; with the bookkeeping they fill it long before.
    let count = read(&receiver, Buffer::Receive)? / 1024 + 1;
    let (mut taken, mut kept) = (0, 0);
    for _ in 0..count.min(ENOUGH) {
        match send(sender.as_raw_fd(), &DATAGRAM, MsgFlags::MSG_DONTWAIT) {
            Ok(sent) => taken += sent,
            Err(Errno::EAGAIN) => break,
            Err(why) => return Err(why).attempt("send"),
        }
    }
    let mut buffer = DATAGRAM;
    loop {
        match recv(receiver.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(received) => kept += received,
            Err(Errno::EAGAIN) => return Ok((taken, kept)),
            Err(why) => return Err(why).attempt("recv"),
        }
    }
}

fn text(kind: Kind, wanted: Wanted, taken: usize, kept: usize, json: bool) -> String {
    let (taken, kept) = (taken as u64, kept as u64);
    if json {
        let mut line = Json::new("taken").text("socket", kind.name());
        // Absent where nothing was set.
        for (buffer, key) in [(Buffer::Send, "send_asked"), (Buffer::Receive, "receive_asked")] {
            line = wanted.of(buffer).into_iter().fold(line, |line, size| line.number(key, size));
        }
        return line.number("bytes", taken).number("kept", kept).to_string();
    }
    let named =
        |buffer: Buffer| wanted.of(buffer).map(|size| format!("{} {size}", buffer.option()));
    let set: Vec<String> = Buffer::BOTH.into_iter().filter_map(named).collect();
    let set = if set.is_empty() { "untouched".to_owned() } else { set.join(", ") };
    let lost = match kind {
        Kind::Udp => format!(", {kept} kept, the rest lost without a word"),
        Kind::Tcp | Kind::Unix => String::new(),
    };
    format!("{:5}{set:34}{taken:>10} bytes{lost}", kind.name())
}
