//! The agent's own file, as it was when it was imported.

use store_core::{SegmentId, SessionId, Store};

use super::conversation::ExportedFrom;
use super::{Exported, place};
use crate::error::Result;
use crate::fold::ConfigFold;
use crate::import::{Agent, StandingRaw};
use crate::lineage;
use crate::restore::collect_meta;

/// The file that a conversation was read from, if it is an agent's own, its bytes were kept, and nothing was added to the conversation but what
/// it says.
pub(super) fn read(
    store: &dyn Store,
    session: SessionId,
    segment: SegmentId,
    agent: Agent,
) -> Result<Option<Exported>> {
    let parts = lineage::load(store, session, segment)?;
    let meta = collect_meta(&parts);
    let Some(native_id) = meta.native_id.filter(|_| meta.agent.as_deref() == Some(agent.name())) else {
        return Ok(None);
    };
    let kept = StandingRaw::read(store, session, &native_id)?;
    if !kept.ends_with(store, session, segment)? {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    kept.write(store, &mut bytes)?;
    let mut config = ConfigFold::default();
    parts.iter().flat_map(|part| &part.entries).for_each(|entry| config.apply(entry));
    let cwd = config.into_config().cwd.unwrap_or_else(|| "/".to_owned());
    let path = kept.source().and_then(place::path_of_source);
    let seq = parts.last().map_or(store_core::Seq::START, |part| part.position.seq);
    Ok(Some(Exported {
        agent,
        path: path.unwrap_or_else(|| place::path(agent, &native_id, session.timestamp_ms(), &cwd)),
        from: ExportedFrom { native_id: native_id.clone(), session_id: session, segment_id: segment, seq },
        native_id,
        cwd,
        records: bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() as u64,
        is_exact: true,
        bytes,
    }))
}
