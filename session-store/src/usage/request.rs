//! Which records are of one provider request.

use sha2::{Digest as _, Sha256};
use store_core::{LlmUsage, SegmentId, Seq, SessionId};

use super::standing::REQUEST_BYTES_MAX;

/// The name under which uses are of one request: the provider's id, which holds in the whole store; without one the
/// record that it came from, which holds in its session; else the entry itself. Where that is longer than the books can
/// tell, its SHA-256 stands for it.
pub(crate) fn request_name(
    (session, segment, seq): (SessionId, SegmentId, Seq),
    key: Option<&str>,
    usage: &LlmUsage,
) -> String {
    let name = match (&usage.request_id, key.and_then(record_of)) {
        (Some(id), _) => format!("r:{id}"),
        (None, Some(id)) => format!("k:{session}:{id}"),
        (None, None) => format!("e:{segment}:{seq}"),
    };
    if name.len() <= REQUEST_BYTES_MAX {
        return name;
    }
    let hex: String = Sha256::digest(&name).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("h:{hex}")
}

/// The id of the record that an entry with this key came from: the key up to its last `#`.
pub(crate) fn record_of(key: &str) -> Option<&str> {
    key.rsplit_once('#').map(|(record, _)| record)
}
