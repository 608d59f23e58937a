//! An agent as the config file has it: every key may be left out.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use session_store::import::Agent;

/// What the config file says of an agent. docs/CONFIG.md says what each key means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AgentTable {
    /// The agent from which everything is taken that is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) like: Option<String>,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<String>,
    /// Whether it is used at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enabled: Option<bool>,
    /// Whose files it writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<Format>,
    /// Its program: a name that is looked for in `PATH`, or a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) program: Option<String>,
    /// The variable that names its own folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) home_variable: Option<String>,
    /// Its own folders where that variable is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) homes: Option<Vec<String>>,
    /// Where it keeps conversations: below each of its own folders, or anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) folders: Option<Vec<String>>,
    /// The command that prints its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<Vec<String>>,
    /// The command that begins a conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) new: Option<Vec<String>>,
    /// The command that goes on with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resume: Option<Vec<String>>,
    /// Variables that it is started with.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) env: BTreeMap<String, String>,
}

impl AgentTable {
    /// This, with what it leaves out taken from another one. Variables are taken one by one.
    pub(crate) fn over(self, below: Self) -> Self {
        let mut env = below.env;
        env.extend(self.env);
        Self {
            like: self.like.or(below.like),
            title: self.title.or(below.title),
            enabled: self.enabled.or(below.enabled),
            format: self.format.or(below.format),
            program: self.program.or(below.program),
            home_variable: self.home_variable.or(below.home_variable),
            homes: self.homes.or(below.homes),
            folders: self.folders.or(below.folders),
            version: self.version.or(below.version),
            new: self.new.or(below.new),
            resume: self.resume.or(below.resume),
            env,
        }
    }
}

/// Whose files an agent writes, by the name that the config file has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format(pub(crate) Agent);

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Agent::named(name).map(Self).ok_or_else(|| {
            let names = Agent::ALL.map(Agent::name).join(", ");
            format!("there is no format {name:?}; there are {names}")
        })
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}
