//! HTTP/1.0 as text: the request that goes out, and the header that comes back (RFC 1945, RFC 9112).

use std::net::IpAddr;
use std::str::FromStr;

use netcore::addr::Host;
use netcore::text::shown;

/// The longest header that is taken. A server decides how much it sends, we how much we keep.
pub(crate) const HEAD: usize = 64 * 1024;

/// A path, with its query: what stands between `GET ` and ` HTTP/1.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path(pub(crate) String);

impl FromStr for Path {
    type Err = String;

    /// A blank would end the path, and a newline the line: what follows would be a header, or a
    /// second request, of whoever wrote the path. So nothing of that kind is ever sent.
    fn from_str(text: &str) -> Result<Path, String> {
        if let Some(byte) = text.bytes().find(|byte| !byte.is_ascii_graphic()) {
            return Err(format!("a path has no byte {byte:#04x}: write %{byte:02X}"));
        }
        if !text.starts_with('/') {
            return Err("a path begins with /".to_owned());
        }
        Ok(Path(text.to_owned()))
    }
}

/// The request. HTTP/1.0 has no `Host`, but a machine with many sites needs it to tell them apart.
pub(crate) fn request(host: &Host, port: u16, path: &Path) -> Vec<u8> {
    let host = match host {
        // The zone of an address means something on this machine only (RFC 6874 §3).
        Host::Literal { ip: IpAddr::V6(ip), .. } => format!("[{ip}]"),
        other => other.to_string(),
    };
    let port = if port == 80 { String::new() } else { format!(":{port}") };
    format!("GET {} HTTP/1.0\r\nHost: {host}{port}\r\n\r\n", path.0).into_bytes()
}

/// How many bytes are needed to judge the header, once they are there: up to the empty line, or all
/// that came where no more could make a header of it. `from` is where an earlier look ended.
pub(crate) fn judged(bytes: &[u8], from: usize) -> Option<usize> {
    let magic = bytes.iter().zip(b"HTTP/").all(|(got, wanted)| got == wanted);
    // A single byte that could begin a TLS record waits for the second.
    let undecided = bytes.len() == 1 && is_tls_type(bytes);
    if !magic && !undecided {
        return Some(bytes.len());
    }
    let start = from.saturating_sub(3);
    let rest = bytes.get(start..).unwrap_or_default();
    let crlf = rest.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
    // A recipient may take a bare LF for the end of a line (RFC 9112 §2.2).
    let lf = rest.windows(2).position(|two| two == b"\n\n").map(|at| at + 2);
    let end = crlf.into_iter().chain(lf).min().map(|end| start + end);
    end.or((bytes.len() > HEAD).then_some(bytes.len()))
}

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// `200 OK`, as it came.
    pub(crate) line: Vec<u8>,
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// How many bytes the body has; without it the end of the stream is its end.
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
        return Err(format!("answers in TLS{alert}: this port wants https"));
    }
    let lines = bytes.split(|byte| *byte == b'\n');
    let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let line = lines.next().unwrap_or_default();
    if !bytes.starts_with(b"HTTP/") {
        let beginning = shown(line.get(..40).unwrap_or(line));
        return Err(format!("not HTTP: the answer begins with {beginning}"));
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

/// `HTTP/1.0 200 OK`, the words of which are the server's own.
fn status(line: &[u8]) -> Option<(u16, Vec<u8>)> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (minor, rest) = rest.split_first()?;
    let rest = rest.strip_prefix(b" ")?;
    let (digits, words) = rest.split_at_checked(3)?;
    let status: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let plain = digits.iter().all(u8::is_ascii_digit) && minor.is_ascii_digit();
    let ends = words.is_empty() || words.starts_with(b" ");
    // 1xx announces another reply, which HTTP/1.0 has not (RFC 9110 §15.2).
    (plain && ends && (200..600).contains(&status)).then(|| (status, rest.to_vec()))
}

/// The length of the body, where the header says it.
fn length(status: u16, fields: &[(Vec<u8>, Vec<u8>)]) -> Result<Option<u64>, String> {
    let named = |wanted: &'static str| {
        let is = move |name: &[u8]| name.eq_ignore_ascii_case(wanted.as_bytes());
        fields.iter().filter(move |(name, _)| is(name)).map(|(_, value)| value.as_slice())
    };
    if let Some(coding) = named("Transfer-Encoding").next() {
        let coding = shown(coding);
        return Err(format!("Transfer-Encoding {coding}: not in a reply to HTTP/1.0"));
    }
    let mut length = None;
    for value in named("Content-Length") {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
        let number = number.filter(|_| digits);
        let number = number.ok_or_else(|| format!("Content-Length {}: no number", shown(value)))?;
        if length.is_some_and(|other| other != number) {
            return Err("two values of Content-Length".to_owned());
        }
        length = Some(number);
    }
    // These have no body, whatever length the header names (RFC 9112 §6.3).
    Ok(if matches!(status, 204 | 304) { Some(0) } else { length })
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
