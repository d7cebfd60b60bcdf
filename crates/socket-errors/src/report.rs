//! What is printed of a request, and the reply as text: the header that the server sends (RFC 1945,
//! RFC 9112).

use std::fmt::Display;
use std::io::Write;
use std::time::Instant;

use nix::errno::Errno;

use netcore::error::Error;
use netcore::output::Output;
use netcore::text::{Json, counted, escape, shown};
use netcore::time::millis;

/// The longest header that is taken. A server decides how much it sends, we how much we keep.
const HEAD: usize = 64 * 1024;

/// How a fault begins whose hint is its own.
const TLS: &str = "the reply is TLS";
const NOT_HTTP: &str = "not HTTP";

/// What a request does, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Resolve,
    Socket,
    Connect,
    Send,
    Receive,
    Parse,
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::Resolve => "resolve",
            Stage::Socket => "socket",
            Stage::Connect => "connect",
            Stage::Send => "send",
            Stage::Receive => "receive",
            Stage::Parse => "parse",
        }
    }
}

/// The stages of a request: which one it is in, since when, and what is printed of them.
pub(crate) struct Stages<'a> {
    out: &'a mut Output,
    verbose: bool,
    json: bool,
    stage: Stage,
    /// When the stage began.
    since: Instant,
    /// When the request began.
    start: Instant,
}

impl Stages<'_> {
    pub(crate) fn new(out: &mut Output, verbose: bool, json: bool) -> Stages<'_> {
        let now = Instant::now();
        Stages { out, verbose, json, stage: Stage::Resolve, since: now, start: now }
    }

    pub(crate) fn begin(&mut self, stage: Stage) {
        (self.stage, self.since) = (stage, Instant::now());
    }

    /// The stage has succeeded.
    pub(crate) fn done(&mut self, detail: impl Display) -> Result<(), Error> {
        let detail = detail.to_string();
        self.print("detail", &detail, None)
    }

    /// The stage has failed for one address; there may be others.
    pub(crate) fn attempt_failed(&mut self, error: &Error) -> Result<(), Error> {
        let text = error.to_string();
        self.print("error", &text, Some(error))
    }

    fn print(&mut self, key: &str, text: &str, error: Option<&Error>) -> Result<(), Error> {
        let (stage, took) = (self.stage.name(), self.since.elapsed());
        if self.json {
            let json = Json::new("stage").text("stage", stage).nanos("duration_ns", took);
            let json = json.text(key, text);
            return self.out.line(error.into_iter().fold(json, with_errno));
        }
        self.note(format_args!("{stage:<8} {:>8}  {text}", millis(took)));
        Ok(())
    }

    /// A field of the header.
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let (name, value) = (escape(name), escape(value));
        if self.json {
            return self.out.line(Json::new("header").text("name", &name).text("value", &value));
        }
        self.note(format_args!("    {name}: {value}"));
        Ok(())
    }

    /// Writes a piece of the body: the bytes as they are, unless a person or a JSON line would read
    /// them.
    pub(crate) fn body(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            Ok(())
        } else if self.json {
            let json = Json::new("body").number("bytes", bytes.len() as u64);
            self.out.line(json.text("payload", &shown(bytes)))
        } else if self.out.is_terminal() {
            let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(|line| match line {
                [text @ .., b'\n'] => escape(text) + "\n",
                text => escape(text),
            });
            self.out.bytes(lines.collect::<String>().as_bytes())
        } else {
            self.out.bytes(bytes)
        }
    }

    /// The last line of a request that succeeded, with --json.
    pub(crate) fn reply(&mut self, status: u16, bytes: u64) -> Result<(), Error> {
        if !self.json {
            return Ok(());
        }
        let json = Json::new("reply").number("status", status).number("bytes", bytes);
        self.out.line(json.nanos("duration_ns", self.start.elapsed()))
    }

    /// The end of a request that failed: the error, what to do about it, the stage and its time. Returns an
    /// error that belongs to no stage.
    pub(crate) fn failed(self, error: Error) -> Result<(), Error> {
        // Neither the command line nor standard output is a stage, and a negative result is a reply.
        if matches!(error, Error::Usage(_) | Error::Output(_) | Error::No(_)) {
            return Err(error);
        }
        let (stage, took, all) = (self.stage.name(), self.since.elapsed(), self.start.elapsed());
        let advice = advice(self.stage, &error);
        self.out.report_with(&error, |json| {
            let json = json.text("stage", stage).text("error", &error.to_string());
            let json = with_errno(json, &error).nanos("stage_ns", took).nanos("duration_ns", all);
            advice.into_iter().fold(json, |json, advice| json.text("advice", advice))
        });
        let hint = advice.map_or(String::new(), |advice| format!("hint: {advice}\n"));
        let (one, total) = (millis(took), millis(all));
        let more = format!("{hint}stage {stage}, after {one}; total {total}\n");
        let _ = std::io::stderr().write_all(more.as_bytes());
        Ok(())
    }

    /// With -v only. Standard error that can't be written is no reason to end.
    fn note(&self, line: impl Display) {
        if self.verbose {
            let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
        }
    }
}

