//! What is meant by an agent when everything that its table leaves out has been filled in.
//!
//! A table of the config file goes over the preset of its name, or over the agent that it says it is `like`. Pure: what is there on the machine
//! is `machine`'s.

use std::collections::BTreeMap;

use serde::Deserialize;
use session_store::import::Agent;

use super::command::Template;
use super::table::AgentTable;

const PRESETS: &str = include_str!("presets.toml");

/// How many agents may be like each other in a row.
const LIKE_MAX: usize = 8;
/// The longest name of an agent.
const NAME_CHARS_MAX: usize = 32;

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentSpec {
    /// The name under which the config file and the command line know it.
    pub(crate) name: String,
    /// What people call it.
    pub(crate) title: String,
    /// Whether it is used at all.
    pub(crate) enabled: bool,
    /// The program knows it of itself.
    pub(crate) is_preset: bool,
    /// Whose files it writes.
    pub(crate) format: Agent,
    /// Its program: a name or a path; `None`: it cannot be started.
    pub(crate) program: Option<String>,
    /// The variable that names its own folder.
    pub(crate) home_variable: Option<String>,
    /// Its own folders where that is not set.
    pub(crate) homes: Vec<String>,
    /// Where it keeps conversations.
    pub(crate) folders: Vec<String>,
    /// The command that prints its version.
    pub(crate) version: Option<Template>,
    /// The command that begins a conversation.
    pub(crate) new: Option<Template>,
    /// The command that goes on with one.
    pub(crate) resume: Option<Template>,
    /// Variables that it is started with.
    pub(crate) env: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Presets {
    agents: BTreeMap<String, AgentTable>,
}

fn presets() -> Result<BTreeMap<String, AgentTable>, String> {
    toml::from_str::<Presets>(PRESETS).map(|presets| presets.agents).map_err(|error| error.to_string())
}

/// All agents, as tables that leave out nothing that is known, by name.
pub(crate) fn tables(said: &BTreeMap<String, AgentTable>) -> Result<BTreeMap<String, AgentTable>, String> {
    let presets = presets()?;
    let names = presets.keys().chain(said.keys());
    names.map(|name| Ok((name.clone(), filled(name, said, &presets, LIKE_MAX)?))).collect()
}

/// All agents by name, of what the config file says and the presets below it.
///
/// # Errors
/// In words that name the key: what does not make sense.
pub(crate) fn specs(said: &BTreeMap<String, AgentTable>) -> Result<Vec<AgentSpec>, String> {
    let presets = presets()?;
    tables(said)?.into_iter().map(|(name, table)| spec(name, table, &presets)).collect()
}

fn filled(
    name: &str,
    said: &BTreeMap<String, AgentTable>,
    presets: &BTreeMap<String, AgentTable>,
    left: usize,
) -> Result<AgentTable, String> {
    let table = said.get(name).cloned().unwrap_or_default();
    let below = match &table.like {
        None => presets.get(name).cloned().unwrap_or_default(),
        Some(like) if !said.contains_key(like) && !presets.contains_key(like) => {
            let names: Vec<&str> = presets.keys().chain(said.keys()).map(String::as_str).collect();
            return Err(format!("agents.{name}.like: there is no agent {like:?}; there are {}", names.join(", ")));
        }
        Some(_) if left == 0 => {
            return Err(format!("agents.{name}.like: the agents that it is like go round in a circle"));
        }
        // What somebody is called, and whether they are used, is nobody else's.
        Some(like) => AgentTable { title: None, enabled: None, ..filled(like, said, presets, left - 1)? },
    };
    Ok(table.over(below))
}

fn spec(name: String, table: AgentTable, presets: &BTreeMap<String, AgentTable>) -> Result<AgentSpec, String> {
    check_name(&name)?;
    let format = table.format.ok_or_else(|| {
        format!("agents.{name}: it has to say whose files it writes, by `format`, or which agent it is `like`")
    })?;
    let template = |key: &str, words: Option<Vec<String>>| {
        words.map(|words| Template::new(words).map_err(|why| format!("agents.{name}.{key}: {why}"))).transpose()
    };
    Ok(AgentSpec {
        version: template("version", table.version)?,
        new: template("new", table.new)?,
        resume: template("resume", table.resume)?,
        title: table.title.unwrap_or_else(|| name.clone()),
        enabled: table.enabled.unwrap_or(true),
        is_preset: presets.contains_key(&name),
        format: format.0,
        program: table.program.filter(|program| !program.is_empty()),
        home_variable: table.home_variable.filter(|variable| !variable.is_empty()),
        homes: table.homes.unwrap_or_default(),
        folders: table.folders.unwrap_or_default(),
        env: table.env,
        name,
    })
}

/// Whether an agent may be called that.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(is_fine) {
        return Ok(());
    }
    Err(format!("agents.{name}: a name is 1 to {NAME_CHARS_MAX} of a-z, 0-9, - and _"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> BTreeMap<String, AgentTable> {
        toml::from_str::<Presets>(text).unwrap().agents
    }

    fn named(text: &str, name: &str) -> AgentSpec {
        specs(&said(text)).unwrap().into_iter().find(|spec| spec.name == name).unwrap()
    }

    #[test]
    fn the_presets_make_sense() {
        let known = specs(&BTreeMap::new()).unwrap();
        let names: Vec<&str> = known.iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!(names, ["claude", "codex", "pi"]);
        for spec in &known {
            assert_eq!(spec.format.name(), spec.name);
            assert!(spec.is_preset && spec.enabled && spec.program.is_some() && spec.home_variable.is_some());
            assert!(spec.resume.is_some() && spec.new.is_some() && spec.version.is_some(), "{spec:?}");
        }
    }

    #[test]
    fn what_the_config_file_leaves_out_is_the_presets() {
        let spec = named("[agents.codex]\nprogram = \"/opt/codex\"\n", "codex");
        assert_eq!(spec.program.as_deref(), Some("/opt/codex"));
        assert_eq!(spec.folders, ["sessions", "archived_sessions"]);
        assert!(spec.is_preset);
    }

    #[test]
    fn an_agent_that_is_like_another_has_a_name_of_its_own() {
        let text = "[agents.codex]\ntitle = \"C\"\nenabled = false\nenv = { A = \"1\", B = \"2\" }\n\
                    [agents.work]\nlike = \"codex\"\nhomes = [\"~/.codex-work\"]\nenv = { B = \"3\" }\n";
        let spec = named(text, "work");
        assert_eq!((spec.title.as_str(), spec.enabled, spec.format), ("work", true, Agent::Codex));
        assert_eq!((spec.homes, spec.is_preset), (vec!["~/.codex-work".to_owned()], false));
        let env: Vec<(String, String)> = spec.env.into_iter().collect();
        assert_eq!(env, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "3".to_owned())]);
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_key() {
        for (text, start) in [
            ("[agents.mine]\nprogram = \"x\"\n", "agents.mine: it has to say whose files"),
            ("[agents.mine]\nlike = \"nobody\"\n", "agents.mine.like: there is no agent \"nobody\""),
            ("[agents.a]\nlike = \"b\"\n[agents.b]\nlike = \"a\"\n", "agents.a.like: the agents"),
            ("[agents.codex]\nresume = [\"x\", \"{session}\"]\n", "agents.codex.resume: there is no {session}"),
            ("[agents.codex]\nnew = []\n", "agents.codex.new: a command has"),
            ("[agents.\"My Agent\"]\nformat = \"pi\"\n", "agents.My Agent: a name is"),
        ] {
            // Both that go round in a circle are at fault; which one is told follows from their names alone.
            let error = specs(&said(text)).unwrap_err();
            assert!(error.starts_with(start) || error.starts_with(&start.replace("agents.a", "agents.b")), "{error}");
        }
    }
}
