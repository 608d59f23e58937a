//! What the index keeps of a log: the fold of the branch up to its end, and what stands in the segment itself.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use store_core::{
    Content, Item, LogEntry, Part, SegmentMeta, SegmentOrigin, SegmentStart, Seq, SessionId, SessionKind, Store,
    TimestampMs, UserInput,
};

use crate::fold::{ConfigFold, TurnFold};
use crate::transcript::TranscriptFold;

/// How much of a prompt's first line makes a title.
const TITLE_CHARS_MAX: usize = 120;

/// The fold of a branch from its root: what a segment that continues it starts from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Branch {
    pub(super) turns: TurnFold,
    pub(super) config: ConfigFold,
    pub(super) transcript: TranscriptFold,
    /// The first line of the first prompt that has text.
    pub(super) prompt: Option<String>,
    /// Every folder that it worked in.
    pub(super) folders: BTreeSet<String>,
    pub(super) last_message_ms: Option<TimestampMs>,
}

/// What stands in one segment, apart from what it continues.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Own {
    pub(super) forked_from: Option<SegmentOrigin>,
    pub(super) compacted_from: Option<SegmentOrigin>,
    pub(super) agent: Option<String>,
    pub(super) native_id: Option<String>,
    pub(super) kind: SessionKind,
    pub(super) parent_session_id: Option<SessionId>,
    pub(super) first_ms: Option<TimestampMs>,
    pub(super) last_ms: Option<TimestampMs>,
    /// The time of the last entry, which need not be the latest.
    pub(super) end_ms: TimestampMs,
    /// The first line of the first prompt in it that has text.
    pub(super) prompt: Option<String>,
    /// How many turns the branch had before it.
    pub(super) turns_before: u64,
    /// How many turns the branch has at its end.
    pub(super) turns_through: u64,
    /// What it continues could not be read: the branch was folded without it.
    pub(super) detached: bool,
    /// Where its log could not be read: that many entries behind that one. Fewer of them may be read, one after the other, where lines stand
    /// twice or in another order, so this is what has to be read before it counts as whole again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unreadable: Option<(Seq, usize)>,
}

impl Own {
    /// The point that the segment continues.
    pub(super) fn origin(&self) -> Option<&SegmentOrigin> {
        self.forked_from.as_ref().or(self.compacted_from.as_ref())
    }

    fn start(&mut self, start: &SegmentStart) {
        let SegmentMeta { agent, native_id, kind, parent_session_id, .. } = &start.meta;
        self.forked_from = start.forked_from;
        self.compacted_from = start.compacted_from;
        self.agent.clone_from(agent);
        self.native_id.clone_from(native_id);
        self.kind = *kind;
        self.parent_session_id = *parent_session_id;
    }

    /// Takes the next entry of the segment; `prompt` is its title, if it is a prompt.
    pub(super) fn apply(&mut self, entry: &LogEntry, prompt: Option<&str>) {
        if let LogEntry::SegmentStart(start) = entry {
            self.start(start);
        }
        let ts = entry.ts();
        self.first_ms.get_or_insert(ts);
        self.last_ms = self.last_ms.max(Some(ts));
        self.end_ms = ts;
        if self.prompt.is_none() {
            self.prompt = prompt.map(str::to_owned);
        }
    }
}

impl Branch {
    /// Takes the next entry of the branch; `prompt` is its title, if it is a prompt.
    pub(super) fn apply(&mut self, entry: &LogEntry, prompt: Option<&str>) {
        self.turns.apply(entry);
        self.config.apply(entry);
        self.transcript.apply(entry);
        match entry {
            LogEntry::SegmentStart(_) | LogEntry::ConfigChanged(_) => {
                if let Some(cwd) = &self.config.config().cwd {
                    self.folders.insert(clean_path(cwd));
                }
            }
            LogEntry::UserInput(_) => self.spoke(entry.ts()),
            LogEntry::AssistantItem(item) if matches!(item.item, Item::Message { .. }) => self.spoke(entry.ts()),
            _ => {}
        }
        if self.prompt.is_none() {
            self.prompt = prompt.map(str::to_owned);
        }
    }

    fn spoke(&mut self, ts: TimestampMs) {
        self.last_message_ms = self.last_message_ms.max(Some(ts));
    }
}

/// The first line of a prompt, shortened; a part that stands beside the log is looked up.
pub(super) fn prompt_title(store: &dyn Store, input: &UserInput) -> Option<String> {
    input.content.iter().find_map(|part| match part {
        Part::Text { text: Content::Inline(text) } => first_line(text),
        Part::Text { text: Content::Blob(reference) } => {
            let bytes = store.get_blob(reference).ok()?;
            first_line(&String::from_utf8_lossy(&bytes))
        }
        _ => None,
    })
}

fn first_line(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let mut words = line.split_whitespace();
    let mut title = words.next()?.to_owned();
    for word in words {
        if title.len() > TITLE_CHARS_MAX * 4 {
            break;
        }
        title.push(' ');
        title.push_str(word);
    }
    if title.chars().count() <= TITLE_CHARS_MAX {
        return Some(title);
    }
    let kept: String = unicode_segmentation::UnicodeSegmentation::graphemes(title.as_str(), true)
        .scan(0, |chars, grapheme| {
            *chars += grapheme.chars().count();
            (*chars < TITLE_CHARS_MAX).then_some(grapheme)
        })
        .collect();
    Some(format!("{}…", kept.trim_end()))
}

/// A folder's path with one slash between its components and none behind the last, so that paths compare by component.
pub(super) fn clean_path(path: &str) -> String {
    let mut clean = String::with_capacity(path.len());
    for component in path.split('/').filter(|component| !component.is_empty() && *component != ".") {
        if !clean.is_empty() || path.starts_with('/') {
            clean.push('/');
        }
        clean.push_str(component);
    }
    if clean.is_empty() && path.starts_with('/') { "/".to_owned() } else { clean }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_first_line_that_says_something() {
        assert_eq!(first_line("\n  \n  fix\tthe   bug \nnow").as_deref(), Some("fix the bug"));
        assert_eq!(first_line(" \n\t"), None);
    }

    #[test]
    fn a_long_title_is_cut_between_characters_as_people_see_them() {
        let family = "👩‍👩‍👧";
        let title = first_line(&family.repeat(100)).unwrap();
        let cut = title.strip_suffix('…').unwrap();
        assert!(title.chars().count() <= TITLE_CHARS_MAX, "{title}");
        assert_eq!(cut.replace(family, ""), "");
    }

    #[test]
    fn paths_compare_by_component() {
        assert_eq!(clean_path("/a//b/./c/"), "/a/b/c");
        assert_eq!(clean_path("/"), "/");
        assert_eq!(clean_path("a/b/"), "a/b");
        assert_eq!(clean_path(""), "");
    }
}
