//! A program that shows long output page by page, where a person sits at a terminal.

use std::process::{Child, ChildStdin, Command, Stdio};

/// What is tried when nobody named a pager.
const USUAL: &str = "less";

/// The words of the pager's command line; `None` if there is to be none.
///
/// `cat`, and a variable that is set to nothing, mean none.
pub(crate) fn command(named: Option<&str>) -> Option<Vec<String>> {
    let words: Vec<String> = named.unwrap_or(USUAL).split_whitespace().map(str::to_owned).collect();
    let program = words.first()?;
    (program != "cat").then_some(words)
}

/// A pager that runs.
#[derive(Debug)]
pub(crate) struct Pager {
    child: Child,
}

impl Pager {
    /// Starts the pager and hands out what it reads from; `None` if it cannot be started, so that the caller goes
    /// on without one.
    pub(crate) fn start(words: &[String]) -> Option<(Self, ChildStdin)> {
        let (program, arguments) = words.split_first()?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped());
        if std::env::var_os("LESS").is_none() {
            // End at once if one screen is enough, pass colours through, leave the text on the screen.
            command.env("LESS", "FRX");
        }
        let mut child = command.spawn().ok()?;
        let input = child.stdin.take()?;
        Some((Self { child }, input))
    }

    /// Waits until the person has read enough. What the pager itself thinks of its end is its own affair.
    pub(crate) fn wait(mut self) {
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_variable_is_respected_and_may_say_none() {
        let words = |text: &[&str]| Some(text.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(command(None), words(&["less"]));
        assert_eq!(command(Some("most -w")), words(&["most", "-w"]));
        assert_eq!(command(Some("")), None);
        assert_eq!(command(Some("cat")), None);
    }

    #[test]
    fn a_pager_that_is_not_there_is_no_pager() {
        assert!(Pager::start(&["no-such-pager-anywhere".to_owned()]).is_none());
    }

    #[test]
    fn a_pager_reads_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        let words = ["sh".to_owned(), "-c".to_owned(), format!("cat > '{}'", seen.display())];
        let (pager, mut input) = Pager::start(&words).expect("sh starts");
        input.write_all(b"a page\n").unwrap();
        drop(input);
        pager.wait();
        assert_eq!(std::fs::read_to_string(seen).unwrap(), "a page\n");
    }
}
