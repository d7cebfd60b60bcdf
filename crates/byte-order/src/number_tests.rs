//! Numbers read, laid out and decoded, beside to_be_bytes and to_ne_bytes.

use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Number {
    Number::read(text, None).unwrap()
}

#[test]
fn the_example_of_the_cookbook() {
    let number = read("1234");
    assert_eq!((number.bits, number.hex().as_str()), (Bits::B16, "0x04d2"));
    assert_eq!(number.on_network(), [0x04, 0xd2]);
    assert_eq!(number.in_memory(), 1234_u16.to_ne_bytes());
    assert_eq!(number.hton(), 1234_u16.to_be().into());
    assert_eq!(number.in_wrong_order(), 53764);
}

#[test]
fn every_notation_is_the_same_number() {
    for text in ["1234", "0x4d2", "0o2322", "0b100_1101_0010", "1_234", "0x0_4D2"] {
        assert_eq!(read(text).value, 1234, "{text}");
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
        assert_eq!(read(text).bits, bits, "{text}");
    }
    assert_eq!(Number::read("-1", Some(Bits::B32)).unwrap().on_network(), [0xff; 4]);
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
        assert!(Number::decode(text, None).is_err(), "{text}");
    }
    for text in ["04 d2", "04:d2", "04d2", "0x04d2", "04 D2 "] {
        assert_eq!(Number::decode(text, None).unwrap(), read("1234"), "{text}");
    }
    assert!(Number::decode("04 d2", Some(Bits::B32)).is_err());
}

proptest! {
    #[test]
    fn the_network_s_order_is_that_of_to_be_bytes(a: u16, b: u32, c: u64, d: u128) {
        let number = |value: u128, bits| Number { value, bits };
        let [a2, b2] = [number(a.into(), Bits::B16), number(b.into(), Bits::B32)];
        let [c2, d2] = [number(c.into(), Bits::B64), number(d, Bits::B128)];
        prop_assert_eq!(a2.on_network(), a.to_be_bytes());
        prop_assert_eq!(b2.on_network(), b.to_be_bytes());
        prop_assert_eq!(c2.on_network(), c.to_be_bytes());
        prop_assert_eq!(d2.on_network(), d.to_be_bytes());
        prop_assert_eq!(a2.in_memory(), a.to_ne_bytes());
        prop_assert_eq!(b2.in_memory(), b.to_ne_bytes());
        prop_assert_eq!(c2.in_memory(), c.to_ne_bytes());
        prop_assert_eq!(d2.in_memory(), d.to_ne_bytes());
        let hton = [a.to_be().into(), b.to_be().into(), c.to_be().into(), d.to_be()];
        prop_assert_eq!([a2, b2, c2, d2].map(Number::hton), hton);
        let wrong = [a.swap_bytes().into(), b.swap_bytes().into(), c.swap_bytes().into()];
        prop_assert_eq!([a2, b2, c2].map(Number::in_wrong_order), wrong);
        prop_assert_eq!(d2.in_wrong_order(), d.swap_bytes());
    }

    // Shifted, or nearly every number would be 128 bits wide.
    #[test]
    fn bytes_that_were_printed_decode_to_the_number(value: u128, shift in 0..128_u32) {
        let number = read(&(value >> shift).to_string());
        let printed: String =
            number.on_network().iter().map(|byte| format!("{byte:02x} ")).collect();
        prop_assert_eq!(Number::decode(&printed, None).unwrap(), number);
        prop_assert_eq!(read(&number.hex()).value, number.value);
        let twice = Number { value: number.hton(), ..number }.hton();
        prop_assert_eq!(twice, number.value);
    }

    #[test]
    fn a_negative_number_is_its_two_s_complement(a: i16, b: i32, c: i64, d: i128) {
        let network = |text: String, bits| Number::read(&text, Some(bits)).map(Number::on_network);
        prop_assert_eq!(network(a.to_string(), Bits::B16).unwrap(), a.to_be_bytes());
        prop_assert_eq!(network(b.to_string(), Bits::B32).unwrap(), b.to_be_bytes());
        prop_assert_eq!(network(c.to_string(), Bits::B64).unwrap(), c.to_be_bytes());
        prop_assert_eq!(network(d.to_string(), Bits::B128).unwrap(), d.to_be_bytes());
    }

    #[test]
    fn what_is_past_the_width_is_refused_and_never_cut(value: u128, shift in 0..128_u32) {
        let value = value >> shift;
        for (bits, fits) in [
            (Bits::B16, u16::try_from(value).is_ok()),
            (Bits::B32, u32::try_from(value).is_ok()),
            (Bits::B64, u64::try_from(value).is_ok()),
            (Bits::B128, true),
        ] {
            let expected = fits.then_some(Number { value, bits });
            prop_assert_eq!(Number::read(&value.to_string(), Some(bits)).ok(), expected);
        }
    }

    #[test]
    fn no_text_panics(text: String) {
        let _ = Number::read(&text, None);
        let _ = Number::decode(&text, None);
    }
}
