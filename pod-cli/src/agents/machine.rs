//! Whether an agent is there: its folders, its program, what version that is.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};

use super::spec::AgentSpec;
use crate::child::{self, Running};
use crate::config::{Environment, expand_path};

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of it is read.
const VERSION_BYTES_MAX: u64 = 4096;
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// An agent's own folders, whether they are there or not: the one that its variable names, else its usual ones.
pub(crate) fn homes(agent: &AgentSpec, environment: &Environment) -> Vec<PathBuf> {
    let home = environment.home.as_deref();
    if let Some(variable) = &agent.home_variable {
        let of_agent = agent.env.get(variable).map(|text| expand_path(text, home));
        let named = of_agent.or_else(|| environment.variable(variable).map(PathBuf::from));
        if let Some(named) = named.filter(|named| named.is_absolute()) {
            return vec![named];
        }
    }
    agent.homes.iter().map(|text| expand_path(text, home)).filter(|path| path.is_absolute()).collect()
}

/// The folder that an agent keeps everything in: the first of its own that is there.
pub(crate) fn home(agent: &AgentSpec, environment: &Environment) -> Option<PathBuf> {
    let homes = homes(agent, environment);
    homes.iter().find(|home| home.is_dir()).or(homes.first()).cloned()
}

/// Where it keeps conversations, whether that is there or not.
pub(crate) fn folders(agent: &AgentSpec, environment: &Environment) -> Vec<PathBuf> {
    let homes = homes(agent, environment);
    let mut found: Vec<PathBuf> = Vec::new();
    let mut add = |path: PathBuf| {
        if path.is_absolute() && !found.contains(&path) {
            found.push(path);
        }
    };
    for home in &homes {
        agent.folders.iter().for_each(|folder| add(home.join(expand_path(folder, environment.home.as_deref()))));
    }
    // A folder that stands alone needs no home.
    agent.folders.iter().for_each(|folder| add(expand_path(folder, environment.home.as_deref())));
    found
}

/// The file of a program that is named by a path, or by a name that is looked for in `PATH`.
pub(crate) fn find_program(name: &str, environment: &Environment) -> Option<PathBuf> {
    let runs = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    let path = expand_path(name, environment.home.as_deref());
    if name.contains('/') {
        return Some(path).filter(|path| runs(path));
    }
    let folders = environment.variable("PATH").map(OsStr::to_owned).unwrap_or_default();
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| runs(path))
}

/// What a program says its version is; in words why it does not.
pub(crate) fn version(agent: &AgentSpec, program: &Path) -> Result<String, String> {
    let command = agent.version_command().map_err(|_| "no command is configured that prints it".to_owned())?;
    let mut run = Command::new(program);
    run.args(&command.arguments).envs(&command.env).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = Running::start(run).map_err(|error| error.to_string())?;
    let (_, output) = running.streams();
    let printed = child::read(output, VERSION_BYTES_MAX);
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match running.ended() {
            Some(status) => break status,
            None if Instant::now() >= deadline => {
                return Err(format!("it said nothing in {} seconds", PATIENCE.as_secs()));
            }
            None => std::thread::sleep(LOOK),
        }
    };
    let printed = printed.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap_or_default();
    let text = String::from_utf8_lossy(&printed);
    match text.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) if status.success() => Ok(line.to_owned()),
        _ if status.success() => Err("it printed nothing".to_owned()),
        _ => Err(status.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsString;

    use super::*;
    use crate::agents::specs;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment {
            home: Some("/home/dev".into()),
            variables: variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect(),
            ..Environment::default()
        }
    }

    fn all(environment: &Environment) -> Vec<PathBuf> {
        specs(&BTreeMap::new()).unwrap().iter().flat_map(|agent| folders(agent, environment)).collect()
    }

    #[test]
    fn agents_are_looked_for_where_their_variables_say() {
        let usual = [
            "/home/dev/.claude/projects",
            "/home/dev/.config/claude/projects",
            "/home/dev/.codex/sessions",
            "/home/dev/.codex/archived_sessions",
            "/home/dev/.pi/agent/sessions",
        ];
        assert_eq!(all(&environment(&[])), usual.map(PathBuf::from));
        let moved = [("CLAUDE_CONFIG_DIR", "/c"), ("CODEX_HOME", "/x"), ("PI_CODING_AGENT_DIR", "/p")];
        let expected = ["/c/projects", "/x/sessions", "/x/archived_sessions", "/p/sessions"];
        assert_eq!(all(&environment(&moved)), expected.map(PathBuf::from));
        assert_eq!(all(&environment(&[("CODEX_HOME", "here")])), usual.map(PathBuf::from), "a relative one is ignored");
    }

    #[test]
    fn what_an_agent_is_started_with_says_where_it_is() {
        let said = toml::from_str("like = \"codex\"\nenv = { CODEX_HOME = \"~/work\" }\n").unwrap();
        let agents = specs(&BTreeMap::from([("work".to_owned(), said)])).unwrap();
        let work = agents.iter().find(|agent| agent.name == "work").unwrap();
        let found = folders(work, &environment(&[("CODEX_HOME", "/x")]));
        assert_eq!(found, ["/home/dev/work/sessions", "/home/dev/work/archived_sessions"].map(PathBuf::from));
    }

    #[test]
    fn a_folder_may_stand_anywhere() {
        let said = toml::from_str("format = \"pi\"\nfolders = [\"~/talks\", \"/srv/talks\", \"nowhere\"]\n").unwrap();
        let agents = specs(&BTreeMap::from([("mine".to_owned(), said)])).unwrap();
        let mine = agents.iter().find(|agent| agent.name == "mine").unwrap();
        assert_eq!(folders(mine, &environment(&[])), ["/home/dev/talks", "/srv/talks"].map(PathBuf::from));
    }

    #[test]
    fn a_program_is_found_in_path_or_where_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent");
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        let path = folder.path().to_str().unwrap();
        let environment = environment(&[("PATH", path)]);
        assert_eq!(find_program("agent", &environment), None, "a file that cannot be run is no program");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&file, mode).unwrap();
        assert_eq!(find_program("agent", &environment), Some(file.clone()));
        assert_eq!(find_program(file.to_str().unwrap(), &environment), Some(file));
        assert_eq!(find_program("nothing", &environment), None);
    }
}
