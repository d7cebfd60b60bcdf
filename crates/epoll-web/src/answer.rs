//! The answer to a request: its head, and the part of a file that follows it (RFC 9110).

use std::fmt::Write;
use std::fs::File;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use netcore::log::Log;

use crate::folder::{Document, Folder};
use crate::request::{Request, number, path};
use crate::status::Status;

/// What all connections are served with.
pub(crate) struct Site<'a> {
    pub(crate) folder: Folder,
    pub(crate) clock: Clock,
    pub(crate) log: &'a Log,
    /// No connection is kept any more.
    pub(crate) is_stopping: bool,
}

/// What is sent to a peer.
pub(crate) struct Answer {
    pub(crate) status: Status,
    /// The head, and the body with it where that is not a file.
    pub(crate) head: String,
    pub(crate) part: Option<Part>,
    /// Whether another request may follow.
    pub(crate) keep: bool,
}

/// The bytes of a file that are still to be sent.
pub(crate) struct Part {
    pub(crate) file: File,
    pub(crate) next: i64,
    pub(crate) left: u64,
}

/// The current time as the field Date has it, made anew once a second.
#[derive(Default)]
pub(crate) struct Clock {
    second: u64,
    text: String,
}

impl Clock {
    fn now(&mut self) -> &str {
        let now = SystemTime::now();
        let second = seconds(now).unwrap_or(0);
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        }
        &self.text
    }
}

/// An instant as HTTP has it, in whole seconds. `None` before 1970 and after 9999: files may say
/// so, and there is no date for it.
fn seconds(time: SystemTime) -> Option<u64> {
    const YEAR_10000: u64 = 253_402_300_800;
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(seconds).filter(|seconds| *seconds < YEAR_10000)
}

impl Site<'_> {
    /// The answer to a request.
    pub(crate) fn answer(&mut self, request: &Request) -> Answer {
        if !["GET", "HEAD"].contains(&request.method) {
            return self.say(Status::METHOD, "Allow: GET, HEAD\r\n", Some(request));
        }
        if request.is_too_large {
            return self.say(Status::TOO_LARGE, "", Some(request));
        }
        let path = match path(request.target) {
            Ok(path) => path,
            Err(status) => return self.say(status, "", Some(request)),
        };
        match self.folder.find(&path) {
            Ok(document) => self.send(document, request),
            Err(Status::MOVED) => {
                let location = format!("Location: /{}/\r\n", encode(&path));
                self.say(Status::MOVED, &location, Some(request))
            }
            Err(status) => self.say(status, "", Some(request)),
        }
    }

    /// The answer to what was no request: the last one on its connection.
    pub(crate) fn refuse(&mut self, status: Status) -> Answer {
        self.say(status, "", None)
    }

    /// An answer whose body is its status in words.
    fn say(&mut self, status: Status, field: &str, request: Option<&Request>) -> Answer {
        let mut answer = self.begin(status, request);
        let body = format!("{} {}\n", status.0, status.1);
        let length = body.len();
        let _ = write!(
            answer.head,
            "{field}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\r\n"
        );
        if request.is_none_or(|request| request.method != "HEAD") {
            answer.head.push_str(&body);
        }
        answer
    }

    /// The answer that is a file, a part of it, or that the peer has it already.
    fn send(&mut self, document: Document, request: &Request) -> Answer {
        let Document { file, size, modified, media_type } = document;
        // A file of the future was changed at the latest now, says the RFC.
        let now = SystemTime::now();
        let modified = modified.map(|modified| modified.min(now)).and_then(seconds);
        let date = modified.map(|modified| UNIX_EPOCH + Duration::from_secs(modified));
        let date = date.map(httpdate::fmt_http_date).unwrap_or_default();
        let wanted = match wanted(request, size, &date) {
            _ if is_unchanged(request, modified) => None,
            Wanted::Nothing => {
                let range = format!("Content-Range: bytes */{size}\r\n");
                return self.say(Status::RANGE, &range, Some(request));
            }
            wanted => Some(wanted),
        };
        let status = match wanted {
            None => Status::NOT_MODIFIED,
            Some(Wanted::Part(..)) => Status::PARTIAL,
            Some(_) => Status::OK,
        };
        let mut answer = self.begin(status, Some(request));
        let head = &mut answer.head;
        if !date.is_empty() {
            let _ = write!(head, "Last-Modified: {date}\r\n");
        }
        let (first, length) = match wanted {
            None => {
                head.push_str("\r\n");
                return answer;
            }
            Some(Wanted::Part(first, length)) => {
                let last = first + length - 1;
                let _ = write!(head, "Content-Range: bytes {first}-{last}/{size}\r\n");
                (first, length)
            }
            Some(_) => (0, size),
        };
        let _ = write!(
            head,
            "Accept-Ranges: bytes\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n"
        );
        if request.method == "GET" && length > 0 {
            let next = i64::try_from(first).unwrap_or(i64::MAX);
            answer.part = Some(Part { file, next, left: length });
        }
        answer
    }

    fn begin(&mut self, status: Status, request: Option<&Request>) -> Answer {
        let keep = request.is_some_and(|request| request.keep)
            && !self.is_stopping
            // It holds a descriptor, and those are what is short.
            && status != Status::UNAVAILABLE;
        let is_old = request.is_some_and(|request| request.is_old);
        let connection = match (keep, is_old) {
            (false, _) => "Connection: close\r\n",
            (true, true) => "Connection: keep-alive\r\n",
            (true, false) => "",
        };
        let mut head = String::with_capacity(512);
        let (Status(code, words), date) = (status, self.clock.now());
        let _ = write!(head, "HTTP/1.1 {code} {words}\r\nDate: {date}\r\n{connection}");
        Answer { status, head, part: None, keep }
    }
}

