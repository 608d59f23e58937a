//! Outputs that were too large for the transcript and lie in files beside it.
//!
//! The model saw a part of such an output, and that is what the tool's result says. The whole is kept behind it. Only a
//! file in the conversation's own folder is read, whatever path the record names.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use store_core::{Extension, Item, LogEntry, Part, TimestampMs};

/// The domain under which such an output is kept.
// Persisted: never rename or reuse.
pub(in crate::import) const DOMAIN: &str = "import.claude.output";

const FOLDER: &str = "tool-results";
const OPENING: &str = "<persisted-output>";
const SAVED_TO: &str = "saved to: ";
/// The largest output that is read.
const BYTES_MAX: u64 = 100 << 20;

/// The outputs that results refer to, and what could not be found of them.
pub(super) fn follow(results: &[Item], file: &Path, ts: TimestampMs) -> (Vec<LogEntry>, Vec<String>) {
    let mut entries = Vec::new();
    let mut warnings = Vec::new();
    for item in results {
        let Item::ToolResult { call_id, parts, .. } = item else { continue };
        for name in parts.iter().filter_map(Part::as_text).filter_map(name_in) {
            let found = read(file, name);
            let text = found.map_or_else(
                |why| {
                    warnings.push(format!("the output {name} {why}"));
                    Value::Null
                },
                Value::String,
            );
            // The entry stands here with or without the text, so that what follows keeps its place.
            let payload = json!({"call_id": call_id, "file": name, "text": text});
            entries.push(LogEntry::Extension(Extension { ts, domain: DOMAIN.to_owned(), payload }));
        }
    }
    (entries, warnings)
}

/// The name of the file that a result refers to.
fn name_in(text: &str) -> Option<&str> {
    let rest = text.trim_start().strip_prefix(OPENING)?;
    let (_, path) = rest.split_once(SAVED_TO)?;
    let name = path.lines().next()?.trim().rsplit(['/', '\\']).next()?;
    (!name.is_empty() && name != "." && name != "..").then_some(name)
}

fn read(file: &Path, name: &str) -> Result<String, String> {
    let own = file.with_extension("").join(FOLDER);
    let of_parent = file.parent().and_then(Path::parent).map(|folder| folder.join(FOLDER));
    let places: Vec<PathBuf> = std::iter::once(own).chain(of_parent).map(|folder| folder.join(name)).collect();
    let found = places.iter().find_map(|path| {
        let meta = fs::symlink_metadata(path).ok()?;
        meta.is_file().then_some((path, meta.len()))
    });
    match found {
        None => Err("is not there".to_owned()),
        Some((_, bytes)) if bytes > BYTES_MAX => Err(format!("has {bytes} bytes, which is too much")),
        Some((path, _)) => {
            let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_a_path_counts() {
        let text = "<persisted-output>\nOutput too large (1KB). Full output saved to: /etc/../x/b0.txt\n\nPreview";
        assert_eq!(name_in(text), Some("b0.txt"));
        assert_eq!(name_in("<persisted-output>\nFull output saved to: C:\\x\\b1.txt"), Some("b1.txt"));
        assert_eq!(name_in("<persisted-output>\nFull output saved to: /x/.."), None);
        assert_eq!(name_in("Full output saved to: /x/b0.txt"), None);
    }
}
