//! The exercises: a recipe with a hole in it, checks with evidence from the kernel, and the proof that the
//! checks tell right from wrong.
//!
//! [`runner`] runs one check on one program and answers with a [`Report`]; how the program is started
//! is a [`scenarios::exercise::Launch`], so that a [`sandbox`] can be put around it, as [`grade`] does.

pub mod build;
pub mod bundle;
pub mod check;
pub mod compile;
mod course;
pub mod enter;
pub mod grade;
pub mod hint;
pub mod list;
pub mod many;
mod place;
pub mod report;
pub mod reset;
pub mod runner;
pub mod sandbox;
pub mod scratch;
mod show;
pub mod solution;
pub mod start;
pub mod starter;
pub mod task;
pub mod verify;
pub mod worker;

pub use report::{Report, Verdict};
pub use task::Task;
