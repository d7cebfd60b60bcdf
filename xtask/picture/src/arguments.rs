//! Taking a call apart: what strace wrote between the parentheses and behind the equals sign.

/// The arguments, split at the commas that are in no string, bracket or address.
pub(crate) fn split(args: &str) -> Vec<&str> {
    let (mut parts, mut from) = (Vec::new(), 0);
    let (mut depth, mut quoted, mut escaped, mut before) = (0_usize, false, false, ' ');
    for (at, c) in args.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' | '<' => depth += 1,
            // `->` and `=>` close nothing.
            '>' if before == '-' || before == '=' => {}
            ')' | ']' | '}' | '>' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.extend(args.get(from..at).map(str::trim));
                from = at + 1;
            }
            _ => {}
        }
        before = c;
    }
    parts.extend(args.get(from..).map(str::trim).filter(|last| !last.is_empty()));
    parts
}

/// A descriptor, with what strace has beside it: `6<TCP:[127.0.0.1:7->127.0.0.1:40000]>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) number: i32,
    /// `TCP`, `UDP`, `UNIX-STREAM`, `anon_inode`; empty for a file.
    pub(crate) protocol: String,
    /// `127.0.0.1:7`, or `unix:` and its inode; none while it has no address.
    pub(crate) local: Option<String>,
    pub(crate) peer: Option<String>,
}

impl Descriptor {
    /// Reads an argument, or what a call returned.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, rest) = text.split_at_checked(end)?;
        let number = number.parse().ok()?;
        let what = rest.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
        let (protocol, addresses) = what.and_then(|what| what.split_once(':')).unwrap_or_default();
        if what.is_some_and(|what| what.starts_with('/')) {
            return Some(Self { number, protocol: String::new(), local: None, peer: None });
        }
        let inside = addresses.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let inside = inside.unwrap_or_default();
        let (local, peer) = inside.split_once("->").unwrap_or((inside, ""));
        let is_unix = protocol.starts_with("UNIX");
        let address = |text: &str| match number_of(text) {
            Some(inode) if is_unix => Some(format!("unix:{inode}")),
            _ => text.contains(':').then(|| unmapped(text)),
        };
        let protocol = protocol.trim_end_matches("v6").to_owned();
        Some(Self { number, protocol, local: address(local), peer: address(peer) })
    }

    pub(crate) fn is_socket(&self) -> bool {
        ["TCP", "UDP", "UNIX-STREAM", "UNIX-DGRAM", "UNIX-SEQPACKET"].contains(&&*self.protocol)
            || self.is_anonymous()
    }

    /// A socket of another network namespace: strace has no name for it.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.protocol == "socket"
    }
}

/// The digits that a text begins with.
fn number_of(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).filter(|digits| !digits.is_empty())
}

/// `[::ffff:127.0.0.1]:7` is `127.0.0.1:7`: the same peer, seen through a socket of IPv6.
fn unmapped(address: &str) -> String {
    let mapped = address.strip_prefix("[::ffff:").and_then(|rest| rest.split_once("]:"));
    mapped.map_or_else(|| address.to_owned(), |(host, port)| format!("{host}:{port}"))
}

/// The address in `{sa_family=AF_INET, sin_port=htons(7), sin_addr=inet_addr("127.0.0.1")}`.
pub(crate) fn address(text: &str) -> Option<String> {
    if let Some((_, path)) = text.split_once("sun_path=") {
        return Some(path.split('"').nth(1)?.to_owned());
    }
    let (_, port) = text.split_once("htons(")?;
    let (port, _) = port.split_once(')')?;
    let host = ["inet_addr(\"", "inet_pton(AF_INET6, \""].iter().find_map(|before| {
        let (_, host) = text.split_once(before)?;
        Some(host.split_once('"')?.0)
    })?;
    Some(if host.contains(':') {
        unmapped(&format!("[{host}]:{port}"))
    } else {
        format!("{host}:{port}")
    })
}

/// The number that a call returned: `19`, `6<TCP:[…]>`, `1 ([{fd=3, …}])`; none for `?`.
pub(crate) fn number(result: &str) -> Option<i64> {
    let end = result.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(result.len());
    result.get(..end)?.parse().ok()
}

/// The name in `-1 EAGAIN (Resource temporarily unavailable)`.
pub(crate) fn errno(result: &str) -> Option<&str> {
    result.strip_prefix("-1 ")?.split(' ').next()
}

