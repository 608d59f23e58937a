//! Sub-agents among the records of the conversation that started them, as versions before 2.0 wrote them.
//!
//! Such a record says `isSidechain`. Each sub-agent begins with the prompt that it was given and goes on by `parentUuid`; several
//! that work at once alternate. Nothing names the call that started one but the prompt itself, which is the call's.
//!
//! Which sub-agent a record belongs to is told by the sidechain records before it alone: [`Threads`] comes to the same threads
//! whether or not the records between them are read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_core::{LogEntry, SessionConfig, SessionKind};

use super::place::Place;
use super::reader::ClaudeReader;
use super::{content, typed};
use crate::import::fields::{field, filled, owned, text};
use crate::import::memory::{Key, Memory, Notes};
use crate::import::record::{Agent, FileHead, ForkHint, ParentCall, Step};

/// The tools that start a sub-agent.
const TOOLS: [&str; 2] = ["Task", "Agent"];

/// Whether a record is one of a sub-agent.
pub(in crate::import) fn is_sidechain(record: &Value) -> bool {
    field(record, "isSidechain").and_then(Value::as_bool) == Some(true)
}

/// Whether the text of a line may hold such a record.
pub(in crate::import) fn may_be_sidechain(line: &str) -> bool {
    line.split("\"isSidechain\"").skip(1).any(|behind| {
        let value = behind.trim_start().strip_prefix(':').unwrap_or_default();
        value.trim_start().starts_with("true")
    })
}

/// Where a sidechain record belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::import) struct Thread {
    /// Which of the file's sub-agents, in the order in which they begin, from 0.
    pub(in crate::import) number: usize,
    /// The sub-agent begins with it.
    pub(in crate::import) begins: bool,
}

/// The sub-agents of a file.
#[derive(Debug, Default)]
pub(in crate::import) struct Threads {
    of_record: Memory<usize>,
    count: usize,
    /// The one that the last sidechain record belongs to.
    last: Option<usize>,
}

impl Threads {
    /// Where the next sidechain record belongs.
    pub(in crate::import) fn take(&mut self, record: &Value) -> Thread {
        let known = |key| filled(record, key).and_then(|uuid| self.of_record.get(uuid));
        // What belongs to nothing that is known goes on where the last one was, unless it is a prompt.
        let lost = || self.last.filter(|_| !is_prompt(record));
        let number = known("uuid").or_else(|| known("parentUuid")).or_else(lost);
        let thread = Thread { number: number.unwrap_or(self.count), begins: number.is_none() };
        self.count += usize::from(thread.begins);
        self.last = Some(thread.number);
        if let Some(uuid) = filled(record, "uuid") {
            self.of_record.insert(uuid, thread.number);
        }
        thread
    }

    /// Whether a record belongs to a sub-agent.
    pub(super) fn holds(&self, uuid: &str) -> bool {
        self.of_record.contains(uuid)
    }

    /// What is remembered of single records.
    pub(in crate::import) fn memory(&mut self) -> &mut dyn Notes {
        &mut self.of_record
    }
}

/// Whether a record is a prompt, and neither a tool's result nor put in by the program.
fn is_prompt(record: &Value) -> bool {
    let is_meta = record.get("isMeta").and_then(Value::as_bool) == Some(true);
    text(record, "type") == Some("user") && !is_meta && prompt(record).is_some_and(|said| !typed::is_put_in(said))
}

/// The text of a user's message that is no tool's result.
fn prompt(record: &Value) -> Option<&str> {
    match record.pointer("/message/content")? {
        Value::String(text) => Some(text),
        Value::Array(blocks) if blocks.iter().any(|block| text(block, "type") == Some("tool_result")) => None,
        Value::Array(blocks) => blocks.iter().find_map(|block| text(block, "text")),
        _ => None,
    }
}

/// The native id of the sub-agent that begins with a record: the record's own, so that a copy of it in another file is the
/// same sub-agent.
fn native_id(record: &Value, file: &str, line: u64) -> String {
    filled(record, "uuid").map_or_else(|| format!("agent-{file}-{line}"), |uuid| format!("agent-{uuid}"))
}

impl ClaudeReader {
    /// A sub-agent's record among those of the conversation that started it. It is that sub-agent's, and read with the others
    /// of it alone.
    pub(super) fn sidechain(&mut self, value: Value, line: u64, out: &mut Vec<Step>) {
        let thread = self.threads.take(&value);
        if thread.begins {
            let head = self.subagent(&value, line);
            self.subagents.push(head.native_id.clone());
            out.push(Step::Subagent { head: Box::new(head) });
        }
        let message = value.get("message");
        if let Some(native_id) = self.subagents.get(thread.number) {
            self.calls.note(message.and_then(|message| message.get("content")), native_id);
        }
        let usage = message.and_then(|message| content::usage(&value, message, self.ts));
        let place = Place { record: self.name(filled(&value, "uuid"), line), line, ts: self.ts };
        let mut entries = vec![place.extension(value)];
        entries.extend(usage.map(LogEntry::LlmUsage));
        let Place { record, line, ts } = place;
        out.push(Step::Former { record, line, ts, entries });
    }

