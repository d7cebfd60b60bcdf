//! Any bytes as the head of a reply to socket-errors.

#![no_main]
#![expect(dead_code, reason = "only the pure part of a program is checked")]

#[macro_use]
mod target;
#[path = "../../../crates/socket-errors/src/args.rs"]
mod args;
#[path = "../../../crates/socket-errors/src/report.rs"]
mod report;
#[path = "../seeded.rs"]
mod seeded;
#[path = "../checks/http_reply.rs"]
mod http_reply;

target!(http_reply);
