//! Many at once, and those among them who do not read.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use netcheck::{Server, Skip, evidence};
use scenarios::Chatter;

use super::{SECOND, server};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "chat_server",
        tests![
            all_hear_the_same_in_one_order,
            one_who_never_reads_is_told_and_dropped_and_the_others_do_not_wait,
            memory_is_bounded_however_many_do_not_read,
            one_who_catches_up_hears_everything,
            a_flood_is_as_fast_as_its_sender_reads,
            five_hundred_clients_are_one_thread,
            who_resets_its_connection_has_left,
        ],
    )
}

fn all_hear_the_same_in_one_order() -> Result<(), Skip> {
    let server = server(&[]);
    let address = server.address();
    let mut observers =
        ["a", "b", "c"].map(|name| Chatter::join(address, name).expect("it is let in"));
    std::thread::scope(|scope| {
        for number in 0..20 {
            scope.spawn(move || {
                let mut client = Chatter::join(address, &format!("n{number}")).unwrap();
                (0..5).for_each(|text| client.say(&text.to_string()).unwrap());
                client.leave().unwrap();
            });
        }
    });
    observers[0].say("end").unwrap();
    let [first, second, third] = observers.each_mut().map(|observer| {
        let heard = observer.hear_until("said\ta\tend").unwrap();
        let common = heard.iter().position(|heard| heard == "joined\tc").map_or(0, |at| at + 1);
        heard[common..].to_vec()
    });
    assert!(first == second && second == third, "{first:?}\n{second:?}\n{third:?}");
    assert_eq!(first.len(), 20 * 7 + 1);
    for number in 0..20 {
        let of = |heard: &&String| heard.split('\t').nth(1) == Some(&format!("n{number}"));
        let words: Vec<&str> = first.iter().filter(of).map(|heard| &heard[..4]).collect();
        assert_eq!(words, ["join", "said", "said", "said", "said", "said", "left"]);
    }
    Ok(())
}

/// How long messages of one take until each of the others has it, the slowest of a hundred last,
/// and all that the first of them heard.
fn broadcast(clients: &mut [Chatter], messages: usize) -> (Duration, Vec<String>) {
    let (mut took, mut heard) = (Vec::new(), Vec::new());
    let padding = "x".repeat(2000);
    for number in 0..messages {
        let text = format!("{number} {padding}");
        let begun = Instant::now();
        clients[0].say(&text).unwrap();
        let said = format!("said\tn0\t{text}");
        for (place, client) in clients.iter_mut().enumerate() {
            let frames = client.hear_until(&said).unwrap();
            took.push(begun.elapsed());
            if place == 0 {
                heard.extend(frames);
            }
        }
    }
    took.sort_unstable();
    (took[took.len() * 99 / 100], heard)
}

fn join(server: &Server, count: usize) -> Vec<Chatter> {
    let join = |number| Chatter::join(server.address(), &format!("n{number}")).unwrap();
    (0..count).map(join).collect()
}

fn one_who_never_reads_is_told_and_dropped_and_the_others_do_not_wait() -> Result<(), Skip> {
    let server = server(&[]);
    let mut good = join(&server, 50);
    let (alone, _) = broadcast(&mut good, 100);
    let mut deaf = Chatter::join(server.address(), "deaf").unwrap();
    let (p99, heard) = broadcast(&mut good, 1_000);
    assert!(heard.iter().any(|heard| heard == "left\tdeaf"), "{}", server.stderr());
    // A machine that is busy with other things lets also good clients wait.
    let limit = Duration::from_millis(50) + 10 * alone;
    assert!(p99 < limit, "{p99:?}, without him {alone:?}");
    // The server does not wait for him for long; what he was sent is still there for him.
    let closed = |log: &str| log.contains(" too slow: 256 messages waiting\n");
    assert!(server.wait_stderr(closed, 10 * SECOND), "{}", server.stderr());
    let heard = deaf.hear_all().unwrap();
    assert_eq!(heard.last().unwrap(), "closed\ttoo slow: 256 messages waiting");
    // What he did get is whole, and in its order.
    for (number, heard) in heard[..heard.len() - 1].iter().enumerate() {
        assert!(heard.starts_with(&format!("said\tn0\t{number} ")), "{number}: {heard}");
    }
    Ok(())
}

