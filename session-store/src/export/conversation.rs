//! What is exported: a branch, read once, and what is told about it. Everything behind this is pure.

use store_core::chain::sha256_hex;
use store_core::{SegmentId, Seq, SessionId, Store, TimestampMs};

use super::id::ShortIds;
use super::script::{Script, Setting};
use crate::error::Result;
use crate::facts::{SessionFacts, Title, TitleBy};
use crate::import::Agent;
use crate::lineage::{self, LineageEntries};
use crate::restore::collect_meta;

/// The point that an exported file was made of: the last entry of its branch.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ExportedFrom {
    /// The agent's id of the exported conversation. Forks that the agent makes of it have another one.
    pub native_id: String,
    /// The session.
    pub session_id: SessionId,
    /// The segment.
    pub segment_id: SegmentId,
    /// The last entry, inclusive.
    pub seq: Seq,
}

/// A branch on its way to an agent.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) script: Script,
    pub(super) short_ids: ShortIds,
    pub(super) from: ExportedFrom,
    /// The agent's id of the exported conversation.
    pub(super) native_id: String,
    /// When the conversation began.
    pub(super) birth_ms: TimestampMs,
    pub(super) title: Option<Title>,
    /// The folder that the agent is to work in.
    pub(super) cwd: String,
    /// The folder that was asked for instead of the conversation's own.
    pub(super) moved_to: Option<String>,
    /// The version of the agent, where the conversation is its own.
    pub(super) version: Option<String>,
}

impl Conversation {
    /// Reads the branch that ends with a segment.
    pub(super) fn read(
        store: &dyn Store,
        session: SessionId,
        segment: SegmentId,
        agent: Agent,
        wanted: &super::ExportOptions,
    ) -> Result<Self> {
        let parts = lineage::load(store, session, segment)?;
        let mut script = Script::of(&parts, agent.name());
        script.resolve(store)?;
        let seq = parts.last().map_or(Seq::START, |part| part.position.seq);
        // A fork is younger than what it continues.
        let birth_ms = session.timestamp_ms();
        let native_id = wanted.native_id.clone().unwrap_or_else(|| native_id(agent, segment, seq, birth_ms));
        let from = ExportedFrom { native_id: native_id.clone(), session_id: session, segment_id: segment, seq };
        let meta = collect_meta(&parts);
        let version = ["version", "cli_version"].iter().find_map(|name| meta.other.get(*name)?.as_str());
        let version = version.filter(|_| meta.agent.as_deref() == Some(agent.name())).map(str::to_owned);
        let cwd = wanted.cwd.clone().or_else(|| last_folder(&parts)).unwrap_or_else(|| "/".to_owned());
        Ok(Self {
            script,
            short_ids: if agent == Agent::Pi { ShortIds::of(&parts) } else { ShortIds::default() },
            from,
            native_id,
            birth_ms,
            title: title(store, session)?,
            cwd,
            moved_to: wanted.cwd.clone(),
            version,
        })
    }

    /// The folder that something was said in.
    pub(super) fn cwd_of<'a>(&'a self, setting: &'a Setting) -> &'a str {
        self.moved_to.as_deref().or(setting.config.cwd.as_deref()).unwrap_or(&self.cwd)
    }
}

/// The id of a conversation in an agent that knows nothing of it yet: of this branch to this entry, always the same.
fn native_id(agent: Agent, segment: SegmentId, seq: Seq, birth_ms: TimestampMs) -> String {
    let seed = format!("pod export {agent} {segment} {seq}");
    SessionId::derive(birth_ms, sha256_hex(seed.as_bytes()).as_bytes()).to_string()
}

fn last_folder(parts: &[LineageEntries]) -> Option<String> {
    let mut config = crate::fold::ConfigFold::default();
    parts.iter().flat_map(|part| &part.entries).for_each(|entry| config.apply(entry));
    config.into_config().cwd
}

fn title(store: &dyn Store, session: SessionId) -> Result<Option<Title>> {
    let facts = SessionFacts::read_if_whole(store, session)?;
    let by = if facts.title_by_person().is_some() { TitleBy::Person } else { TitleBy::Agent };
    Ok(facts.title().map(|text| Title { text: text.to_owned(), by }))
}
