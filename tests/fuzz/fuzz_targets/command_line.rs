//! Any bytes as a command line, and as the values of options.

#![no_main]
#![expect(dead_code, reason = "only the pure part of a program is checked")]

#[macro_use]
mod target;
#[path = "../seeded.rs"]
mod seeded;
#[path = "../checks/command_line.rs"]
mod command_line;

target!(command_line);
