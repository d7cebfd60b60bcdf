use proptest::prelude::*;

use super::*;

#[test]
fn the_example_of_the_cookbook() {
    let encoded = encode(Number::read("1234", None).unwrap());
    assert_eq!((encoded.number, encoded.number.hex().as_str()), (Number::B16(1234), "0x04d2"));
    assert_eq!(encoded.network, [0x04, 0xd2]);
    assert_eq!(encoded.memory, 1234_u16.to_ne_bytes());
    assert_eq!(
        encoded.hton,
        Number::B16(if cfg!(target_endian = "little") { 53764 } else { 1234 })
    );
    assert_eq!(encoded.wrong, Number::B16(53764));
}

proptest! {
    #[test]
    fn the_network_s_order_is_that_of_to_be_bytes(a: u16, b: u32, c: u64, d: u128) {
        prop_assert_eq!(encode(Number::B16(a)).network, a.to_be_bytes());
        prop_assert_eq!(encode(Number::B32(b)).network, b.to_be_bytes());
        prop_assert_eq!(encode(Number::B64(c)).network, c.to_be_bytes());
        prop_assert_eq!(encode(Number::B128(d)).network, d.to_be_bytes());
        prop_assert_eq!(encode(Number::B128(d)).memory, d.to_ne_bytes());
    }

    // Shifted, or nearly every number would be 128 bits wide.
    #[test]
    fn bytes_that_were_printed_decode_to_the_number(value: u128, shift in 0..128_u32) {
        let number = Number::read(&(value >> shift).to_string(), None).unwrap();
        let encoded = encode(number);
        let printed: String =
            encoded.network.iter().map(|byte| format!("{byte:02x} ")).collect();
        let decoded = decode(Number::received(&printed, None).unwrap());
        prop_assert_eq!(decoded.number, number);
        prop_assert_eq!(decoded.bytes, encoded.network);
        prop_assert_eq!(decoded.wrong, encoded.wrong);
        prop_assert_eq!(ntoh(encoded.hton), number);
        prop_assert_eq!(Number::read(&number.hex(), None), Ok(number));
    }
}
