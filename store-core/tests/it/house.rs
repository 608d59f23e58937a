//! The rules between the crates and files of this workspace, read from the manifests and the sources themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate stands in the workspace").to_owned()
}

/// (crate, dependency kind) -> the workspace crates it depends on.
fn dependencies_within_the_workspace() -> BTreeMap<(String, String), BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(workspace_root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let names: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut found = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().expect("a name").to_owned();
        for kind in ["normal", "optional", "dev"] {
            found.insert((name.clone(), kind.to_owned()), BTreeSet::new());
        }
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let on = dependency["name"].as_str().expect("a name");
            if !names.contains(on) {
                continue;
            }
            let optional = dependency["optional"].as_bool().unwrap_or_default();
            let kind = match dependency["kind"].as_str() {
                Some(kind) => kind,
                None if optional => "optional",
                None => "normal",
            };
            found.entry((name.clone(), kind.to_owned())).or_default().insert(on.to_owned());
        }
    }
    found
}

#[test]
fn crates_depend_on_each_other_only_as_the_architecture_says() {
    let found = dependencies_within_the_workspace();
    let allowed: [(&str, &str, &[&str]); 12] = [
        ("store-core", "normal", &[]),
        ("store-core", "dev", &[]),
        ("store-fs", "normal", &["store-core"]),
        ("store-fs", "dev", &["store-conformance", "store-fs"]),
        ("store-sqlite", "normal", &["store-core"]),
        ("store-sqlite", "dev", &["store-conformance"]),
        ("store-conformance", "normal", &["store-core"]),
        ("session-store", "normal", &["store-core"]),
        ("session-store", "optional", &["store-fs", "store-sqlite"]),
        ("session-store", "dev", &["store-conformance", "store-core", "store-fs", "store-sqlite"]),
        ("pod-cli", "normal", &["session-store", "store-core"]),
        ("bench", "normal", &["session-store", "store-core", "store-fs", "store-sqlite"]),
    ];
    let allowed: BTreeMap<(String, String), BTreeSet<String>> = allowed
        .into_iter()
        .map(|(name, kind, on)| ((name.to_owned(), kind.to_owned()), on.iter().map(|on| (*on).to_owned()).collect()))
        .collect();
    let mut complaints = Vec::new();
    for (edge, on) in &found {
        let permitted = allowed.get(edge).cloned().unwrap_or_default();
        for extra in on.difference(&permitted) {
            complaints.push(format!("{} must not have {extra} as a {} dependency", edge.0, edge.1));
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(found.len() >= 18, "the manifests were not read: {found:?}");
}

fn sources_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources_below(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The source files of a crate that hold any of the words outside comments, relative to the crate's `src`.
fn files_that_say(krate: &str, words: &[&str]) -> BTreeSet<String> {
    let source = workspace_root().join(krate).join("src");
    let mut files = Vec::new();
    sources_below(&source, &mut files);
    assert!(!files.is_empty(), "{krate} has no sources");
    let says = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("readable source");
        text.lines()
            .take_while(|line| line.trim() != "mod tests {")
            .filter(|line| !line.trim_start().starts_with("//"))
            .any(|line| words.iter().any(|word| line.contains(word)))
    };
    let relative = |path: PathBuf| path.strip_prefix(&source).expect("below src").to_string_lossy().into_owned();
    files.into_iter().filter(says).map(relative).collect()
}

#[test]
fn only_the_disk_seam_touches_the_filesystem() {
    let words = ["std::fs", "fs::File", "OpenOptionsExt", "rustix::fs"];
    assert_eq!(files_that_say("store-fs", &words), BTreeSet::from(["disk.rs".to_owned()]));
}

#[test]
fn only_one_file_of_the_session_layer_names_a_backend() {
    let words = ["store_fs", "store_sqlite", "FsStore", "SqliteStore"];
    assert_eq!(files_that_say("session-store", &words), BTreeSet::from(["backend.rs".to_owned()]));
}

#[test]
fn the_core_does_no_io_and_reads_no_clock() {
    let words = ["std::fs", "std::net", "std::env", "SystemTime", "Instant::now", "now_v7", "println!"];
    assert_eq!(files_that_say("store-core", &words), BTreeSet::new());
}

#[test]
fn libraries_read_neither_environment_nor_clock() {
    let words = ["std::env", "env::var", "SystemTime::now", "Timestamp::now", "Zoned::now", "process::exit"];
    for krate in ["store-fs", "store-sqlite", "store-conformance", "session-store"] {
        assert_eq!(files_that_say(krate, &words), BTreeSet::new(), "{krate}");
    }
}

#[test]
fn the_architecture_page_names_every_crate() {
    let page = std::fs::read_to_string(workspace_root().join("docs/ARCHITECTURE.md")).expect("docs/ARCHITECTURE.md");
    for (name, _) in dependencies_within_the_workspace().into_keys() {
        assert!(page.contains(&name), "docs/ARCHITECTURE.md does not mention {name}");
    }
}
