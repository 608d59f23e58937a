//! Agents as data: what each is called, where it keeps its conversations, and how it is started on one of them.
//!
//! Nothing in the program knows an agent by name. What it knows of Claude Code, Codex and pi stands in `presets.toml`, in the form in which the
//! config file says it, so that whatever stands there can be overridden, and another agent added, without a new program. What does not
//! live here: how an agent's files are read, which is its format's, and the library's. The price is that a mistake in a preset is found
//! when it is read, as in the config file; a test reads it.
//!
//! * `table` is the form; `spec` what is meant when all that is left out has been filled in.
//! * `command` makes the command line of an agent, purely.
//! * `machine` looks whether an agent is there: its program, its version, its folders.

mod command;
mod machine;
mod spec;
mod table;

pub(crate) use command::{AgentCommand, NoCommand, Template, Wanted};
pub(crate) use machine::{find_program, folders, home, homes, version};
pub(crate) use spec::{AgentSpec, check_name, specs, tables};
pub(crate) use table::{AgentTable, Format};
