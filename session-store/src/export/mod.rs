//! Exports: a conversation as a file that an agent lists and resumes, or that people read.
//!
//! A hand-off needs two calls: [`continue_in`] makes the segment in which the agent goes on, [`export`] takes it, the agent and the same id, and
//! gives the file and where it belongs. What is written is a pure
//! function of the branch: `conversation` reads it once, `script` arranges it, a writer per agent tells it. Every record has an id that is
//! derived from the entry it tells (`id`), and every file says what it was made of ([`ExportedFrom`]); so an import into the same store
//! passes over what it has, and what an agent added goes on behind it.
//!
//! * `claude`, `codex` and `pi` write the agents' forms; `place` says where their files lie, [`install`](install()) puts them there.

mod claude;
mod codex;
mod conversation;
mod id;
mod install;
mod pi;
mod place;
mod script;

use std::path::PathBuf;

use serde_json::Value;
use store_core::{Content, Part, SegmentId, SegmentMeta, SegmentStart, SessionId, Store, StoreError, TimestampMs};

use crate::error::Result;
use crate::fork::{self, ForkPoint, fork_origin};
use crate::import::Agent;
use crate::lineage;
use crate::segment::SegmentLocation;
use conversation::Conversation;

pub use conversation::ExportedFrom;
pub(crate) use id::Origins;
pub use install::{InstallError, Installed, install};

/// What marks records as exported.
// Persisted: never rename or reuse.
pub(crate) const MARK: &str = "pod";

/// What marks the result of a tool that failed, where an agent's form does not say so.
// Persisted: never rename or reuse.
pub(crate) const MARK_FAILED: &str = "pod_failed";

/// The argument that holds what was no object, where an agent's calls have to have one.
const WRAPPED: &str = "input";

/// How a conversation is exported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// The id that the agent is to know it by; `None`: one that is derived from the branch.
    pub native_id: Option<String>,
    /// The folder that the agent is to work in; `None`: the conversation's own.
    pub cwd: Option<String>,
}

/// A conversation as an agent's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The agent.
    pub agent: Agent,
    /// The agent's id of the conversation.
    pub native_id: String,
    /// The file's place below the agent's folder (`~/.claude`, `~/.codex`, `~/.pi/agent`).
    pub path: PathBuf,
    /// The folder that the agent is to be started in.
    pub cwd: String,
    /// What the file was made of.
    pub from: ExportedFrom,
    /// How many records it has.
    pub records: u64,
    /// The file.
    pub bytes: Vec<u8>,
}

/// Tells the branch that ends with a segment to an agent.
///
/// The same branch gives the same file. Calls are paired in it: an open one has a result that says it was interrupted, which stands nowhere in
/// the store.
///
/// # Errors
/// `NotFound`; [`LineageError`](crate::LineageError); what the store fails with.
pub fn export(
    store: &dyn Store,
    session: SessionId,
    segment: SegmentId,
    agent: Agent,
    options: &ExportOptions,
) -> Result<Exported> {
    let conversation = Conversation::read(store, session, segment, agent, options)?;
    let lines = match agent {
        Agent::Claude => claude::lines(&conversation),
        Agent::Codex => codex::lines(&conversation),
        Agent::Pi => pi::lines(&conversation),
    };
    let path = place::path(agent, &conversation.native_id, conversation.birth_ms, &conversation.cwd);
    Ok(Exported {
        agent,
        path,
        records: lines.len() as u64,
        bytes: written(&lines)?,
        native_id: conversation.native_id,
        cwd: conversation.cwd,
        from: conversation.from,
    })
}

/// Makes the segment in which an agent goes on with a conversation: at the end of another one, in the same session, which it becomes the current leaf of.
///
/// A file that is exported from it under that id, before anything is written there, is that segment's: an import adds to it what the agent adds
/// to the file.
///
/// # Errors
/// `NotFound`; what the store fails with.
pub fn continue_in(
    store: &dyn Store,
    now: TimestampMs,
    from: SegmentLocation,
    agent: Agent,
    native_id: &str,
) -> Result<SegmentLocation> {
    let parts = lineage::load(store, from.session_id, from.segment_id)?;
    let origin = fork_origin(&parts, ForkPoint::End)?;
    let (agent, native_id) = (Some(agent.name().to_owned()), Some(native_id.to_owned()));
    let meta = SegmentMeta { agent, native_id, ..fork::meta_of_branch(&parts) };
    let start = SegmentStart { forked_from: Some(origin), meta, ..SegmentStart::new(from.session_id, now) };
    Ok(fork::begin_branch(store, now, start)?.0)
}

fn written(lines: &[Value]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line).map_err(StoreError::backend)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// What parts say, in words.
fn text_of(parts: &[Part]) -> String {
    parts.iter().map(text_of_part).collect::<Vec<_>>().join("\n")
}

/// What a part says, in words: of what is no text, what it is.
fn text_of_part(part: &Part) -> String {
    match part {
        Part::Text { text: Content::Inline(text) } => text.clone(),
        Part::Text { text: Content::Blob(blob) } => format!("[text of {} bytes]", blob.bytes),
        Part::Image { url: Some(url), .. } => format!("[image: {url}]"),
        Part::Image { .. } => "[image]".to_owned(),
        Part::File { name, media_type, data, url } => {
            let name = name.as_deref().or(url.as_deref()).unwrap_or("without a name");
            let is_text = media_type.as_deref().is_none_or(|kind| kind.starts_with("text/"));
            match data.as_ref().and_then(Content::as_inline).filter(|_| is_text) {
                Some(text) => format!("[file: {name}]\n{text}"),
                None => format!("[file: {name}]"),
            }
        }
        Part::Other(value) => value.to_string(),
    }
}
