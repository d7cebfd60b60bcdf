//! A log that never waits for its reader.
//!
//! The reader of a log may stop: `less`, Ctrl-S, a pipe that is not read. A write(2) that blocks would
//! then stop the server, and the signals with it, which the server reads from a descriptor. So a pipe
//! or terminal is opened once more, non-blocking: O_NONBLOCK belongs to the open file description
//! (open(2)), and that of standard error is shared with other programs. A line for which there is no
//! room is lost whole, and counted. Where several processes write to a terminal that has no more room, a line
//! of which one of them could write a part ends there, and counts as lost.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::write;

use crate::sys::shared_counter;

/// How a line is written without a wait.
#[derive(Clone, Copy)]
enum Kind {
    /// A pipe or terminal of its own, O_NONBLOCK; or a file, which never makes a writer wait.
    Write,
    /// A socket: MSG_DONTWAIT.
    Send,
    /// A pipe or terminal that could not be opened again: poll(2) says whether there is room. Another
    /// process may fill it in the meantime.
    PollAndWrite,
}

pub(crate) struct LogFile {
    file: OwnedFd,
    kind: Kind,
    /// Lines that were lost and not reported yet, by all processes that were forked from this one.
    lost: &'static AtomicU64,
    /// What a terminal or socket had no room for: a line is not left cut in two.
    rest: Mutex<Vec<u8>>,
    /// The process that keeps such a rest, or 0.
    cut_by: &'static AtomicU64,
}

impl LogFile {
    /// A second access to a standard stream; `None` where it is closed.
    pub(crate) fn of(stream: BorrowedFd<'_>) -> Option<LogFile> {
        let file_type = SFlag::from_bits_truncate(fstat(stream).ok()?.st_mode) & SFlag::S_IFMT;
        let (own, kind) = match file_type {
            SFlag::S_IFSOCK => (None, Kind::Send),
            SFlag::S_IFIFO | SFlag::S_IFCHR => {
                let path = format!("/proc/self/fd/{}", stream.as_raw_fd());
                let flags =
                    OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
                match open(path.as_str(), flags, Mode::empty()) {
                    Ok(own) => (Some(own), Kind::Write),
                    Err(_) => (None, Kind::PollAndWrite),
                }
            }
            _ => (None, Kind::Write),
        };
        let file = own.or_else(|| stream.try_clone_to_owned().ok())?;
        Some(LogFile {
            file,
            kind,
            lost: shared_counter(),
            rest: Mutex::default(),
            cut_by: shared_counter(),
        })
    }

    /// Writes a line, or counts it as lost. `report` makes the line that says how many were lost.
    pub(crate) fn line(&self, line: &str, report: impl FnOnce(u64) -> String) {
        self.line_of(std::process::id().into(), line, report);
    }

    fn line_of(&self, process: u64, line: &str, report: impl FnOnce(u64) -> String) {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = self.end_line(process, &mut rest);
        // Taken before they are reported: another process does not report the same ones.
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let reported = begins
            && self.write_rest(&mut rest)
            && (lost == 0 || self.write_whole(&report(lost), &mut rest));
        if !reported {
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
        let written = reported && self.write_whole(line, &mut rest);
        if !written {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        if begins {
            let cut_by = if rest.is_empty() { 0 } else { process };
            self.cut_by.store(cut_by, Ordering::Relaxed);
        }
    }

    /// Whether a line can begin. Where another process has left the rest of its line, and may have ended,
    /// that line ends here, and counts as lost. The other one drops the rest, if it goes on.
    fn end_line(&self, process: u64, rest: &mut Vec<u8>) -> bool {
        let cut_by = self.cut_by.load(Ordering::Relaxed);
        if cut_by == process {
            return true;
        }
        rest.clear();
        let ended = cut_by != 0 && self.write_now(b"\n").is_ok();
        self.lost.fetch_add(ended.into(), Ordering::Relaxed);
        cut_by == 0 || ended
    }

    /// Whether what was left of the last line is written.
    fn write_rest(&self, rest: &mut Vec<u8>) -> bool {
        if !rest.is_empty() {
            let count = self.write_now(rest).unwrap_or(0);
            rest.drain(..count);
        }
        rest.is_empty()
    }

    /// Whether a line is written; if a part of it is, the rest is kept.
    fn write_whole(&self, line: &str, rest: &mut Vec<u8>) -> bool {
        let Ok(count @ 1..) = self.write_now(line.as_bytes()) else { return false };
        rest.extend(line.bytes().skip(count));
        true
    }

    /// As much as there is room for. A pipe takes a line of up to 4,096 bytes whole, or not at all
    /// (PIPE_BUF, pipe(7)).
    fn write_now(&self, bytes: &[u8]) -> nix::Result<usize> {
        loop {
            let written = match self.kind {
                Kind::Write => write(&self.file, bytes),
                Kind::Send => {
                    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                    send(self.file.as_raw_fd(), bytes, flags)
                }
                Kind::PollAndWrite => {
                    let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
                    match poll(&mut fds, PollTimeout::ZERO) {
                        Ok(0) => Err(Errno::EAGAIN),
                        _ => write(&self.file, bytes),
                    }
                }
            };
            if written != Err(Errno::EINTR) {
                return written;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// The same log in two processes: what they share, and what each has.
    fn logs(of: &UnixStream) -> [LogFile; 2] {
        let (lost, cut_by) = (shared_counter(), shared_counter());
        let log = || {
            let file = of.as_fd().try_clone_to_owned().unwrap();
            LogFile { file, kind: Kind::Send, lost, rest: Mutex::default(), cut_by }
        };
        [log(), log()]
    }

    fn report(lines: u64) -> String {
        format!("{lines} lost\n")
    }

    #[test]
    fn a_line_that_another_process_has_cut_in_two_is_ended_and_counted() {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        reader.set_nonblocking(true).unwrap();
        let [one, other] = logs(&writer);
        let mut read = || {
            let mut bytes = Vec::new();
            let _ = reader.read_to_end(&mut bytes); // EAGAIN is "nothing more now"
            String::from_utf8(bytes).unwrap()
        };
        // More than there is room for.
        one.line_of(1, &format!("{}\n", "x".repeat(1 << 20)), report);
        other.line_of(2, "no room\n", report);
        assert_eq!(read().trim_start_matches('x'), "");
        other.line_of(2, "other\n", report);
        one.line_of(1, "one\n", report);
        assert_eq!(read(), "\n2 lost\nother\none\n");
        // Its own rest a process still writes.
        one.line_of(1, &format!("{}\n", "y".repeat(1 << 20)), report);
        let mut all = read();
        while !all.ends_with("one\n") {
            one.line_of(1, "one\n", report);
            all.push_str(&read());
        }
        let (whole, more) = all.split_once('\n').unwrap();
        assert_eq!(whole.len(), 1 << 20);
        assert!(more.ends_with(" lost\none\n"), "{more}");
    }
}
