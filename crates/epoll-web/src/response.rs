//! The response to a request: its head, and the part of a file that follows it (RFC 9110).

use std::fmt::Write;
use std::fs::File;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use netcore::log::Log;

use crate::folder::{Document, Folder, is_folder};
use crate::listing::page;
use crate::request::{Request, number, path};
use crate::status::Status;

/// What all connections share.
pub(crate) struct Site<'a> {
    folder: Folder,
    /// Whether a folder without index.html is listed.
    list: bool,
    clock: Clock,
    pub(crate) log: &'a Log,
    /// Each response is now the last of its connection.
    pub(crate) is_stopping: bool,
}

/// What is sent to a peer.
pub(crate) struct Response {
    pub(crate) status: Status,
    /// The head, and the body where that is not a file.
    pub(crate) head: String,
    pub(crate) part: Option<Part>,
    /// Whether the connection is kept for another request.
    pub(crate) keep: bool,
}

/// The bytes of a file that are still to be sent.
pub(crate) struct Part {
    pub(crate) file: File,
    pub(crate) next: i64,
    pub(crate) left: u64,
}

/// The current time as the field Date has it, formatted once a second.
#[derive(Default)]
struct Clock {
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

/// An instant as HTTP has it, in whole seconds. `None` before 1970 and after 9999: a file may have
/// such a time, and there is no date for it.
fn seconds(time: SystemTime) -> Option<u64> {
    const YEAR_10000: u64 = 253_402_300_800;
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(seconds).filter(|seconds| *seconds < YEAR_10000)
}

impl<'a> Site<'a> {
    pub(crate) fn new(folder: Folder, list: bool, log: &'a Log) -> Self {
        Self { folder, list, clock: Clock::default(), log, is_stopping: false }
    }

    /// The response to a request.
    pub(crate) fn respond(&mut self, request: &Request) -> Response {
        if !["GET", "HEAD"].contains(&request.method) {
            return self.status(Status::METHOD, "Allow: GET, HEAD\r\n", Some(request));
        }
        if request.is_too_large {
            return self.status(Status::TOO_LARGE, "", Some(request));
        }
        let path = match path(request.target) {
            Ok(path) => path,
            Err(status) => return self.status(status, "", Some(request)),
        };
        match self.folder.find(&path) {
            Ok(document) => self.file(document, request),
            Err(Status::NOT_FOUND) if self.list && is_folder(&path) => {
                match self.folder.list(&path) {
                    Ok(names) => {
                        let kind = "Content-Type: text/html; charset=utf-8\r\n";
                        self.text(Status::OK, kind, &page(&path, names), Some(request))
                    }
                    Err(status) => self.status(status, "", Some(request)),
                }
            }
            Err(Status::MOVED) => {
                let query = request.target.split_once('?').map(|(_, query)| query);
                let query = query.map(|query| format!("?{}", encode(query.as_bytes(), QUERY)));
                let query = query.unwrap_or_default();
                let location = format!("Location: /{}/{query}\r\n", encode(&path, PATH));
                self.status(Status::MOVED, &location, Some(request))
            }
            Err(status) => self.status(status, "", Some(request)),
        }
    }

    /// The response to what is no request: the last one on its connection.
    pub(crate) fn refuse(&mut self, status: Status) -> Response {
        self.status(status, "", None)
    }

    /// A response whose body is its status in words.
    fn status(&mut self, status: Status, field: &str, request: Option<&Request>) -> Response {
        let fields = format!("{field}Content-Type: text/plain; charset=utf-8\r\n");
        self.text(status, &fields, &format!("{} {}\n", status.0, status.1), request)
    }

    /// A response whose body is not a file.
    fn text(
        &mut self,
        status: Status,
        fields: &str,
        body: &str,
        request: Option<&Request>,
    ) -> Response {
        let mut response = self.begin(status, request);
        let _ = write!(response.head, "{fields}Content-Length: {}\r\n\r\n", body.len());
        if request.is_none_or(|request| request.method != "HEAD") {
            response.head.push_str(body);
        }
        response
    }

    /// A response with a file or a part of it, or the status that the peer's copy is current.
    fn file(&mut self, document: Document, request: &Request) -> Response {
        let Document { file, size, modified, media_type } = document;
        // A date in the future is replaced by the current one (RFC 9110 §8.8.2.1).
        let now = SystemTime::now();
        let modified = modified.map(|modified| modified.min(now)).and_then(seconds);
        let date = modified.map(|modified| UNIX_EPOCH + Duration::from_secs(modified));
        let date = date.map(httpdate::fmt_http_date).unwrap_or_default();
        let range = match range(request, size, &date) {
            _ if is_unchanged(request, modified) => None,
            Range::Unsatisfiable => {
                let field = format!("Content-Range: bytes */{size}\r\n");
                return self.status(Status::RANGE, &field, Some(request));
            }
            range => Some(range),
        };
        let status = match range {
            None => Status::NOT_MODIFIED,
            Some(Range::Part(..)) => Status::PARTIAL,
            Some(_) => Status::OK,
        };
        let mut response = self.begin(status, Some(request));
        let head = &mut response.head;
        if !date.is_empty() {
            let _ = write!(head, "Last-Modified: {date}\r\n");
        }
        let (first, length) = match range {
            None => {
                head.push_str("\r\n");
                return response;
            }
            Some(Range::Part(first, length)) => {
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
            response.part = Some(Part { file, next, left: length });
        }
        response
    }

    fn begin(&mut self, status: Status, request: Option<&Request>) -> Response {
        let keep = request.is_some_and(|request| request.keep)
            && !self.is_stopping
            // The connection holds a descriptor, and there are too few.
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
        Response { status, head, part: None, keep }
    }
}

/// Which bytes of a file a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    All,
    /// The first, and how many.
    Part(u64, u64),
    /// None that the file has.
    Unsatisfiable,
}

/// The field Range, RFC 9110 §14. A range that cannot be parsed, several ranges at once, and a range
/// of a file that has changed since (If-Range) all mean the whole file.
fn range(request: &Request, size: u64, date: &str) -> Range {
    let is_same = request.if_range.is_none_or(|known| known == date.as_bytes());
    // It has no meaning for HEAD.
    let range = request.range.filter(|_| is_same && request.method == "GET");
    range.and_then(|range| part(range, size)).unwrap_or(Range::All)
}

/// `bytes=500-999`, `bytes=500-`, `bytes=-500`.
fn part(range: &[u8], size: u64) -> Option<Range> {
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
    Some(if first < end { Range::Part(first, end - first) } else { Range::Unsatisfiable })
}

/// Whether the peer's copy is current, RFC 9110 §13.1.2 and §13.1.3. We send no entity tags: one in a
/// request is not ours, and the date beside it is then ignored; `*` is any file.
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

/// What a path that was decoded keeps beside letters and digits when it is encoded.
pub(crate) const PATH: &[u8] = b"/-._~";

/// The same of a query, which is sent back as it came (RFC 3986 §3.4): it was not decoded.
const QUERY: &[u8] = b"/-._~?%:@!$&'()*+,;=";

/// Part of a target as a field may have it: every byte that is not kept as `%41`.
pub(crate) fn encode(part: &[u8], kept: &[u8]) -> String {
    let mut encoded = String::with_capacity(part.len());
    for byte in part.iter().copied() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
