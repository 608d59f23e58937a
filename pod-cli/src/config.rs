//! Where things are: the folders of the XDG base directory specification, the config file, the store's URL.
//!
//! The environment is read once, into [`Environment`]; everything else here is a function of it. What the config file may say is in `file`,
//! what its keys are called on the command line in `key`, and how one is changed without touching the rest in `edit`.

mod edit;
mod file;
mod key;
mod prices;

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use store_core::TimestampMs;
use store_core::ledger::Clock;

pub(crate) use edit::{add_agent, replace_file, set, unset};
pub(crate) use file::Config;
pub(crate) use key::Key;

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
    /// All variables.
    pub(crate) variables: BTreeMap<OsString, OsString>,
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
            variables: env::vars_os().collect(),
            folder: env::current_dir().ok(),
            columns: env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|columns| *columns > 0),
            pager: env::var("PAGER").ok(),
            dumb: env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb"),
            now: now(env::var_os("POD_NOW").as_deref())?,
        })
    }

    /// What a variable is set to; one that is set to nothing is not set.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// What the clock says by now, for who works on for long.
    pub(crate) fn clock(&self) -> TimestampMs {
        now(self.variable("POD_NOW")).unwrap_or(self.now)
    }

    /// The clock of a ledger.
    pub(crate) fn ledger_clock(&self) -> Clock {
        if self.variable("POD_NOW").is_some() {
            let now = self.now.saturating_mul(1000);
            return Arc::new(move || now);
        }
        Arc::new(|| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
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
}

/// A folder that a variable names. The specification says that a relative one is to be ignored.
fn folder_variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn now(named: Option<&OsStr>) -> Result<TimestampMs, CliError> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return named.to_str().and_then(parse_clock).ok_or_else(|| CliError::Usage {
            message: format!("POD_NOW is not an RFC 3339 time: {}", named.display()),
            hint: Some("unset it, or set it to a time such as 2025-11-30T12:00:00Z".to_owned()),
        });
    }
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(TimestampMs::try_from(since_epoch.as_millis()).unwrap_or(TimestampMs::MAX))
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
    match named {
        // A variable that is set to nothing is not set. On the command line it is one that somebody meant to have a value.
        Some("")
            if !environment.variables.contains_key(OsStr::new("POD_STORE"))
                || environment.variable("POD_STORE").is_some() =>
        {
            return Err(CliError::Usage {
                message: "--store names no store".to_owned(),
                hint: Some("for example --store fs:PATH; without it the usual store is meant".to_owned()),
            });
        }
        Some("") | None => {}
        Some(url) => return Ok(StoreUrl { url: url.to_owned(), is_default: false }),
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

/// The same for a path. A relative one stays as it is.
pub(crate) fn expand_path(path: &str, home: Option<&Path>) -> PathBuf {
    match (path, path.strip_prefix("~/"), home) {
        ("~", _, Some(home)) => home.to_owned(),
        (_, Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
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
        let unset = Environment { variables: [("POD_STORE".into(), "".into())].into(), ..environment() };
        assert_eq!(url(Some(""), config, &unset).url, "sqlite:/srv/pod.db");
        let refused = store_url(Some(""), &Config::parse(config).unwrap(), &environment()).unwrap_err();
        assert_eq!(refused.report().code, 2, "an empty --store is a slip, and not the usual store");
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
}
