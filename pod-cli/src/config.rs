//! Where things are: the folders of the XDG base directory specification, the config file, the store's URL.
//!
//! The environment is read once, into [`Environment`]; everything else here is a function of it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use session_store::import::Agent;
use store_core::TimestampMs;

use crate::error::CliError;
use crate::render::parse_clock;

/// What the program learns from its surroundings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `$HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `$XDG_DATA_HOME`.
    pub(crate) data_home: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`.
    pub(crate) config_home: Option<PathBuf>,
    /// `$CLAUDE_CONFIG_DIR`.
    pub(crate) claude_home: Option<PathBuf>,
    /// `$CODEX_HOME`.
    pub(crate) codex_home: Option<PathBuf>,
    /// `$PI_CODING_AGENT_DIR`.
    pub(crate) pi_home: Option<PathBuf>,
    /// The folder that the program was started in.
    pub(crate) folder: Option<PathBuf>,
    /// `$COLUMNS`.
    pub(crate) columns: Option<usize>,
    /// `$PAGER`.
    pub(crate) pager: Option<String>,
    /// `$TERM` says that nothing can be drawn.
    pub(crate) dumb: bool,
    /// The clock, in milliseconds since the epoch; `$POD_NOW` if it is set.
    pub(crate) now: TimestampMs,
}

impl Environment {
    /// Reads the environment and the clock.
    pub(crate) fn read() -> Result<Self, CliError> {
        Ok(Self {
            home: folder_variable("HOME"),
            data_home: folder_variable("XDG_DATA_HOME"),
            config_home: folder_variable("XDG_CONFIG_HOME"),
            claude_home: folder_variable("CLAUDE_CONFIG_DIR"),
            codex_home: folder_variable("CODEX_HOME"),
            pi_home: folder_variable("PI_CODING_AGENT_DIR"),
            folder: env::current_dir().ok(),
            columns: env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|columns| *columns > 0),
            pager: env::var("PAGER").ok(),
            dumb: env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb"),
            now: now(env::var_os("POD_NOW"))?,
        })
    }

    fn below(&self, named: Option<&PathBuf>, usual: &str) -> Option<PathBuf> {
        named.cloned().or_else(|| self.home.as_ref().map(|home| home.join(usual)))
    }

    /// The config file, whether it exists or not.
    pub(crate) fn config_file(&self) -> Option<PathBuf> {
        self.below(self.config_home.as_ref(), ".config").map(|folder| folder.join("pod").join("config.toml"))
    }

    /// The usual place of the store.
    pub(crate) fn default_store(&self) -> Option<PathBuf> {
        self.below(self.data_home.as_ref(), ".local/share").map(|folder| folder.join("pod").join("sessions"))
    }

    /// The folder that an agent keeps everything in.
    pub(crate) fn agent_home(&self, agent: Agent) -> Option<PathBuf> {
        match agent {
            Agent::Claude => {
                let usual = self.below(self.claude_home.as_ref(), ".claude")?;
                let other = self.home.as_ref().map(|home| home.join(".config").join("claude"));
                let moved = other.filter(|other| self.claude_home.is_none() && !usual.exists() && other.exists());
                Some(moved.unwrap_or(usual))
            }
            Agent::Codex => self.below(self.codex_home.as_ref(), ".codex"),
            Agent::Pi => self.below(self.pi_home.as_ref(), ".pi/agent"),
        }
    }

    /// The folders in which the agents usually keep their conversations, whether they exist or not.
    pub(crate) fn agent_folders(&self) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        match &self.claude_home {
            Some(claude) => folders.push(claude.join("projects")),
            None => folders.extend(self.home.iter().flat_map(|home| {
                [home.join(".claude").join("projects"), home.join(".config").join("claude").join("projects")]
            })),
        }
        if let Some(codex) = self.below(self.codex_home.as_ref(), ".codex") {
            folders.push(codex.join("sessions"));
            folders.push(codex.join("archived_sessions"));
        }
        if let Some(pi) = self.below(self.pi_home.as_ref(), ".pi/agent") {
            folders.push(pi.join("sessions"));
        }
        folders
    }
}

/// A folder that a variable names. The specification says that a relative one is to be ignored.
fn folder_variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn now(named: Option<OsString>) -> Result<TimestampMs, CliError> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return named.to_str().and_then(parse_clock).ok_or_else(|| CliError::Usage {
            message: format!("POD_NOW is not an RFC 3339 time: {}", named.display()),
            hint: Some("unset it, or set it to a time such as 2025-11-30T12:00:00Z".to_owned()),
        });
    }
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(TimestampMs::try_from(since_epoch.as_millis()).unwrap_or(TimestampMs::MAX))
}

/// What the config file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// The store's URL.
    pub(crate) store: Option<String>,
}

impl Config {
    /// Reads the config file; one that is not there says nothing.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, CliError> {
        let Some(path) = path else { return Ok(Self::default()) };
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|detail| CliError::Config { path: path.to_owned(), detail }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(CliError::Io { op: "read", path: path.to_owned(), source }),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
            match line {
                Some(line) => format!("line {line}: {}", error.message()),
                None => error.message().to_owned(),
            }
        })
    }
}

/// The store that is meant, and who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreUrl {
    /// The URL.
    pub(crate) url: String,
    /// Nobody named it: it is the usual place, which need not exist yet.
    pub(crate) is_default: bool,
}

/// Which store is meant: the flag or its variable, then the config file, then the usual place.
pub(crate) fn store_url(named: Option<&str>, config: &Config, environment: &Environment) -> Result<StoreUrl, CliError> {
    if let Some(url) = named.filter(|url| !url.is_empty()) {
        return Ok(StoreUrl { url: url.to_owned(), is_default: false });
    }
    if let Some(url) = config.store.as_deref().filter(|url| !url.is_empty()) {
        return Ok(StoreUrl { url: expand_home(url, environment.home.as_deref()), is_default: false });
    }
    let path = environment.default_store().ok_or_else(|| CliError::Usage {
        message: "there is no place for a store: neither HOME nor XDG_DATA_HOME is an absolute path".to_owned(),
        hint: Some("name one with --store fs:PATH".to_owned()),
    })?;
    let path = path.into_os_string().into_string().map_err(|path| CliError::Usage {
        message: format!("the usual place of the store is not valid UTF-8: {}", path.display()),
        hint: Some("name another one with --store fs:PATH".to_owned()),
    })?;
    Ok(StoreUrl { url: format!("fs:{path}"), is_default: true })
}

/// No shell has seen the config file: `~/` behind the scheme is the home folder.
fn expand_home(url: &str, home: Option<&Path>) -> String {
    let expanded = url.split_once(":~/").zip(home.and_then(Path::to_str));
    expanded.map_or_else(|| url.to_owned(), |((scheme, path), home)| format!("{scheme}:{home}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment { home: Some("/home/dev".into()), ..Environment::default() }
    }

    fn url(named: Option<&str>, config: &str, environment: &Environment) -> StoreUrl {
        store_url(named, &Config::parse(config).unwrap(), environment).unwrap()
    }

    #[test]
    fn the_flag_goes_before_the_config_file_and_that_before_the_usual_place() {
        let config = "store = \"sqlite:/srv/pod.db\"";
        assert_eq!(url(Some("memory:"), config, &environment()).url, "memory:");
        assert_eq!(url(Some(""), config, &environment()).url, "sqlite:/srv/pod.db");
        assert_eq!(url(None, config, &environment()).url, "sqlite:/srv/pod.db");
        let usual = url(None, "", &environment());
        assert_eq!(usual, StoreUrl { url: "fs:/home/dev/.local/share/pod/sessions".to_owned(), is_default: true });
    }

    #[test]
    fn xdg_folders_go_before_the_home_folder() {
        let environment =
            Environment { data_home: Some("/data".into()), config_home: Some("/config".into()), ..environment() };
        assert_eq!(url(None, "", &environment).url, "fs:/data/pod/sessions");
        assert_eq!(environment.config_file(), Some("/config/pod/config.toml".into()));
        assert_eq!(self::environment().config_file(), Some("/home/dev/.config/pod/config.toml".into()));
    }

    #[test]
    fn without_any_folder_the_store_has_to_be_named() {
        let error = store_url(None, &Config::default(), &Environment::default()).unwrap_err();
        assert_eq!(error.report().code, 2);
    }

    #[test]
    fn the_config_file_may_say_home() {
        let store = url(None, "store = \"fs:~/pods\"", &environment());
        assert_eq!(store.url, "fs:/home/dev/pods");
        assert!(!store.is_default);
    }

    #[test]
    fn a_mistake_in_the_config_file_is_told_with_its_line() {
        let unknown = Config::parse("store = \"memory:\"\nstoer = 1\n").unwrap_err();
        assert!(unknown.starts_with("line 2: unknown field `stoer`"), "{unknown}");
        let broken = Config::parse("store = \n").unwrap_err();
        assert!(broken.starts_with("line 1: "), "{broken}");
        assert!(Config::parse("store = 7").is_err());
    }

    #[test]
    fn agents_are_looked_for_where_their_variables_say() {
        let usual = environment().agent_folders();
        assert_eq!(usual.first(), Some(&"/home/dev/.claude/projects".into()));
        assert_eq!(usual.len(), 5);
        let moved = Environment {
            claude_home: Some("/c".into()),
            codex_home: Some("/x".into()),
            pi_home: Some("/p".into()),
            ..environment()
        };
        let expected = ["/c/projects", "/x/sessions", "/x/archived_sessions", "/p/sessions"];
        assert_eq!(moved.agent_folders(), expected.map(PathBuf::from));
    }
}
