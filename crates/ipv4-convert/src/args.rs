//! The command line, and the notations that no parser of the C library knows.

use std::net::Ipv4Addr;

use argh::{ArgsInfo, FromArgs};

/// Show an IPv4 address in every form, and how two parsers read it.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} 192.0.2.1")]
#[argh(example = "{command_name} --aton 127.1 0x7f.1 && {command_name} 192.0.2.8/29")]
pub(crate) struct Args {
    /// accept what inet_aton accepts
    #[argh(switch)]
    pub(crate) aton: bool,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
    /// 192.0.2.1, 0xc0000201, 3221225985, c0:00:02:01, 192.0.2.0/24 or 192.0.2.0/255.255.255.0;
    /// - reads them from standard input
    #[argh(positional)]
    pub(crate) address: Vec<String>,
}

/// `0x7f000001` and `2130706433`, which is how inet_aton reads one number too.
pub(crate) fn number(text: &str) -> Option<Ipv4Addr> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let octal = radix == 10 && digits.len() > 1 && digits.starts_with('0');
    let plain = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    u32::from_str_radix(digits, radix).ok().filter(|_| plain && !octal).map(Ipv4Addr::from)
}

/// `7f:00:00:01`, as the bytes are printed by many tools; no parser of the C library takes it.
pub(crate) fn bytes(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split(':');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.len() == 2)?;
        let hex = part.bytes().all(|byte| byte.is_ascii_hexdigit());
        *octet = u8::from_str_radix(part, 16).ok().filter(|_| hex)?;
    }
    parts.next().is_none().then(|| octets.into())
}

/// Why a text is not four decimal numbers.
pub(crate) fn refusal(text: &str) -> &'static str {
    let parts: Vec<&str> = text.split('.').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if text.is_empty() {
        "empty"
    } else if text.contains(|c: char| c.is_ascii_whitespace()) {
        "contains a blank"
    } else if bytes(text).is_some() {
        "hexadecimal bytes"
    } else if parts.iter().any(|part| part.starts_with("0x") || part.starts_with("0X")) {
        "hexadecimal"
    } else if !parts.iter().all(digits) {
        "not decimal numbers with dots"
    } else if parts.len() != 4 {
        "not four numbers"
    } else if parts.iter().any(|part| part.len() > 1 && part.starts_with('0')) {
        "leading zero"
    } else {
        "a number above 255"
    }
}
