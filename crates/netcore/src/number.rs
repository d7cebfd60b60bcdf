//! Whole numbers as they are typed, and errors that say which are accepted.

/// What the suffixes of a size mean.
const SUFFIXES: [(char, u128); 3] = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30)];

/// Reads a whole number that is not negative: digits without a sign, `0x1000` in hexadecimal, or `64K`,
/// `1M`, `1G`, which are multiples of 1024.
///
/// # Errors
/// What is accepted, as a sentence for a usage error.
pub fn whole<T: TryFrom<u128>>(text: &str) -> Result<T, String> {
    from(0, text)
}

/// Reads a whole number that is not 0.
///
/// # Errors
/// As [`whole`].
pub fn at_least_one<T: TryFrom<u128>>(text: &str) -> Result<T, String> {
    from(1, text)
}

fn from<T: TryFrom<u128>>(least: u128, text: &str) -> Result<T, String> {
    let number = parse(text).filter(|number| *number >= least);
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
        // One bit less in a signed type.
        let mut all_ones = (0..u128::BITS).map(|bits| u128::MAX >> bits);
        let most = all_ones.find(|most| T::try_from(*most).is_ok()).unwrap_or_default();
        format!("write a whole number from {least} to {most}")
    })
}

fn parse(text: &str) -> Option<u128> {
    let unit =
        SUFFIXES.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(*suffix)?, *unit)));
    let (digits, unit, radix) = match (text.strip_prefix("0x"), unit) {
        (Some(digits), _) => (digits, 1, 16),
        (None, Some((digits, unit))) => (digits, unit, 10),
        (None, None) => (text, 1, 10),
    };
    // from_str_radix takes a sign too.
    let number = u128::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with('+'))?;
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_those_of_the_type() {
        assert_eq!(whole("0"), Ok(0_u16));
        assert_eq!(whole("65535"), Ok(u16::MAX));
        assert_eq!(whole("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(at_least_one("1"), Ok(1_usize));
    }

    #[test]
    fn a_size_may_be_hexadecimal_or_a_multiple_of_1024() {
        for (text, number) in
            [("64K", 65_536), ("1M", 1 << 20), ("1G", 1 << 30), ("0x1000", 4096), ("0xfF", 255)]
        {
            assert_eq!(whole(text), Ok(number), "{text}");
        }
        assert_eq!(at_least_one::<u32>("3G"), Ok(3 << 30));
    }

    #[test]
    fn a_refusal_says_what_is_accepted() {
        for text in [
            "65536",
            "-1",
            "+1",
            "",
            " 1",
            "1e3",
            "0x",
            "0x+1",
            "0x1K",
            "K",
            "1k",
            "1KB",
            "64K",
            "99999999999999999999999999999999999999999",
            "340282366920938463463374607431768211455K",
        ] {
            assert_eq!(
                whole::<u16>(text),
                Err("write a whole number from 0 to 65535".into()),
                "{text}"
            );
        }
        let refusal = Err("write a whole number from 1 to 4294967295".into());
        assert_eq!(at_least_one::<u32>("0"), refusal);
        let refusal = Err("write a whole number from 0 to 2147483647".into());
        assert_eq!([whole::<i32>("2147483648"), whole("-1")], [refusal.clone(), refusal]);
        assert_eq!(whole("2147483647"), Ok(i32::MAX));
    }
}
