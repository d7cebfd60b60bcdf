use proptest::prelude::*;
use socket2::{Domain, Socket, Type};

use super::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_time_is_rounded_up_to_whole_ticks() {
    for (hz, asked, read_back) in [
        (250, Duration::from_nanos(1), 4 * MS),
        (250, 4 * MS, 4 * MS),
        (250, 10 * MS, 12 * MS),
        (1000, 10 * MS, 10 * MS),
        (100, 101 * MS, 110 * MS),
        // 61 ticks of 3333 us for 200 ms, each of which is a third of a microsecond longer.
        (300, 200 * MS, Duration::from_micros(203_333)),
        (300, 2000 * MS, 2000 * MS),
    ] {
        assert_eq!(Tick { hz }.read_back(asked), read_back, "{asked:?} at {hz}");
    }
}

#[test]
fn a_slot_of_the_timer_wheel_is_at_most_an_eighth_of_the_time() {
    let tick = Tick { hz: 250 };
    for (asked, slot) in [(1, 4), (248, 4), (252, 32), (2012, 32), (2016, 256), (10_000, 256)] {
        assert_eq!(tick.slot(asked * MS), slot * MS, "{asked} ms");
    }
}

proptest! {
    #[test]
    fn the_kernel_rounds_as_is_said_here(nanos in 1_u64..400_000_000_000) {
        let asked = Duration::from_nanos(nanos);
        let tick = Tick::of_this_kernel().unwrap();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_read_timeout(Some(in_micros(asked))).unwrap();
        prop_assert_eq!(socket.read_timeout().unwrap(), Some(tick.read_back(asked)));
        prop_assert!(tick.read_back(asked) >= asked);
    }
}

#[test]
fn the_longest_is_a_timeout_and_more_is_none() {
    let longest = Tick::of_this_kernel().unwrap().longest();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_read_timeout(Some(longest)).unwrap();
    assert_eq!(socket.read_timeout().unwrap(), Some(longest));
    socket.set_read_timeout(Some(longest + Duration::from_secs(2))).unwrap();
    assert_eq!(socket.read_timeout().unwrap(), None);
}

#[test]
fn no_byte_is_late_and_all_of_them_are() {
    for asked in [1, 2, 10, 199, 200, 500, 1500, 60_000] {
        let asked = asked * MS;
        let drip = Drip::slower_than(asked);
        let all = drip.every.as_nanos() * u128::from(drip.bytes);
        assert!(all >= 3 * asked.as_nanos(), "{asked:?}: {drip:?}");
        assert!(drip.every * 2 <= asked.max(2 * MS) && drip.every <= 100 * MS, "{drip:?}");
    }
    assert_eq!(Drip::slower_than(200 * MS).every, 100 * MS);
}

#[test]
fn the_longest_time_that_can_be_asked_for_and_the_shortest_have_a_drip() {
    Drip::slower_than(Duration::from_nanos(1));
    Drip::slower_than(Duration::from_secs(100 * 365 * 86_400));
    Drip::slower_than(Duration::MAX);
}
