//! Pictures of recorded runs: what may never happen, whatever is in a trace.

use std::collections::BTreeSet;
use std::path::PathBuf;

use netcheck::entries;

use crate::arrows::Kind;
use crate::draw::Picture;
use crate::svg::{self, Words};
use crate::tables::Trace;
use crate::{lines, page};

const FIXTURES: [&str; 3] = ["forking", "sntp", "echo"];

fn folder(name: &str) -> PathBuf {
    netcheck::workspace().join("xtask/picture/fixtures").join(name)
}

/// The texts of a recording; the harness's is the last.
fn texts(name: &str) -> Vec<String> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "strace"))
        .collect();
    files.sort();
    assert!(files.last().unwrap().ends_with("harness.strace"));
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

fn picture(texts: &[String]) -> Option<Picture> {
    let last = texts.len() - 1;
    let traces: Vec<Trace> = texts
        .iter()
        .enumerate()
        .map(|(place, text)| Trace { is_harness: place == last, entries: entries(text) })
        .collect();
    Picture::from_traces(&traces, "a title").ok()
}

fn words() -> Words {
    Words {
        title: "a title: </text><script>".to_owned(),
        commands: "program --option".to_owned(),
        description: "ok it holds".to_owned(),
    }
}

/// Well-formed, nothing that overlaps, nothing beyond the edge, and no element that runs.
fn check(picture: &Picture) {
    let known: BTreeSet<&str> = [
        "svg", "title", "desc", "style", "defs", "marker", "path", "pattern", "rect", "text", "g",
        "line",
    ]
    .into();
    for act in &picture.acts {
        assert_eq!(act.overlap(), None);
        assert_eq!(act.outside(), None);
        let svg = svg::svg(act, &words());
        let parsed = roxmltree::Document::parse(&svg).unwrap();
        for node in parsed.descendants().filter(roxmltree::Node::is_element) {
            assert!(known.contains(node.tag_name().name()), "{:?}", node.tag_name());
            assert!(
                node.attributes().all(|it| !it.name().starts_with("on") && it.name() != "href")
            );
        }
        assert!(svg.chars().all(|c| c == '\n' || !c.is_control()));
    }
    for line in lines::lines(picture).lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn the_same_trace_gives_the_same_bytes() {
    for name in FIXTURES {
        let drawn = || {
            let picture = picture(&texts(name)).unwrap();
            check(&picture);
            let svgs: Vec<String> =
                picture.acts.iter().map(|act| svg::svg(act, &words())).collect();
            (svgs, lines::lines(&picture))
        };
        assert_eq!(drawn(), drawn());
    }
}

/// With `BLESS=1` in the environment they are written anew.
#[test]
fn the_pictures_of_the_recorded_runs_are_what_they_were() {
    for name in FIXTURES {
        let picture = picture(&texts(name)).unwrap();
        for (number, act) in (1..).zip(&picture.acts) {
            let file = folder(name).join(format!("{number}.svg"));
            let svg = svg::svg(act, &words());
            if std::env::var_os("BLESS").is_some() {
                std::fs::write(&file, &svg).unwrap();
            }
            let golden = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(
                svg == golden,
                "{} is another picture: look at it, then BLESS=1",
                file.display()
            );
        }
    }
}

/// README shows the recorded run; `cargo test -p picture --test draw` compares it with one of today.
#[test]
fn the_picture_in_readme_is_drawn_from_its_trace() {
    let told = crate::tell::read(&folder("forking")).unwrap();
    let words = crate::draw::words(crate::tell::scenario("forking").unwrap(), &told, true);
    let traces: Vec<Trace> = texts("forking")
        .iter()
        .enumerate()
        .map(|(place, text)| Trace { is_harness: place == 2, entries: entries(text) })
        .collect();
    let picture = Picture::from_traces(&traces, &words.title).unwrap();
    let svg = svg::svg(&picture.acts[0], &words);
    let file = netcheck::workspace().join("docs/pictures/forking.svg");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, &svg).unwrap();
    }
    let shown = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(svg == shown, "{} is another picture: look at it, then BLESS=1", file.display());
}

