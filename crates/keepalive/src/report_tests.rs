use super::*;

#[test]
fn the_options_add_up() {
    let options = |idle, every, probes, user_timeout| {
        let options = Options { keepalive: true, idle, every, probes, user_timeout };
        options.on_idle().map(|after| after.as_secs())
    };
    assert_eq!(options(7200, 75, 9, 0), Some(7200 + 9 * 75));
    assert_eq!(options(1, 1, 3, 0), Some(4));
    // The user timeout takes the place of the number of probes: the first that is due after it ends it.
    assert_eq!(options(1, 1, 3, 2500), Some(3));
    assert_eq!(options(1, 1, 3, 10_000), Some(10));
    // There is one probe at least.
    assert_eq!(options(5, 2, 3, 1), Some(7));
    let off = Options { keepalive: false, idle: 1, every: 1, probes: 1, user_timeout: 1 };
    assert_eq!(off.on_idle(), None);
}
