//! Names, and who receives what: at the beginning, at the end, and at the end of the server.

use std::io::Write;

use libtest_mimic::Trial;
use netcheck::{Run, Server, Signal, Skip};
use scenarios::{Chatter, framed};

use super::{SECOND, answer, heard_by, refused, server};
use crate::{tests, topic};

pub(super) fn trials() -> Vec<Trial> {
    topic(
        "chat_server",
        tests![
            names_have_rules,
            a_name_is_taken_once_and_free_again,
            a_refused_client_has_never_been_there,
            those_who_join_hear_the_history_first,
            a_history_has_to_fit_the_queue,
            a_half_closed_client_hears_its_own_end,
            a_silent_client_is_told_why_it_is_closed,
            a_client_without_a_name_in_time_is_closed,
            all_are_told_that_the_server_stops,
        ],
    )
}

fn names_have_rules() -> Result<(), Skip> {
    let server = server(&[]);
    let why = refused("a name is 1 to 32 printable characters, and no blank or \\");
    let long = "x".repeat(33);
    for name in ["", " ", "a b", "a\tb", "a\nb", "\u{1b}[31m", "\u{202e}bob", "bo\u{200b}b", &long]
    {
        let heard = answer(server.address(), &framed(name));
        assert_eq!(heard, std::slice::from_ref(&why), "{name:?}");
    }
    for name in ["a", "Zoë", "李雷", &"x".repeat(32)] {
        Chatter::join(server.address(), name).unwrap();
    }
    assert!(!server.stderr().contains('\u{1b}') && !server.stderr().contains('\u{202e}'));
    Ok(())
}

fn a_name_is_taken_once_and_free_again() -> Result<(), Skip> {
    let server = server(&[]);
    let first = Chatter::join(server.address(), "bob").unwrap();
    let second = answer(server.address(), &framed("bob"));
    assert_eq!(second, [refused("the name bob is taken")]);
    // It is another name, and the first still has his.
    Chatter::join(server.address(), "Bob").unwrap();
    assert_eq!(first.leave().unwrap().last().unwrap(), "left\tbob");
    Chatter::join(server.address(), "bob").unwrap();
    Ok(())
}

fn a_refused_client_has_never_been_there() -> Result<(), Skip> {
    let server = server(&[]);
    let mut observer = Chatter::join(server.address(), "observer").unwrap();
    answer(server.address(), &framed("observer"));
    answer(server.address(), &[framed(""), framed("what nobody hears")].concat());
    // Nor one that goes before it has said a name.
    Chatter::connect(server.address()).unwrap().leave().unwrap();
    assert_eq!(heard_by(&mut observer, "now"), ["said\tobserver\tnow"]);
    Ok(())
}

fn those_who_join_hear_the_history_first() -> Result<(), Skip> {
    let server = server(&["--history", "3"]);
    let mut first = Chatter::join(server.address(), "first").unwrap();
    for number in 1..=5 {
        first.say(&number.to_string()).unwrap();
    }
    first.hear_until("said\tfirst\t5").unwrap();
    let mut second = Chatter::connect(server.address()).unwrap();
    second.say("second").unwrap();
    let expected = ["said\tfirst\t3", "said\tfirst\t4", "said\tfirst\t5", "joined\tsecond"];
    assert_eq!(second.hear_until("joined\tsecond").unwrap(), expected);
    Ok(())
}

fn a_history_has_to_fit_the_queue() -> Result<(), Skip> {
    let run = |history: &str| {
        let args = ["--port", "0", "--queue", "5", "--history", history];
        Run::new("chat-server").args(args)
    };
    let finished = run("5").finish();
    assert_eq!(finished.code(), Some(2), "{finished:?}");
    let said = "chat-server: --history 5: has to be less than --queue 5\n";
    assert!(finished.stderr_text().starts_with(said), "{}", finished.stderr_text());
    // One that just fits is told whole.
    let server = Server::start_run(run("4"));
    let mut first = Chatter::join(server.address(), "first").unwrap();
    (0..9).for_each(|_| first.say(&"x".repeat(4096)).unwrap());
    first.say("last").unwrap();
    first.hear_until("said\tfirst\tlast").unwrap();
    let mut second = Chatter::connect(server.address()).unwrap();
    second.say("second").unwrap();
    assert_eq!(second.hear_until("joined\tsecond").unwrap().len(), 5);
    Ok(())
}

fn a_half_closed_client_hears_its_own_end() -> Result<(), Skip> {
    let server = server(&[]);
    let mut client = Chatter::connect(server.address()).unwrap();
    client.stream.write_all(&[framed("bob"), framed("hi")].concat()).unwrap();
    assert_eq!(client.leave().unwrap(), ["joined\tbob", "said\tbob\thi", "left\tbob"]);
    Ok(())
}

fn a_silent_client_is_told_why_it_is_closed() -> Result<(), Skip> {
    let server = server(&["--idle-timeout", "200ms"]);
    let mut client = Chatter::join(server.address(), "bob").unwrap();
    assert_eq!(client.hear_all().unwrap(), ["closed\ttimed out after 200ms"]);
    Ok(())
}

fn a_client_without_a_name_in_time_is_closed() -> Result<(), Skip> {
    let server = server(&[]);
    let mut client = Chatter::connect(server.address()).unwrap();
    client.stream.set_read_timeout(Some(20 * SECOND)).unwrap();
    // Half a name is none.
    client.stream.write_all(&framed("bob")[..6]).unwrap();
    assert_eq!(client.hear_all().unwrap(), ["closed\tno name within 10s"]);
    Ok(())
}

fn all_are_told_that_the_server_stops() -> Result<(), Skip> {
    let server = server(&["--grace", "1h"]);
    let join = |name: &&str| Chatter::join(server.address(), name).unwrap();
    let mut clients: Vec<Chatter> = ["a", "b", "c"].iter().map(join).collect();
    clients.push(Chatter::connect(server.address()).unwrap());
    // It is accepted when another one behind it is.
    Chatter::join(server.address(), "last").unwrap();
    server.signal(Signal::SIGTERM);
    for client in &mut clients {
        assert_eq!(client.hear_all().unwrap().last().unwrap(), "closed\tthe server stops");
    }
    // They have not closed yet; when they do, it ends before its grace is over.
    assert!(server.still_running());
    drop(clients);
    assert_eq!(server.wait(5 * SECOND).and_then(|status| status.code()), Some(0));
    Ok(())
}
