//! What the config file may say.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::prices::Prices;
use crate::agents::AgentTable;
use crate::error::CliError;

/// What the config file says. docs/CONFIG.md says what each key means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// The store's URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<String>,
    /// Whether commands bring in what agents wrote since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refresh: Option<bool>,
    /// The line of shell that makes the summary of a compaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) summarizer: Option<String>,
    /// What models cost, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) prices: BTreeMap<String, Prices>,
    /// Agents, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) agents: BTreeMap<String, AgentTable>,
}

impl Config {
    /// Reads the config file; one that is not there says nothing.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, CliError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = Self::read(path)?;
        Self::parse(&text).map_err(|detail| CliError::Config { path: path.to_owned(), detail })
    }

    /// The text of the config file; nothing if it is not there.
    pub(crate) fn read(path: &Path) -> Result<String, CliError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            Err(source) => {
                Err(CliError::Config { path: path.to_owned(), detail: format!("it cannot be read: {source}") })
            }
        }
    }

    /// Reads what a config file says.
    ///
    /// # Errors
    /// In words, with the line where there is one.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
            match line {
                Some(line) => format!("line {line}: {}", error.message()),
                None => error.message().to_owned(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_a_table_or_several_by_day() {
        let said = "[prices.one]\ninput = 3\noutput = \"15\"\ncache_read = 0.3\n\n[[prices.two]]\ninput = 1\noutput = 2\n\n\
                    [[prices.two]]\nfrom = \"2025-01-31\"\ninput = 2\noutput = 4\n";
        let config = Config::parse(said).unwrap();
        assert_eq!((config.prices["one"].0.len(), config.prices["two"].0.len()), (1, 2));
        let written = toml::to_string(&config).unwrap();
        assert_eq!(Config::parse(&written).unwrap(), config, "{written}");
        assert!(written.contains("cache_read = \"0.3\""), "{written}");
    }

    #[test]
    fn a_mistake_in_the_config_file_is_told_with_its_line() {
        let unknown = Config::parse("store = \"memory:\"\nstoer = 1\n").unwrap_err();
        assert!(unknown.starts_with("line 2: unknown field `stoer`"), "{unknown}");
        let broken = Config::parse("store = \n").unwrap_err();
        assert!(broken.starts_with("line 1: "), "{broken}");
        let key = Config::parse("[agents.codex]\nprogramm = \"x\"\n").unwrap_err();
        assert!(key.starts_with("line 2: unknown field `programm`, expected one of "), "{key}");
        let format = Config::parse("[agents.mine]\nformat = \"gemini\"\n").unwrap_err();
        assert!(format.starts_with("line 2: there is no format \"gemini\"; there are claude, codex, pi"), "{format}");
        let price = Config::parse("[prices.mine]\ninput = -3\noutput = 15\n").unwrap_err();
        assert!(price.contains("such as 3 or 0.25, not \"-3\""), "{price}");
        let half = Config::parse("[prices.mine]\ninput = 3\n").unwrap_err();
        assert!(half.contains("missing field `output`"), "{half}");
        let typo = Config::parse("[[prices.mine]]\ninput = 3\noutput = 15\ncached = 1\n").unwrap_err();
        assert!(typo.contains("line 4: unknown field `cached`"), "{typo}");
        assert!(Config::parse("prices.mine = 3\n").unwrap_err().contains("a table with input and output"));
        assert!(Config::parse("store = 7").unwrap_err().contains("invalid type: integer `7`, expected a string"));
        assert!(Config::parse("refresh = \"no\"").unwrap_err().contains("expected a boolean"));
    }
}
