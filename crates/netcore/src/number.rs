//! Whole numbers as they are typed, and errors that say which are accepted.

/// Reads a whole number of an unsigned type: digits only, no sign.
///
/// # Errors
/// What is accepted, as a sentence for a usage error.
pub fn whole<T: TryFrom<u128>>(text: &str) -> Result<T, String> {
    from(0, text)
}

/// Reads a whole number of an unsigned type that is not 0.
///
/// # Errors
/// As [`whole`].
pub fn at_least_one<T: TryFrom<u128>>(text: &str) -> Result<T, String> {
    from(1, text)
}

fn from<T: TryFrom<u128>>(least: u128, text: &str) -> Result<T, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && *number >= least);
    number.and_then(|number: u128| T::try_from(number).ok()).ok_or_else(|| {
        let most = u128::MAX >> (128 - 8 * size_of::<T>());
        format!("write a whole number from {least} to {most}")
    })
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
    fn a_refusal_says_what_is_accepted() {
        for text in [
            "65536",
            "-1",
            "+1",
            "",
            " 1",
            "1e3",
            "0x10",
            "99999999999999999999999999999999999999999",
        ] {
            assert_eq!(
                whole::<u16>(text),
                Err("write a whole number from 0 to 65535".into()),
                "{text}"
            );
        }
        let refusal = Err("write a whole number from 1 to 4294967295".into());
        assert_eq!(at_least_one::<u32>("0"), refusal);
    }
}
