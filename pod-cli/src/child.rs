//! A program that is run for what it prints, and that never outlives its use.
//!
//! It runs in a process group of its own, so that whatever it started goes with it.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::process::{Pid, Signal, kill_process_group};

/// The program; it ends with this value, however that goes.
pub(crate) struct Running(Child);

impl Running {
    /// Starts it.
    pub(crate) fn start(mut command: Command) -> io::Result<Self> {
        command.process_group(0).spawn().map(Self)
    }

    /// Its two streams, as far as they were asked for; none the second time.
    pub(crate) fn streams(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>) {
        (self.0.stdin.take(), self.0.stdout.take())
    }

    /// How it ended; `None` if it has not.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A group that is gone already needs no end.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// What is printed, up to one byte more than `bytes_max`, when all of it is there.
pub(crate) fn read(output: Option<ChildStdout>, bytes_max: u64) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(output) = output {
            // What could be read before it failed is judged by the program's exit code.
            let _ = output.take(bytes_max + 1).read_to_end(&mut bytes);
        }
        // Nobody waits any more if it took too long.
        let _ = sender.send(bytes);
    });
    receiver
}