/// The payload in an argument, as strace escaped it, without its quotes; the last string where the argument
/// is a list of buffers. strace shows at most 256 bytes.
pub(crate) fn payload(text: &str) -> Option<&str> {
    let text = match text.split_once("iov_base=") {
        Some((_, rest)) => rest,
        None => text,
    };
    let rest = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = rest.char_indices().find(|&(_, c)| {
        let end = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        end
    })?;
    rest.get(..end.0)
}

/// The bytes of an escaped payload.
pub(crate) fn bytes(payload: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len());
    let mut chars = payload.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        let Some(escape) = chars.next() else { break };
        let mut octal = escape.to_digit(8);
        // One to three octal digits.
        for _ in 0..2 {
            let digit = octal.and_then(|_| chars.next_if(|digit| digit.is_digit(8)));
            let Some(digit) = digit.and_then(|digit| digit.to_digit(8)) else { break };
            octal = octal.map(|octal| octal * 8 + digit);
        }
        bytes.push(match (octal, escape) {
            (Some(octal), _) => u8::try_from(octal).unwrap_or(u8::MAX),
            (None, 'n') => b'\n',
            (None, 't') => b'\t',
            (None, 'r') => b'\r',
            (None, 'v') => 0x0b,
            (None, 'f') => 0x0c,
            (None, other) => u8::try_from(other).unwrap_or(b'?'),
        });
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_split_where_no_string_or_bracket_is_open() {
        let args = r#"7<TCP:[127.0.0.1:7->127.0.0.1:8]>, "a, \"b\"", {x=[1, 2]}, [128 => 16], 0"#;
        let parts = split(args);
        assert_eq!(parts.len(), 5, "{parts:?}");
        assert_eq!(parts[1], r#""a, \"b\"""#);
        assert_eq!(split(""), [""; 0]);
    }

    #[test]
    fn a_descriptor_has_both_addresses_and_an_unmapped_peer() {
        let of = |text: &str| Descriptor::parse(text).map(|it| (it.protocol, it.local, it.peer));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            of("6<TCPv6:[[::ffff:127.0.0.1]:7->[::ffff:127.0.0.2]:8]>"),
            Some(("TCP".into(), some("127.0.0.1:7"), some("127.0.0.2:8")))
        );
        assert_eq!(of("5<UDP:[0.0.0.0:53]>"), Some(("UDP".into(), some("0.0.0.0:53"), None)));
        assert_eq!(of("3<TCP:[13207505]>"), Some(("TCP".into(), None, None)));
        assert_eq!(of("3</tmp/a:[b]>"), Some((String::new(), None, None)));
        assert_eq!(
            of(r#"4<UNIX-STREAM:[456->123,"/tmp/a"]>"#),
            Some(("UNIX-STREAM".into(), some("unix:456"), some("unix:123")))
        );
        assert_eq!(of("AT_FDCWD"), None);
    }

    #[test]
    fn addresses_are_those_that_people_type() {
        let four = r#"{sa_family=AF_INET, sin_port=htons(7), sin_addr=inet_addr("127.0.0.1")}"#;
        assert_eq!(address(four).as_deref(), Some("127.0.0.1:7"));
        let six = r#"{sa_family=AF_INET6, sin6_port=htons(7), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}"#;
        assert_eq!(address(six).as_deref(), Some("[::1]:7"));
        assert_eq!(address("NULL"), None);
    }

    #[test]
    fn results_are_numbers_or_an_errno() {
        assert_eq!(number("6<TCP:[1]>"), Some(6));
        assert_eq!(number("1 ([{fd=3, revents=POLLIN}])"), Some(1));
        assert_eq!((number("?"), number("0x2 (flags)")), (None, Some(0)));
        assert_eq!(errno("-1 EAGAIN (Resource temporarily unavailable)"), Some("EAGAIN"));
    }

    #[test]
    fn a_payload_is_its_bytes() {
        assert_eq!(payload(r#""a\"b"..."#), Some(r#"a\"b"#));
        assert_eq!(payload(r#"{msg_iov=[{iov_base="hi", iov_len=2}]}"#), Some("hi"));
        assert_eq!(payload("NULL"), None);
        assert_eq!(bytes(r#"a\n\0\17\377\"\1234\\"#), b"a\n\x00\x0f\xff\"S4\\");
    }
}
