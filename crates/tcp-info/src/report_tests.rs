use super::*;

/// So many bytes of a structure in which each byte has a value of its own.
fn info(length: usize) -> Info {
    Info((0..length).map(|at| u8::try_from(at % 251).unwrap()).collect())
}

fn by_name(name: &str) -> &'static Field {
    FIELDS.iter().find(|field| field.name == name).unwrap()
}

#[test]
fn a_number_is_there_if_the_kernel_has_given_all_of_it() {
    for length in [0, 8, 104, 232, 280, 400] {
        let info = info(length);
        for field in &FIELDS {
            let is_there = field.offset + field.width <= length;
            assert_eq!(info.number(field).is_some(), is_there, "{} of {length}", field.name);
        }
    }
    assert_eq!(info(103).number(by_name("retrans")), None);
    let expected = u32::from_ne_bytes([100, 101, 102, 103]);
    assert_eq!(info(104).number(by_name("retrans")), Some(expected.into()));
    assert_eq!((info(0).state(), info(1).state()), ("-", "-"));
    assert_eq!(
        (by_name("rtt").text(&info(70)), info(70).number(by_name("backoff"))),
        ("-".into(), Some(4))
    );
}

#[test]
fn fields_lie_behind_each_other() {
    let ends = FIELDS.iter().map(|field| field.offset + field.width);
    for (end, next) in ends.zip(FIELDS.iter().skip(1)) {
        assert!(end <= next.offset, "{}", next.name);
        assert_eq!(next.offset % next.width, 0, "{}", next.name);
    }
}

/// A sample of a connection with these times, in milliseconds.
fn times(busy: u64, window: u64, buffer: u64) -> Info {
    let times = [busy, window, buffer].map(|millis| (millis * 1000).to_ne_bytes());
    Info([vec![0; BUSY.offset], times.concat()].concat())
}

#[test]
fn what_limits_a_connection_is_what_it_waits_for_most_of_the_time() {
    let second = Duration::from_secs(1);
    let since = times(5000, 3000, 1000);
    let limited = |busy: u64, window: u64, buffer: u64| {
        times(5000 + busy, 3000 + window, 1000 + buffer).limited_by(&since, second)
    };
    assert_eq!(limited(0, 0, 0), Some("program"));
    assert_eq!(limited(400, 300, 0), Some("program"));
    assert_eq!(limited(1000, 0, 0), Some("network"));
    assert_eq!(limited(1000, 600, 0), Some("receiver"));
    assert_eq!(limited(1000, 100, 800), Some("buffer"));
    // An older kernel does not count them.
    assert_eq!(times(1000, 0, 0).limited_by(&info(104), second), None);
}
