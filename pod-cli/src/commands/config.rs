//! `pod config path|get|set|unset`

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;

use crate::agents::tables;
use crate::app::App;
use crate::cli::ConfigCommand;
use crate::config::{Config, Key, replace_file, set, store_url, unset};
use crate::error::{CliError, Result, exit};
use crate::output::Output;
use crate::render::clean;

/// Who said what a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum SetBy {
    /// The config file, at least in part.
    File,
    /// Nobody: it is what the program does of itself.
    Default,
}

/// Does what was asked with the config file.
pub(super) fn run(app: &App, command: &ConfigCommand) -> Result<u8> {
    match command {
        ConfigCommand::Path => path(app),
        ConfigCommand::Get { key } => get(app, key.as_deref()),
        ConfigCommand::Set { key, values } => change(app, key, |text, key| set(text, key, values)),
        ConfigCommand::Unset { key } => change(app, key, unset),
    }
}

fn place(app: &App) -> Result<PathBuf> {
    app.environment.config_file().ok_or_else(|| {
        App::usage(
            "there is no place for a config file: neither HOME nor XDG_CONFIG_HOME is an absolute path",
            "set one of them",
        )
    })
}

fn path(app: &App) -> Result<u8> {
    let path = place(app)?;
    if app.global.json {
        app.print_json(&json!({ "path": path.display().to_string(), "exists": path.exists() }))?;
        return Ok(exit::OK);
    }
    let mut out = Output::plain();
    writeln!(out, "{}", path.display())?;
    out.finish()?;
    Ok(exit::OK)
}

fn parse(key: &str) -> Result<Key> {
    key.parse().map_err(|why: String| App::usage(why, "`pod config get` prints the keys that are set"))
}

/// All that is set, by the file or by default, as one table.
fn effective(app: &App) -> Result<toml::Table> {
    let said = app.config()?;
    let all = Config {
        // What the command line says is not what is asked for.
        store: Some(store_url(None, said, &app.environment)?.url),
        refresh: Some(said.refresh.unwrap_or(true)),
        summarizer: said.summarizer.clone(),
        prices: said.prices.clone(),
        agents: tables(&said.agents).map_err(|detail| app.config_error(detail))?,
    };
    toml::Table::try_from(all).map_err(|error| app.config_error(error.to_string()))
}

fn get(app: &App, key: Option<&str>) -> Result<u8> {
    let key = key.map(parse).transpose()?;
    let all = toml::Value::Table(effective(app)?);
    let file = place(app).and_then(|path| Config::read(&path))?;
    let file: toml::Value = toml::from_str(&file).map_err(|error| app.config_error(error.message().to_owned()))?;
    let names = key.as_ref().map(|key| key.names.as_slice()).unwrap_or_default();
    let within =
        |value: &toml::Value| names.iter().try_fold(value.clone(), |value, name| value.get(name.as_str()).cloned());
    let Some(value) = within(&all) else {
        return Err(CliError::NotSet { key: names.join(".") });
    };
    if app.global.json {
        let set_by = if within(&file).is_some() { SetBy::File } else { SetBy::Default };
        app.print_json(&json!({ "key": key.map(|key| key.to_string()), "value": value, "set_by": set_by }))?;
        return Ok(exit::OK);
    }
    let mut out = Output::plain();
    match value {
        toml::Value::String(text) => writeln!(out, "{}", clean(&text))?,
        toml::Value::Array(items) => {
            for item in items {
                writeln!(out, "{}", clean(item.as_str().unwrap_or_default()))?;
            }
        }
        toml::Value::Table(table) => {
            let text = toml::to_string(&table).map_err(|error| app.config_error(error.to_string()))?;
            write!(out, "{}", clean(&text))?;
        }
        other => writeln!(out, "{other}")?,
    }
    out.finish()?;
    Ok(exit::OK)
}

fn change(app: &App, key: &str, change: impl FnOnce(&str, &Key) -> Result<String, String>) -> Result<u8> {
    let key = parse(key)?;
    let path = place(app)?;
    let before = Config::read(&path)?;
    let after =
        change(&before, &key).map_err(|why| App::usage(why, "nothing was changed; docs/CONFIG.md has the keys"))?;
    let changed = before != after;
    if changed {
        write(&path, &after)?;
    }
    if app.global.json {
        app.print_json(&json!({ "key": key.to_string(), "path": path.display().to_string(), "changed": changed }))?;
    } else {
        app.say(&if changed { format!("changed {}", path.display()) } else { "nothing was changed".to_owned() });
    }
    Ok(exit::OK)
}

/// Puts the text in the config file's place.
pub(super) fn write(path: &std::path::Path, text: &str) -> Result<()> {
    replace_file(path, text).map_err(|source| CliError::Io { op: "write", path: path.to_owned(), source })
}
