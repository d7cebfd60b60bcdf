//! The shell: scripts that it is given, redirections, and words as it needs them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::run::Run;

impl Run {
    /// A script for the shell; what it is about are its arguments, `"$1"`, `"$2"` and so on. The type of
    /// `script` sees to it that none is pasted into it. A step that fails ends it (`-e`), and a variable
    /// that is not set too (`-u`).
    pub fn script(script: &'static str) -> Self {
        Self::program("sh").args(["-euc", script, "sh"])
    }

    /// It, started by the shell with a redirection as it is typed, such as `>&-`. The process id is its own,
    /// but for a pipe. Its arguments are given before.
    #[must_use]
    pub fn redirected(self, redirection: &str) -> Self {
        let eval = r#"redirection=$1; shift; eval "exec \"\$@\" $redirection""#;
        let typed = format!("{} {redirection}", self.words().join(" "));
        let mut run =
            self.wrapped("sh", ["-euc", eval, "sh", redirection].map(Into::into).to_vec());
        run.typed = Some(typed);
        run
    }

    /// It, with a child that it has not started: it takes the place of a shell that had put one, `sleep`,
    /// into the background. The process id is its own. Its arguments are given before.
    #[must_use]
    pub fn with_inherited_child(self) -> Self {
        let exec = r#"sleep 1000 < /dev/null > /dev/null 2>&1 & exec "$@""#;
        self.wrapped("sh", ["-euc", exec, "sh"].map(Into::into).to_vec())
    }

    /// It, stopped (SIGSTOP) before it begins: what is to attach to it can do so. The process id is its own. Its
    /// arguments are given before.
    #[must_use]
    pub fn stopped_first(self) -> Self {
        let exec = r#"kill -STOP $$; exec "$@""#;
        self.wrapped("sh", ["-euc", exec, "sh"].map(Into::into).to_vec())
    }
}

/// `word` as a shell needs it.
pub fn quoted(word: &OsStr) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:=,+@%".contains(byte);
    match word.to_str() {
        Some(text) if !text.is_empty() && text.bytes().all(|byte| plain(&byte)) => text.to_owned(),
        Some(text) if !text.contains(char::is_control) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        // Control characters and bytes that are no UTF-8 take bash's notation.
        _ => format!("$'{}'", word.as_bytes().escape_ascii()),
    }
}