fn with_errno(json: Json, error: &Error) -> Json {
    match error {
        Error::Os { source, .. } => json.text("errno", &format!("{source:?}")),
        _ => json,
    }
}

/// What is wrong with a body that has `more` bytes behind the `taken` ones.
pub(crate) fn too_long(more: usize, taken: u64, length: Option<u64>, most: u64) -> String {
    match length {
        Some(length) if length == taken => {
            let more = counted(more as u64, "byte");
            format!("at least {more} more than Content-Length {length}")
        }
        _ => format!("the body has more than --max-bytes {most}"),
    }
}

/// One error for the attempts at all addresses: the errno is the last one's, the text has them all.
pub(crate) fn one_of_all(mut failed: Vec<Error>) -> Error {
    let Some(last) = failed.pop() else {
        return Error::Usage("no address to connect to".to_owned());
    };
    let before: String = failed.iter().map(|error| format!("{error}, ")).collect();
    match last {
        Error::Os { attempt, source } => Error::Os { attempt: before + &attempt, source },
        Error::Timeout { attempt, after } => Error::Timeout { attempt: before + &attempt, after },
        other => other,
    }
}

/// What to do about it, where the error itself has no hint.
fn advice(stage: Stage, error: &Error) -> Option<&'static str> {
    let refused_hint = |errno: &Errno| {
        matches!(errno, Errno::ECONNREFUSED | Errno::EADDRNOTAVAIL | Errno::EADDRINUSE)
            || matches!(errno, Errno::EMFILE | Errno::ENFILE)
    };
    Some(match (error, stage) {
        (Error::Os { source, .. }, _) if refused_hint(source) => return None,
        (Error::Os { source, .. }, stage) => match (source, stage) {
            (Errno::ECONNRESET | Errno::EPIPE | Errno::ECONNABORTED, _) => {
                "the server closed with bytes unread, or died: read its log, then try again"
            }
            (Errno::ETIMEDOUT, Stage::Connect) => {
                "no answer: a wrong address, or a firewall that drops packets"
            }
            (Errno::ETIMEDOUT, _) => "the route to the server is broken: try again later",
            (Errno::EHOSTUNREACH | Errno::ENETUNREACH, _) => {
                "`ip route get ADDRESS` shows the route, or that there is none"
            }
            (Errno::EACCES | Errno::EPERM, _) => {
                "it is a broadcast address, or a firewall rule of this machine forbids it"
            }
            (Errno::EAFNOSUPPORT, _) => "this machine has no such address family: try -4 or -6",
            _ => "the man page of the call, or `errno -l`, says what it means",
        },
        (Error::Resolve { .. }, _) => {
            "`getent ahosts NAME` asks the same resolver; is the name spelt right?"
        }
        (Error::Timeout { .. }, Stage::Resolve) => {
            "the name server does not answer: see /etc/resolv.conf, or give the address"
        }
        (Error::Timeout { .. }, Stage::Connect) => {
            "no answer: a wrong address, a firewall that drops packets, or a full backlog"
        }
        (Error::Timeout { .. }, _) => {
            "the server is connected, but slow: try again later, or with a longer --timeout"
        }
        (Error::Protocol { fault, .. }, Stage::Parse) if fault.starts_with(TLS) => {
            "this program has no TLS: http has another port, usually 80"
        }
        (Error::Protocol { fault, .. }, Stage::Parse) if fault.starts_with(NOT_HTTP) => {
            "is it a web server? that port is another service's"
        }
        (Error::Protocol { .. }, Stage::Parse) => {
            "the server does not keep to HTTP/1.0: the server's log may say more"
        }
        (Error::Protocol { .. }, _) => {
            "the part of a body that was received is written; the server's log may say more"
        }
        _ => return None,
    })
}

