use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Number {
    Number::read(text, None).unwrap()
}

#[test]
fn every_notation_is_the_same_number() {
    for text in ["1234", "0x4d2", "0o2322", "0b100_1101_0010", "1_234", "0x0_4D2"] {
        assert_eq!(read(text), Number::B16(1234), "{text}");
    }
}

#[test]
fn the_width_is_the_smallest_that_fits_or_the_one_that_was_asked_for() {
    for (text, bits) in [
        ("0", Bits::B16),
        ("65535", Bits::B16),
        ("65536", Bits::B32),
        ("-32768", Bits::B16),
        ("-32769", Bits::B32),
        ("4294967296", Bits::B64),
        ("0x1_0000_0000_0000_0000", Bits::B128),
        ("340282366920938463463374607431768211455", Bits::B128),
        ("-170141183460469231731687303715884105728", Bits::B128),
    ] {
        assert_eq!(read(text).bits(), bits.count(), "{text}");
    }
    assert_eq!(Number::read("-1", Some(Bits::B32)), Ok(Number::B32(u32::MAX)));
    assert_eq!(Number::read("65536", Some(Bits::B16)).unwrap_err(), "does not fit into 16 bits");
    assert!(Number::read("-32769", Some(Bits::B16)).is_err());
    assert!(Number::read("340282366920938463463374607431768211456", None).is_err());
    assert!(Number::read("-170141183460469231731687303715884105729", None).is_err());
}

#[test]
fn what_is_no_number_is_refused() {
    for text in ["", "-", "--1", "+1", "1.0", "0x", "0b2", "_1", "1_", "1__2", "01", "1e3", "é1"] {
        assert!(Number::read(text, None).is_err(), "{text}");
    }
    for text in
        ["", "4d2", "04 d", "xx", "04 d2 00", "0x", "0 4d 2", "04:", ":04d2", "04  d2", "é1"]
    {
        assert!(Number::received(text, None).is_err(), "{text}");
    }
    for text in ["04 d2", "04:d2", "04d2", "0x04d2", "04 D2 "] {
        assert_eq!(Number::received(text, None), Ok(Number::B16(1234_u16.to_be())), "{text}");
    }
    assert!(Number::received("04 d2", Some(Bits::B32)).is_err());
}

proptest! {
    #[test]
    fn a_negative_number_is_its_two_s_complement(a: i16, b: i32, c: i64, d: i128) {
        let read = |text: String, bits| Number::read(&text, Some(bits)).unwrap();
        prop_assert_eq!(read(a.to_string(), Bits::B16), Number::B16(a.cast_unsigned()));
        prop_assert_eq!(read(b.to_string(), Bits::B32), Number::B32(b.cast_unsigned()));
        prop_assert_eq!(read(c.to_string(), Bits::B64), Number::B64(c.cast_unsigned()));
        prop_assert_eq!(read(d.to_string(), Bits::B128), Number::B128(d.cast_unsigned()));
    }

    #[test]
    fn what_is_past_the_width_is_refused_and_never_cut(value: u128, shift in 0..128_u32) {
        let value = value >> shift;
        for (bits, expected) in [
            (Bits::B16, u16::try_from(value).ok().map(Number::B16)),
            (Bits::B32, u32::try_from(value).ok().map(Number::B32)),
            (Bits::B64, u64::try_from(value).ok().map(Number::B64)),
            (Bits::B128, Some(Number::B128(value))),
        ] {
            prop_assert_eq!(Number::read(&value.to_string(), Some(bits)).ok(), expected);
        }
    }

    #[test]
    fn no_text_panics(text: String) {
        let _ = Number::read(&text, None);
        let _ = Number::received(&text, None);
    }
}