#[test]
fn bytes_on_arrows_add_up_to_what_each_side_counted() {
    for (name, connections) in [("forking", 3), ("echo", 4)] {
        let picture = picture(&texts(name)).unwrap();
        let (tables, matched) = (&picture.tables, &picture.matched);
        let both =
            matched.flows.iter().filter(|flow| flow.client.is_some() && flow.server.is_some());
        assert_eq!(both.count(), connections, "{name}");
        for (id, flow) in matched.flows.iter().enumerate() {
            let (Some(client), Some(server)) = (flow.client, flow.server) else { continue };
            let counted = |socket: usize, wanted| -> i64 {
                let calls = tables.of_socket[&socket].iter().map(|&id| &tables.calls[id]);
                calls
                    .filter(|call| crate::arrows::transfer(call) == Some(wanted))
                    .filter_map(|call| call.number().filter(|&bytes| bytes > 0))
                    .sum()
            };
            use crate::arrows::Transfer::{Receives, Sends};
            let drawn: u64 = matched
                .arrows
                .iter()
                .filter(|arrow| arrow.flow == Some(id) && arrow.kind == Kind::Bytes)
                .map(|arrow| arrow.bytes)
                .sum();
            let sent = counted(client, Sends) + counted(server, Sends);
            let received = counted(client, Receives) + counted(server, Receives);
            assert_eq!((sent, received), (received, i64::try_from(drawn).unwrap()), "{name}");
        }
    }
}

#[test]
fn a_fork_copies_the_descriptors_and_a_child_is_a_zombie_until_it_is_reaped() {
    let picture = picture(&texts("forking")).unwrap();
    let tables = &picture.tables;
    let children: Vec<_> =
        tables.tasks.iter().filter(|task| task.parent.is_some() && !task.is_thread()).collect();
    assert_eq!(children.len(), 3);
    for child in children {
        assert!(child.reaped > child.ended, "{child:?}");
        // The listener and its connection, from the call on that made it.
        let copies = tables.sockets.iter().flat_map(|socket| &socket.held);
        let copies = copies.filter(|held| held.pid == child.pid && held.from == child.started);
        assert_eq!(copies.count(), 2);
    }
    let kinds = |wanted: Kind| picture.matched.arrows.iter().filter(|it| it.kind == wanted).count();
    assert_eq!((kinds(Kind::Syn), kinds(Kind::Fork), kinds(Kind::Fin)), (3, 3, 6));
    let zombies = picture.acts[0].lives.iter().filter(|life| life.zombie.is_some()).count();
    assert_eq!(zombies, 3);
}

#[test]
fn datagrams_are_matched_and_a_story_is_cut_where_no_program_lives() {
    let picture = picture(&texts("sntp")).unwrap();
    let datagrams: Vec<_> =
        picture.matched.arrows.iter().filter(|arrow| arrow.kind == Kind::Datagram).collect();
    // A request and its reply; the other request was refused.
    assert_eq!(datagrams.iter().filter(|arrow| arrow.to.is_some()).count(), 2);
    assert_eq!(datagrams.iter().filter(|arrow| arrow.to.is_none()).count(), 1);
    assert_eq!(picture.acts.len(), 2);
}

#[test]
fn a_client_that_is_not_yet_accepted_stands_in_the_queue() {
    let picture = picture(&texts("echo")).unwrap();
    let queues = &picture.acts[0].queues;
    assert!(!queues.is_empty() && queues.iter().all(|queue| queue.text.ends_with("in the queue")));
    // 4 MiB are a cycle that repeats: one box.
    assert!(picture.acts[0].boxes.iter().any(|it| it.is_fold && it.text.contains(" × ")));
}

/// A generator, so that a failure can be seen again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }
}

/// Lines are lost, cut, swapped, and have bytes in them that no strace writes.
fn spoiled(text: &str, random: &mut Random) -> String {
    const ODD: [&str; 8] =
        ["</text><script>", "\u{1b}[2J", "\u{202e}", "\"", "<", "]]>", "\u{0}", "-1 EAGAIN"];
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..random.below(12) {
        let (one, other) = (random.below(lines.len()), random.below(lines.len()));
        match random.below(4) {
            0 => lines.swap(one, other),
            1 => drop(lines.remove(one)),
            2 => {
                let cut = random.below(lines[one].len());
                let cut = (0..=cut).rev().find(|&cut| lines[one].is_char_boundary(cut)).unwrap();
                lines[one].truncate(cut);
            }
            _ => {
                let at = random.below(lines[one].len());
                let at = (0..=at).rev().find(|&at| lines[one].is_char_boundary(at)).unwrap();
                lines[one].insert_str(at, ODD[random.below(ODD.len())]);
            }
        }
    }
    lines.join("\n")
}

