//! What a conversation says, whoever tells it.

use serde_json::{Value, json};
use session_store::export::{ExportOptions, Exported, export};
use session_store::import::Agent;
use session_store::{INTERRUPTED, ShowKind, ShowMessage, ShowRole, current_leaf};
use store_core::{Content, Part, SessionId};

use crate::import::world::World;

/// A message, or a call with what it was answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) role: ShowRole,
    pub(crate) kind: ShowKind,
    pub(crate) text: String,
    pub(crate) images: Vec<String>,
    pub(crate) call: Option<Call>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) arguments: Value,
    /// What the tool answered, and whether it failed.
    pub(crate) result: Option<(String, Vec<String>, bool)>,
}

/// What is said in the rows of a transcript: not what was thought, no answer without its question, nothing of white space.
///
/// `arguments` as agents need them: an object, in which what is none stands alone.
pub(crate) fn said(rows: Vec<ShowMessage>) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    let mut open: Vec<(String, usize)> = Vec::new();
    for row in rows {
        let images = images(row.parts.as_deref().unwrap_or_default());
        let tool = row.tool.clone();
        match (row.kind, tool) {
            (ShowKind::Reasoning, _) => {}
            (ShowKind::ToolCall, Some(tool)) => {
                open.push((tool.call_id, said.len()));
                let arguments = tool.arguments.unwrap_or_default();
                let arguments = if arguments.is_object() { arguments } else { json!({"input": arguments}) };
                let name = tool.name.unwrap_or_default().replace('.', "_");
                let call = Some(Call { name, arguments, result: None });
                said.push(Said { role: row.role, kind: row.kind, text: String::new(), images, call });
            }
            (ShowKind::ToolResult, Some(tool)) => {
                let Some(at) = open.iter().position(|(call, _)| *call == tool.call_id) else { continue };
                let (_, call) = open.remove(at);
                let failed = tool.is_error.unwrap_or_default();
                let result = Some((row.text, images, failed)).filter(|(text, ..)| text != INTERRUPTED);
                said[call].call.as_mut().unwrap().result = result;
            }
            (kind, _) => {
                let text = if kind == ShowKind::Summary { unwrapped(&row.text) } else { row.text };
                if !text.trim().is_empty() || !images.is_empty() {
                    said.push(Said { role: row.role, kind, text, images, call: None });
                }
            }
        }
    }
    said
}

fn images(parts: &[Part]) -> Vec<String> {
    let data = parts.iter().filter_map(|part| match part {
        Part::Image { data: Some(Content::Inline(data)), .. } => Some(data.clone()),
        Part::Image { data: Some(Content::Blob(blob)), .. } => Some(blob.sha256.clone()),
        _ => None,
    });
    data.collect()
}

/// pi words a summary for its model when it reads it.
fn unwrapped(summary: &str) -> String {
    let begins = "The conversation history before this point was compacted into the following summary:\n\n<summary>\n";
    let inner = summary.strip_prefix(begins).and_then(|rest| rest.strip_suffix("\n</summary>"));
    inner.unwrap_or(summary).to_owned()
}

/// A conversation as a file of an agent.
pub(crate) fn exported(world: &World, session: SessionId, agent: Agent) -> Exported {
    let leaf = current_leaf(&*world.store, session).unwrap();
    export(&*world.store, session, leaf, agent, &ExportOptions::default()).unwrap()
}

/// What a conversation says from its root to where it goes on.
pub(crate) fn said_in(world: &World, session: SessionId) -> Vec<Said> {
    let leaf = current_leaf(&*world.store, session).unwrap();
    let options = session_store::ShowOptions::default();
    said(session_store::transcript(&*world.store, session, leaf, &options).unwrap().messages)
}
