//! What several recipes would otherwise repeat.
//!
//! A recipe makes the calls that it is about; this crate holds the rest. Each module reads on its own:
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`cli`] | what every `main` calls: arguments, `--help`, `--explain`, the exit code |
//! | [`error`] | the error type, exit codes, hints |
//! | [`output`] | standard output whose errors are reported |
//! | [`text`] | bytes from outside made safe to show; JSON lines |
//! | [`time`] | durations and timeouts as they are typed |
//! | [`number`] | whole numbers as they are typed |
//! | [`addr`], [`port`] | hosts and ports as they are typed |
//! | [`pattern`] | bytes to send, and where they differ from what comes back |
//! | [`input`] | the words of the command line, or the lines of standard input |
//! | [`service`] | names of ports |
//! | [`resolve`] | names to addresses and back, within a deadline, with the resolver's own errors |
//! | [`connect`] | a client's connection, over every address of a name |
//! | [`signal`] | signals as something to wait for, beside a descriptor |
//! | [`listener`] | a listening socket, and what each error of `accept` means for it |
//! | [`poll`] | poll(2) until a deadline |
//! | [`mmsg`] | many datagrams in one call: `recvmmsg` and `sendmmsg` |
//! | [`unix`] | names of unix sockets as they are typed |
//! | [`pktinfo`] | the address that a datagram was sent to |
//! | [`stop`], [`idle`] | when a server of one thread stops, and which of its clients are idle |
//! | [`timer`] | a deadline as a descriptor |
//! | [`limits`] | how many clients at once, and of one address |
//! | [`echo`] | the buffer of an echo server |
//! | [`chat`] | frames, names and messages of a chat server, without any socket |
//! | [`ntp`] | NTP: packets, timestamps, the checks of a reply, which servers agree |
//! | [`local_time`] | instants in local time |
//! | [`log`] | the readiness line and the connection log |
//!
//! `unsafe` stands in `sys` only.

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        pub mod addr;
        pub mod chat;
        pub mod cli;
        pub mod connect;
        mod deadline;
        pub mod echo;
        mod errno;
        pub mod error;
        mod gai_error;
        mod help;
        pub mod idle;
        pub mod input;
        pub mod limits;
        pub mod listener;
        pub mod local_time;
        pub mod log;
        mod log_file;
        pub mod mmsg;
        pub mod ntp;
        pub mod number;
        pub mod output;
        pub mod pattern;
        pub mod pktinfo;
        pub mod poll;
        pub mod port;
        pub mod resolve;
        pub mod service;
        pub mod signal;
        pub mod stop;
        pub mod sys;
        pub mod text;
        pub mod time;
        pub mod timer;
        pub mod unix;
    } else {
        compile_error!("for Linux only: in WSL 2 on Windows, in a container on other systems");
    }
}

// What a fuzz target checks from outside is checked by a test from inside, in the same words.
#[cfg(test)]
extern crate self as netcore;

#[cfg(test)]
#[path = "../../../tests/fuzz/seeded.rs"]
pub(crate) mod seeded;
