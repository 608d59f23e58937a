//! Whole commands: a program from its start to its end, as a person waits for it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;
use crate::ours::Kind;

/// How often a running command is asked how much memory it has used.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The `pod` program that is measured.
#[derive(Clone, Debug)]
pub struct Pod {
    program: PathBuf,
}

/// What a command came to.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// From its start to its end.
    pub time: Duration,
    /// The most memory that it had at once, in KiB; 0 where the system does not tell.
    pub memory_kib: u64,
}

impl Pod {
    /// The program at a path; without one, the one beside this program.
    ///
    /// # Errors
    /// There is none.
    pub fn find(path: Option<&Path>) -> Result<Self> {
        let program = match path {
            Some(path) => path.to_owned(),
            None => std::env::current_exe()?.with_file_name("pod"),
        };
        if !program.is_file() {
            let hint = "build it with `cargo build --release -p pod-cli`, or name it with --pod";
            return Err(format!("there is no {}: {hint}", program.display()).into());
        }
        Ok(Self { program })
    }

    /// Runs a command on the store in a folder, and waits for it. Nothing is read of what it prints.
    ///
    /// # Errors
    /// It cannot be started, or it fails.
    pub fn run(&self, kind: Kind, folder: &Path, arguments: &[&str]) -> Result<Duration> {
        let begun = Instant::now();
        let mut child = self.start(kind, folder, arguments)?;
        let status = child.wait()?;
        let time = begun.elapsed();
        if status.success() { Ok(time) } else { Err(format!("pod {arguments:?}: {status}").into()) }
    }

    /// The same, looking at its memory while it runs.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_watched(&self, kind: Kind, folder: &Path, arguments: &[&str]) -> Result<Took> {
        let begun = Instant::now();
        let mut child = self.start(kind, folder, arguments)?;
        let mut memory_kib = 0;
        loop {
            memory_kib = memory_kib.max(memory_of(&child).unwrap_or(0));
            if let Some(status) = child.try_wait()? {
                let time = begun.elapsed();
                return if status.success() {
                    Ok(Took { time, memory_kib })
                } else {
                    Err(format!("pod {arguments:?}: {status}").into())
                };
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The program with these arguments, for the store in a folder.
    pub fn command(&self, kind: Kind, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--store").arg(kind.url(folder)).args(arguments);
        command
    }

    fn start(&self, kind: Kind, folder: &Path, arguments: &[&str]) -> Result<Child> {
        Ok(self
            .command(kind, folder, arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?)
    }
}

/// The most memory that a process has had so far, in KiB.
fn memory_of(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
