//! Changing the config file without touching what else stands in it: comments, order and blank lines stay.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value};

use super::file::Config;
use super::key::{Key, Kind};
use crate::agents::{AgentTable, specs};

/// The text with a key set.
///
/// # Errors
/// In words: the text is no config file, or would not be one any more.
pub(crate) fn set(text: &str, key: &Key, values: &[String]) -> Result<String, String> {
    values.iter().try_for_each(|value| key.check(value))?;
    let new: Value = match (key.kind, values) {
        (Kind::Text, [text]) => text.as_str().into(),
        (Kind::Flag, [text]) => match text.as_str() {
            "true" | "yes" | "on" => true.into(),
            "false" | "no" | "off" => false.into(),
            other => return Err(format!("{key} is true or false, not {other:?}")),
        },
        (Kind::List, values) => values.iter().map(String::as_str).collect::<Array>().into(),
        (Kind::Table, _) => return Err(format!("{key} holds keys of its own: set one of those")),
        (_, values) => return Err(format!("{key} takes one value, not {}", values.len())),
    };
    changed(text, key, |table, name| match table.get_mut(name).and_then(Item::as_value_mut) {
        Some(old) => {
            // What stands behind it on its line, such as a comment, stays.
            let decor = old.decor().clone();
            *old = new;
            *old.decor_mut() = decor;
        }
        None => drop(table.insert(name, Item::Value(new))),
    })
}

/// The text without a key.
///
/// # Errors
/// As [`set`].
pub(crate) fn unset(text: &str, key: &Key) -> Result<String, String> {
    let document = parsed(text)?;
    let mut found = Some(document.as_item());
    for name in &key.names {
        found = found.and_then(|item| item.get(name));
    }
    if found.is_none() {
        return Ok(text.to_owned());
    }
    changed(text, key, |table, name| drop(table.remove(name)))
}

/// The text with an agent that it did not have.
///
/// # Errors
/// As [`set`].
pub(crate) fn add_agent(text: &str, name: &str, agent: &AgentTable) -> Result<String, String> {
    let alone = Config { agents: BTreeMap::from([(name.to_owned(), agent.clone())]), ..Config::default() };
    let said = toml::to_string(&alone).map_err(|error| error.to_string())?;
    let separator = if text.is_empty() || text.ends_with("\n\n") {
        ""
    } else if text.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    };
    checked(format!("{text}{separator}{said}"))
}

fn parsed(text: &str) -> Result<DocumentMut, String> {
    text.parse().map_err(|error: toml_edit::TomlError| error.message().to_owned())
}

/// The text with something done to the table that holds a key, which is made if there is none.
fn changed(text: &str, key: &Key, change: impl FnOnce(&mut dyn TableLike, &str)) -> Result<String, String> {
    let mut document = parsed(text)?;
    let Some((last, tables)) = key.names.split_last() else { return Ok(text.to_owned()) };
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for name in tables {
        let made = || {
            let mut made = Table::new();
            // A table that holds nothing but tables needs no line of its own.
            made.set_implicit(true);
            Item::Table(made)
        };
        let next = table.entry(name).or_insert_with(made);
        table = next.as_table_like_mut().ok_or_else(|| format!("{name} is not a table"))?;
    }
    change(table, last);
    // A mistake that was there before is told where it stands in the file.
    checked(document.to_string()).map_err(|why| Config::parse(text).err().unwrap_or(why))
}

/// A text that is a config file.
fn checked(text: String) -> Result<String, String> {
    let config = Config::parse(&text)?;
    specs(&config.agents)?;
    Ok(text)
}

