//! What a Claude Code file is, from its first records.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use store_core::{SessionConfig, SessionKind};

use super::sidechain::is_sidechain;
use crate::export::MARK;
use crate::import::fields::{self, owned, text, time_ms};
use crate::import::record::{Agent, FileHead, ForkHint, ParentCall};

/// The largest description of a sub-agent that is read.
const DESCRIPTION_BYTES_MAX: u64 = 64 << 10;

/// Whether a record can only be Claude Code's.
pub(in crate::import) fn sniff(record: &Value) -> bool {
    let Some(kind) = text(record, "type").filter(|_| record.get("payload").is_none()) else { return false };
    let has_session = text(record, "sessionId").is_some();
    match kind {
        "user" | "assistant" | "system" | "attachment" | "progress" => {
            has_session || (text(record, "uuid").is_some() && record.get("parentUuid").is_some())
        }
        "summary" => text(record, "leafUuid").is_some(),
        "file-history-snapshot" => record.get("snapshot").is_some(),
        _ => has_session,
    }
}

/// Whether the first records tell all that there is to be told: the record that says whose the file is, and when it began.
pub(in crate::import) fn tells_head(records: &[Value]) -> bool {
    records.iter().any(|record| text(record, "uuid").is_some())
        && records.iter().filter_map(|record| record.get("timestamp")).any(|time| time_ms(time).is_some())
}

/// The file's head, from its first records; `None` if it holds nothing of Claude Code.
pub(in crate::import) fn head(path: &Path, records: &[Value]) -> Option<FileHead> {
    if !records.iter().any(sniff) {
        return None;
    }
    let native_id = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let birth_ms = records.iter().filter_map(|record| record.get("timestamp")).find_map(time_ms).unwrap_or(0);
    let first = records.iter().find(|record| text(record, "uuid").is_some()).unwrap_or(&Value::Null);
    // In a main file the first record may be that of a sub-agent that the program started by itself.
    let is_main = text(first, "sessionId").is_some_and(|session| session == native_id);
    let is_subagent = is_sidechain(first) && !is_main;
    let version = owned(first, "version").map(|version| ("version".to_owned(), Value::String(version)));
    let mut other: BTreeMap<String, Value> = version.into_iter().collect();
    let mut parent = None;
    if is_subagent {
        let description = describe(path);
        other.extend(["agentType", "description"].into_iter().filter_map(|key| {
            let told = description.get(key).filter(|told| told.is_string())?;
            Some((key.to_owned(), told.clone()))
        }));
        parent = owned(first, "sessionId")
            .filter(|session| *session != native_id)
            .map(|native_id| ParentCall { native_id, call_id: owned(&description, "toolUseId") });
    }
    Some(FileHead {
        agent: Agent::Claude,
        native_id,
        birth_ms,
        kind: if is_subagent { SessionKind::Subagent } else { SessionKind::Main },
        parent,
        fork: ForkHint::None,
        archived: false,
        config: SessionConfig::default(),
        system_prompt: None,
        other,
        inline: false,
        exported: records.iter().find_map(|record| fields::exported(record.get(MARK)?)),
    })
}

/// What lies beside a sub-agent's file and tells what it was started for.
fn describe(path: &Path) -> Value {
    let path = path.with_extension("meta.json");
    let is_file = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= DESCRIPTION_BYTES_MAX);
    let text = is_file.then(|| fs::read_to_string(&path).ok()).flatten();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}
