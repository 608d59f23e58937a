//! A program that summarises: it reads what is to be summarised on its standard input and prints the summary.
//!
//! It runs in a process group of its own, so that whatever it started goes with it when it takes too long, says too much, or when a person
//! presses Ctrl-C. What it is: a line of shell that the user gave on the command line.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::app::App;
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
    let mut child = Running::start(command, app.global.json)?;
    let (input, output) = child.streams();
    // A program that does not read all of it says by its exit code whether that is a failure.
    thread::spawn(move || input.map(|mut input| input.write_all(text.as_bytes())));
    let printed = read(output);
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
    let Some(status) = wait(&asked, deadline, timeout, || child.ended())? else { return Ok(None) };
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

/// What is printed, up to one byte more than is taken.
fn read(output: Option<ChildStdout>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(output) = output {
            // What could be read before it failed is judged by the program's exit code.
            let _ = output.take(SUMMARY_BYTES_MAX + 1).read_to_end(&mut bytes);
        }
        // Nobody waits any more if it took too long.
        let _ = sender.send(bytes);
    });
    receiver
}

/// The program; it ends with this value, however that goes.
struct Running(Child);

impl Running {
    fn start(command: &str, quiet: bool) -> Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        if quiet {
            // Standard error is one JSON document.
            shell.stderr(Stdio::null());
        }
        let child = shell.spawn().map_err(|error| failed(format!("sh cannot be started: {error}")))?;
        Ok(Self(child))
    }

    fn streams(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>) {
        (self.0.stdin.take(), self.0.stdout.take())
    }

    /// How it ended; `None`, after a moment, if it has not.
    fn ended(&mut self) -> Option<ExitStatus> {
        match self.0.try_wait() {
            Ok(Some(status)) => Some(status),
            _ => {
                thread::sleep(LOOK / 10);
                None
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A group that is gone already needs no end.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}
