//! The command line, and numbers of a width as people type them.

use std::fmt;
use std::str::FromStr;

use argh::{ArgsInfo, FromArgs};

/// Show how a number lies in memory, and on the wire.
#[derive(FromArgs, ArgsInfo)]
#[argh(example = "{command_name} 1234")]
#[argh(example = "{command_name} --bits 32 0x7f000001 -1")]
pub(crate) struct Args {
    /// width in bits: 16, 32, 64 or 128 (the smallest that fits)
    #[argh(option, arg_name = "width")]
    pub(crate) bits: Option<Bits>,
    /// the values are bytes, in the order of the network: 04 d2
    #[argh(switch)]
    pub(crate) decode: bool,
    /// JSON Lines on standard output
    #[argh(switch)]
    pub(crate) json: bool,
    /// numbers: decimal, 0x, 0o or 0b, _ between digits, negative; - reads them from standard input
    #[argh(positional)]
    pub(crate) value: Vec<String>,
}

/// The width of an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bits {
    B16,
    B32,
    B64,
    B128,
}

impl Bits {
    const ALL: [Bits; 4] = [Bits::B16, Bits::B32, Bits::B64, Bits::B128];

    fn count(self) -> u8 {
        match self {
            Bits::B16 => 16,
            Bits::B32 => 32,
            Bits::B64 => 64,
            Bits::B128 => 128,
        }
    }

    /// The largest unsigned number.
    fn most(self) -> u128 {
        u128::MAX >> (128 - self.count())
    }

    /// The magnitude of the smallest number in two's complement.
    fn least(self) -> u128 {
        1 << (self.count() - 1)
    }
}

impl FromStr for Bits {
    type Err = String;

    fn from_str(text: &str) -> Result<Bits, String> {
        let width = Bits::ALL.into_iter().find(|bits| bits.count().to_string() == text);
        width.ok_or_else(|| "write 16, 32, 64 or 128".to_owned())
    }
}

/// A number of a width, in two's complement if it was negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    B16(u16),
    B32(u32),
    B64(u64),
    B128(u128),
}

impl Number {
    /// Reads `1234`, `0x4d2`, `0o2322`, `0b100_1101_0010`, `-1`, in the width that was asked for or in
    /// the smallest that fits.
    pub(crate) fn read(text: &str, asked: Option<Bits>) -> Result<Number, String> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let magnitude = magnitude(digits)?;
        let number = |bits: Bits| match negative {
            false => Number::of_width(magnitude, bits),
            true if magnitude > bits.least() => None,
            true => Number::of_width(magnitude.wrapping_neg() & bits.most(), bits),
        };
        let (number, most) = match asked {
            Some(bits) => (number(bits), bits),
            None => (Bits::ALL.into_iter().find_map(number), Bits::B128),
        };
        number.ok_or_else(|| format!("does not fit into {} bits", most.count()))
    }

    fn of_width(value: u128, bits: Bits) -> Option<Number> {
        match bits {
            Bits::B16 => value.try_into().ok().map(Number::B16),
            Bits::B32 => value.try_into().ok().map(Number::B32),
            Bits::B64 => value.try_into().ok().map(Number::B64),
            Bits::B128 => Some(Number::B128(value)),
        }
    }

    /// Reads bytes in the order of the network, `04 d2`, `04:d2`, `04d2`, `0x04d2`, and puts them into
    /// a number as `recv` would put them into memory.
    pub(crate) fn received(text: &str, asked: Option<Bits>) -> Result<Number, String> {
        let groups = text.strip_prefix("0x").unwrap_or(text).trim_matches(' ').split([' ', ':']);
        let mut bytes = Vec::new();
        for group in groups {
            // `4 d2` may be 04 d2, or 4d 2 with a slip: both digits of a byte stand together.
            let (pairs, rest) = group.as_bytes().as_chunks::<2>();
            if pairs.is_empty() || !rest.is_empty() {
                return Err(NOT_BYTES.to_owned());
            }
            for pair in pairs {
                let hex = pair.iter().all(u8::is_ascii_hexdigit);
                let pair = std::str::from_utf8(pair).ok().filter(|_| hex);
                let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
                bytes.push(byte.ok_or(NOT_BYTES)?);
            }
        }
        let number = match bytes.len() {
            2 => bytes.try_into().ok().map(|bytes| Number::B16(u16::from_ne_bytes(bytes))),
            4 => bytes.try_into().ok().map(|bytes| Number::B32(u32::from_ne_bytes(bytes))),
            8 => bytes.try_into().ok().map(|bytes| Number::B64(u64::from_ne_bytes(bytes))),
            16 => bytes.try_into().ok().map(|bytes| Number::B128(u128::from_ne_bytes(bytes))),
            _ => None,
        };
        let number = number
            .ok_or_else(|| "write 2, 4, 8 or 16 bytes, in one argument: '04 d2'".to_owned())?;
        if asked.is_some_and(|asked| asked.count() != number.bits()) {
            return Err(format!("{} bits were given", number.bits()));
        }
        Ok(number)
    }

    pub(crate) fn bits(self) -> u8 {
        match self {
            Number::B16(_) => 16,
            Number::B32(_) => 32,
            Number::B64(_) => 64,
            Number::B128(_) => 128,
        }
    }

    fn value(self) -> u128 {
        match self {
            Number::B16(value) => value.into(),
            Number::B32(value) => value.into(),
            Number::B64(value) => value.into(),
            Number::B128(value) => value,
        }
    }

    /// With all the digits of its width.
    pub(crate) fn hex(self) -> String {
        format!("0x{:0digits$x}", self.value(), digits = usize::from(self.bits() / 4))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
    }
}

const NOT_BYTES: &str = "not bytes: write each in two hex digits, 04 d2";

/// Digits with their prefix. `_` may stand between two of them; a leading zero would be octal in C.
fn magnitude(text: &str) -> Result<u128, String> {
    let (digits, radix) = match text.get(..2) {
        Some("0x") => (text.get(2..), 16),
        Some("0o") => (text.get(2..), 8),
        Some("0b") => (text.get(2..), 2),
        _ => (Some(text), 10),
    };
    let digits = digits.unwrap_or_default();
    if digits.is_empty() || digits.split('_').any(|part| !part.chars().all(|c| c.is_digit(radix))) {
        return Err("not a number: write 1234, 0x4d2, 0o2322 or 0b10011010010".to_owned());
    }
    if digits.split('_').any(str::is_empty) {
        return Err("a _ stands between two digits".to_owned());
    }
    if radix == 10 && digits.len() > 1 && digits.starts_with('0') {
        return Err(
            "a leading zero means octal in C and nothing elsewhere: write 0o or no zero".to_owned()
        );
    }
    let digits = digits.replace('_', "");
    u128::from_str_radix(&digits, radix).map_err(|_| "does not fit into 128 bits".to_owned())
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
