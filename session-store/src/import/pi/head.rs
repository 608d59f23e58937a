//! What a pi file is, from its first records.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use store_core::{SessionConfig, SessionKind};

use crate::export::MARK;
use crate::import::fields::{self, filled, is_nothing, owned, storable, text, time_ms, uuid_in};
use crate::import::record::{Agent, FileHead, ForkHint};

/// Whether a record can only be pi's.
pub(in crate::import) fn sniff(record: &Value) -> bool {
    let is_foreign = ["uuid", "sessionId", "payload"].iter().any(|key| record.get(key).is_some());
    if is_foreign || text(record, "timestamp").is_none() {
        return false;
    }
    match text(record, "type").unwrap_or_default() {
        "session" => filled(record, "id").is_some(),
        "message" => record.pointer("/message/role").is_some_and(Value::is_string),
        "model_change" => record.get("modelId").is_some(),
        "thinking_level_change" => record.get("thinkingLevel").is_some(),
        "compaction" | "branch_summary" => record.get("summary").is_some(),
        "custom" | "custom_message" | "label" | "session_info" => record.get("parentId").is_some(),
        _ => false,
    }
}

/// The file's head, from its first records; `None` if it holds nothing of pi.
pub(in crate::import) fn head(path: &Path, records: &[Value]) -> Option<FileHead> {
    if !records.iter().any(sniff) {
        return None;
    }
    let header = records.iter().find(|record| text(record, "type") == Some("session")).unwrap_or(&Value::Null);
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let times = std::iter::once(header).chain(records).filter_map(|record| record.get("timestamp"));
    let parent = filled(header, "parentSession").or_else(|| filled(header, "branchedFrom"));
    Some(FileHead {
        agent: Agent::Pi,
        native_id: owned(header, "id").unwrap_or_else(|| uuid_in(name).unwrap_or(name).to_owned()),
        birth_ms: times.into_iter().find_map(time_ms).unwrap_or(0),
        kind: SessionKind::Main,
        parent: None,
        fork: parent.map_or(ForkHint::None, |parent| ForkHint::Copy { native_id: named(parent).to_owned() }),
        archived: false,
        config: SessionConfig {
            model: owned(header, "modelId"),
            provider: owned(header, "provider"),
            cwd: owned(header, "cwd"),
            branch: None,
            thinking: owned(header, "thinkingLevel"),
            other: BTreeMap::new(),
        },
        system_prompt: None,
        other: kept(header),
        inline: false,
        exported: records
            .iter()
            .find(|record| is_mark(record))
            .and_then(|record| fields::exported(record.get("data")?)),
    })
}

/// Whether a record says what its file was exported from.
pub(super) fn is_mark(record: &Value) -> bool {
    text(record, "type") == Some("custom") && text(record, "customType") == Some(MARK)
}

/// What the header says that has no place of its own.
fn kept(header: &Value) -> BTreeMap<String, Value> {
    const READ: [&str; 9] =
        ["type", "id", "timestamp", "cwd", "modelId", "provider", "thinkingLevel", "parentSession", "branchedFrom"];
    let fields = header.as_object().into_iter().flatten();
    let kept = fields.filter(|(name, value)| !READ.contains(&name.as_str()) && !is_nothing(value));
    kept.map(|(name, value)| (name.clone(), storable(value.clone()))).collect()
}

/// The conversation that a path on any machine names.
fn named(path: &str) -> &str {
    uuid_in(path).unwrap_or_else(|| {
        let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
        name.strip_suffix(".jsonl").unwrap_or(name)
    })
}