    /// What is known of the sub-agent that begins with a record.
    fn subagent(&mut self, value: &Value, line: u64) -> FileHead {
        let started = self.calls.started(value);
        let version = owned(value, "version").map(|version| ("version", version));
        let (by, about) = match started {
            Some(started) => {
                let about = [("agentType", started.agent_type), ("description", started.description)];
                (started.by, about.map(|(name, told)| told.map(|told| (name, told))).into_iter().flatten().collect())
            }
            None => (ParentCall { native_id: self.native_id.clone(), call_id: None }, Vec::new()),
        };
        let other = version.into_iter().chain(about).map(|(name, told)| (name.to_owned(), Value::String(told)));
        FileHead {
            agent: Agent::Claude,
            native_id: native_id(value, &self.native_id, line),
            birth_ms: self.ts,
            kind: SessionKind::Subagent,
            parent: Some(by),
            fork: ForkHint::None,
            archived: false,
            config: SessionConfig::default(),
            system_prompt: None,
            other: other.collect::<BTreeMap<_, _>>(),
            inline: true,
            exported: None,
        }
    }
}

/// Calls that may have started a sub-agent which has not begun yet.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Calls(Vec<Call>);

#[derive(Debug, Serialize, Deserialize)]
struct Call {
    /// The conversation that made the call, and its id.
    by: ParentCall,
    /// What the sub-agent was told, as a digest.
    prompt: Key,
    agent_type: Option<String>,
    description: Option<String>,
}

/// What is known of the sub-agent that a call started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) by: ParentCall,
    pub(super) agent_type: Option<String>,
    pub(super) description: Option<String>,
}

impl Calls {
    /// Notes the calls that a message of a conversation makes, and which ones it answers.
    pub(super) fn note(&mut self, content: Option<&Value>, native_id: &str) {
        for block in content.and_then(Value::as_array).into_iter().flatten() {
            match text(block, "type") {
                Some("tool_use") if text(block, "name").is_some_and(|name| TOOLS.contains(&name)) => {
                    let input = block.get("input").unwrap_or(&Value::Null);
                    self.0.push(Call {
                        by: ParentCall { native_id: native_id.to_owned(), call_id: owned(block, "id") },
                        prompt: Key::of(text(input, "prompt").unwrap_or_default()),
                        agent_type: owned(input, "subagent_type"),
                        description: owned(input, "description"),
                    });
                }
                Some("tool_result") if !self.0.is_empty() => {
                    let answered = text(block, "tool_use_id");
                    self.0.retain(|call| call.by.call_id.as_deref() != answered);
                }
                _ => {}
            }
        }
    }

    /// The call that started the sub-agent which begins with a record: the one with this prompt, else the only one there is.
    pub(super) fn started(&mut self, record: &Value) -> Option<Started> {
        let prompt = Key::of(prompt(record).unwrap_or_default());
        let same = self.0.iter().position(|call| call.prompt == prompt);
        let at = same.or((self.0.len() == 1).then_some(0))?;
        let Call { by, agent_type, description, .. } = self.0.remove(at);
        Some(Started { by, agent_type, description })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn take(threads: &mut Threads, uuid: &str, parent: &Value, content: &Value) -> (usize, bool) {
        let kind = if content.is_string() { "user" } else { "assistant" };
        let record = json!({"type": kind, "uuid": uuid, "parentUuid": parent, "message": {"content": content}});
        let thread = threads.take(&record);
        (thread.number, thread.begins)
    }

    #[test]
    fn threads_that_alternate_are_told_apart_by_their_parents() {
        let mut threads = Threads::default();
        let said = || json!([{"type": "text", "text": "x"}]);
        assert_eq!(take(&mut threads, "a1", &json!(null), &json!("one")), (0, true));
        assert_eq!(take(&mut threads, "b1", &json!(null), &json!("two")), (1, true));
        assert_eq!(take(&mut threads, "a2", &json!("a1"), &said()), (0, false));
        assert_eq!(take(&mut threads, "b2", &json!("b1"), &said()), (1, false));
        assert_eq!(take(&mut threads, "c1", &json!("m9"), &json!("three")), (2, true));
        // Its parent was lost.
        assert_eq!(take(&mut threads, "c3", &json!("c2"), &said()), (2, false));
        assert_eq!(take(&mut threads, "b2", &json!("b1"), &said()), (1, false));
        assert!(threads.holds("a2") && !threads.holds("m9"));
    }

    #[test]
    fn lines_are_told_by_the_field_however_it_is_spaced() {
        assert!(may_be_sidechain(r#"{"isSidechain":false,"x":"\"isSidechain\"","isSidechain" : true}"#));
        assert!(!may_be_sidechain(r#"{"isSidechain":false,"text":"true"}"#));
    }
}