/// Which bytes of a file a request wants.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    /// From where on, and how many.
    Part(u64, u64),
    /// Those that the file has not.
    Nothing,
}

/// What Range says, RFC 9110 §14. What can't be understood, several ranges at once, and a range of a
/// file that has changed since (If-Range) all mean the whole file.
fn wanted(request: &Request, size: u64, date: &str) -> Wanted {
    let is_same = request.if_range.is_none_or(|known| known == date.as_bytes());
    // Of HEAD it has no meaning.
    let range = request.range.filter(|_| is_same && request.method == "GET");
    range.and_then(|range| part(range, size)).unwrap_or(Wanted::All)
}

/// `bytes=500-999`, `bytes=500-`, `bytes=-500`.
fn part(range: &[u8], size: u64) -> Option<Wanted> {
    let (unit, range) = range.split_at_checked(b"bytes=".len())?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let dash = range.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (range.get(..dash)?, range.get(dash + 1..)?);
    let (first, end) = match (first, last) {
        (b"", last) => (size.saturating_sub(number(last)?), size),
        (first, b"") => (number(first)?, size),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            (first, last.saturating_add(1).min(size))
        }
    };
    Some(if first < end { Wanted::Part(first, end - first) } else { Wanted::Nothing })
}

/// Whether the peer's copy is as good, RFC 9110 §13.1.2 and §13.1.3. We give no entity tags: one that
/// is asked about is not ours, and the date beside it is then not to be looked at; `*` is any file.
fn is_unchanged(request: &Request, modified: Option<u64>) -> bool {
    let known = || {
        let text = std::str::from_utf8(request.if_modified_since?).ok()?;
        seconds(httpdate::parse_http_date(text).ok()?)
    };
    match request.if_none_match {
        Some(tags) => tags == b"*",
        None => modified.zip(known()).is_some_and(|(modified, known)| modified <= known),
    }
}

/// A path as it may stand in a field: all but the plainest characters as `%41`.
fn encode(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
