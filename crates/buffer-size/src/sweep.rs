//! Throughput against size, on loopback: what a buffer is for.

use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use netcore::error::{Attempt, Error};
use netcore::output::Output;
use netcore::text::Json;

use crate::pairs::{CHUNK, Kind, pair};
use crate::wanted::{Buffer, Wanted};
use crate::{Args, read};

/// How long each size is measured.
const TIME: Duration = Duration::from_millis(200);

/// How long at most, where the machine is too busy for a single byte.
const LONGEST: Duration = Duration::from_secs(5);

/// The sizes are the powers of two from 4 KiB to 4 MiB.
const POWERS: std::ops::RangeInclusive<u32> = 12..=22;

/// The longest bar, in characters.
const BAR: u64 = 30;

/// What went through one pair of sockets.
struct Run {
    asked: Option<u32>,
    send: u32,
    receive: u32,
    bytes: u64,
    time: Duration,
}

/// Measures all sizes, and draws them against the fastest.
pub(crate) fn show(args: &Args, out: &mut Output) -> Result<(), Error> {
    let sizes = POWERS.map(|power| Some(1_u32 << power));
    let mut runs = Vec::new();
    for asked in std::iter::once(None).chain(sizes) {
        runs.push(transfer(Wanted { send: asked, receive: asked, force: args.force })?);
    }
    if args.json {
        return runs.iter().try_for_each(|run| out.line(run.json()));
    }
    let most = runs.iter().map(Run::rate).max().unwrap_or(0).max(1);
    out.line("     asked      send   receive        MB/s")?;
    runs.iter().try_for_each(|run| out.line(run.text(most)))
}

/// Sends and receives as fast as it goes, both sides with the same size.
fn transfer(wanted: Wanted) -> Result<Run, Error> {
    let (sender, receiver) = pair(Kind::Tcp, wanted)?;
    let (send_size, receive) = (read(&sender, Buffer::Send)?, read(&receiver, Buffer::Receive)?);
    // A window smaller than a segment may stall: a wait for bytes has an end too.
    receiver.set_read_timeout(Some(TIME)).attempt("setsockopt SO_RCVTIMEO")?;
    let mut bytes = 0;
    let begun = Instant::now();
    let time = thread::scope(|scope| {
        let sends = || while send(sender.as_raw_fd(), &CHUNK, MsgFlags::MSG_NOSIGNAL).is_ok() {};
        thread::Builder::new().spawn_scoped(scope, sends).attempt("start a thread")?;
        let mut buffer = CHUNK;
        let end = loop {
            let time = begun.elapsed();
            if time >= TIME && (bytes > 0 || time >= LONGEST) {
                break Ok(time);
            }
            match recv(receiver.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(received) => bytes += received as u64,
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(why) => break Err(why).attempt("recv"),
            }
        };
        // Closed with bytes unread it sends RST, and that ends the sender's send.
        drop(receiver);
        end
    })?;
    Ok(Run { asked: wanted.send, send: send_size, receive, bytes, time })
}

impl Run {
    /// Bytes a second.
    fn rate(&self) -> u64 {
        let nanos = self.time.as_nanos().max(1);
        u64::try_from(u128::from(self.bytes) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
    }

    fn text(&self, most: u64) -> String {
        let asked = self.asked.map_or("untouched".to_owned(), |asked| asked.to_string());
        let rate = self.rate();
        let bar = (0..rate.saturating_mul(BAR).div_ceil(most)).map(|_| '#').collect::<String>();
        let megabytes = format!("{}.{}", rate / 1_000_000, rate / 100_000 % 10);
        let line =
            format!("{asked:>10}{:>10}{:>10}{megabytes:>12}  {bar}", self.send, self.receive);
        line.trim_end().to_owned()
    }

    fn json(&self) -> Json {
        let line = Json::new("throughput");
        let line = self.asked.iter().fold(line, |line, asked| line.number("asked", *asked));
        let line = line.number("send", self.send).number("receive", self.receive);
        let line = line.number("bytes", self.bytes).nanos("duration_ns", self.time);
        line.number("bytes_per_second", self.rate())
    }
}
