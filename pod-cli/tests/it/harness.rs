//! Runs the binary in a world of its own: an empty home, no inherited environment, a clock that stands still.

use std::fmt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// What the clock says: 2025-11-24T16:00:00Z.
pub(crate) const NOW: u64 = 1_764_000_000_000;

/// A home folder with whatever a test puts into it.
pub(crate) struct World {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

/// One run of the binary.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    /// The same with a variable set.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The home folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the store usually is.
    pub(crate) fn usual_store(&self) -> PathBuf {
        self.path().join(".local/share/pod/sessions")
    }

    /// The program, ready to run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pod"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TERM", "xterm-256color")
            .env("TZ", "UTC")
            .env("POD_NOW", "2025-11-24T16:00:00Z")
            .stdin(Stdio::null());
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
    }

    /// The program as somebody to whom permissions apply, which they do not to root: root runs it as nobody, who then
    /// owns the world.
    pub(crate) fn command_of_a_mortal(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        if !rustix::process::geteuid().is_root() {
            return command;
        }
        let program = self.path().join("pod");
        if !program.exists() {
            copy_program(Path::new(env!("CARGO_BIN_EXE_pod")), &program);
        }
        give_away(self.path());
        let mut as_nobody = Command::new(program);
        as_nobody.args(command.get_args()).current_dir(self.path()).env_clear().stdin(Stdio::null()).uid(NOBODY);
        for (name, value) in command.get_envs() {
            as_nobody.env(name, value.unwrap_or_default());
        }
        command = as_nobody;
        command
    }

    /// Runs the program.
    pub(crate) fn pod(&self, arguments: &[&str]) -> Run {
        self.finish(&self.command(arguments).output().expect("the binary runs"))
    }

    /// The same on lines of so many cells.
    pub(crate) fn pod_at_width(&self, cells: usize, arguments: &[&str]) -> Run {
        let output = self.command(arguments).env("COLUMNS", cells.to_string()).output();
        self.finish(&output.expect("the binary runs"))
    }

    /// Runs a line of shell in a folder.
    pub(crate) fn shell(&self, line: &str, folder: &Path, path: &str) -> Run {
        let program = self.command(&[]);
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(folder).env_clear().stdin(Stdio::null());
        for (name, value) in program.get_envs() {
            shell.env(name, value.unwrap_or_default());
        }
        self.finish(&shell.env("PATH", path).output().expect("sh runs"))
    }

    pub(crate) fn finish(&self, output: &Output) -> Run {
        let here = self.path().to_str().expect("a readable path");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8").replace(here, "[HOME]");
        Run {
            code: output.status.code().expect("it ends by itself"),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

/// Copies something that is then run. Another process does it, because a child that another thread starts in that moment would hold a file that
/// this one is writing, and a program that somebody may write to is not run.
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let done = Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(done.success());
    std::fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

/// Writes a script that is then run.
pub(crate) fn write_program(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text).unwrap();
    copy_program(&draft, path);
    std::fs::remove_file(draft).unwrap();
}

/// The user that owns nothing.
const NOBODY: u32 = 65534;

fn give_away(path: &Path) {
    std::os::unix::fs::lchown(path, Some(NOBODY), None).unwrap();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

/// Presses Ctrl-C.
pub(crate) fn interrupt(child: &Child) {
    let done = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(done.success());
}

impl Run {
    /// What it printed, if all went well.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self}");
        self.stdout
    }

    /// The JSON document it printed, if all went well.
    pub(crate) fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The error it told as JSON, with nothing on standard output.
    pub(crate) fn json_error(self) -> Value {
        assert_ne!(self.code, 0, "{self}");
        assert_eq!(self.stdout, "", "{self}");
        let error: Value = serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self}"));
        assert_eq!(error["error"]["code"], self.code, "{self}");
        error
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, stdout, stderr } = self;
        write!(f, "exit code: {code}\n-- standard output\n{stdout}-- standard error\n{stderr}")
    }
}