#[test]
fn a_spoiled_trace_gives_a_picture_or_an_error() {
    let mut random = Random(21);
    let (mut drawn, mut refused) = (0, 0);
    for name in ["forking", "sntp"] {
        let whole = texts(name);
        for _ in 0..150 {
            let spoiled: Vec<String> =
                whole.iter().map(|text| spoiled(text, &mut random)).collect();
            match picture(&spoiled) {
                Some(picture) => {
                    check(&picture);
                    drawn += 1;
                }
                None => refused += 1,
            }
        }
    }
    assert!(drawn > refused, "{drawn} drawn, {refused} refused");
}

#[test]
fn hostile_bytes_stay_text() {
    let hostile = r#""</text><script>alert(1)</script>&amp;""#;
    let texts: Vec<String> = texts("forking")
        .iter()
        .map(|text| text.replace("\"Hello from client 1\"", hostile))
        .collect();
    let picture = picture(&texts).unwrap();
    check(&picture);
    let svg = svg::svg(&picture.acts[0], &words());
    assert!(!svg.contains("<script") && svg.contains("&lt;script&gt;"));
    assert_eq!(svg::escape("a\u{1b}\u{202e}\u{fffe}'"), "a\u{fffd}\u{fffd}\u{fffd}&#39;");
}

#[test]
fn a_page_has_its_pictures_and_loads_nothing() {
    let picture = picture(&texts("sntp")).unwrap();
    let svgs: Vec<String> = picture.acts.iter().map(|act| svg::svg(act, &words())).collect();
    let page = page::page(&svgs, &words());
    assert_eq!(page.matches("<svg").count(), 2);
    assert_eq!(page.matches("<script>").count(), 1);
    assert!(page.contains("default-src 'none'"));
    assert!(["src=", "href=", "@import"].iter().all(|loads| !page.contains(loads)));
    for id in ["id=\"m0-0\"", "id=\"m0-1\"", "t-1 d-1"] {
        assert_eq!(page.matches(id).count(), 1, "{id}");
    }
    // Every colour that is used has its marker.
    for reference in page.split("url(#").skip(1) {
        let id = reference.split(')').next().unwrap();
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
}

/// A picture of calls that are written here; what runs before them opens the socket 3.
fn of_lines(lines: &[&str]) -> Picture {
    let begin = r#"10 1.000000000 execve("/bin/server", ["server"], 0x1 /* 1 var */) = 0 <0.000001000>
10 1.001000000 socket(AF_INET, SOCK_STREAM, 0) = 3<TCP:[100]> <0.000001000>
10 1.001100000 bind(3<TCP:[100]>, {sa_family=AF_INET, sin_port=htons(7), sin_addr=inet_addr("127.0.0.1")}, 16) = 0 <0.000001000>
10 1.001200000 listen(3<TCP:[127.0.0.1:7]>, 128) = 0 <0.000001000>
"#;
    let text = begin.to_owned() + &lines.join("\n");
    let harness = Trace { is_harness: true, entries: Vec::new() };
    let picture =
        Picture::from_traces(&[Trace { is_harness: false, entries: entries(&text) }, harness], "a");
    let picture = picture.map_err(|why| why.to_string()).unwrap();
    check(&picture);
    picture
}

fn labels(picture: &Picture) -> Vec<&str> {
    picture.acts[0].lines.iter().map(|line| &*line.label).filter(|it| !it.is_empty()).collect()
}

fn boxes(picture: &Picture) -> Vec<&str> {
    picture.acts[0].boxes.iter().map(|it| &*it.text).collect()
}

#[test]
fn sigkill_is_an_arrow_to_the_end_of_the_process() {
    let picture = of_lines(&[
        "10 1.002000000 clone(child_stack=NULL, flags=SIGCHLD) = 11 <0.000100000>",
        r#"11 1.003000000 recvfrom(3<TCP:[127.0.0.1:7]>, "x", 9, 0, NULL, NULL) = 1 <0.000100000>"#,
        "10 1.004000000 kill(11, SIGKILL) = 0 <0.000010000>",
        "11 1.005000000 +++ killed by SIGKILL +++",
        "10 1.006000000 wait4(-1, NULL, 0, NULL) = 11 <0.000010000>",
        "10 1.007000000 exit_group(0) = ?",
        "10 1.008000000 +++ exited with 0 +++",
    ]);
    assert_eq!(labels(&picture), ["SIGKILL"]);
    let line = picture.acts[0].lines.iter().find(|line| line.label == "SIGKILL").unwrap();
    let [(_, from), (_, to)] = line.ends;
    let zombie = picture.acts[0].lives.iter().find_map(|life| life.zombie.as_ref()).unwrap();
    assert!(from <= to && (to - zombie.from).abs() < 0.1, "{from} {to} {}", zombie.from);
}

#[test]
fn several_datagrams_of_one_call_are_matched_one_by_one() {
    let peer =
        r#"msg_name={sa_family=AF_INET, sin_port=htons(8), sin_addr=inet_addr("127.0.0.1")}"#;
    let message = |text: &str| {
        format!(r#"{{msg_hdr={{{peer}, msg_iov=[{{iov_base="{text}", iov_len=9}}]}}, msg_len=3}}"#)
    };
    let both = format!("[{}, {}]", message("one"), message("two"));
    let picture = of_lines(&[
        r#"10 1.002000000 socket(AF_INET, SOCK_DGRAM, 0) = 4<UDP:[101]> <0.000001000>"#,
        r#"10 1.002100000 bind(4<UDP:[101]>, {sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("127.0.0.1")}, 16) = 0 <0.000001000>"#,
        "10 1.003000000 clone(child_stack=NULL, flags=SIGCHLD) = 11 <0.000100000>",
        r#"11 1.004000000 socket(AF_INET, SOCK_DGRAM, 0) = 5<UDP:[102]> <0.000001000>"#,
        r#"11 1.004200000 sendto(5<UDP:[127.0.0.1:8->127.0.0.1:9]>, "one", 3, 0, NULL, 0) = 3 <0.000001000>"#,
        r#"11 1.004300000 sendto(5<UDP:[127.0.0.1:8->127.0.0.1:9]>, "two", 3, 0, NULL, 0) = 3 <0.000001000>"#,
        &format!(
            r#"10 1.005000000 recvmmsg(4<UDP:[127.0.0.1:9]>, {both}, 32, 0, NULL) = 2 <0.000001000>"#
        ),
        &format!(
            r#"10 1.006000000 sendmmsg(4<UDP:[127.0.0.1:9]>, {both}, 2, 0) = 2 <0.000001000>"#
        ),
        r#"11 1.007000000 recvfrom(5<UDP:[127.0.0.1:8->127.0.0.1:9]>, "one", 9, 0, NULL, NULL) = 3 <0.000001000>"#,
        "11 1.008000000 exit_group(0) = ?",
        "11 1.008100000 +++ exited with 0 +++",
        "10 1.009000000 exit_group(0) = ?",
        "10 1.009100000 +++ exited with 0 +++",
    ]);
    let datagrams: Vec<_> =
        picture.matched.arrows.iter().filter(|arrow| arrow.kind == Kind::Datagram).collect();
    let lost = datagrams.iter().filter(|arrow| arrow.to.is_none()).count();
    assert_eq!((datagrams.len(), lost), (4, 1));
    assert!(boxes(&picture).contains(&"recvmmsg(4) = 2 datagrams"), "{:?}", boxes(&picture));
}

#[test]
fn epoll_ctl_names_the_list_and_what_goes_on_it() {
    let picture = of_lines(&[
        "10 1.002000000 epoll_create1(EPOLL_CLOEXEC) = 5<anon_inode:[eventpoll]> <0.000001000>",
        "10 1.003000000 epoll_ctl(5<anon_inode:[eventpoll]>, EPOLL_CTL_ADD, 3<TCP:[127.0.0.1:7]>, {events=EPOLLIN, data={u32=3, u64=3}}) = 0 <0.000001000>",
        "10 1.004000000 epoll_ctl(5<anon_inode:[eventpoll]>, EPOLL_CTL_ADD, 6<anon_inode:[signalfd]>, {events=EPOLLIN, data={u32=3, u64=3}}) = 0 <0.000001000>",
        "10 1.009000000 exit_group(0) = ?",
        "10 1.009100000 +++ exited with 0 +++",
    ]);
    let of_list = |text: &&str| text.starts_with("epoll_ctl");
    let texts: Vec<&str> = boxes(&picture).into_iter().filter(of_list).collect();
    assert_eq!(texts, ["epoll_ctl(5, ADD, 3, EPOLLIN)"]);
}

#[test]
fn bytes_of_a_server_with_io_uring_go_to_the_margin_of_what_is_not_recorded() {
    let client = r#"20 1.002000000 execve("/bin/client", ["client"], 0x1 /* 1 var */) = 0 <0.000001000>
20 1.003000000 socket(AF_INET, SOCK_STREAM, 0) = 3<TCP:[200]> <0.000001000>
20 1.003100000 connect(3<TCP:[200]>, {sa_family=AF_INET, sin_port=htons(7), sin_addr=inet_addr("127.0.0.1")}, 16) = 0 <0.000001000>
20 1.004000000 sendto(3<TCP:[127.0.0.1:8->127.0.0.1:7]>, "hello", 5, 0, NULL, 0) = 5 <0.000001000>
20 1.005000000 recvfrom(3<TCP:[127.0.0.1:8->127.0.0.1:7]>, "hello", 9, 0, NULL, NULL) = 5 <0.000001000>
20 1.009000000 exit_group(0) = ?
20 1.009100000 +++ exited with 0 +++
"#;
    let with = |server: &str| {
        let mut lines: Vec<&str> = client.lines().collect();
        lines.extend([server, "10 1.010000000 +++ exited with 0 +++"]);
        of_lines(&lines)
    };
    let ring = "10 1.002500000 io_uring_enter(4<anon_inode:[io_uring]>, 1, 1, IORING_ENTER_GETEVENTS, NULL, 8) = 1 <0.001000000>";
    let picture = with(ring);
    assert_eq!(labels(&picture), ["SYN", "5 B", "5 B"]);
    assert!(picture.acts[0].unseen.is_some());
    assert!(boxes(&picture).iter().any(|text| text.starts_with("io_uring_enter(4, 1")));
    // Nobody accepts: what is sent arrives nowhere.
    let picture = with("10 1.002500000 getpid() = 10 <0.000001000>");
    assert!(labels(&picture).is_empty() && picture.acts[0].unseen.is_none());
}

#[test]
fn a_connection_without_names_is_matched_where_only_one_is_under_way() {
    // As strace has the sockets of another network namespace.
    let client = |pid: u32, at: &str| {
        format!(
            r#"{pid} {at}00000000 execve("/bin/client", ["client"], 0x1 /* 1 var */) = 0 <0.000001000>
{pid} {at}10000000 socket(AF_INET, SOCK_STREAM, 0) = 3<socket:[{pid}]> <0.000001000>
{pid} {at}20000000 connect(3<socket:[{pid}]>, {{sa_family=AF_INET, sin_port=htons(7), sin_addr=inet_addr("127.0.0.1")}}, 16) = 0 <0.000001000>
{pid} {at}40000000 sendto(3<socket:[{pid}]>, "hello", 5, 0, NULL, 0) = 5 <0.000001000>
{pid} {at}80000000 exit_group(0) = ?
{pid} {at}90000000 +++ exited with 0 +++"#
        )
    };
    let server = |fd: u32, at: &str| {
        format!(
            r#"10 {at}30000000 accept4(3<TCP:[127.0.0.1:7]>, {{sa_family=AF_INET, sin_port=htons({fd}), sin_addr=inet_addr("127.0.0.1")}}, [16], 0) = {fd}<socket:[9{fd}]> <0.000001000>
10 {at}50000000 recvfrom({fd}<socket:[9{fd}]>, "hello", 9, 0, NULL, NULL) = 5 <0.000001000>"#
        )
    };
    let syns = |texts: &[String]| {
        let lines: Vec<&str> = texts.iter().flat_map(|text| text.lines()).collect();
        let picture = of_lines(&lines);
        labels(&picture).iter().filter(|label| **label == "SYN").count()
    };
    let one_by_one = [client(20, "1.1"), server(8, "1.1"), client(30, "1.2"), server(9, "1.2")];
    assert_eq!(syns(&one_by_one), 2);
    // Of two at once it is not known which is which.
    let at_once = [client(20, "1.1"), client(30, "1.1"), server(8, "1.1"), server(9, "1.1")];
    assert_eq!(syns(&at_once), 0);
}
