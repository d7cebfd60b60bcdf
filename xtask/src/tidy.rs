//! `cargo xtask tidy`: the project's rules as code, each with its reason.
//!
//! A rule is one function over the files of the repository; its findings are printed as
//! `file:line: what; why`. They look at text, not at syntax trees: a rule that fires wrongly is
//! worth less than one that is a screen long and understood by whoever trips over it.

mod code;
mod headers;
mod links;
mod manifests;
mod netcore;
mod options;
mod sight;
mod source;
mod table;
mod tree;

use argh::FromArgs;

use tree::{Finding, Tree};
use xtask::{Failure, Output};

/// Check the project's own rules.
#[derive(FromArgs)]
#[argh(subcommand, name = "tidy")]
pub(crate) struct Args {
    /// show the notes too: what is allowed but worth a look
    #[argh(switch)]
    notes: bool,
}

/// All rules, in the order in which a new recipe meets them.
const RULES: &[fn(&Tree) -> Vec<Finding>] = &[
    headers::title_is_one_sentence,
    headers::sections_are_present_and_in_order,
    headers::sections_say_something,
    sight::calls_are_in_sight,
    sight::netcore_bears_no_false_names,
    table::every_recipe_has_a_row,
    manifests::lints_are_inherited,
    manifests::package_fields_are_inherited,
    options::equal_options_have_equal_words,
    netcore::every_public_item_has_a_user,
    links::relative_links_lead_somewhere,
    source::unsafe_has_its_places,
    source::nothing_is_left_undone,
    source::nothing_waits_by_sleeping,
    source::no_path_of_a_machine,
    source::the_root_holds_what_belongs_there,
];

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<bool, Failure> {
    let tree = Tree::read(&netcheck::workspace())?;
    let found: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    let (notes, errors): (Vec<_>, Vec<_>) = found.into_iter().partition(|finding| finding.note);
    for note in notes.iter().filter(|_| args.notes) {
        out.line(format_args!("{note} (note)"))?;
    }
    for error in &errors {
        out.line(error)?;
    }
    let hint = if args.notes || notes.is_empty() { "" } else { " (--notes shows them)" };
    let notes = notes.len();
    match errors.len() {
        0 => out.line(format_args!("tidy: {} rules hold, {notes} notes{hint}", RULES.len()))?,
        errors => out.line(format_args!("tidy: {errors} findings, {notes} notes{hint}"))?,
    }
    Ok(errors.is_empty())
}
