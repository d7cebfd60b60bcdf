//! The checks of the exercises. `cargo xtask exercise check` runs them on what a learner has written, in any
//! language, and `cargo test` on the recipe itself.
//!
//! A check is a statement about a program, and a function that finds out whether it is true: from outside,
//! over the wire and from the kernel. It knows nothing of how the program was written. Points, hints and the
//! reason for a check stand in `crates/RECIPE/exercises/ID.toml`.

mod caller;
mod children;
mod client;
mod datagrams;
mod fault;
mod idle;
mod ntp;
mod service;
mod subject;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use caller::Caller;
pub use client::Client;
pub use datagrams::{DatagramCaller, DatagramClient};
pub use fault::{Fault, Wrong, shown};
pub use service::Service;
pub use subject::{Launch, Subject, Trace};

/// Declares the files of `exercise/` that are exercises, and lists them in the order of the course. rustfmt
/// does not see them here: `cargo xtask ci` names them to it.
macro_rules! exercises {
    ($($name:ident),+ $(,)?) => {
        $(mod $name;)+

        /// Every exercise, in the order of the course.
        pub const ALL: &[Exercise] = &[$($name::EXERCISE),+];
    };
}

exercises! {
    first_echo,
    send_all,
    restart,
    literals,
    first_fork,
    no_zombies,
    graceful_stop,
    half_close,
    every_address,
    join_threads,
    one_thread,
    edges,
    deadline,
    connect_later,
    who_was_asked,
    try_again,
    four_instants,
    believe_no_one,
    slow_reader,
    inside_the_folder,
    until_open,
    hand_over,
    stale_path,
}

/// An exercise, as far as it is code.
#[derive(Clone, Copy, Debug)]
pub struct Exercise {
    /// What it is asked for by: `no-zombies`.
    pub id: &'static str,
    /// The recipe that it is made from, and that solves it.
    pub recipe: &'static str,
    /// The arguments of the recipe when it is checked; `{port}` and `{host}` stand for the address.
    pub args: &'static [&'static str],
    /// The checks, the one that a learner should pass first at the top.
    pub checks: &'static [Check],
}

/// A statement about a program, and how it is found out.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Its name in its exercise: `burst`.
    pub id: &'static str,
    /// What is true of a program that passes.
    pub statement: &'static str,
    /// Finds out: the evidence, or why not.
    pub run: fn(&Subject) -> Result<String, Fault>,
}

impl Check {
    /// Runs it. A panic in it is a bug of the check, and says nothing about the program.
    ///
    /// # Errors
    /// [`Fault`]: the statement is false, or nothing is known.
    pub fn judge(&self, subject: &Subject) -> Result<String, Fault> {
        catch_unwind(AssertUnwindSafe(|| (self.run)(subject)))
            .unwrap_or_else(|panic| Err(Fault::Broken(message_of(&*panic))))
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".into())
}
