//! Any bytes as a services file, and as a question to service-name.

#![no_main]
#![expect(dead_code, reason = "only the pure part of a program is checked")]

#[macro_use]
mod target;
#[path = "../../../crates/service-name/src/args.rs"]
mod args;
#[path = "../../../crates/service-name/src/report.rs"]
mod report;
#[path = "../seeded.rs"]
mod seeded;
#[path = "../checks/services_file.rs"]
mod services_file;

target!(services_file);
