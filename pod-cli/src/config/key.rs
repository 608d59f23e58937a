//! The keys of the config file, as the command line names them: `store`, `agents.codex.program`.

use std::fmt;
use std::str::FromStr;

use crate::agents::{Format, check_name};

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text.
    Text,
    /// Yes or no.
    Flag,
    /// Several texts.
    List,
    /// Keys of its own.
    Table,
}

/// How alike two keys have to be for one to be meant by the other, from 0 to 1.
const ALIKE_MIN: f64 = 0.75;

const KEYS: [(&str, Kind); 5] = [
    ("store", Kind::Text),
    ("refresh", Kind::Flag),
    ("summarizer", Kind::Text),
    ("prices", Kind::Table),
    ("agents", Kind::Table),
];

const PRICE_KEYS: [(&str, Kind); 6] = [
    ("from", Kind::Text),
    ("input", Kind::Text),
    ("cache_read", Kind::Text),
    ("cache_write", Kind::Text),
    ("output", Kind::Text),
    ("long", Kind::Table),
];

const AGENT_KEYS: [(&str, Kind); 12] = [
    ("like", Kind::Text),
    ("title", Kind::Text),
    ("enabled", Kind::Flag),
    ("format", Kind::Text),
    ("program", Kind::Text),
    ("home_variable", Kind::Text),
    ("homes", Kind::List),
    ("folders", Kind::List),
    ("version", Kind::List),
    ("new", Kind::List),
    ("resume", Kind::List),
    ("env", Kind::Table),
];

/// A key of the config file that there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its names, from the outermost table on.
    pub(crate) names: Vec<String>,
    /// What it holds.
    pub(crate) kind: Kind,
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(model) = text.strip_prefix("prices.") {
            return price_key(model);
        }
        let names: Vec<&str> = text.split('.').collect();
        let kind = match names.as_slice() {
            [name] => known(name, &KEYS)?,
            ["agents", name] => check_name(name).map(|()| Kind::Table)?,
            ["agents", name, key] => check_name(name).and_then(|()| known(key, &AGENT_KEYS))?,
            ["agents", name, "env", variable] if is_variable(variable) => check_name(name).map(|()| Kind::Text)?,
            _ => return Err(format!("there is no key {text:?}; keys look like store or agents.codex.program")),
        };
        Ok(Self { names: names.into_iter().map(str::to_owned).collect(), kind })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join("."))
    }
}

impl Key {
    /// Whether a text makes sense as its value. What a table says as a whole is judged when the file is read again.
    pub(crate) fn check(&self, value: &str) -> Result<(), String> {
        match self.names.last().map(String::as_str) {
            Some("format") => value.parse::<Format>().map(drop),
            _ => Ok(()),
        }
    }
}

/// A model, whose name may hold dots, or what is said of it.
fn price_key(text: &str) -> Result<Key, String> {
    let said = text.rsplit_once('.').and_then(|(model, name)| {
        PRICE_KEYS.iter().find(|(known, _)| *known == name).map(|(_, kind)| (vec![model, name], *kind))
    });
    let (names, kind) = said.unwrap_or((vec![text], Kind::Table));
    if names.iter().any(|name| name.is_empty()) {
        return Err("prices are those of a model, such as prices.gpt-5.1.input".to_owned());
    }
    let names = std::iter::once("prices").chain(names).map(str::to_owned).collect();
    Ok(Key { names, kind })
}

fn known(name: &str, keys: &[(&str, Kind)]) -> Result<Kind, String> {
    if let Some((_, kind)) = keys.iter().find(|(known, _)| *known == name) {
        return Ok(*kind);
    }
    let alike =
        keys.iter().map(|(known, _)| (strsim::jaro(known, name), *known)).filter(|(alike, _)| *alike > ALIKE_MIN);
    let meant = alike.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| format!("; did you mean {known:?}?"));
    let names = || format!("; there are {}", keys.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", "));
    Err(format!("there is no key {name:?}{}", meant.unwrap_or_else(names)))
}

fn is_variable(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_names() {
        let kind = |text: &str| text.parse::<Key>().map(|key| key.kind);
        assert_eq!(kind("store"), Ok(Kind::Text));
        assert_eq!(kind("agents.codex"), Ok(Kind::Table));
        assert_eq!(kind("agents.my-own.resume"), Ok(Kind::List));
        assert_eq!(kind("agents.codex.env.CODEX_HOME"), Ok(Kind::Text));
        assert_eq!(kind("prices.gpt-5.1"), Ok(Kind::Table));
        let key: Key = "prices.gpt-5.1.cache_read".parse().unwrap();
        assert_eq!((key.names.join(" ").as_str(), key.kind), ("prices gpt-5.1 cache_read", Kind::Text));
        assert!("prices.".parse::<Key>().is_err());
    }

    #[test]
    fn an_unknown_key_is_told_with_the_one_that_was_meant() {
        let why = |text: &str| text.parse::<Key>().unwrap_err();
        assert_eq!(why("stoer"), "there is no key \"stoer\"; did you mean \"store\"?");
        assert_eq!(why("agents.codex.programm"), "there is no key \"programm\"; did you mean \"program\"?");
        assert!(why("zzz").contains("; there are store, "), "{}", why("zzz"));
        for bad in ["", ".", "store.x", "agents.Codex.program", "agents.codex.env.A-B", "agents..program"] {
            assert!(bad.parse::<Key>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_key_of_the_form_has_a_name() {
        let table: crate::agents::AgentTable = toml::from_str(
            "like = \"a\"\ntitle = \"a\"\nenabled = true\nformat = \"pi\"\nprogram = \"a\"\nhome_variable = \"A\"\nhomes = []\n\
             folders = []\nversion = []\nnew = []\nresume = []\nenv = { A = \"b\" }\n",
        )
        .unwrap();
        let said = toml::Table::try_from(table).unwrap();
        let mut named: Vec<&str> = AGENT_KEYS.iter().map(|(name, _)| *name).collect();
        named.sort_unstable();
        let mut keys: Vec<&str> = said.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, named);
    }

    #[test]
    fn every_key_is_documented() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CONFIG.md")).unwrap();
        for (name, _) in
            KEYS.iter().chain(&AGENT_KEYS).chain(&PRICE_KEYS).filter(|(name, _)| !["agents", "prices"].contains(name))
        {
            assert!(page.contains(&format!("\n| `{name}` |")), "docs/CONFIG.md does not explain {name}");
        }
    }
}