/// Puts a text in the place of a file, at once. A symbolic link stays one; a folder that is not there is made.
///
/// # Errors
/// What the system refuses.
pub(crate) fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    let path = followed(path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mode = fs::metadata(&path).map_or(0o600, |found| found.permissions().mode() & 0o777);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = folder.join(name);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    let written =
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // What is left of it is of no use; that it cannot be removed is not what went wrong.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Where a path leads, also if nothing is there yet.
fn followed(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::read_link(path) {
            // A link to a file that is not there.
            Ok(to) => Ok(path.parent().unwrap_or(Path::new("/")).join(to)),
            Err(_) => Ok(path.to_owned()),
        },
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        text.parse().unwrap()
    }

    fn set_to(text: &str, name: &str, values: &[&str]) -> Result<String, String> {
        set(text, &key(name), &values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>())
    }

    const FILE: &str = "# Mine.\nstore = \"fs:/a\" # here\n\n[agents.codex]\n# The new one.\nprogram = \"x\"\n";

    #[test]
    fn what_else_stands_there_stays() {
        let text = set_to(FILE, "store", &["sqlite:/b"]).unwrap();
        assert_eq!(text, FILE.replace("fs:/a", "sqlite:/b"));
        let text = set_to(FILE, "agents.codex.resume", &["{program}", "resume", "{native_id}"]).unwrap();
        assert_eq!(text, format!("{FILE}resume = [\"{{program}}\", \"resume\", \"{{native_id}}\"]\n"));
        assert_eq!(
            unset(FILE, &key("agents.codex.program")).unwrap(),
            "# Mine.\nstore = \"fs:/a\" # here\n\n[agents.codex]\n"
        );
        assert_eq!(unset(FILE, &key("refresh")).unwrap(), FILE);
    }

    #[test]
    fn tables_are_made_where_there_are_none() {
        assert_eq!(set_to("", "refresh", &["false"]).unwrap(), "refresh = false\n");
        let text = set_to("refresh = false\n", "agents.pi.env.A", &["b"]).unwrap();
        assert_eq!(text, "refresh = false\n\n[agents.pi.env]\nA = \"b\"\n");
        assert_eq!(
            set_to("agents.pi = { program = \"x\" }\n", "agents.pi.program", &["y"]).unwrap(),
            "agents.pi = { program = \"y\" }\n"
        );
    }

    #[test]
    fn what_would_be_no_config_file_any_more_is_refused() {
        assert!(set_to("", "refresh", &["maybe"]).unwrap_err().contains("true or false"));
        assert!(set_to("", "agents.pi.format", &["x"]).unwrap_err().contains("there is no format"));
        assert!(set_to("", "agents.mine.program", &["x"]).unwrap_err().contains("whose files it writes"));
        assert!(set_to("", "agents.pi.resume", &["x", "{id}"]).unwrap_err().contains("there is no {id}"));
        assert!(set_to("", "store", &["a", "b"]).unwrap_err().contains("one value"));
        assert!(set_to("", "agents.pi", &["a"]).unwrap_err().contains("keys of its own"));
        assert!(set_to("stoer = 1\n", "store", &["memory:"]).unwrap_err().contains("line 1: unknown field `stoer`"));
        assert!(set_to("store = \n", "store", &["memory:"]).is_err());
    }

    #[test]
    fn an_agent_is_added_behind_what_stands_there() {
        let agent: AgentTable =
            toml::from_str("like = \"codex\"\nhomes = [\"~/w\"]\nenv = { CODEX_HOME = \"~/w\" }\n").unwrap();
        let text = add_agent("refresh = true", "work", &agent).unwrap();
        assert_eq!(
            text,
            "refresh = true\n\n[agents.work]\nlike = \"codex\"\nhomes = [\"~/w\"]\n\n[agents.work.env]\nCODEX_HOME = \"~/w\"\n"
        );
        assert_eq!(Config::parse(&text).unwrap().agents["work"], agent);
    }

    #[test]
    fn a_link_stays_one_and_the_mode_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("dotfiles.toml"), folder.path().join("pod/config.toml"));
        replace_file(&link, "a").unwrap();
        assert_eq!(fs::metadata(&link).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(&link).unwrap();
        fs::write(&file, "b").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace_file(&link, "c").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "c");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path().join("pod")).unwrap().count(), 1, "nothing is left beside it");
    }
}
