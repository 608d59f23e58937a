//! Which result answers which call: one answer, for whoever cuts, closes or checks a history.

use std::collections::HashMap;

use store_core::Item;

/// A call and what answered it, as places in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PairedCall {
    /// The call.
    pub(crate) call: usize,
    /// Its result; `None` for an open call.
    pub(crate) result: Option<usize>,
}

/// The calls of a history, in order. A result answers the earliest open call of its id; one for which there is none answers nothing.
pub(crate) fn pair_calls<'a>(history: impl Iterator<Item = &'a Item>) -> Vec<PairedCall> {
    let mut paired: Vec<PairedCall> = Vec::new();
    let mut open: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, item) in history.enumerate() {
        match item {
            Item::ToolCall { call_id, .. } => {
                open.entry(call_id).or_default().push(paired.len());
                paired.push(PairedCall { call: at, result: None });
            }
            Item::ToolResult { call_id, .. } => {
                if let Some(calls) = open.get_mut(call_id.as_str()).filter(|calls| !calls.is_empty()) {
                    paired[calls.remove(0)].result = Some(at);
                }
            }
            _ => {}
        }
    }
    paired
}
