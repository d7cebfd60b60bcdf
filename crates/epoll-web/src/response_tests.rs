use super::*;

const GET: Request = Request {
    method: "GET",
    target: "/",
    is_old: false,
    keep: true,
    body: 0,
    is_too_large: false,
    range: None,
    if_range: None,
    if_modified_since: None,
    if_none_match: None,
};

#[test]
fn a_range_is_a_part_of_the_file_or_none_or_to_be_ignored() {
    for (field, expected) in [
        ("bytes=0-0", Range::Part(0, 1)),
        ("bytes=2-4", Range::Part(2, 3)),
        ("BYTES=9-", Range::Part(9, 1)),
        ("bytes=5-99", Range::Part(5, 5)),
        ("bytes=-3", Range::Part(7, 3)),
        ("bytes=-99", Range::Part(0, 10)),
        ("bytes=0-18446744073709551615", Range::Part(0, 10)),
        ("bytes=10-", Range::Unsatisfiable),
        ("bytes=10-11", Range::Unsatisfiable),
        ("bytes=-0", Range::Unsatisfiable),
        ("bytes=4-2", Range::All),
        ("bytes=0-1,3-4", Range::All),
        ("bytes=-", Range::All),
        ("bytes=+1-2", Range::All),
        ("bytes=1", Range::All),
        ("lines=1-2", Range::All),
        ("", Range::All),
    ] {
        let request = Request { range: Some(field.as_bytes()), ..GET };
        assert_eq!(range(&request, 10, "now"), expected, "{field}");
        assert_eq!(range(&Request { method: "HEAD", ..request }, 10, "now"), Range::All);
    }
}

#[test]
fn a_range_of_a_file_that_has_changed_is_the_whole_file() {
    let request = Request { range: Some(b"bytes=0-0"), ..GET };
    let of = |if_range| range(&Request { if_range: Some(if_range), ..request }, 10, "now");
    assert_eq!(
        [of(b"now"), of(b"then"), of(b"\"tag\"")],
        [Range::Part(0, 1), Range::All, Range::All]
    );
}

#[test]
fn a_copy_is_as_good_until_the_file_is_newer() {
    // RFC 9110 §5.6.7 has this instant in the three forms of a date.
    const THEN: u64 = 784_111_777;
    for date in [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ] {
        let request = Request { if_modified_since: Some(date.as_bytes()), ..GET };
        let at = |modified| is_unchanged(&request, modified);
        assert_eq!([at(Some(THEN)), at(Some(THEN + 1)), at(None)], [true, false, false], "{date}");
        let tagged = Request { if_none_match: Some(b"\"a\""), ..request };
        assert!(!is_unchanged(&tagged, Some(THEN)));
        let any = Request { if_none_match: Some(b"*"), ..tagged };
        assert!(is_unchanged(&any, None));
    }
    let nonsense = Request { if_modified_since: Some(b"\xffyesterday"), ..GET };
    assert!(!is_unchanged(&nonsense, Some(THEN)));
}

#[test]
fn an_instant_without_a_date_has_none() {
    assert_eq!(seconds(UNIX_EPOCH), Some(0));
    assert_eq!(seconds(UNIX_EPOCH - Duration::from_secs(1)), None);
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    assert!(seconds(last).is_some_and(|_| httpdate::fmt_http_date(last).contains(" 9999 ")));
    assert_eq!(seconds(last + Duration::from_secs(1)), None);
}

#[test]
fn the_clock_shows_the_current_second() {
    let mut clock = Clock::default();
    let before = seconds(SystemTime::now()).unwrap();
    let shown = seconds(httpdate::parse_http_date(clock.now()).unwrap()).unwrap();
    assert!((before..=seconds(SystemTime::now()).unwrap()).contains(&shown));
    // A second that is over is not shown again.
    clock.second -= 1;
    clock.text = "old".to_owned();
    assert!(httpdate::parse_http_date(clock.now()).is_ok());
}

#[test]
fn a_location_is_plain_text() {
    assert_eq!(encode("a/é b\r\n%?\"".as_bytes(), PATH), "a/%C3%A9%20b%0D%0A%25%3F%22");
    assert_eq!(encode(b"a\xe9", PATH), "a%E9");
    assert_eq!(encode("a=b&c=/?%20é\r\n\"#".as_bytes(), QUERY), "a=b&c=/?%20%C3%A9%0D%0A%22%23");
}
