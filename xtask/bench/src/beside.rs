//! Another build of our servers, which takes part in the same rounds: `--beside before=target/before`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What that build is called in the report, and where its programs are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Beside {
    pub(crate) label: String,
    pub(crate) folder: PathBuf,
}

impl FromStr for Beside {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (label, folder) = text
            .split_once('=')
            .ok_or_else(|| format!("'{text}': expected NAME=PATH, such as before=target/before"))?;
        // It stands in JSON and in SVG as it is.
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if label.is_empty() || !label.chars().all(fits) {
            return Err(format!("'{label}': a name is letters, digits, '-', '.' and '_'"));
        }
        if !Path::new(folder).is_dir() {
            return Err(format!("'{folder}' is not a folder"));
        }
        Ok(Self { label: label.to_owned(), folder: folder.into() })
    }
}

impl Beside {
    /// How a server of this build is called in the report.
    pub(crate) fn name(&self, ours: &str) -> String {
        format!("{ours} ({})", self.label)
    }

    /// Its program there.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn program(&self, package: &str) -> Result<PathBuf, String> {
        let program = self.folder.join(package);
        if program.is_file() {
            return Ok(program);
        }
        Err(format!("{} does not exist", program.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_has_a_name_and_a_folder() {
        let here = env!("CARGO_MANIFEST_DIR");
        let beside: Beside = format!("before={here}").parse().unwrap();
        assert_eq!(beside, Beside { label: "before".into(), folder: here.into() });
        assert_eq!(beside.name("epoll-echo --edge"), "epoll-echo --edge (before)");
        assert_eq!(beside.program("Cargo.toml"), Ok(Path::new(here).join("Cargo.toml")));
        assert!(
            beside.program("no-such-echo").unwrap_err().ends_with("no-such-echo does not exist")
        );
    }

    #[test]
    fn any_other_word_is_refused() {
        for (wrong, why) in [
            ("before", "NAME=PATH"),
            ("=src", "a name is"),
            ("a\"b=src", "a name is"),
            ("before=no-such-folder", "'no-such-folder' is not a folder"),
            ("before=", "'' is not a folder"),
        ] {
            let said = wrong.parse::<Beside>().unwrap_err();
            assert!(said.contains(why), "{wrong}: {said}");
        }
    }
}
