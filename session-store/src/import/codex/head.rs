//! What a Codex file is, from its first records.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use store_core::{SessionConfig, SessionKind};

use crate::export::MARK;
use crate::import::fields::{self, filled, owned, text, time_ms, uuid_in};
use crate::import::record::{Agent, FileHead, ForkHint, ParentCall};

/// The folder of conversations that Codex keeps out of sight.
const ARCHIVE: &str = "archived_sessions";

/// Fields of the header that are kept as they are.
const KEPT: [&str; 9] = [
    "cli_version",
    "originator",
    "history_mode",
    "agent_nickname",
    "agent_role",
    "dynamic_tools",
    "memory_mode",
    "multi_agent_version",
    "runtime_workspace_roots",
];

/// Whether a record can only be Codex's.
pub(in crate::import) fn sniff(record: &Value) -> bool {
    let known = ["session_meta", "response_item", "event_msg", "turn_context", "compacted", "world_state"];
    match (text(record, "type"), record.get("payload")) {
        (Some(kind), Some(Value::Object(_))) => known.contains(&kind) || kind == "token_usage_record",
        (None, None) => is_flat_header(record) || text(record, "record_type") == Some("state"),
        _ => false,
    }
}

/// The header of the flat form of 2025 has no type.
pub(super) fn is_flat_header(record: &Value) -> bool {
    let absent = ["type", "payload", "uuid", "message"].iter().all(|key| record.get(key).is_none());
    absent
        && text(record, "id").is_some()
        && text(record, "timestamp").is_some()
        && record.get("instructions").is_some()
}

/// The file's head, from its first records; `None` if it holds nothing of Codex.
pub(in crate::import) fn head(path: &Path, records: &[Value]) -> Option<FileHead> {
    let first = records.iter().find(|record| sniff(record))?;
    let wrapped = records.iter().find(|record| text(record, "type") == Some("session_meta"));
    let flat = records.iter().find(|record| is_flat_header(record));
    let meta = wrapped.and_then(|record| record.get("payload")).or(flat).unwrap_or(&Value::Null);
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let native_id = owned(meta, "id").or_else(|| owned(meta, "session_id"));
    let native_id = native_id.unwrap_or_else(|| uuid_in(name).unwrap_or(name).to_owned());
    let birth = [meta.get("timestamp"), wrapped.and_then(|record| record.get("timestamp")), first.get("timestamp")];
    let birth_ms = birth.into_iter().flatten().find_map(time_ms);
    let birth_ms = birth_ms.or_else(|| records.iter().find_map(|record| time_ms(record.get("timestamp")?)));
    let parent = parent_of(meta, &native_id);
    Some(FileHead {
        agent: Agent::Codex,
        birth_ms: birth_ms.unwrap_or(0),
        kind: if is_subagent(meta) { SessionKind::Subagent } else { SessionKind::Main },
        parent,
        fork: fork_of(meta),
        archived: path.components().any(|part| part.as_os_str() == ARCHIVE),
        config: config_of(meta),
        system_prompt: meta.pointer("/base_instructions/text").and_then(Value::as_str).map(str::to_owned),
        other: kept(meta),
        native_id,
        inline: false,
        exported: meta.get(MARK).and_then(fields::exported),
    })
}

fn is_subagent(meta: &Value) -> bool {
    text(meta, "thread_source") == Some("subagent") || meta.pointer("/source/subagent").is_some()
}

fn parent_of(meta: &Value, native_id: &str) -> Option<ParentCall> {
    if !is_subagent(meta) {
        return None;
    }
    let spawned = meta.pointer("/source/subagent/thread_spawn/parent_thread_id").and_then(Value::as_str);
    let parent = filled(meta, "parent_thread_id").or(spawned).or_else(|| filled(meta, "session_id"))?;
    (parent != native_id).then(|| ParentCall { native_id: parent.to_owned(), call_id: None })
}

fn fork_of(meta: &Value) -> ForkHint {
    let base = meta.get("history_base").filter(|base| base.is_object());
    if let Some(base) = base
        && let (Some(thread), Some(end)) =
            (owned(base, "thread_id"), base.get("end_ordinal_exclusive").and_then(Value::as_u64))
    {
        return ForkHint::ByReference { native_id: thread, end_ordinal: end };
    }
    owned(meta, "forked_from_id").map_or(ForkHint::None, |native_id| ForkHint::Copy { native_id })
}

fn config_of(meta: &Value) -> SessionConfig {
    SessionConfig {
        model: None,
        provider: owned(meta, "model_provider"),
        cwd: owned(meta, "cwd"),
        branch: meta.get("git").and_then(|git| owned(git, "branch")),
        thinking: None,
        other: BTreeMap::new(),
    }
}

/// The folder that an `<environment_context>` names.
pub(super) fn cwd_in(context: &str) -> Option<String> {
    let rest = context.trim_start().strip_prefix("<environment_context>")?;
    let tagged = rest.split_once("<cwd>").and_then(|(_, rest)| rest.split_once("</cwd>")).map(|(cwd, _)| cwd);
    let named = || rest.lines().find_map(|line| line.trim().strip_prefix("Current working directory: "));
    tagged.or_else(named).map(|cwd| cwd.trim().to_owned()).filter(|cwd| !cwd.is_empty())
}

fn kept(meta: &Value) -> BTreeMap<String, Value> {
    let fields = KEPT.iter().filter_map(|key| Some(((*key).to_owned(), meta.get(key)?.clone())));
    let mut kept: BTreeMap<String, Value> = fields.filter(|(_, value)| !value.is_null()).collect();
    // `source` is the name of the file that a segment was imported from.
    if let Some(source) = meta.get("source").filter(|source| !source.is_null()) {
        kept.insert("started_by".into(), source.clone());
    }
    if let Some(git) = meta.get("git").filter(|git| git.is_object()) {
        kept.insert("git".into(), git.clone());
    }
    kept
}
