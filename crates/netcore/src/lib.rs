//! What several recipes would otherwise repeat.
//!
//! A recipe tells the story, this crate carries the armour. Each module reads on its own:
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`cli`] | the one line of every `main`: arguments, `--help`, `--explain`, the end of a program |
//! | [`error`] | the error type, exit codes, hints |
//! | [`output`] | standard output that reports a closed pipe and a full disk |
//! | [`text`] | bytes from outside made safe to show; JSON lines |
//! | [`time`] | durations and time-outs as people type them |
//! | [`number`] | whole numbers as people type them |
//! | [`addr`], [`port`] | hosts and ports as people type them |
//! | [`pattern`] | bytes to send, and where they differ from what comes back |
//! | [`input`] | the words of the command line, or the lines of standard input |
//! | [`service`] | names of ports |
//! | [`resolve`] | names to addresses and back, within a deadline, with the resolver's own errors |
//! | [`connect`] | a client's connection, over every address of a name |
//! | [`signal`] | stop, reap and report on signals; waiting for a descriptor or for a signal |
//! | [`listener`] | a listening socket, and what to do about each error of `accept` |
//! | [`poll`] | poll(2) until a deadline |
//! | [`stop`], [`idle`] | when a server of one thread stops, and which of its clients are idle |
//! | [`timer`] | a deadline as a descriptor |
//! | [`limits`] | how many clients at once, and of one address |
//! | [`echo`] | the service itself, for servers with a process or a thread for each client |
//! | [`chat`] | frames, names and what a chat server tells, apart from any socket |
//! | [`ntp`] | the time of a server: packets, instants, whom to believe |
//! | [`local_time`] | instants as the clock on the wall shows them |
//! | [`timestamp`] | a datagram with the instant at which it came |
//! | [`log`] | the readiness line and the connection log |
//!
//! `unsafe` stands in `sys` only.

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
pub mod ntp;
pub mod number;
pub mod output;
pub mod pattern;
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
pub mod timestamp;

// What the fuzz target checks from outside is checked by a test from inside, in the same words.
#[cfg(test)]
extern crate self as netcore;
