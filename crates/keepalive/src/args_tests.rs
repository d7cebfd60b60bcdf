use super::*;

#[test]
fn a_time_that_the_kernel_would_refuse_or_cut_is_refused() {
    assert_eq!(["1s", "32767s", "2m"].map(seconds), [Ok(1), Ok(32_767), Ok(120)]);
    for text in ["0", "500ms", "1.5s", "32768s", "-1s", ""] {
        assert!(seconds(text).is_err(), "{text}");
    }
    assert_eq!(["none", "1s"].map(idle), [Ok(Idle::Off), Ok(Idle::Seconds(1))]);
    assert_eq!(["1", "127"].map(probes), [Ok(1), Ok(127)]);
    for text in ["0", "128", "-1", "99999999999999999999"] {
        assert_eq!(probes(text), Err("write a whole number from 1 to 127".to_owned()), "{text}");
    }
}

#[test]
fn a_part_of_a_millisecond_is_not_lost() {
    let given = ["none", "2500ms", "1us", "2147483647ms"].map(milliseconds);
    assert_eq!(given, [Ok(0), Ok(2_500), Ok(1), Ok(2_147_483_647)]);
    assert!(milliseconds("2147483648ms").is_err() && milliseconds("0").is_err());
}
