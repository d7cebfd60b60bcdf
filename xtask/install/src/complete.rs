//! Completions for three shells, as `argh_complete` writes them.

use std::path::PathBuf;

use argh_complete::Generator;
use argh_complete::bash::Bash;
use argh_complete::fish::Fish;
use argh_complete::zsh::Zsh;
use argh_shared::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};

use crate::help::Help;

/// Each file below share/, and its text.
pub(crate) fn scripts(name: &str, help: &Help) -> [(PathBuf, String); 3] {
    let options = help.flags();
    let flags: Vec<FlagInfo> = options
        .iter()
        .map(|(flag, meaning)| FlagInfo {
            kind: match &flag.value {
                Some(value) => FlagInfoKind::Option { arg_name: value },
                None => FlagInfoKind::Switch,
            },
            optionality: Optionality::Optional,
            long: &flag.long,
            short: flag.short,
            description: meaning,
            hidden: false,
        })
        .collect();
    let command = CommandInfoWithArgs {
        name,
        short: &'\0',
        description: &help.title,
        examples: &[],
        flags: &flags,
        notes: &[],
        commands: Vec::new(),
        positionals: &[],
        error_codes: &[],
    };
    [
        (format!("bash-completion/completions/{name}").into(), Bash::generate(name, &command)),
        (format!("zsh/site-functions/_{name}").into(), Zsh::generate(name, &command)),
        (format!("fish/vendor_completions.d/{name}.fish").into(), Fish::generate(name, &command)),
    ]
}
