use super::*;

use argh::FromArgs;

/// A flight with these arguments, and the instant at which it begins.
fn with(arguments: &str, test: impl FnOnce(Flight, Instant)) {
    let words: Vec<&str> = ["--port", "7"].into_iter().chain(arguments.split(' ')).collect();
    let args = Args::from_args(&["udp-client"], &words).unwrap();
    let plan = Plan::new(&args, Vec::new()).unwrap();
    test(Flight::new(&args, &plan, false, args.timeout.duration()), Instant::now());
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn sending(number: u32, attempt: u32) -> Sending {
    Sending { number, attempt }
}

/// Sends all that is due.
fn send(flight: &mut Flight, now: Instant) -> Vec<Sending> {
    let due = || flight.due(now).inspect(|sending| flight.sent(*sending, now));
    std::iter::from_fn(due).collect()
}

fn receive(flight: &mut Flight, number: u32, attempt: u32, now: Instant) -> Option<Duration> {
    flight.received(Ok(sending(number, attempt)), now).map(|echo| echo.time)
}

#[test]
fn a_retry_waits_twice_as_long_as_the_one_before_until_the_deadline() {
    with("--retries 9 --backoff 100ms --timeout 1s", |mut flight, begin| {
        let mut seen = Vec::new();
        let mut now = begin;
        while !flight.is_over(now) {
            let sent = send(&mut flight, now);
            seen.extend(sent.iter().map(|sending| (now - begin, sending.attempt)));
            now = flight.next_deadline().unwrap();
            flight.expire(now);
        }
        assert_eq!(seen, [(ms(0), 0), (ms(100), 1), (ms(300), 2), (ms(700), 3)]);
        assert_eq!((now - begin, flight.counts.lost, flight.counts.resent), (ms(1000), 1, 3));
        let error = flight.result("127.0.0.1:7".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "echo from 127.0.0.1:7 (4 datagrams sent): timed out after 1s");
    });
}

#[test]
fn no_more_than_the_window_are_in_flight() {
    with("--count 5 --window 3", |mut flight, now| {
        assert_eq!(send(&mut flight, now), [sending(1, 0), sending(2, 0), sending(3, 0)]);
        assert!(receive(&mut flight, 2, 0, now).is_some());
        assert_eq!(send(&mut flight, now), [sending(4, 0)]);
    });
}

#[test]
fn each_reply_counts_as_what_it_is() {
    with("--count 6 --window 6 --backoff 100ms --timeout 300ms", |mut flight, begin| {
        send(&mut flight, begin);
        assert_eq!(receive(&mut flight, 2, 0, begin + ms(1)), Some(ms(1)));
        assert_eq!(receive(&mut flight, 1, 0, begin + ms(2)), Some(ms(2)), "reordered");
        assert_eq!(receive(&mut flight, 2, 0, begin + ms(3)), None, "duplicated");
        // 3 to 6 are sent again. The echo of a retry has its own time, and is not reordered.
        assert_eq!(send(&mut flight, begin + ms(100)).len(), 4);
        assert_eq!(receive(&mut flight, 4, 1, begin + ms(101)), Some(ms(1)));
        assert_eq!(receive(&mut flight, 3, 1, begin + ms(102)), Some(ms(2)));
        assert_eq!(receive(&mut flight, 3, 0, begin + ms(103)), None, "late");
        assert_eq!(receive(&mut flight, 3, 0, begin + ms(103)), None, "late, and then duplicated");
        let changed = Changed { number: Some(5), fault: "why".to_owned() };
        assert!(flight.received(Err(changed), begin + ms(104)).is_none());
        flight.expire(begin + ms(299));
        assert_eq!(flight.counts.lost, 0);
        flight.expire(begin + ms(300));
        assert_eq!(receive(&mut flight, 6, 0, begin + ms(301)), None, "late after it was given up");
        let counts = Counts {
            echoed: 4,
            lost: 1,
            changed: 1,
            duplicated: 2,
            reordered: 1,
            late: 2,
            resent: 4,
        };
        assert_eq!(flight.counts, counts);
        assert_eq!(flight.times, [ms(1), ms(2), ms(1), ms(2)]);
        // A changed reply is the error, rather than a lost one.
        assert!(
            flight.result("127.0.0.1:7".parse().unwrap()).unwrap_err().to_string().contains("why")
        );
    });
}

#[test]
fn the_end_waits_for_a_duplicate_of_the_last_reply() {
    with("--count 2", |mut flight, begin| {
        for number in [1, 2] {
            assert_eq!(send(&mut flight, begin), [sending(number, 0)]);
            assert!(!flight.is_over(begin));
            receive(&mut flight, number, 0, begin + ms(30));
        }
        assert!(!flight.is_over(begin + ms(59)) && flight.next_deadline() == Some(begin + ms(60)));
        assert!(flight.is_over(begin + ms(60)));
    });
    with("one", |mut flight, begin| {
        send(&mut flight, begin);
        receive(&mut flight, 1, 0, begin);
        assert!(flight.is_over(begin), "a single message has no wait at its end");
    });
}

#[test]
fn a_repetition_begins_after_the_interval() {
    with("--count 2 --window 4 --interval 50ms a b", |mut flight, begin| {
        assert_eq!(send(&mut flight, begin).len(), 2);
        assert_eq!(
            (send(&mut flight, begin + ms(49)).len(), flight.next_deadline()),
            (0, Some(begin + ms(50)))
        );
        assert_eq!(send(&mut flight, begin + ms(50)), [sending(3, 0), sending(4, 0)]);
    });
}

#[test]
fn a_server_that_never_replies_is_given_up() {
    with("--count 1000 --retries 0 --timeout 10ms", |mut flight, begin| {
        let mut now = begin;
        while !flight.is_over(now) {
            send(&mut flight, now);
            now = flight.next_deadline().unwrap();
            flight.expire(now);
        }
        assert_eq!(u64::from(flight.newest()), MAX_UNANSWERED);
    });
}

#[test]
fn the_finished_datagrams_are_bounded() {
    with("--count 30000", |mut flight, now| {
        for number in 1..=30_000 {
            send(&mut flight, now);
            receive(&mut flight, number, 0, now);
        }
        assert_eq!(flight.done.len(), MAX_DONE);
        receive(&mut flight, 1, 0, now);
        assert_eq!((flight.counts.late, flight.counts.duplicated), (1, 0));
    });
}
