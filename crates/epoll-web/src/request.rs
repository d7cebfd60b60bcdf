//! A request, read from bytes: what its head says (RFC 9112), and which file its target names.

use std::net::Ipv6Addr;

use crate::status::Status;

/// The longest head of a request: its line and all its fields.
pub(crate) const HEAD: usize = 8192;

/// The longest body. A body is never used: a short one is skipped and the connection kept.
const BODY: u64 = 64 * 1024;

/// The most fields of a head.
const FIELDS: usize = 64;

/// What the name of a host may have beside letters and digits.
const NAME: &[u8] = b"-._~!$&'()*+,;=%";

/// What the head of a request says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Request<'b> {
    pub(crate) method: &'b str,
    pub(crate) target: &'b str,
    /// Version 1.0, in which a connection is not kept unless the request asks for it.
    pub(crate) is_old: bool,
    /// Whether the connection is kept after the response.
    pub(crate) keep: bool,
    /// How many bytes of a body follow.
    pub(crate) body: usize,
    /// The body is longer than the longest.
    pub(crate) is_too_large: bool,
    pub(crate) range: Option<&'b [u8]>,
    pub(crate) if_range: Option<&'b [u8]>,
    pub(crate) if_modified_since: Option<&'b [u8]>,
    pub(crate) if_none_match: Option<&'b [u8]>,
}

/// What the fields say about the message itself.
#[derive(Default)]
struct Framing<'b> {
    hosts: usize,
    length: Option<u64>,
    coding: Option<&'b [u8]>,
    close: bool,
    keep_alive: bool,
    expects: bool,
}

/// Parses the head of a request, and returns its length too; `None` while it is not complete. Each
/// call parses it from the start: that costs less than the `recv` before it.
///
/// # Errors
/// The status for what is no request. Where the next one would begin is then unknown.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Request<'_>, usize)>, Status> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD => return Ok(None),
        Ok(httparse::Status::Partial) => {
            return Err(match (head.method, head.path, head.version) {
                (_, _, Some(_)) => Status::FIELDS_TOO_LARGE,
                (Some(_), None, None) => Status::TARGET_TOO_LONG,
                _ => Status::BAD_REQUEST,
            });
        }
        Err(httparse::Error::TooManyHeaders) => return Err(Status::FIELDS_TOO_LARGE),
        Err(httparse::Error::Version) => return Err(Status::VERSION),
        Err(_) => return Err(Status::BAD_REQUEST),
    };
    let (Some(method), Some(target), Some(version)) = (head.method, head.path, head.version) else {
        return Err(Status::BAD_REQUEST);
    };
    let mut request = Request { method, target, is_old: version == 0, ..Request::default() };
    let mut framing = Framing::default();
    for field in head.headers.iter() {
        read_field(field.name, field.value, &mut request, &mut framing)?;
    }
    frame(&mut request, &framing)?;
    Ok(Some((request, length)))
}

/// Reads one field, if it is one that is used here.
fn read_field<'b>(
    name: &str,
    value: &'b [u8],
    request: &mut Request<'b>,
    framing: &mut Framing<'b>,
) -> Result<(), Status> {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    if is("host") {
        framing.hosts += 1;
        if !is_host(value.trim_ascii()) {
            return Err(Status::BAD_REQUEST);
        }
    } else if is("content-length") {
        let length = number(value).ok_or(Status::BAD_REQUEST)?;
        // Two that differ: a proxy on the way may have used the other one (request smuggling).
        if framing.length.replace(length).is_some_and(|first| first != length) {
            return Err(Status::BAD_REQUEST);
        }
    } else if is("transfer-encoding") {
        framing.coding = Some(value);
    } else if is("connection") {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            framing.close |= option.eq_ignore_ascii_case(b"close");
            framing.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    } else if is("expect") {
        framing.expects = true;
    } else if is("range") {
        request.range = Some(value);
    } else if is("if-range") {
        request.if_range = Some(value);
    } else if is("if-modified-since") {
        request.if_modified_since = Some(value);
    } else if is("if-none-match") {
        request.if_none_match = Some(value);
    }
    Ok(())
}

