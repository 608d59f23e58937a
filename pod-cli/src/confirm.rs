//! Asking before something is changed that cannot be changed back as easily.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::app::App;
use crate::error::{CliError, Result};
use crate::render::clean;

/// What a person, or the command line for him, said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    /// Do it.
    Given,
    /// Leave it.
    Refused,
}

/// Whether something is to be done: `yes` says so; else a person at the terminal is asked.
///
/// # Errors
/// `Usage` where nobody can be asked.
pub(crate) fn confirm(app: &App, yes: bool, what: &str) -> Result<Consent> {
    if yes {
        return Ok(Consent::Given);
    }
    let stdin = io::stdin();
    if app.global.json || !stdin.is_terminal() || !io::stderr().is_terminal() {
        return Err(CliError::Usage {
            message: format!("{what}: nobody can be asked here whether that is meant"),
            hint: Some("--yes says that it is, --dry-run only says what would be done".to_owned()),
        });
    }
    let warn = app.terminal.error_theme.warn;
    let mut talk = io::stderr().lock();
    write!(talk, "{warn}{}?{warn:#} [y/N] ", clean(what)).and_then(|()| talk.flush()).map_err(CliError::Output)?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(CliError::Output)?;
    Ok(if is_yes(&answer) { Consent::Given } else { Consent::Refused })
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        assert!(["y\n", "Y\r\n", "yes", " YES "].iter().all(|answer| is_yes(answer)));
        assert!(["", "\n", "n\n", "no", "yep", "1"].iter().all(|answer| !is_yes(answer)));
    }
}
