//! A number of a certain width, and the two orders of its bytes.

use std::str::FromStr;

/// A width that the processor has integers of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bits {
    B16,
    B32,
    B64,
    B128,
}

impl Bits {
    const ALL: [Bits; 4] = [Bits::B16, Bits::B32, Bits::B64, Bits::B128];

    pub(crate) fn count(self) -> u8 {
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

/// The bits of a number, in two's complement where it was negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) value: u128,
    pub(crate) bits: Bits,
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
        let fits = |bits: &Bits| magnitude <= if negative { bits.least() } else { bits.most() };
        let bits = match asked {
            Some(bits) if fits(&bits) => bits,
            Some(bits) => return Err(format!("does not fit into {} bits", bits.count())),
            None => Bits::ALL
                .into_iter()
                .find(fits)
                .ok_or_else(|| "does not fit into 128 bits".to_owned())?,
        };
        let value = if negative { magnitude.wrapping_neg() & bits.most() } else { magnitude };
        Ok(Number { value, bits })
    }

    /// Reads bytes as they come from the network: `04 d2`, `04:d2`, `04d2`, `0x04d2`. Fewer bytes than
    /// a width has are no number of it.
    pub(crate) fn decode(text: &str, asked: Option<Bits>) -> Result<Number, String> {
        let groups = text.strip_prefix("0x").unwrap_or(text).trim_matches(' ').split([' ', ':']);
        let mut digits = String::new();
        for group in groups {
            // `4 d2` may be 04 d2, or 4d 2 with a slip: a byte has both of its digits, and they stand together.
            let bytes = group.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !bytes || group.is_empty() || group.len() % 2 == 1 {
                return Err("not bytes: write each in two hex digits, 04 d2".to_owned());
            }
            digits += group;
        }
        let width =
            Bits::ALL.into_iter().find(|bits| usize::from(bits.count()) == 4 * digits.len());
        let bits = width
            .ok_or_else(|| "write 2, 4, 8 or 16 bytes, in one argument: '04 d2'".to_owned())?;
        if asked.is_some_and(|asked| asked != bits) {
            return Err(format!("{} bits were given", bits.count()));
        }
        let value = u128::from_str_radix(&digits, 16).map_err(|_| "not bytes".to_owned())?;
        Ok(Number { value, bits })
    }

    /// Most significant byte first: the order of the network (RFC 1700).
    pub(crate) fn on_network(self) -> Vec<u8> {
        let bytes = self.value.to_be_bytes();
        let (_, low) = bytes.split_at(bytes.len() - usize::from(self.bits.count() / 8));
        low.to_vec()
    }

    /// In the order of the addresses of this host's memory.
    pub(crate) fn in_memory(self) -> Vec<u8> {
        let mut bytes = self.on_network();
        if cfg!(target_endian = "little") {
            bytes.reverse();
        }
        bytes
    }

    /// The number whose bytes in this host's memory are those of the network: what htons(3) returns.
    pub(crate) fn hton(self) -> u128 {
        if cfg!(target_endian = "little") { self.in_wrong_order() } else { self.value }
    }

    /// What a reader makes of the bytes who takes the first for the least significant.
    pub(crate) fn in_wrong_order(self) -> u128 {
        self.value.swap_bytes() >> (128 - self.bits.count())
    }

    /// With all the digits of its width.
    pub(crate) fn hex(self) -> String {
        format!("0x{:0digits$x}", self.value, digits = usize::from(self.bits.count() / 4))
    }
}

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
        return Err("a leading zero: octal in C, decimal elsewhere; write 0o or none".to_owned());
    }
    let digits = digits.replace('_', "");
    u128::from_str_radix(&digits, radix).map_err(|_| "does not fit into 128 bits".to_owned())
}

#[cfg(test)]
#[path = "number_tests.rs"]
mod tests;