/// Where the header ends, if its end has been received: behind the empty line, or behind all bytes
/// where no more could make a header of them. The search begins at `from`, where the last one ended.
pub(crate) fn end_of_header(bytes: &[u8], from: usize) -> Option<usize> {
    let magic = bytes.iter().zip(b"HTTP/").all(|(got, wanted)| got == wanted);
    // A single byte that could begin a TLS record waits for the second.
    let undecided = bytes.len() == 1 && is_tls_type(bytes);
    if !magic && !undecided {
        return Some(bytes.len());
    }
    let start = from.saturating_sub(2);
    let rest = bytes.get(start..).unwrap_or_default();
    // A recipient may take a bare LF for the end of a line (RFC 9112 §2.2), of this line or the one before.
    let crlf = rest.windows(3).position(|three| three == b"\n\r\n").map(|at| at + 3);
    let lf = rest.windows(2).position(|two| two == b"\n\n").map(|at| at + 2);
    let end = crlf.into_iter().chain(lf).min().map(|end| start + end);
    end.or((bytes.len() > HEAD).then_some(bytes.len()))
}

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// `200 OK`, as it was received.
    pub(crate) line: Vec<u8>,
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The length of the body; without it the body ends where the stream ends.
    pub(crate) length: Option<u64>,
}

/// Reads a header.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Head, String> {
    if is_tls_type(bytes) && bytes.get(1) == Some(&3) {
        let alert = bytes.get(6).filter(|_| bytes.starts_with(&[21]));
        let alert = alert.map_or(String::new(), |code| format!(", an alert with code {code}"));
        return Err(format!("{TLS}{alert}: this port expects https"));
    }
    let lines = bytes.split(|byte| *byte == b'\n');
    let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let line = lines.next().unwrap_or_default();
    if !bytes.starts_with(b"HTTP/") {
        let beginning = shown(line.get(..40).unwrap_or(line));
        return Err(format!("{NOT_HTTP}: the reply begins with {beginning}"));
    }
    if bytes.len() > HEAD {
        return Err(format!("a header of more than {HEAD} bytes"));
    }
    let wrong = || format!("not a status line: {}", shown(line.get(..80).unwrap_or(line)));
    let (status, line) = status(line).ok_or_else(wrong)?;
    let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        if let Some((_, value)) = fields.last_mut().filter(|_| folded) {
            // The continuation of the line before (obsolete since RFC 7230, still seen).
            value.extend([b" ", line.trim_ascii()].concat());
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or_default();
        let (name, value) = line.split_at(colon);
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            let line = shown(line.get(..80).unwrap_or(line));
            return Err(format!("not a header line: {line}"));
        }
        fields.push((name.to_vec(), value.get(1..).unwrap_or_default().trim_ascii().to_vec()));
    }
    let length = length(status, &fields)?;
    Ok(Head { status, line, fields, length })
}

/// The first byte of a TLS record is its type, 20 to 23 (RFC 8446 §5.1).
fn is_tls_type(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|kind| (20..=23).contains(kind))
}

/// `HTTP/1.0 200 OK`; the words are the server's own.
fn status(line: &[u8]) -> Option<(u16, Vec<u8>)> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (minor, rest) = rest.split_first()?;
    let rest = rest.strip_prefix(b" ")?;
    let (digits, words) = rest.split_at_checked(3)?;
    let status: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let plain = digits.iter().all(u8::is_ascii_digit) && minor.is_ascii_digit();
    let ends = words.is_empty() || words.starts_with(b" ");
    (plain && ends && (100..600).contains(&status)).then(|| (status, rest.to_vec()))
}

/// The length of the body, if the header has it.
fn length(status: u16, fields: &[(Vec<u8>, Vec<u8>)]) -> Result<Option<u64>, String> {
    let named = |wanted: &'static str| {
        let is = move |name: &[u8]| name.eq_ignore_ascii_case(wanted.as_bytes());
        fields.iter().filter(move |(name, _)| is(name)).map(|(_, value)| value.as_slice())
    };
    if let Some(coding) = named("Transfer-Encoding").next() {
        let coding = shown(coding);
        return Err(format!("Transfer-Encoding {coding}: not allowed in a reply to HTTP/1.0"));
    }
    let mut length = None;
    for value in named("Content-Length") {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
        let number = number.filter(|_| digits);
        let number =
            number.ok_or_else(|| format!("Content-Length {}: not a number", shown(value)))?;
        if length.is_some_and(|other| other != number) {
            return Err("two values of Content-Length".to_owned());
        }
        length = Some(number);
    }
    // These have no body, whatever length the header names (RFC 9112 §6.3).
    Ok(if matches!(status, 100..200 | 204 | 304) { Some(0) } else { length })
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
