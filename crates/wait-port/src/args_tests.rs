use super::*;

#[test]
fn a_target_is_a_host_with_a_port_or_a_path() {
    let place = |text: &str| text.parse::<Target>().map(|target| target.place);
    let host = |text: &str| text.parse::<Host>().unwrap();
    assert_eq!(place("localhost:80"), Ok(Place::Tcp(host("localhost"), 80)));
    assert_eq!(place("127.0.0.1:65535"), Ok(Place::Tcp(host("127.0.0.1"), 65_535)));
    assert_eq!(place("[::1]:80"), Ok(Place::Tcp(host("::1"), 80)));
    assert_eq!(place("[fe80::1%eth0]:80"), Ok(Place::Tcp(host("fe80::1%eth0"), 80)));
    assert_eq!(place("unix:/run/x:y.sock"), Ok(Place::Unix("/run/x:y.sock".into())));
    let long = format!("unix:/{}", "x".repeat(107));
    for text in [
        "",
        ":",
        ":80",
        "localhost",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "::1:80",
        "0177.0.0.1:80",
        "127.0.0.1:0x50",
        "unix:",
        &long,
    ] {
        assert!(place(text).is_err(), "{text}");
    }
}

#[test]
fn a_pause_is_not_zero() {
    assert_eq!(pause("1ms"), Ok(Span(Duration::from_millis(1))));
    assert!(pause("0").is_err());
}