/// Whether this is a host and perhaps a port (RFC 9110 §7.2, RFC 3986 §3.2): a name, which may be
/// empty, an IPv4 address, or an IPv6 address in brackets.
fn is_host(value: &[u8]) -> bool {
    let Ok(value) = str::from_utf8(value) else { return false };
    let (is_good, port) = match value.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((address, port))) => (address.parse::<Ipv6Addr>().is_ok(), port),
        Some(None) => return false,
        None => {
            let (name, port) = value.split_at(value.find(':').unwrap_or(value.len()));
            let of_name = |byte: u8| byte.is_ascii_alphanumeric() || NAME.contains(&byte);
            (name.bytes().all(of_name) && decode(name).is_some(), port)
        }
    };
    let all_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    is_good && (port.is_empty() || port.strip_prefix(':').is_some_and(all_digits))
}

/// Where the request ends, and whether another may follow it (RFC 9112 §3.2, §6.3, §9.3).
fn frame(request: &mut Request, framing: &Framing) -> Result<(), Status> {
    if framing.hosts > 1 || framing.hosts == 0 && !request.is_old {
        return Err(Status::BAD_REQUEST);
    }
    match framing.coding {
        // With a length too, a proxy and this server could see different requests.
        Some(_) if framing.length.is_some() || request.is_old => return Err(Status::BAD_REQUEST),
        Some(coding) if coding.eq_ignore_ascii_case(b"chunked") => {
            return Err(Status::LENGTH_REQUIRED);
        }
        Some(_) => return Err(Status::NOT_IMPLEMENTED),
        None => {}
    }
    let length = framing.length.unwrap_or(0);
    request.is_too_large = length > BODY;
    request.body = usize::try_from(length.min(BODY)).unwrap_or(0);
    // A peer that expects 100 gets the response instead, and may send its body or not.
    let is_unclear = request.is_too_large || framing.expects && length > 0;
    request.keep = !framing.close && !is_unclear && (framing.keep_alive || !request.is_old);
    Ok(())
}

/// A number of digits only: `parse` accepts a sign, another server may not.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The path below the folder that a target names, decoded; of a folder it is empty or ends in `/`.
/// Names are bytes, which need not be UTF-8.
///
/// It is decoded once, segment by segment: `%252e` is a file that is named `%2e`, and `%2f` is a
/// character of a name, which no file has. No segment that begins with a dot is served: not `..`, and
/// not `.git` or `.env`; but for `.well-known` in the folder itself (RFC 8615).
///
/// # Errors
/// 400 for what is no path, 404 for one that no file here can have.
pub(crate) fn path(target: &str) -> Result<Vec<u8>, Status> {
    const SCHEME: &str = "http://";
    let path = match target.split_at_checked(SCHEME.len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => {
            rest.find(['/', '?']).and_then(|end| rest.get(end..)).unwrap_or_default()
        }
        _ if target.starts_with('/') => target,
        _ => return Err(Status::BAD_REQUEST),
    };
    let path = path.split('?').next().unwrap_or_default();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(segment) = segments.next() {
        let segment = decode(segment).ok_or(Status::BAD_REQUEST)?;
        let is_last = segments.peek().is_none();
        let is_hidden = is_hidden(&segment, decoded.is_empty());
        if is_hidden || segment.contains(&b'/') || segment.is_empty() && !is_last {
            return Err(Status::NOT_FOUND);
        }
        decoded.extend(segment);
        if !is_last {
            decoded.push(b'/');
        }
    }
    Ok(decoded)
}

/// Whether a name is not served, although there is such a file.
pub(crate) fn is_hidden(name: &[u8], is_first: bool) -> bool {
    name.starts_with(b".") && !(is_first && name == b".well-known")
}

/// Replaces `%41` by the byte that it stands for. `None` for a `%` without two digits, and for a NUL,
/// which would end the name for the kernel.
fn decode(segment: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(16 * high + low).ok()?
            }
            other => other,
        });
    }
    Some(decoded).filter(|name| !name.contains(&0))
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
