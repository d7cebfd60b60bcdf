//! Any bytes as the head of a request to epoll-web.

#![no_main]
#![expect(dead_code, reason = "only the pure part of a program is checked")]

#[macro_use]
mod target;
#[path = "../../../crates/epoll-web/src/request.rs"]
mod request;
#[path = "../../../crates/epoll-web/src/status.rs"]
mod status;
#[path = "../seeded.rs"]
mod seeded;
#[path = "../checks/http_request.rs"]
mod http_request;

target!(http_request);
