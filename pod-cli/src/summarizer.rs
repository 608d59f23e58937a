//! A program that summarises: it reads what is to be summarised on its standard input and prints the summary.
//!
//! It ends when it takes too long, says too much, or when a person presses Ctrl-C. What it is: a line of shell that the user gave on the command
//! line or in the config file.

use std::io::Write;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use crate::app::App;
use crate::child::{self, Running};
use crate::error::{CliError, Result};
use crate::interrupt::StopAsked;

/// The longest summary that is taken, in bytes.
const SUMMARY_BYTES_MAX: u64 = 4 << 20;
/// How often it is looked whether somebody pressed Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);

/// Runs the program and answers with what it printed; `None` if a person would rather not wait.
///
/// # Errors
/// `Summarizer` if it cannot be started, fails, prints nothing, too much or what is no text, or takes longer than `timeout`.
pub(crate) fn run(app: &App, command: &str, text: String, timeout: Duration) -> Result<Option<String>> {
    let asked = app.interrupt.ask_to_stop().map_err(|error| failed(format!("cannot wait for it: {error}")))?;
    let mut running = start(command, app.global.json)?;
    let (input, output) = running.streams();
    // A program that does not read all of it says by its exit code whether that is a failure.
    thread::spawn(move || input.map(|mut input| input.write_all(text.as_bytes())));
    let printed = child::read(output, SUMMARY_BYTES_MAX);
    let deadline = Instant::now() + timeout;
    let Some(bytes) = wait(&asked, deadline, timeout, || match printed.recv_timeout(LOOK) {
        Ok(bytes) => Some(bytes),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(Vec::new()),
    })?
    else {
        return Ok(None);
    };
    if bytes.len() as u64 > SUMMARY_BYTES_MAX {
        return Err(failed(format!("it printed more than {SUMMARY_BYTES_MAX} bytes")));
    }
    let Some(status) = wait(&asked, deadline, timeout, || ended(&mut running))? else { return Ok(None) };
    if !status.success() {
        return Err(failed(status.to_string()));
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.trim().is_empty() => Err(failed("it printed nothing".to_owned())),
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(failed("what it printed is not UTF-8".to_owned())),
    }
}

fn failed(detail: String) -> CliError {
    CliError::Summarizer { detail }
}

/// Asks again and again until there is an answer; `None` if a person pressed Ctrl-C.
fn wait<T>(
    asked: &StopAsked,
    deadline: Instant,
    timeout: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> Result<Option<T>> {
    loop {
        if let Some(answer) = ask() {
            return Ok(Some(answer));
        }
        if asked.flow().is_break() {
            return Ok(None);
        }
        if Instant::now() >= deadline {
            return Err(failed(format!("it took longer than {} seconds", timeout.as_secs())));
        }
    }
}

/// The shell that runs the line.
fn start(line: &str, quiet: bool) -> Result<Running> {
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).stdin(Stdio::piped()).stdout(Stdio::piped());
    if quiet {
        // Standard error is one JSON document.
        shell.stderr(Stdio::null());
    }
    Running::start(shell).map_err(|error| failed(format!("sh cannot be started: {error}")))
}

/// How it ended; `None`, after a moment, if it has not.
fn ended(child: &mut Running) -> Option<ExitStatus> {
    let ended = child.ended();
    if ended.is_none() {
        thread::sleep(LOOK / 10);
    }
    ended
}