fn memory_is_bounded_however_many_do_not_read() -> Result<(), Skip> {
    let server = server(&[]);
    let mut good = Chatter::join(server.address(), "good").unwrap();
    let deaf: Vec<Chatter> = (0..100)
        .map(|number| Chatter::join(server.address(), &format!("d{number}")).unwrap())
        .collect();
    let (mut left, mut most, text) = (0, 0, "x".repeat(4096));
    for _ in 0..5_000 {
        good.say(&text).unwrap();
        let heard = good.hear_until(&format!("said\tgood\t{text}")).unwrap();
        left += heard.iter().filter(|heard| heard.starts_with("left\t")).count();
        most = most.max(evidence::rss(server.pid()).unwrap());
        if left == deaf.len() {
            break;
        }
    }
    assert_eq!(left, deaf.len(), "all of them are dropped");
    // Queues of their own would have held 100 times 256 times 4 KiB.
    assert!(most < 24 << 20, "{most} bytes were resident");
    Ok(())
}

fn one_who_catches_up_hears_everything() -> Result<(), Skip> {
    let server = server(&[]);
    let mut good = Chatter::join(server.address(), "good").unwrap();
    let mut late = Chatter::join(server.address(), "late").unwrap();
    // More than the kernel's buffers hold, and less than the queue beside them.
    let texts: Vec<String> = (0..200).map(|number| format!("{number:04096}")).collect();
    for text in &texts {
        good.say(text).unwrap();
        good.hear_until(&format!("said\tgood\t{text}")).unwrap();
    }
    // Nobody says anything any more: the kernel tells the server that there is room again.
    for text in &texts {
        assert!(late.hear().unwrap().unwrap() == format!("said\tgood\t{text}"));
    }
    Ok(())
}

fn a_flood_is_as_fast_as_its_sender_reads() -> Result<(), Skip> {
    let server = server(&[]);
    let mut observer = Chatter::join(server.address(), "observer").unwrap();
    // It talks and never listens: its own words come back until nothing more is taken from it.
    let mut flood = Chatter::join(server.address(), "flood").unwrap();
    flood.stream.set_write_timeout(Some(SECOND / 2)).unwrap();
    let text = "x".repeat(4096);
    let reader = std::thread::spawn(move || observer.hear_until("said\tnext\tstill here").unwrap());
    let said = (0..100_000).take_while(|_| flood.say(&text).is_ok()).count();
    assert!(said < 100_000, "it has to wait");
    let (pause, cpu) = (SECOND / 2, || evidence::cpu_time(server.pid()).unwrap());
    let before = cpu();
    evidence::wait_until(pause, || None::<()>);
    let spent = cpu() - before;
    assert!(spent < pause / 10, "{spent:?} of {pause:?}: the server does not sleep");
    let mut next = Chatter::join(server.address(), "next").unwrap();
    next.say("still here").unwrap();
    let heard = reader.join().unwrap();
    assert!(heard.len() > 10 && !heard.contains(&"left\tflood".to_owned()), "{}", server.stderr());
    let resident = evidence::rss(server.pid()).unwrap();
    assert!(resident < 16 << 20, "{resident} bytes are resident");
    Ok(())
}

fn five_hundred_clients_are_one_thread() -> Result<(), Skip> {
    let server = server(&["-q"]);
    let mut clients = join(&server, 500);
    let cpu = || evidence::cpu_time(server.pid()).unwrap();
    let (before, messages) = (cpu(), 20);
    for number in 0..messages {
        clients[0].say(&number.to_string()).unwrap();
        let said = format!("said\tn0\t{number}");
        for client in &mut clients {
            let heard = client.hear_until(&said).unwrap();
            let again = heard.iter().filter(|heard| heard.starts_with("said")).count();
            assert_eq!(again, 1, "each message once");
        }
    }
    let spent = cpu() - before;
    assert_eq!(evidence::threads(server.pid()).len(), 1);
    let (resident, each) = (evidence::rss(server.pid()).unwrap(), spent / (messages * 500));
    // A second for 10,000 deliveries would be far more than one sendmsg each.
    assert!(each < Duration::from_millis(1), "{each:?} a delivery");
    assert!(resident < 32 << 20, "{resident} bytes are resident");
    Ok(())
}

fn who_resets_its_connection_has_left() -> Result<(), Skip> {
    let server = server(&[]);
    let mut observer = Chatter::join(server.address(), "observer").unwrap();
    let client = Chatter::join(server.address(), "bob").unwrap();
    // A close with a linger time of 0 is a reset.
    let socket = socket2::SockRef::from(&client.stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    observer.hear_until("left\tbob").unwrap();
    Ok(())
}
